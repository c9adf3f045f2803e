"""The hole: where in a document text is wanted, and how much of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.text import indent_width, next_character_start

# A line of which more than this is left of the cursor (minified code) is anchored inside itself.
TYPED_LIMIT_BYTES = 800


class HoleKind(str, Enum):
    LINE = "line"
    BLOCK = "block"


@dataclass(frozen=True, slots=True)
class Hole:
    """anchor: the offset at which the middle of the prompt begins; what lies between it and the cursor has
    been typed since. cursor: the offset at which text is inserted. line_end: the end of the cursor's line.
    indent: for a block, the least indentation, in columns, of a line that still belongs to it.
    """

    kind: HoleKind
    anchor: int
    cursor: int
    line_end: int
    indent: int = 0


def find_hole(document: DocumentSnapshot, cursor: int) -> Hole:
    """The hole at byte offset `cursor`, judged by the line's text alone.

    A block is wanted on a blank line and behind a line's end that opens one; otherwise the rest of the line.
    """
    line = document.line_at(cursor)
    start, end = document.line_start(line), document.line_end(line)
    cursor = min(cursor, end)
    left, right = document.source[start:cursor], document.source[cursor:end]
    anchor = _anchor(document.source, start, cursor)
    if right.strip():
        return Hole(HoleKind.LINE, anchor, cursor, end)
    if not left.strip():
        return Hole(HoleKind.BLOCK, anchor, cursor, end, indent_width(left))
    if left.rstrip().endswith((b":", b"{", b"(", b"[", b"=>", b"->")):
        return Hole(HoleKind.BLOCK, anchor, cursor, end, indent_width(left) + 1)
    return Hole(HoleKind.LINE, anchor, cursor, end)


def _anchor(source: bytes, line_start: int, cursor: int) -> int:
    """The line's start, or, far into a long line, a point that moves by half a limit at a time."""
    beyond = cursor - line_start - TYPED_LIMIT_BYTES
    if beyond <= 0:
        return line_start
    step = TYPED_LIMIT_BYTES // 2
    return min(cursor, next_character_start(source, line_start + -(-beyond // step) * step))
