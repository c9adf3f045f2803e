"""Documents as immutable snapshots: an edit makes a new one."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, replace
from functools import lru_cache

from lsp_server.core import text
from lsp_server.core.large_text import LargeText


@dataclass(frozen=True, slots=True, eq=False)
class DocumentSnapshot:
    """One version of one document. Never changes; an edit makes a new one. Offsets are in bytes of UTF-8.

    path: the name that a model is shown, relative to the workspace folder if the file lies in one. folder: the name of
    that workspace folder; empty for a file outside. version: the client's number; None if the client has none.
    edit_end: the offset behind the last edit, where the cursor most likely is. starts: the offset of each line; a
    tuple, because the garbage collector walks over lists, which takes 20 ms for 200 buffers of 5,000 lines. Two
    snapshots are equal only if they are the same object; that is how an answer is found to be stale.
    """

    uri: str
    path: str
    language_id: str
    version: int | None
    source: bytes
    starts: tuple[int, ...]
    edit_end: int = 0
    folder: str = ""

    @classmethod
    def of(
        cls,
        uri: str,
        source: bytes,
        *,
        path: str = "",
        language_id: str = "",
        version: int | None = None,
        folder: str = "",
    ) -> DocumentSnapshot:
        return cls(uri, path, language_id, version, source, tuple(text.line_starts(source)), folder=folder)

    @property
    def line_count(self) -> int:
        return len(self.starts)

    @property
    def newline(self) -> bytes:
        """The line ending of the document, judged by its first line."""
        if self.line_count > 1:
            first = self.source[: self.starts[1]]
            for end in (b"\r\n", b"\n", b"\r"):
                if first.endswith(end):
                    return end
        return b"\n"

    def line_at(self, offset: int) -> int:
        """The number (from 0) of the line that holds `offset`."""
        return bisect_right(self.starts, offset) - 1

    def line_start(self, line: int) -> int:
        return self.starts[line]

    def line_end(self, line: int) -> int:
        """The offset behind the last byte of `line`, before its line ending."""
        if line + 1 >= self.line_count:
            return len(self.source)
        end = self.starts[line + 1] - 1
        if self.source[end : end + 1] == b"\n" and end > self.starts[line] and self.source[end - 1] == 0x0D:
            end -= 1
        return end

    def line(self, line: int) -> bytes:
        """The bytes of `line` without its line ending."""
        return self.source[self.starts[line] : self.line_end(line)]

    def offset(self, line: int, column: int, encoding: text.Encoding) -> int:
        """The byte offset of a position. A column beyond the line is the line's end; a line beyond the text, the text's
        end."""
        if line >= self.line_count:
            return len(self.source)
        if self.line_end(line) - self.starts[line] > text.LONG_LINE_BYTES:
            return _index_of(self, line, encoding).offset(column)
        return self.starts[line] + text.byte_column(self.line(line), column, encoding)

    def position(self, offset: int, encoding: text.Encoding) -> tuple[int, int]:
        """The line and the column of a byte offset, both counted from 0."""
        line = self.line_at(offset)
        if self.line_end(line) - self.starts[line] > text.LONG_LINE_BYTES:
            return line, _index_of(self, line, encoding).column(offset)
        return line, text.column_of(self.line(line), offset - self.starts[line], encoding)

    def edited(self, start: int, end: int, replacement: bytes) -> DocumentSnapshot:
        """The document with the bytes `start:end` replaced."""
        source = b"".join((self.source[:start], replacement, self.source[end:]))
        starts = text.updated_line_starts(self.starts, source, start, end, len(replacement))
        return replace(self, source=source, starts=tuple(starts), edit_end=start + len(replacement))

    def near(self, offset: int) -> Seen:
        """The part of the document that is used around `offset`: all of it."""
        return Seen(self)

    def as_large(self) -> LargeDocument:
        named = self.uri, self.path, self.language_id, self.version
        return LargeDocument(*named, LargeText.of(self.source), self.edit_end, self.folder)


@dataclass(frozen=True, slots=True, eq=False)
class LargeDocument:
    """One version of a document that is too large to be processed as a whole or copied at each edit. Offsets are in
    bytes of UTF-8; the fields are as in a DocumentSnapshot."""

    uri: str
    path: str
    language_id: str
    version: int | None
    content: LargeText
    edit_end: int = 0
    folder: str = ""

    @property
    def line_count(self) -> int:
        return self.content.line_count

    def offset(self, line: int, column: int, encoding: text.Encoding) -> int:
        return self.content.offset(line, column, encoding)

    def position(self, offset: int, encoding: text.Encoding) -> tuple[int, int]:
        return self.content.position(offset, encoding)

    def edited(self, start: int, end: int, replacement: bytes) -> LargeDocument:
        return replace(self, content=self.content.edited(start, end, replacement), edit_end=start + len(replacement))

    def near(self, offset: int) -> Seen:
        """The part of the document that is used around `offset`: the lines near it."""
        return _seen(self, *self.content.around(offset, NEAR_BYTES))

    def as_small(self) -> DocumentSnapshot:
        return self.part(0, len(self.content))

    def part(self, start: int, end: int) -> DocumentSnapshot:
        source = self.content.slice(start, end)
        edit_end = min(max(0, self.edit_end - start), end - start)
        named = self.uri, self.path, self.language_id, self.version
        return DocumentSnapshot(*named, source, tuple(text.line_starts(source)), edit_end, self.folder)


@lru_cache(maxsize=4)
def _seen(document: LargeDocument, start: int, end: int) -> Seen:
    """Cached, because results for a part are stored under the identity of its snapshot."""
    return Seen(document.part(start, end), start)


@dataclass(frozen=True, slots=True)
class Seen:
    """The part of a client's document that is used for a place in it. base: the offset in the client's document where
    `document` begins; negative if `document` has other text in front (cells of a notebook)."""

    document: DocumentSnapshot
    base: int = 0


Document = DocumentSnapshot | LargeDocument


@lru_cache(maxsize=2)
def _index_of(document: DocumentSnapshot, line: int, encoding: text.Encoding) -> text.LineIndex:
    """The last two are cached: the positions of the client's messages at one key lie in the same line."""
    return text.LineIndex(document.source, document.line_start(line), document.line_end(line), encoding)


@dataclass(frozen=True, slots=True)
class Edit:
    """A change as the client sends it. range: start and end as (line, column) in the client's encoding; None if `text`
    replaces the whole document."""

    range: tuple[tuple[int, int], tuple[int, int]] | None
    text: str


# How many bytes of a large document are used on either side of a place.
NEAR_BYTES = 1 << 16
