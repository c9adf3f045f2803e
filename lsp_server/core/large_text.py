"""Stores texts of many megabytes in parts that the versions of a document share: an edit copies only one part."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import accumulate
from operator import attrgetter

from lsp_server.core import text
from lsp_server.core.text import Encoding

# The maximum size of a new part, in bytes. A part that edits have grown to more than twice that is split.
PART_BYTES = 1 << 15


class Part:
    """An immutable part of a text. It ends neither inside a character nor inside a `\\r\\n`."""

    __slots__ = ("_units", "line_ends", "size", "source")

    def __init__(self, source: bytes) -> None:
        self.source, self.size = source, len(source)
        self.line_ends = source.count(b"\n") + source.count(b"\r") - source.count(b"\r\n")
        self._units: dict[Encoding, int] = {}

    def units(self, encoding: Encoding) -> int:
        found = self._units.get(encoding)
        if found is None:
            found = self._units[encoding] = text.units(self.source, encoding)
        return found


class LargeText:
    """An immutable text; `edited` makes a new one. Offsets are in bytes."""

    def __init__(self, parts: Iterable[Part]) -> None:
        self.parts = tuple(parts) or (Part(b""),)

    @classmethod
    def of(cls, source: bytes) -> LargeText:
        return cls(_parts(source))

    @classmethod
    def of_text(cls, content: str) -> LargeText:
        """The LargeText of a string, made without encoding a copy of the whole."""
        return cls(part for start, end in _cuts_of(content) for part in _parts(text.encode(content[start:end])))

    @cached_property
    def _starts(self) -> list[int]:
        """The offsets of the parts, and the end of the last."""
        return [0, *accumulate(map(attrgetter("size"), self.parts))]

    @cached_property
    def _lines(self) -> list[int]:
        """The number of line endings before each part, and in all."""
        return [0, *accumulate(map(attrgetter("line_ends"), self.parts))]

    def __len__(self) -> int:
        return self._starts[-1]

    @property
    def line_count(self) -> int:
        return self._lines[-1] + 1

    def slice(self, start: int, end: int) -> bytes:
        first, last = self._part_at(start), self._part_at(max(start, end - 1))
        whole = b"".join(part.source for part in self.parts[first : last + 1])
        return whole[start - self._starts[first] : end - self._starts[first]]

    def offset(self, line: int, column: int, encoding: Encoding) -> int:
        """The offset of a position. A column beyond the line is the line's end; a line beyond the text, the text's
        end."""
        if line >= self.line_count:
            return len(self)
        number = bisect_left(self._lines, line) - 1 if line else 0
        source, start = self.parts[number].source, 0
        if line:
            start = text.line_starts(source)[line - self._lines[number]]
        while True:
            end = _line_end(source, start)
            is_whole = end < len(source) or number + 1 == len(self.parts)
            units = text.units(source[start:end], encoding)
            if is_whole or column <= units:
                return self._starts[number] + start + text.byte_column(source[start:end], column, encoding)
            column, number, start = column - units, number + 1, 0
            source = self.parts[number].source

    def position(self, offset: int, encoding: Encoding) -> tuple[int, int]:
        """The line and the column of an offset, both counted from 0."""
        number = self._part_at(min(offset, len(self)))
        part, within = self.parts[number], min(offset, len(self)) - self._starts[number]
        starts = text.line_starts(part.source)
        index = bisect_right(starts, within) - 1
        line = self._lines[number] + index
        head = part.source[starts[index] : within]
        column = text.units(head[: _line_end(head, 0)], encoding)
        while index == 0 and number:
            number -= 1
            part = self.parts[number]
            if part.line_ends:
                source = part.source
                return line, column + text.units(source[text.line_starts(source)[-1] :], encoding)
            column += part.units(encoding)
        return line, column

    def edited(self, start: int, end: int, replacement: bytes) -> LargeText:
        """The text with the bytes `start:end` replaced."""
        first, last = self._part_at(start), self._part_at(end)
        head = self.parts[first].source[: start - self._starts[first]]
        source = b"".join((head, replacement, self.parts[last].source[end - self._starts[last] :]))
        # A part that has become very small joins its neighbour, and so does one that begins or ends inside a `\r\n`.
        if first and (len(source) < PART_BYTES // 4 or source[:1] == b"\n"):
            first -= 1
            source = self.parts[first].source + source
        if last + 1 < len(self.parts) and (len(source) < PART_BYTES // 4 or source[-1:] == b"\r"):
            last += 1
            source += self.parts[last].source
        made = _parts(source) if len(source) > 2 * PART_BYTES else [Part(source)] if source else []
        return LargeText((*self.parts[:first], *made, *self.parts[last + 1 :]))

    def around(self, offset: int, reach: int) -> tuple[int, int]:
        """The range of bytes that is used around `offset`: whole lines, about `reach` bytes on either side. Its start
        stays the same while the offset moves by less than `reach`, so results cached for the range stay valid."""
        start = self._line_start_near(max(0, (offset - reach) // reach * reach))
        return start, self._line_start_near(offset + reach) if offset + reach < len(self) else len(self)

    def _line_start_near(self, offset: int) -> int:
        """The start of the first line at or after `offset`, at most a part's length away; else of a character."""
        if not offset:
            return 0
        near = self.slice(offset - 1, min(len(self), offset + PART_BYTES))
        end = _line_end(near, 0)
        start = end + (2 if near[end : end + 2] == b"\r\n" else 1)
        return offset - 1 + (start if start < len(near) else text.next_character_start(near, 1))

    def _part_at(self, offset: int) -> int:
        return min(bisect_right(self._starts, offset) - 1, len(self.parts) - 1)


def _line_end(source: bytes, start: int) -> int:
    """The offset where the line that contains `start` ends, before its line ending; else the end of `source`."""
    ends = [end for end in (source.find(b"\n", start), source.find(b"\r", start)) if end >= 0]
    return min(ends, default=len(source))


def _parts(source: bytes) -> Sequence[Part]:
    return [Part(source[start:end]) for start, end in _cuts(source)]


def _cuts(source: bytes) -> Iterator[tuple[int, int]]:
    start = 0
    while start < len(source):
        end = text.next_character_start(source, min(len(source), start + PART_BYTES))
        if source[end - 1 : end + 1] == b"\r\n":
            end += 1
        yield start, end
        start = end


def _cuts_of(content: str) -> Iterator[tuple[int, int]]:
    start = 0
    while start < len(content):
        end = min(len(content), start + PART_BYTES)
        if content[end - 1 : end + 1] == "\r\n":
            end += 1
        yield start, end
        start = end
