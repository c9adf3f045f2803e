"""The store of open documents, which turns the client's edits into new snapshots."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import accumulate
from typing import Protocol

from lsp_server.core import text
from lsp_server.core.closed_documents import ClosedDocuments
from lsp_server.core.document import Document, DocumentSnapshot, Edit, LargeDocument, Seen
from lsp_server.core.large_text import LargeText
from lsp_server.core.notebook import Notebooks, text_around
from lsp_server.core.uris import normal_uri

# From this many edits in one change on, they are applied to a list of lines, not each to the whole text.
_MANY_EDITS = 16

# A document of more bytes counts as large, unless the user sets another limit.
LARGEST_BYTES = 5_000_000


class Snapshots(Mapping[str, Document]):
    """Documents by URI, in any spelling of it. Iteration gives each URI as the document was opened with."""

    def __init__(self, documents: Mapping[str, Document]) -> None:
        self._documents = documents

    def __getitem__(self, uri: str) -> Document:
        return self._documents[normal_uri(uri)]

    def __iter__(self) -> Iterator[str]:
        return (document.uri for document in self._documents.values())

    def __len__(self) -> int:
        return len(self._documents)


class DocumentListener(Protocol):
    """Receives the events of a store's documents, in order. Large documents have no events of opening and change."""

    def opened(self, document: DocumentSnapshot) -> None: ...

    def changed(self, old: DocumentSnapshot, new: DocumentSnapshot) -> None: ...

    def closed(self, uri: str) -> None: ...


class DocumentStore:
    """The open documents, the latest edited last, and the text of the documents that were closed last. Changes are
    applied at once and in order; readers hold snapshots. Different spellings of a URI mean the same document.

    largest_bytes: a document of more bytes is stored as a LargeDocument.
    """

    def __init__(self, encoding: text.Encoding = "utf-16", largest_bytes: int = LARGEST_BYTES) -> None:
        self.encoding = encoding
        self.largest_bytes = largest_bytes
        self.closed = ClosedDocuments()
        self.notebooks = Notebooks()
        self._documents: dict[str, Document] = {}
        self.listener: DocumentListener | None = None

    def __len__(self) -> int:
        return len(self._documents)

    def find(self, uri: str) -> Document | None:
        """The open document with that URI, whatever its size."""
        return self._documents.get(normal_uri(uri))

    def get(self, uri: str) -> DocumentSnapshot | None:
        """The open document with that URI; None if it is a large one."""
        document = self.find(uri)
        return document if isinstance(document, DocumentSnapshot) else None

    def seen(self, document: Document, offset: int) -> Seen:
        """The part of an open document that is used for a place in it: all of it, or the lines near the place in a
        large one. For a cell of a notebook it includes the cells beside it."""
        names = self.notebooks.cells_beside(document.uri)
        if not names or not isinstance(document, DocumentSnapshot):
            return document.near(offset)
        key = normal_uri(document.uri)
        found = (document if name == key else self._documents.get(name) for name in names)
        cells = [each for each in found if isinstance(each, DocumentSnapshot)]
        around = text_around(document, offset, cells)
        return document.near(offset) if around is None else Seen(around[0], -around[1])

    def language_id(self, uri: str) -> str:
        """The language of a document that is open or was closed recently; empty if it is not known."""
        document = self.find(uri)
        return document.language_id if document is not None else self.closed.language_id(uri)

    def snapshots(self) -> Snapshots:
        """All open documents as they are now; later changes do not affect the result."""
        return Snapshots(dict(self._documents))

    def recent(self) -> list[DocumentSnapshot]:
        """The open documents except large ones, the latest opened or edited first; then the closed documents that are
        kept."""
        documents = [document for document in self._documents.values() if isinstance(document, DocumentSnapshot)]
        return [*reversed(documents), *reversed(self.closed.all())]

    def open(self, document: Document) -> Document:
        """Adds an open document and returns it in the form in which it is stored."""
        self.closed.opened(document.uri)
        self.notebooks.cell_opened(document.uri)
        held = self._put(document)
        if self.listener is not None and isinstance(held, DocumentSnapshot):
            self.listener.opened(held)
        return held

    def close(self, uri: str) -> None:
        """Closes a document. Its text is kept if it lies in the workspace and is not large."""
        document = self._documents.pop(normal_uri(uri), None)
        if document is not None and self.listener is not None:
            self.listener.closed(document.uri)
        if document is None:
            return
        self.closed.add_language(uri, document.language_id)
        self.notebooks.cell_closed(uri)
        if isinstance(document, DocumentSnapshot):
            self.closed.add(document)

    def move(self, old: str, new: str, place: Callable[[str], tuple[str, str]]) -> None:
        """Follows the renaming of a file or folder. `place` gives the path and the folder of a URI."""
        for document in self.closed.move(old, new, place):
            if self.find(document.uri) is None:
                self.closed.opened(document.uri)
                self.closed.add(document)

    def rename(self, place: Callable[[str], tuple[str, str]]) -> list[Document]:
        """Follows a change of the workspace's folders: `place` gives the path and the folder of a URI. Returns the open
        documents whose path or folder has changed. Closed ones that are no longer in any folder are forgotten."""
        self.closed.rename(place)
        renamed = []
        for key, document in list(self._documents.items()):
            path, folder = place(document.uri)
            if (path, folder) != (document.path, document.folder):
                self._documents[key] = replace(document, path=path, folder=folder)
                renamed.append(self._documents[key])
        return renamed

    def _put(self, document: Document) -> Document:
        """Stores a document in the form for its size. A large one becomes small again only below half the limit."""
        size = len(document.source if isinstance(document, DocumentSnapshot) else document.content)
        if isinstance(document, DocumentSnapshot) and size > self.largest_bytes:
            document = document.as_large()
        elif isinstance(document, LargeDocument) and size < self.largest_bytes // 2:
            document = document.as_small()
        self._documents.pop(normal_uri(document.uri), None)
        self._documents[normal_uri(document.uri)] = document
        return document

    def change(self, uri: str, version: int | None, edits: Iterable[Edit]) -> Document:
        """Applies `edits` one after the other and returns the new document.

        Raises KeyError if the document is not open.
        """
        document, edits = self._documents[normal_uri(uri)], list(edits)
        before = document
        if len(edits) >= _MANY_EDITS and isinstance(document, DocumentSnapshot):
            document, edits = _edited_by_lines(document, edits, self.encoding)
        for edit in edits:
            if edit.range is None:
                document = _replaced(document, edit.text)
                continue
            inserted = text.encode(edit.text)
            (start_line, start_column), (end_line, end_column) = edit.range
            start = document.offset(start_line, start_column, self.encoding)
            end = document.offset(end_line, end_column, self.encoding)
            document = document.edited(min(start, end), max(start, end), inserted)
        document = self._put(replace(document, version=version))
        if (
            self.listener is not None
            and isinstance(document, DocumentSnapshot)
            and isinstance(before, DocumentSnapshot)
        ):
            self.listener.changed(before, document)
        return document


def _replaced(document: Document, whole: str) -> Document:
    """`document` with its whole text replaced."""
    if isinstance(document, DocumentSnapshot):
        return document.edited(*_difference(document.source, text.encode(whole)))
    content = LargeText.of_text(whole)
    return replace(document, content=content, edit_end=min(document.edit_end, len(content)))


def _edited_by_lines(
    document: DocumentSnapshot, edits: list[Edit], encoding: text.Encoding
) -> tuple[DocumentSnapshot, list[Edit]]:
    """Applies the edits up to the first one of the whole text; returns the new document and the remaining edits. Each
    edit costs only the lines that it touches. When a client replaces a name everywhere, with 10,000 edits, a snapshot
    for each edit would take seconds."""
    lines = document.source.splitlines(keepends=True)
    if len(lines) < document.line_count:
        lines.append(b"")  # the empty line after the last line ending
    first, edit_end, count = 0, document.edit_end, 0
    for edit in edits:
        if edit.range is None:
            break
        count += 1
        (first, column), (last, last_column) = sorted(_place(lines, *at, encoding) for at in edit.range)
        head = lines[first][:column] + text.encode(edit.text)
        if first and lines[first - 1].endswith(b"\r"):  # a `\n` behind it would make one line ending of the two
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
    """The line of a position and its byte offset in that line. A column beyond the line is the line's end; a line
    beyond the text, the text's end."""
    if line >= len(lines):
        return len(lines) - 1, len(lines[-1])
    content = lines[line]
    return line, text.byte_column(content.removesuffix(b"\n").removesuffix(b"\r"), column, encoding)


def _difference(before: bytes, after: bytes) -> tuple[int, int, bytes]:
    """The single edit, of whole characters, that turns `before` into `after`: its start, its end and its new text."""
    limit = min(len(before), len(after))
    start = text.shared_start(before, after, limit)
    start = text.character_start(before, start)
    behind = text.shared_start(before[::-1], after[::-1], limit - start)
    end = text.next_character_start(before, len(before) - behind)
    return start, end, after[start : len(after) - (len(before) - end)]
