"""Documents as immutable snapshots, and the store that turns the client's edits into new ones."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate

from lsp_server.core import text
from lsp_server.core.closed import ClosedDocuments
from lsp_server.core.large import LargeText
from lsp_server.core.notebook import Notebooks, text_around
from lsp_server.core.uris import normal_uri


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
        if self.line_end(line) - self.starts[line] > text.LONG_LINE_BYTES:
            return _index_of(self, line, encoding).offset(column)
        return self.starts[line] + text.byte_column(self.line(line), column, encoding)

    def position(self, offset: int, encoding: text.Encoding) -> tuple[int, int]:
        """The line and the column, both from 0, of a byte offset."""
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
        """What is looked at for a place in the document: all of it."""
        return Seen(self)

    def as_large(self) -> LargeDocument:
        named = self.uri, self.path, self.language_id, self.version
        return LargeDocument(*named, LargeText.of(self.source), self.edit_end, self.folder)


@dataclass(frozen=True, slots=True, eq=False)
class LargeDocument:
    """One version of a document that is too large to be looked at as a whole, or to be copied at each edit. Offsets are
    in bytes of UTF-8; the rest is as in a DocumentSnapshot."""

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
        """What is looked at for a place in the document: the lines around it."""
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
    """Kept, because what has been found out about a part is known by the part's identity."""
    return Seen(document.part(start, end), start)


@dataclass(frozen=True, slots=True)
class Seen:
    """What is looked at for a place in a client's document. base: where `document` begins in that; less than 0 if there
    is more in front of it."""

    document: DocumentSnapshot
    base: int = 0


Document = DocumentSnapshot | LargeDocument


@lru_cache(maxsize=2)
def _index_of(document: DocumentSnapshot, line: int, encoding: text.Encoding) -> text.LineIndex:
    """The last ones are kept: the positions that come and go with a key are in one line."""
    return text.LineIndex(document.source, document.line_start(line), document.line_end(line), encoding)


@dataclass(frozen=True, slots=True)
class Edit:
    """A change as the client sends it: a range in its own units, or None for the whole text."""

    range: tuple[tuple[int, int], tuple[int, int]] | None
    text: str


# Of a large document, how much is looked at on either side of a place.
NEAR_BYTES = 1 << 16

# So many edits in one change are made on the lines, not each on the whole text.
_MANY_EDITS = 16

# A document of more bytes is a large one, unless the user says otherwise.
LARGEST_BYTES = 5_000_000


class Snapshots(Mapping[str, Document]):
    """Documents by their URIs, under any spelling; as a set of names, each has the one it was opened with."""

    def __init__(self, documents: Mapping[str, Document]) -> None:
        self._documents = documents

    def __getitem__(self, uri: str) -> Document:
        return self._documents[normal_uri(uri)]

    def __iter__(self) -> Iterator[str]:
        return (document.uri for document in self._documents.values())

    def __len__(self) -> int:
        return len(self._documents)


class DocumentStore:
    """The open documents, the latest edited last, and the text of those that were closed last. Changes are
    applied at once and in order; readers hold snapshots. A document is one however its URI is spelt.

    largest_bytes: a document of more is held as a large one.
    """

    def __init__(self, encoding: text.Encoding = "utf-16", largest_bytes: int = LARGEST_BYTES) -> None:
        self.encoding = encoding
        self.largest_bytes = largest_bytes
        self.closed = ClosedDocuments()
        self.notebooks = Notebooks()
        self._documents: dict[str, Document] = {}

    def __len__(self) -> int:
        return len(self._documents)

    def find(self, uri: str) -> Document | None:
        """The open document of that name, however large it is."""
        return self._documents.get(normal_uri(uri))

    def get(self, uri: str) -> DocumentSnapshot | None:
        """The same, if it is not a large one."""
        document = self.find(uri)
        return document if isinstance(document, DocumentSnapshot) else None

    def seen(self, document: Document, offset: int) -> Seen:
        """What is looked at for a place in an open document: the document, or what of it is near if it is a large one;
        for a cell of a notebook, those beside it too."""
        names = self.notebooks.cells_beside(document.uri)
        if not names or not isinstance(document, DocumentSnapshot):
            return document.near(offset)
        key = normal_uri(document.uri)
        found = (document if name == key else self._documents.get(name) for name in names)
        cells = [each for each in found if isinstance(each, DocumentSnapshot)]
        around = text_around(document, offset, cells)
        return document.near(offset) if around is None else Seen(around[0], -around[1])

    def language_id(self, uri: str) -> str:
        """The language of a document that is open, or was closed lately; empty if that is not known."""
        document = self.find(uri)
        return document.language_id if document is not None else self.closed.language_id(uri)

    def snapshots(self) -> Snapshots:
        """All open documents as they are now; later changes do not show in it."""
        return Snapshots(dict(self._documents))

    def recent(self) -> list[DocumentSnapshot]:
        """The open documents but large ones, the latest opened or edited first, then the closed ones that are
        remembered."""
        documents = [document for document in self._documents.values() if isinstance(document, DocumentSnapshot)]
        return [*reversed(documents), *reversed(self.closed.all())]

    def open(self, document: Document) -> Document:
        """Opens a document, and returns it as it is held."""
        self.closed.opened(document.uri)
        self.notebooks.cell_opened(document.uri)
        return self._put(document)

    def close(self, uri: str) -> None:
        """Closes a document. One that lies in the workspace is remembered as it was, unless it is a large one."""
        document = self._documents.pop(normal_uri(uri), None)
        if document is None:
            return
        self.closed.add_language(uri, document.language_id)
        self.notebooks.cell_closed(uri)
        if isinstance(document, DocumentSnapshot):
            self.closed.add(document)

    def move(self, old: str, new: str, place: Callable[[str], tuple[str, str]]) -> None:
        """Follows a file or a folder that has another name now. `place` gives the path and the folder of a URI."""
        for document in self.closed.move(old, new, place):
            if self.find(document.uri) is None:
                self.closed.opened(document.uri)
                self.closed.add(document)

    def rename(self, place: Callable[[str], tuple[str, str]]) -> list[Document]:
        """Follows a change of the workspace's folders: `place` gives the path and the folder of a URI. Returns the
        open documents that have other names now. Closed ones that lie in no folder any more are forgotten."""
        self.closed.rename(place)
        renamed = []
        for key, document in list(self._documents.items()):
            path, folder = place(document.uri)
            if (path, folder) != (document.path, document.folder):
                self._documents[key] = replace(document, path=path, folder=folder)
                renamed.append(self._documents[key])
        return renamed

    def _put(self, document: Document) -> Document:
        """Holds a document in the form that its size asks for: one that shrinks stays large for a while."""
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

        Raises KeyError for a document that is not open: there is no text that the edits could apply to.
        """
        document, edits = self._documents[normal_uri(uri)], list(edits)
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
        return self._put(replace(document, version=version))


def _replaced(document: Document, whole: str) -> Document:
    """`document` with another whole text."""
    if isinstance(document, DocumentSnapshot):
        return document.edited(*_difference(document.source, text.encode(whole)))
    content = LargeText.of_text(whole)
    return replace(document, content=content, edit_end=min(document.edit_end, len(content)))


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
