"""The hole: where in a document text is wanted, and how much of it.

Where it is, `find_hole` tells by the line alone, so that a key costs no parse and its prompt stays anchored. How much
is wanted is a table of rules, over what stands around the cursor in its line (`find_hole`) and in the tree (`refined`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from itertools import pairwise

from lsp_server.core.allowed_names import Members
from lsp_server.core.brackets import CLOSING, open_brackets, open_quote
from lsp_server.core.comments import Comment, comment_at, comment_by_text, open_docstring
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.language_entry import Language
from lsp_server.core.languages import find_language
from lsp_server.core.syntax import view_of
from lsp_server.core.text import indent_width, next_character_start

# A line of which more than this is left of the cursor (minified code) is anchored inside itself.
TYPED_LIMIT_BYTES = 800


class HoleKind(str, Enum):
    """none: nothing is wanted. expression: what is missing in front of a bracket that stands there. line: the
    rest of the line, or of the statement if its brackets go on. block: lines, as long as they belong together. prose:
    words that go on with a comment or docstring, inside it."""

    NONE = "none"
    EXPRESSION = "expression"
    LINE = "line"
    BLOCK = "block"
    PROSE = "prose"


@dataclass(frozen=True, slots=True)
class Hole:
    """anchor: the offset at which the middle of the prompt begins; what lies between it and the cursor has
    been typed since. cursor: the offset at which text is inserted. line_end: the end of the cursor's line.
    indent: for a block, the least indentation, in columns, of a line that still belongs to it. reason: why
    nothing is wanted, in words for the user. comment: the comment or docstring that it is in, if that is known.
    members: which names may stand behind others there, as far as that has been looked at.
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
    """What stands around a cursor. left, right: its line. inside: `code`, or the `string` or `comment` that it is
    in, and a docstring is a comment; text: what of that stands in front of it. comment: what is known of the latter."""

    left: str
    right: str
    language: Language
    inside: str = "code"
    text: str = ""
    comment: Comment | None = None

    @property
    def writes_prose(self) -> bool:
        """Whether it is where words of a comment end, so that more of them can follow."""
        return self.comment is not None and self.comment.closed_here

    @property
    def splits_name(self) -> bool:
        return _WORD_AT_END.search(self.left) is not None and _WORD_AT_START.match(self.right) is not None

    @property
    def announces_code(self) -> bool:
        """Whether it is the end of a comment that fills its line and says that something follows."""
        return not self.right.strip() and self.text.rstrip().endswith(":") and self.left.strip() == self.text.strip()

    @property
    def asks(self) -> bool:
        """Whether a string or comment asks to be continued: it is left open, or is a docstring to be written."""
        return _ASKS.search(self.text) is not None

    @property
    def opens_block(self) -> bool:
        if not self.language.opens_block(self.left):
            return False
        # A colon inside brackets is a slice or a type, whatever the line began with.
        return not self.left.rstrip().endswith(":") or not open_brackets(self.left, self.language.quotes)


@dataclass(frozen=True, slots=True)
class Rule:
    """Where `applies` is true, a hole is of this kind. indent: a block's least indentation, from the line's own."""

    name: str
    applies: Callable[[Surroundings], bool]
    kind: HoleKind
    indent: int = 0


_WORD_AT_END, _WORD_AT_START = re.compile(r"\w$"), re.compile(r"\w")
_ASKS = re.compile(r"""[:=,(\[{]\s*$|\b(?:TODO|FIXME|NOTE|XXX)\W*$|^\s*\w?(?:\"{3}|'{3}|/\*\*|///)\s*$""")

# The first that applies decides.
INSIDE_A_NAME = "the cursor is inside a name"
INSIDE_A_COMMENT = "the cursor is inside a comment"

RULES: tuple[Rule, ...] = (
    Rule(INSIDE_A_NAME, lambda s: s.splits_name, HoleKind.NONE),
    Rule("a comment announces code", lambda s: s.inside == "comment" and s.announces_code, HoleKind.BLOCK),
    Rule("the comment asks to be continued", lambda s: s.writes_prose and s.asks, HoleKind.PROSE),
    Rule("the comment may go on", lambda s: s.writes_prose, HoleKind.PROSE),
    Rule(INSIDE_A_COMMENT, lambda s: s.inside == "comment", HoleKind.NONE),
    Rule("the string asks to be continued", lambda s: s.inside == "string" and s.asks, HoleKind.LINE),
    Rule("the cursor is inside a string", lambda s: s.inside == "string", HoleKind.NONE),
    Rule("a bracket is closed behind the cursor", lambda s: s.right.strip()[:1] in (*CLOSING,), HoleKind.EXPRESSION),
    Rule("text stands behind the cursor", lambda s: bool(s.right.strip()), HoleKind.LINE),
    Rule("the line is blank", lambda s: not s.left.strip(), HoleKind.BLOCK),
    Rule("the line opens a block", lambda s: s.opens_block, HoleKind.BLOCK, indent=1),
    Rule("the line goes on", lambda s: True, HoleKind.LINE),
)


def find_hole(document: DocumentSnapshot, cursor: int) -> Hole:
    """The hole at byte offset `cursor`, judged by the line's text alone. Costs no parse."""
    line = document.line_at(cursor)
    start, end = document.line_start(line), document.line_end(line)
    cursor = min(cursor, end)
    left, right = sides(document, cursor)
    language = find_language(document.language_id, document.path)
    hole = Hole(HoleKind.LINE, _anchor(document.source, start, cursor), cursor, end)
    return _decided(hole, Surroundings(left, right, language))


def refined(document: DocumentSnapshot, hole: Hole) -> Hole:
    """`hole` judged by the syntax tree too: it knows strings and comments, and the language of fenced code."""
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
        # A string that has no end yet is no string to the grammar.
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
    """What stands left and right of `cursor` in its line; of a long line (minified code), what is near."""
    line = document.line_at(cursor)
    start = max(document.line_start(line), cursor - TYPED_LIMIT_BYTES)
    end = min(document.line_end(line), cursor + TYPED_LIMIT_BYTES)
    source = document.source
    return source[start:cursor].decode("utf-8", "replace"), source[cursor:end].decode("utf-8", "replace")


def asked(hole: Hole) -> Hole:
    """`hole` for a user who has asked: something is wanted even where nothing is shown unasked."""
    if hole.kind is HoleKind.PROSE and hole.comment is not None:
        return replace(hole, comment=replace(hole.comment, asked=True))
    if hole.kind is HoleKind.NONE and hole.reason != INSIDE_A_NAME:
        return replace(hole, kind=HoleKind.LINE, reason="")
    return hole


def unasked(hole: Hole, *, comments: bool, docs: bool) -> Hole:
    """`hole` for a user who has not asked, and wants to be shown something in comments that document code (docs), in
    the others (comments), or in neither."""
    comment = hole.comment
    if hole.kind is not HoleKind.PROSE or comment is None or (docs if comment.is_doc else comments):
        return hole
    return replace(hole, kind=HoleKind.NONE, reason=INSIDE_A_COMMENT)


def _decided(hole: Hole, surroundings: Surroundings) -> Hole:
    rule = next(rule for rule in RULES if rule.applies(surroundings))
    indent = 0
    if rule.kind is HoleKind.PROSE and surroundings.comment is not None:
        hole = replace(hole, comment=replace(surroundings.comment, asks=surroundings.asks))
    if rule.kind is HoleKind.BLOCK:
        indent = indent_width(surroundings.left.encode()) + rule.indent
    return replace(hole, kind=rule.kind, indent=indent, reason=rule.name if rule.kind is HoleKind.NONE else "")


def _is_open(node: bytes, kind: str, language: Language) -> bool:
    """Whether text behind the last byte of a string or comment belongs to it still."""
    if kind in language.comments:
        return not node.endswith((b"*/", b"-->", b"]]"))
    quote = node[-1:]
    return len(node) < 2 or quote.decode("latin-1") not in "\"'`/"


def _anchor(source: bytes, line_start: int, cursor: int) -> int:
    """The line's start, or, far into a long line, a point that moves by half a limit at a time."""
    beyond = cursor - line_start - TYPED_LIMIT_BYTES
    if beyond <= 0:
        return line_start
    step = TYPED_LIMIT_BYTES // 2
    return min(cursor, next_character_start(source, line_start + -(-beyond // step) * step))
