"""Converts positions in UTF-8 text: the starts of lines, and columns in the three LSP position encodings.

All of fimble counts bytes of UTF-8. Positions in other units exist only at the border to a client, and this is the only
module that converts them.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Literal

Encoding = Literal["utf-8", "utf-16", "utf-32"]

# The line endings of the protocol only: `str.splitlines` would also split at form feeds and U+2028.
_LINE_END = re.compile(rb"\r\n|\n|\r")

# UTF-8 continuation bytes, and the first bytes of characters that take two units in UTF-16.
_CONTINUES, _BEGINS_PAIR = bytes(range(0x80, 0xC0)), bytes(range(0xF0, 0xF8))

# The block size of the index of a long line, and the length from which a line has one, in bytes.
_BLOCK_BYTES = 1 << 14
LONG_LINE_BYTES = 2 * _BLOCK_BYTES


def encode(text: str) -> bytes:
    """UTF-8 of `text`. A lone surrogate, which UTF-8 cannot hold, becomes `?` (one unit in every encoding)."""
    return text.encode("utf-8", "replace")


def lines_of(source: bytes) -> list[str]:
    """The lines of a part of a document as text, without line endings."""
    return [line.decode("utf-8", "replace") for line in source.splitlines()]


def line_starts(source: bytes) -> list[int]:
    """The byte offset of each line's first byte. There is always at least one line, at 0."""
    lines = source.splitlines(keepends=True)
    starts = [0, *accumulate(map(len, lines))]
    if lines and not lines[-1].endswith((b"\n", b"\r")):
        starts.pop()  # the text does not end with a line ending, so no empty line follows it
    return starts


def updated_line_starts(
    starts: Sequence[int], source: bytes, start: int, end: int, replacement_length: int
) -> list[int]:
    """The line starts of `source`, which was made from a text with `starts` by replacing `start:end`.

    Only the replacement is scanned, and one byte on either side, because an edit can join or separate a `\\r` and a
    `\\n`. So an edit in a line of 10 MB costs no more than any other.
    """
    left, right = bisect_left(starts, max(1, start)), bisect_right(starts, end)
    shift, last = replacement_length - (end - start), start + replacement_length
    found = (match.end() for match in _LINE_END.finditer(source, max(0, start - 1), last + 1))
    touched = [offset for offset in found if max(1, start) <= offset <= last]
    return [*starts[:left], *touched, *[offset + shift for offset in starts[right:]]]


def byte_column(line: bytes, column: int, encoding: Encoding) -> int:
    """The byte column of `column`, counted in units of `encoding`; a column beyond the line is the line's end.

    A column inside a character (half a surrogate pair, a UTF-8 continuation byte) means the character's start.
    """
    if column <= 0:
        return 0
    if line.isascii():
        return min(column, len(line))
    if encoding == "utf-8":
        return character_start(line, min(column, len(line)))
    if len(line) > LONG_LINE_BYTES:
        return LineIndex(line, 0, len(line), encoding).offset(column)
    text = line.decode("utf-8", "replace")
    if encoding == "utf-16":
        # Half a surrogate pair before the column is dropped.
        text = text.encode("utf-16-le")[: 2 * column].decode("utf-16-le", "ignore")
    return len(text[:column].encode())


def column_of(line: bytes, byte: int, encoding: Encoding) -> int:
    """The column, in units of `encoding`, of byte column `byte` of `line`. Inverse of `byte_column`."""
    head = line[:byte]
    if encoding == "utf-8" or head.isascii():
        return len(head)
    if len(head) > LONG_LINE_BYTES:
        return units(head, encoding)
    text = head.decode("utf-8", "replace")
    if encoding == "utf-32":
        return len(text)
    return len(text.encode("utf-16-le")) // 2


def units(text: bytes, encoding: Encoding) -> int:
    """How many units of `encoding` there are in UTF-8 text. Counted in C, without a copy in that encoding."""
    if encoding == "utf-8" or text.isascii():
        return len(text)
    characters = len(text.translate(None, _CONTINUES))
    if encoding == "utf-32":
        return characters
    return characters + len(text) - len(text.translate(None, _BEGINS_PAIR))


class LineIndex:
    """The starts of blocks of a long line, in bytes and in units of an encoding, so that only one block is searched."""

    def __init__(self, source: bytes, start: int, end: int, encoding: Encoding) -> None:
        self._source, self._start, self._end, self._encoding = source, start, end, encoding
        offsets = range(start, end, _BLOCK_BYTES)
        self._offsets = [start, *(next_character_start(source, offset) for offset in offsets[1:]), end]
        counts = [units(source[a:b], encoding) for a, b in pairwise(self._offsets)]
        self._columns = [0, *accumulate(counts)]

    def offset(self, column: int) -> int:
        """The offset in `source` of a column of the line, with the rules of `byte_column`."""
        block = max(0, bisect_right(self._columns, column) - 1)
        start = self._offsets[block]
        end = self._offsets[block + 1] if block + 1 < len(self._offsets) else self._end
        return start + byte_column(self._source[start:end], column - self._columns[block], self._encoding)

    def column(self, offset: int) -> int:
        """The column of an offset in `source`. Inverse of `offset`."""
        block = bisect_right(self._offsets, min(offset, self._end)) - 1
        head = self._source[self._offsets[block] : min(offset, self._end)]
        return self._columns[block] + column_of(head, len(head), self._encoding)


def character_start(source: bytes, offset: int) -> int:
    """`offset`, moved left to the first byte of the character it falls into."""
    while 0 < offset < len(source) and source[offset] & 0xC0 == 0x80:
        offset -= 1
    return offset


def next_character_start(source: bytes, offset: int) -> int:
    """`offset`, moved right to the first byte of a character, unless it is one already."""
    while offset < len(source) and source[offset] & 0xC0 == 0x80:
        offset += 1
    return offset


def shared_start(first: bytes, second: bytes, limit: int) -> int:
    """The length of the common prefix, at most `limit` bytes. Found by bisection, so that C code compares slices."""
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        if first[low:middle] == second[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def indent_width(line: bytes, tab: int = 4) -> int:
    """The width of the white space that `line` starts with, in columns, with tab stops every `tab`."""
    width = 0
    for byte in line:
        if byte == 0x20:
            width += 1
        elif byte == 0x09:
            width += tab - width % tab
        else:
            break
    return width
