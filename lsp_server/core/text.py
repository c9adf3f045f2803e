"""Lines and columns of UTF-8 text: where lines start, and columns in the three LSP position encodings.

Everything inside fimble counts bytes of UTF-8. A position in another unit exists only at the edge, and
this module is the one place that knows how to turn one into the other.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Literal

Encoding = Literal["utf-8", "utf-16", "utf-32"]

# The protocol's line ends, and no others: `str.splitlines` would also split at form feeds and U+2028.
_LINE_END = re.compile(rb"\r\n|\n|\r")


def encode(text: str) -> bytes:
    """UTF-8 of `text`. A lone surrogate, which UTF-8 cannot hold, becomes `?` (one unit in every encoding)."""
    return text.encode("utf-8", "replace")


def lines_of(source: bytes) -> list[str]:
    """The lines of a part of a document, without their ends, as text."""
    return [line.decode("utf-8", "replace") for line in source.splitlines()]


def line_starts(source: bytes) -> list[int]:
    """The byte offset of each line's first byte. There is always at least one line, at 0."""
    lines = source.splitlines(keepends=True)
    starts = [0, *accumulate(map(len, lines))]
    if lines and not lines[-1].endswith((b"\n", b"\r")):
        starts.pop()  # the text does not end with a line end, so no empty line follows it
    return starts


def updated_line_starts(
    starts: Sequence[int], source: bytes, start: int, end: int, replacement_length: int
) -> list[int]:
    """The line starts of `source`, which came from a text with `starts` by replacing `start:end`.

    Only the lines that the edit touched are scanned again. One line more on the left is scanned because
    an edit can join or part a `\\r` and a `\\n`.
    """
    low = max(0, bisect_right(starts, start) - 2)
    high = bisect_right(starts, end)  # index of the first line that starts behind the edit
    shift = replacement_length - (end - start)
    region_end = starts[high] + shift if high < len(starts) else len(source)
    touched = [match.end() for match in _LINE_END.finditer(source, starts[low], region_end)]
    if high < len(starts):
        touched.pop()  # the last line end found is the one in front of starts[high]
    return [*starts[: low + 1], *touched, *[offset + shift for offset in starts[high:]]]


def byte_column(line: bytes, column: int, encoding: Encoding) -> int:
    """The byte column of `column`, counted in units of `encoding`; beyond the line's end means its end.

    A column inside a character (half a surrogate pair, a UTF-8 continuation byte) means the character's
    start.
    """
    if column <= 0:
        return 0
    if line.isascii():
        return min(column, len(line))
    if encoding == "utf-8":
        column = min(column, len(line))
        while 0 < column < len(line) and line[column] & 0xC0 == 0x80:
            column -= 1
        return column
    text = line.decode("utf-8", "replace")
    if encoding == "utf-16":
        # Half a character at the end of the units in front of the column goes.
        text = text.encode("utf-16-le")[: 2 * column].decode("utf-16-le", "ignore")
    return len(text[:column].encode())


def column_of(line: bytes, byte: int, encoding: Encoding) -> int:
    """The column, in units of `encoding`, of byte column `byte` of `line`. Inverse of `byte_column`."""
    head = line[:byte]
    if encoding == "utf-8" or head.isascii():
        return len(head)
    text = head.decode("utf-8", "replace")
    if encoding == "utf-32":
        return len(text)
    return len(text.encode("utf-16-le")) // 2


def character_start(source: bytes, offset: int) -> int:
    """`offset`, moved left to the first byte of the character it falls into."""
    while 0 < offset < len(source) and source[offset] & 0xC0 == 0x80:
        offset -= 1
    return offset


def next_character_start(source: bytes, offset: int) -> int:
    """`offset`, moved right to the first byte of a character."""
    while offset < len(source) and source[offset] & 0xC0 == 0x80:
        offset += 1
    return offset


def shared_start(first: bytes, second: bytes, limit: int) -> int:
    """How many bytes, at most `limit`, the two begin with alike. By halving, so that slices are compared in C."""
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
