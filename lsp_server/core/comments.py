"""Describes the comment or docstring at a cursor: how its lines begin, what ends it, and how wide its lines are."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.languages.entry import Language
from lsp_server.core.text import encode

# How many lines around a place are read to find the usual line width, and how many lines of multi-line comments are
# enough to take the width from comments only.
_LINES_AROUND, _ENOUGH = 300, 3
# The usual width is the one that this share of the lines does not exceed, limited to this range of columns.
_USUAL_SHARE, _NARROWEST, _WIDEST = 0.95, 72, 120

# How far above the cursor the start of a comment is searched for, in a language without a grammar.
_BYTES_ABOVE = 4000

_DOCSTRING = re.compile(r"[A-Za-z]{0,2}(\"{3}|'{3})")
_STAR = re.compile(r"[ \t]*(?:\*(?![*/]))?[ \t]*")


@dataclass(frozen=True, slots=True)
class Comment:
    """The comment or docstring that a cursor is in.

    is_doc: whether it documents code. prefix: the text of a further line of it before the first word. closer: the text
    that ends it; empty if the end of the line does. goes_on: whether a completion may add lines below the cursor's
    line. width: the maximum number of columns of its lines; 0 for no limit. closed_here: whether no words of it follow
    the cursor in its line. is_unfinished: whether its text is unfinished. asked: whether the user has requested a
    completion there.
    """

    is_doc: bool
    prefix: str
    closer: str = ""
    goes_on: bool = False
    width: int = 0
    closed_here: bool = True
    is_unfinished: bool = False
    asked: bool = False

    @property
    def mark(self) -> str:
        """The characters that a further line begins with after its indentation, such as `#` or `*`."""
        return self.prefix.strip()

    def words(self, line: str) -> str | None:
        """The words of `line` if it may be a further line of this comment; None if it may not."""
        content = line.strip()
        if not content.startswith(self.mark) or (self.closer and content.startswith(self.closer)):
            return None
        words = content[len(self.mark) :]
        # `//` is not the mark of `///`, nor `*` that of `*/`.
        if self.mark and words[:1] and (words[0] in "/!*" or words[0] == self.mark[-1]):
            return None
        return words.strip()


def comment_at(
    document: DocumentSnapshot, cursor: int, language: Language, start: int, end: int, *, is_string: bool = False
) -> Comment | None:
    """Describes the comment or docstring `start:end` around `cursor`. None if it is not one of the language's kinds of
    comment, or if it is a string that does not begin its line."""
    line = document.line_at(cursor)
    first = document.line_at(start)
    left = _text(document, document.line_start(first), start)
    head = _text(document, start, min(end, start + 8))
    stop = document.line_end(line)
    right = _text(document, cursor, stop)
    if is_string:
        quotes = _DOCSTRING.match(head)
        if quotes is None or left.strip() or cursor < start + quotes.end():
            return None
        lead = left if first == line else _lead(_text(document, document.line_start(line), cursor), "")
        return _made(document, line, language, Comment(True, lead, quotes[1]), right, open_below=end > stop)
    is_doc = head.startswith(language.docs)
    for opener, closer in language.block_marks:
        if head.startswith(opener) and cursor >= start + len(opener):
            prefix = _prefix_in_block(document, line, first, cursor, left, opener)
            return _made(document, line, language, Comment(is_doc, prefix, closer), right, open_below=end > stop)
    mark = next((mark for mark in language.line_marks if head.startswith(mark)), None)
    if mark is None or cursor < start + len(mark):
        return None
    signs = re.match(rf"{re.escape(mark)}[{re.escape(mark[-1])}!]*", head)
    mark = signs[0] if signs is not None else mark
    spaces = re.match(r"[ \t]*", _text(document, start + len(mark), stop))
    prefix = left + mark + ((spaces[0] if spaces else "") or " ")
    alone = not left.strip()
    if not alone:
        prefix = mark
    return _made(document, line, language, Comment(is_doc, prefix), right, open_below=alone)


def comment_by_text(document: DocumentSnapshot, cursor: int, language: Language) -> tuple[int, int] | None:
    """The start and end of the comment around `cursor`, found without a grammar: the line begins with a comment mark,
    or the cursor is between an opening and a closing mark."""
    line = document.line_at(cursor)
    start, end = document.line_start(line), document.line_end(line)
    left = _text(document, start, cursor)
    indent = len(left) - len(left.lstrip())
    if left.lstrip().startswith(language.line_marks or ("\0",)):
        return start + indent, end
    source = document.source
    for opener, closer in ((encode(opener), encode(closer)) for opener, closer in language.block_marks):
        lowest = max(0, cursor - _BYTES_ABOVE)
        begins = source.rfind(opener, lowest, cursor)
        if begins < 0 or source.find(closer, begins + len(opener), cursor) >= 0:
            continue
        ends = source.find(closer, cursor, cursor + _BYTES_ABOVE)
        if ends >= 0:
            return begins, ends + len(closer)
    return None


def open_docstring(document: DocumentSnapshot, cursor: int, language: Language) -> Comment | None:
    """The docstring that begins in the cursor's line and has no end yet, so that the syntax tree does not show it; None
    if there is none."""
    line = document.line_at(cursor)
    left = _text(document, document.line_start(line), cursor)
    quotes = _DOCSTRING.match(left.lstrip()) if language.docstrings else None
    if quotes is None or left.count(quotes[1]) > 1 or document.source[cursor : document.line_end(line)].strip():
        return None
    above = (document.line(number).decode("utf-8", "replace") for number in range(line - 1, -1, -1))
    header = next((text for text in above if text.strip()), "")
    if header and not language.opens_block(header):
        return None
    comment = Comment(True, left[: len(left) - len(left.lstrip())], quotes[1])
    return _made(document, line, language, comment, "", open_below=False)


def _made(
    document: DocumentSnapshot, line: int, language: Language, comment: Comment, right: str, *, open_below: bool
) -> Comment:
    """`comment` with `goes_on`, `width` and `closed_here` filled in from the lines around it. open_below: whether it
    may have further lines where it stands."""
    behind = right.strip()
    closed = not behind or bool(comment.closer and behind.startswith(comment.closer))
    around = _around(document, line)
    here = line - around.start
    texts = [document.line(number).decode("utf-8", "replace").rstrip("\r\n") for number in around]
    says = [comment.words(text) if comment.mark else None for text in texts]
    wrapped = [columns(text) for text, one, other in zip(texts, says, says[1:], strict=False) if one and other]
    below = texts[here + 1] if here + 1 < len(texts) else ""
    if comment.mark or not comment.closer:
        follows = bool(comment.words(below))
        used = bool(here and says[here - 1]) or len(wrapped) > 0 or bool(comment.closer)
    else:
        follows, used = bool(below.strip()) and not below.strip().startswith(comment.closer), True
    goes_on = open_below and closed and not behind and used and not follows
    left = _text(document, document.line_start(line), document.line_end(line))
    width = _usual_width(
        wrapped
        if len(wrapped) >= _ENOUGH
        else [columns(text) for text in (*texts[:here], *texts[here + 1 :]) if text.strip()]
    )
    if columns(left[: len(left) - len(right)]) > width:
        width = 0
    return Comment(comment.is_doc, comment.prefix, comment.closer, goes_on, width, closed)


def _around(document: DocumentSnapshot, line: int) -> range:
    return range(max(0, line - _LINES_AROUND), min(document.line_count, line + _LINES_AROUND))


def _usual_width(columns: Sequence[int]) -> int:
    if not columns:
        return _WIDEST
    usual = sorted(columns)[int(_USUAL_SHARE * len(columns))]
    return min(_WIDEST, max(_NARROWEST, usual))


def _prefix_in_block(document: DocumentSnapshot, line: int, first: int, cursor: int, left: str, opener: str) -> str:
    """The start of a further line in a block comment: as in the cursor's line or, if the comment begins there, as in
    the line below."""
    if line > first:
        return _lead(_text(document, document.line_start(line), cursor), "*")
    below = document.line(line + 1).decode("utf-8", "replace") if line + 1 < document.line_count else ""
    indent = left[: len(left) - len(left.lstrip())]
    if below.strip().startswith("*") and opener == "/*":
        return f"{_lead(below, '*').partition('*')[0]}* "
    return indent + " " * len(opener) + " "


def _lead(line: str, star: str) -> str:
    """The white space at the start of a line, with the star in it if `star` is not empty."""
    found = _STAR.match(line)
    lead = found[0] if found is not None and star else line[: len(line) - len(line.lstrip())]
    return f"{lead} " if lead.endswith("*") else lead


def columns(line: str) -> int:
    return len(line.rstrip().expandtabs(4))


def _text(document: DocumentSnapshot, start: int, end: int) -> str:
    return document.source[start:end].decode("utf-8", "replace")
