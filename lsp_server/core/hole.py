"""The hole: the place in a document where a completion is wanted, and the kind of completion that is wanted there.

`find_hole` finds the place from the line alone, so that a key costs no parse and the prompt stays anchored. The kind
comes from a table of rules over the line around the cursor (`find_hole`) and over the syntax tree (`refined`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from itertools import pairwise

from lsp_server.core.brackets import CLOSING, open_brackets, open_quote
from lsp_server.core.comments import Comment, comment_at, comment_by_text, open_docstring
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.languages import find_language
from lsp_server.core.languages.entry import Language
from lsp_server.core.names.allowed import Members
from lsp_server.core.syntax import view_of
from lsp_server.core.text import indent_width, next_character_start

# In a line with more bytes than this before the cursor (minified code), the anchor lies inside the line.
TYPED_LIMIT_BYTES = 800


class HoleKind(str, Enum):
    """What is to be completed. none: nothing. expression: the missing text before a closing bracket. line: the rest of
    the line, or of the statement if it has open brackets. block: lines that belong together. prose: words inside the
    comment or docstring at the cursor."""

    NONE = "none"
    EXPRESSION = "expression"
    LINE = "line"
    BLOCK = "block"
    PROSE = "prose"


@dataclass(frozen=True, slots=True)
class Hole:
    """anchor: the offset where the middle of the prompt begins; the text from there to the cursor was typed since.
    cursor: the offset where the completion is inserted. line_end: the end of the cursor's line. indent: for a block,
    the smallest indentation, in columns, of a line that belongs to it. reason: why nothing is wanted, in words for the
    user. comment: the comment or docstring around the cursor, if known. members: the names that may follow an object
    there, as far as they were looked up.
    """

    kind: HoleKind
    anchor: int
    cursor: int
    line_end: int
    indent: int = 0
    reason: str = ""
    comment: Comment | None = None
    members: Members | None = None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The context of a cursor. left, right: its line before and after it. inside: `code`, `string` or `comment`; a
    docstring counts as a comment. text: the part of the string or comment before the cursor. comment: its details."""

    left: str
    right: str
    language: Language
    inside: str = "code"
    text: str = ""
    comment: Comment | None = None

    @property
    def writes_prose(self) -> bool:
        """Whether the cursor is at the end of the words of a comment's line, so that more words can follow."""
        return self.comment is not None and self.comment.closed_here

    @property
    def splits_name(self) -> bool:
        return _WORD_AT_END.search(self.left) is not None and _WORD_AT_START.match(self.right) is not None

    @property
    def announces_code(self) -> bool:
        """Whether the cursor is at the end of a comment that fills its line and ends with a colon."""
        return not self.right.strip() and self.text.rstrip().endswith(":") and self.left.strip() == self.text.strip()

    @property
    def is_unfinished(self) -> bool:
        """Whether the text of the string or comment is unfinished, or is an empty docstring."""
        return _UNFINISHED.search(self.text) is not None

    @property
    def opens_block(self) -> bool:
        if not self.language.opens_block(self.left):
            return False
        # A colon inside brackets belongs to a slice or a type, whatever the line begins with.
        return not self.left.rstrip().endswith(":") or not open_brackets(self.left, self.language.quotes)


@dataclass(frozen=True, slots=True)
class Rule:
    """If `applies` is true, the hole is of this kind. indent: the smallest indentation of a block, in columns more than
    the line's own."""

    name: str
    applies: Callable[[Surroundings], bool]
    kind: HoleKind
    indent: int = 0


_WORD_AT_END, _WORD_AT_START = re.compile(r"\w$"), re.compile(r"\w")
_UNFINISHED = re.compile(r"""[:=,(\[{]\s*$|\b(?:TODO|FIXME|NOTE|XXX)\W*$|^\s*\w?(?:\"{3}|'{3}|/\*\*|///)\s*$""")

# The reasons for no completion that other code compares with.
INSIDE_A_NAME = "the cursor is inside a name"
INSIDE_A_COMMENT = "the cursor is inside a comment"

# The first rule that applies decides.
RULES: tuple[Rule, ...] = (
    Rule(INSIDE_A_NAME, lambda s: s.splits_name, HoleKind.NONE),
    Rule("a comment announces code", lambda s: s.inside == "comment" and s.announces_code, HoleKind.BLOCK),
    Rule("the comment asks to be continued", lambda s: s.writes_prose and s.is_unfinished, HoleKind.PROSE),
    Rule("the comment may go on", lambda s: s.writes_prose, HoleKind.PROSE),
    Rule(INSIDE_A_COMMENT, lambda s: s.inside == "comment", HoleKind.NONE),
    Rule("the string asks to be continued", lambda s: s.inside == "string" and s.is_unfinished, HoleKind.LINE),
    Rule("the cursor is inside a string", lambda s: s.inside == "string", HoleKind.NONE),
    Rule("a bracket is closed behind the cursor", lambda s: s.right.strip()[:1] in (*CLOSING,), HoleKind.EXPRESSION),
    Rule("text stands behind the cursor", lambda s: bool(s.right.strip()), HoleKind.LINE),
    Rule("the line is blank", lambda s: not s.left.strip(), HoleKind.BLOCK),
    Rule("the line opens a block", lambda s: s.opens_block, HoleKind.BLOCK, indent=1),
    Rule("the line goes on", lambda s: True, HoleKind.LINE),
)


def find_hole(document: DocumentSnapshot, cursor: int) -> Hole:
    """The hole at byte offset `cursor`, judged by the text of the line alone. Needs no parse."""
    line = document.line_at(cursor)
    start, end = document.line_start(line), document.line_end(line)
    cursor = min(cursor, end)
    left, right = sides(document, cursor)
    language = find_language(document.language_id, document.path)
    hole = Hole(HoleKind.LINE, _anchor(document.source, start, cursor), cursor, end)
    return _decided(hole, Surroundings(left, right, language))


def refined(document: DocumentSnapshot, hole: Hole) -> Hole:
    """`hole` judged by the syntax tree as well, which shows strings, comments and the language of fenced code."""
    line = document.line_at(hole.cursor)
    left, right = sides(document, hole.cursor)
    view = view_of(document, line)
    language = view.language
    inside, text = "code", ""
    comment: Comment | None = None
    holders = [*view.ancestors(hole.cursor), ("", 0, 0)]
    for (kind, start, end), (around, *_) in pairwise(holders):
        if kind in language.code_in_strings and start < hole.cursor < end:
            break
        if kind in language.strings or kind in language.comments:
            if start < hole.cursor and (hole.cursor < end or _is_open(document.source[start:end], kind, language)):
                is_string = kind in language.strings
                if not is_string or around in language.docstrings:
                    comment = comment_at(document, hole.cursor, language, start, end, is_string=is_string)
                inside = "string" if is_string and comment is None else "comment"
                text = document.source[start : hole.cursor].decode("utf-8", "replace")
            break
    else:
        # The grammar does not recognise a string without an end.
        quote = open_quote(left, language.quotes) if language.strings and view.errors else ""
        if quote:
            inside, text = "string", left[left.rindex(quote) :]
    if inside != "comment" and view.errors:
        comment = open_docstring(document, hole.cursor, language)
        text = left.lstrip() if comment is not None else text
    elif language.wheel is None and (found := comment_by_text(document, hole.cursor, language)) is not None:
        comment = comment_at(document, hole.cursor, language, *found)
        text = document.source[found[0] : hole.cursor].decode("utf-8", "replace")
    inside = "comment" if comment is not None else inside
    return _decided(hole, Surroundings(left, right, language, inside, text, comment))


def sides(document: DocumentSnapshot, cursor: int) -> tuple[str, str]:
    """The text left and right of `cursor` in its line; at most `TYPED_LIMIT_BYTES` on each side."""
    line = document.line_at(cursor)
    start = max(document.line_start(line), cursor - TYPED_LIMIT_BYTES)
    end = min(document.line_end(line), cursor + TYPED_LIMIT_BYTES)
    source = document.source
    return source[start:cursor].decode("utf-8", "replace"), source[cursor:end].decode("utf-8", "replace")


def for_explicit_request(hole: Hole) -> Hole:
    """`hole` for a user who has requested a completion: also where none is offered automatically."""
    if hole.kind is HoleKind.PROSE and hole.comment is not None:
        return replace(hole, comment=replace(hole.comment, asked=True))
    if hole.kind is HoleKind.NONE and hole.reason != INSIDE_A_NAME:
        return replace(hole, kind=HoleKind.LINE, reason="")
    return hole


def for_automatic_request(hole: Hole, *, comments: bool, docs: bool) -> Hole:
    """`hole` for a completion that the user has not requested. docs, comments: whether the user wants completions in
    doc comments, and in other comments."""
    comment = hole.comment
    if hole.kind is not HoleKind.PROSE or comment is None or (docs if comment.is_doc else comments):
        return hole
    return replace(hole, kind=HoleKind.NONE, reason=INSIDE_A_COMMENT)


def _decided(hole: Hole, surroundings: Surroundings) -> Hole:
    rule = next(rule for rule in RULES if rule.applies(surroundings))
    indent = 0
    if rule.kind is HoleKind.PROSE and surroundings.comment is not None:
        hole = replace(hole, comment=replace(surroundings.comment, is_unfinished=surroundings.is_unfinished))
    if rule.kind is HoleKind.BLOCK:
        indent = indent_width(surroundings.left.encode()) + rule.indent
    return replace(hole, kind=rule.kind, indent=indent, reason=rule.name if rule.kind is HoleKind.NONE else "")


def _is_open(node: bytes, kind: str, language: Language) -> bool:
    """Whether text after the last byte of a string or comment still belongs to it."""
    if kind in language.comments:
        return not node.endswith((b"*/", b"-->", b"]]"))
    quote = node[-1:]
    return len(node) < 2 or quote.decode("latin-1") not in "\"'`/"


def _anchor(source: bytes, line_start: int, cursor: int) -> int:
    """The line's start; in a long line, a point before the cursor that moves in steps of half the limit."""
    beyond = cursor - line_start - TYPED_LIMIT_BYTES
    if beyond <= 0:
        return line_start
    step = TYPED_LIMIT_BYTES // 2
    return min(cursor, next_character_start(source, line_start + -(-beyond // step) * step))
