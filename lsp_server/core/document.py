"""Documents as immutable snapshots, and the store that turns the client's edits into new ones."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import accumulate
from types import MappingProxyType
from typing import Protocol

from lsp_server.core import text


@dataclass(frozen=True, slots=True, eq=False)
class DocumentSnapshot:
    """One version of one document. Never changes; an edit makes a new one. Offsets are in bytes of UTF-8.

    `path` is the name a model is shown: relative to the workspace when the file lies in one. folder: the name of
    that workspace folder, empty for a file outside. `version` is
    the client's own number, None where the client has none. edit_end: the offset behind the last edit,
    where the cursor most likely is. Two snapshots are equal only if they are the
    same object, which is how an answer is found to be stale. starts: a tuple, because the garbage collector walks over
    lists, and 200 buffers of 5,000 lines would take it 20 ms.
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
        """The line end the document uses, judged by its first line."""
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
        """The offset behind the last byte of `line`, in front of its line end."""
        if line + 1 >= self.line_count:
            return len(self.source)
        end = self.starts[line + 1] - 1
        if self.source[end : end + 1] == b"\n" and end > self.starts[line] and self.source[end - 1] == 0x0D:
            end -= 1
        return end

    def line(self, line: int) -> bytes:
        """The bytes of `line` without its line end."""
        return self.source[self.starts[line] : self.line_end(line)]

    def offset(self, line: int, column: int, encoding: text.Encoding) -> int:
        """The byte offset of a position. Beyond a line's end means its end; beyond the text, the text's end."""
        if line >= self.line_count:
            return len(self.source)
        return self.starts[line] + text.byte_column(self.line(line), column, encoding)

    def position(self, offset: int, encoding: text.Encoding) -> tuple[int, int]:
        """The line and the column, both from 0, of a byte offset."""
        line = self.line_at(offset)
        return line, text.column_of(self.line(line), offset - self.starts[line], encoding)

    def edited(self, start: int, end: int, replacement: bytes) -> DocumentSnapshot:
        """The document with the bytes `start:end` replaced."""
        source = b"".join((self.source[:start], replacement, self.source[end:]))
        starts = text.updated_line_starts(self.starts, source, start, end, len(replacement))
        return replace(self, source=source, starts=tuple(starts), edit_end=start + len(replacement))


@dataclass(frozen=True, slots=True)
class Edit:
    """A change as the client sends it: a range in its own units, or None for the whole text."""

    range: tuple[tuple[int, int], tuple[int, int]] | None
    text: str


# So many edits in one change are made on the lines, not each on the whole text.
_MANY_EDITS = 16

# How much is remembered of closed documents: so many, and so many bytes of them together.
MOST_CLOSED, MOST_CLOSED_BYTES = 8, 1 << 20


class DocumentListener(Protocol):
    """Is told what happens to the documents of a store, in order."""

    def opened(self, document: DocumentSnapshot) -> None: ...

    def changed(self, old: DocumentSnapshot, new: DocumentSnapshot) -> None: ...

    def closed(self, uri: str) -> None: ...


class DocumentStore:
    """The open documents, the latest edited last, and the text of those that were closed last. Changes are
    applied at once and in order; readers hold snapshots."""

    def __init__(self, encoding: text.Encoding = "utf-16") -> None:
        self.encoding = encoding
        self._documents: dict[str, DocumentSnapshot] = {}
        self._closed: dict[str, DocumentSnapshot] = {}
        self.listener: DocumentListener | None = None

    def __len__(self) -> int:
        return len(self._documents)

    def get(self, uri: str) -> DocumentSnapshot | None:
        return self._documents.get(uri)

    def snapshots(self) -> Mapping[str, DocumentSnapshot]:
        """All open documents as they are now; later changes do not show in it."""
        return MappingProxyType(dict(self._documents))

    def recent(self) -> list[DocumentSnapshot]:
        """The open documents, the latest opened or edited first, then the closed ones that are remembered."""
        return [*reversed(self._documents.values()), *reversed(self._closed.values())]

    def open(self, document: DocumentSnapshot) -> None:
        self._closed.pop(document.uri, None)
        self._put(document)
        if self.listener is not None:
            self.listener.opened(document)

    def close(self, uri: str) -> None:
        """Closes a document. One that lies in the workspace is remembered as it was."""
        document = self._documents.pop(uri, None)
        if self.listener is not None:
            self.listener.closed(uri)
        if document is None or not document.folder:
            return
        self._closed[uri] = document
        while len(self._closed) > MOST_CLOSED or sum(len(d.source) for d in self._closed.values()) > MOST_CLOSED_BYTES:
            del self._closed[next(iter(self._closed))]

    def rename(self, place: Callable[[str], tuple[str, str]]) -> list[DocumentSnapshot]:
        """Follows a change of the workspace's folders: `place` gives the path and the folder of a URI. Returns the
        open documents that have other names now. Closed ones that lie in no folder any more are forgotten."""
        renamed = []
        for documents in (self._documents, self._closed):
            for uri, document in list(documents.items()):
                path, folder = place(uri)
                if (path, folder) != (document.path, document.folder):
                    documents[uri] = replace(document, path=path, folder=folder)
                    renamed.append(documents[uri])
        self._closed = {uri: document for uri, document in self._closed.items() if document.folder}
        return [document for document in renamed if document.uri in self._documents]

    def _put(self, document: DocumentSnapshot) -> None:
        self._documents.pop(document.uri, None)
        self._documents[document.uri] = document

    def change(self, uri: str, version: int | None, edits: Iterable[Edit]) -> DocumentSnapshot:
        """Applies `edits` one after the other and returns the new snapshot.

        Raises KeyError for a document that is not open: there is no text that the edits could apply to.
        """
        document, edits = self._documents[uri], list(edits)
        before = document
        if len(edits) >= _MANY_EDITS:
            document, edits = _edited_by_lines(document, edits, self.encoding)
        for edit in edits:
            inserted = text.encode(edit.text)
            if edit.range is None:
                document = document.edited(*_difference(document.source, inserted))
                continue
            (start_line, start_column), (end_line, end_column) = edit.range
            start = document.offset(start_line, start_column, self.encoding)
            end = document.offset(end_line, end_column, self.encoding)
            document = document.edited(min(start, end), max(start, end), inserted)
        document = replace(document, version=version)
        self._put(document)
        if self.listener is not None:
            self.listener.changed(before, document)
        return document


def _edited_by_lines(
    document: DocumentSnapshot, edits: list[Edit], encoding: text.Encoding
) -> tuple[DocumentSnapshot, list[Edit]]:
    """`document` after those of `edits` that come before one of the whole text, and the others. Each takes what its own
    lines have: a snapshot for each of 10,000, of a client that replaces a name everywhere, takes seconds."""
    lines = document.source.splitlines(keepends=True)
    if len(lines) < document.line_count:
        lines.append(b"")  # behind the last line end
    first, edit_end, count = 0, document.edit_end, 0
    for edit in edits:
        if edit.range is None:
            break
        count += 1
        (first, column), (last, last_column) = sorted(_place(lines, *at, encoding) for at in edit.range)
        head = lines[first][:column] + text.encode(edit.text)
        if first and lines[first - 1].endswith(b"\r"):  # with a `\n` behind it, it is one line end
            first -= 1
            head = lines[first] + head
        region = (head + lines[last][last_column:]).splitlines(keepends=True)
        if last + 1 == len(lines) and (not region or region[-1].endswith((b"\n", b"\r"))):
            region.append(b"")
        lines[first : last + 1] = region
        edit_end = len(head)
    edit_end += sum(map(len, lines[:first]))
    starts = tuple(accumulate(map(len, lines[:-1]), initial=0))
    return replace(document, source=b"".join(lines), starts=starts, edit_end=edit_end), edits[count:]


def _place(lines: list[bytes], line: int, column: int, encoding: text.Encoding) -> tuple[int, int]:
    """The line and the byte in it of a position. Beyond a line's end means its end; beyond the text, the text's end."""
    if line >= len(lines):
        return len(lines) - 1, len(lines[-1])
    content = lines[line]
    return line, text.byte_column(content.removesuffix(b"\n").removesuffix(b"\r"), column, encoding)


def _difference(before: bytes, after: bytes) -> tuple[int, int, bytes]:
    """The one edit, of whole characters, that makes `after` of `before`: its start, its end, and what is put there."""
    limit = min(len(before), len(after))
    start = text.shared_start(before, after, limit)
    start = text.character_start(before, start)
    behind = text.shared_start(before[::-1], after[::-1], limit - start)
    end = text.next_character_start(before, len(before) - behind)
    return start, end, after[start : len(after) - (len(before) - end)]
