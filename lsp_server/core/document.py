"""Documents as immutable snapshots, and the store that turns the client's edits into new ones."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate

from lsp_server.core import text
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


@lru_cache(maxsize=2)
def _index_of(document: DocumentSnapshot, line: int, encoding: text.Encoding) -> text.LineIndex:
    """The last ones are kept: the positions that come and go with a key are in one line."""
    return text.LineIndex(document.source, document.line_start(line), document.line_end(line), encoding)


@dataclass(frozen=True, slots=True)
class Edit:
    """A change as the client sends it: a range in its own units, or None for the whole text."""

    range: tuple[tuple[int, int], tuple[int, int]] | None
    text: str


# So many edits in one change are made on the lines, not each on the whole text.
_MANY_EDITS = 16

# How much is remembered of closed documents: so many, and so many bytes of them together.
MOST_CLOSED, MOST_CLOSED_BYTES = 8, 1 << 20
# Of how many closed documents the language is remembered.
_MOST_LANGUAGES = 64
# Of how many files that are gone the names are remembered: an editor may close a document after its file has gone.
_MOST_GONE = 64


class Snapshots(Mapping[str, DocumentSnapshot]):
    """Documents by their URIs, under any spelling; as a set of names, each has the one it was opened with."""

    def __init__(self, documents: Mapping[str, DocumentSnapshot]) -> None:
        self._documents = documents

    def __getitem__(self, uri: str) -> DocumentSnapshot:
        return self._documents[normal_uri(uri)]

    def __iter__(self) -> Iterator[str]:
        return (document.uri for document in self._documents.values())

    def __len__(self) -> int:
        return len(self._documents)


class DocumentStore:
    """The open documents, the latest edited last, and the text of those that were closed last. Changes are
    applied at once and in order; readers hold snapshots. A document is one however its URI is spelt."""

    def __init__(self, encoding: text.Encoding = "utf-16") -> None:
        self.encoding = encoding
        self._documents: dict[str, DocumentSnapshot] = {}
        self._closed: dict[str, DocumentSnapshot] = {}
        self._languages: dict[str, str] = {}
        self._gone: dict[str, None] = {}

    def __len__(self) -> int:
        return len(self._documents)

    def get(self, uri: str) -> DocumentSnapshot | None:
        return self._documents.get(normal_uri(uri))

    def language_id(self, uri: str) -> str:
        """The language of a document that is open, or was closed lately; empty if that is not known."""
        document = self.get(uri)
        return document.language_id if document is not None else self._languages.get(normal_uri(uri), "")

    def snapshots(self) -> Snapshots:
        """All open documents as they are now; later changes do not show in it."""
        return Snapshots(dict(self._documents))

    def recent(self) -> list[DocumentSnapshot]:
        """The open documents, the latest opened or edited first, then the closed ones that are remembered."""
        return [*reversed(self._documents.values()), *reversed(self._closed.values())]

    def open(self, document: DocumentSnapshot) -> None:
        self._closed.pop(normal_uri(document.uri), None)
        self._is_there(normal_uri(document.uri))
        self._put(document)

    def close(self, uri: str) -> None:
        """Closes a document. One that lies in the workspace is remembered as it was."""
        document = self._documents.pop(normal_uri(uri), None)
        if document is None:
            return
        self._languages.pop(normal_uri(uri), None)
        self._languages[normal_uri(uri)] = document.language_id
        if len(self._languages) > _MOST_LANGUAGES:
            del self._languages[next(iter(self._languages))]
        if not document.folder or any(_is_within(normal_uri(uri), gone) for gone in self._gone):
            return
        self._closed[normal_uri(uri)] = document
        while len(self._closed) > MOST_CLOSED or sum(len(d.source) for d in self._closed.values()) > MOST_CLOSED_BYTES:
            del self._closed[next(iter(self._closed))]

    def closed(self) -> list[str]:
        """The URIs of the closed documents that are remembered."""
        return [document.uri for document in self._closed.values()]

    def forget(self, uri: str) -> list[DocumentSnapshot]:
        """Forgets what is closed of a file, or of a folder, that is not there any more; what of it is still open is
        forgotten when it is closed. Returns what was closed."""
        gone = normal_uri(uri)
        self._gone.pop(gone, None)
        self._gone[gone] = None
        if len(self._gone) > _MOST_GONE:
            del self._gone[next(iter(self._gone))]
        return [self._closed.pop(key) for key in list(self._closed) if _is_within(key, gone)]

    def move(self, old: str, new: str, place: Callable[[str], tuple[str, str]]) -> None:
        """Follows a file or a folder that has another name now: what is closed of it is remembered under that, if it
        lies in the workspace still. `place` gives the path and the folder of a URI."""
        for document in self.forget(old):
            uri = new + normal_uri(document.uri).removeprefix(normal_uri(old))
            path, folder = place(uri)
            self._is_there(normal_uri(uri))
            if folder and self.get(uri) is None:
                self._closed[normal_uri(uri)] = replace(document, uri=uri, path=path, folder=folder)

    def _is_there(self, key: str) -> None:
        for gone in [each for each in self._gone if _is_within(key, each)]:
            del self._gone[gone]

    def rename(self, place: Callable[[str], tuple[str, str]]) -> list[DocumentSnapshot]:
        """Follows a change of the workspace's folders: `place` gives the path and the folder of a URI. Returns the
        open documents that have other names now. Closed ones that lie in no folder any more are forgotten."""
        renamed = []
        for documents in (self._documents, self._closed):
            for key, document in list(documents.items()):
                path, folder = place(document.uri)
                if (path, folder) != (document.path, document.folder):
                    documents[key] = replace(document, path=path, folder=folder)
                    renamed.append(documents[key])
        self._closed = {key: document for key, document in self._closed.items() if document.folder}
        return [document for document in renamed if self.get(document.uri) is document]

    def _put(self, document: DocumentSnapshot) -> None:
        self._documents.pop(normal_uri(document.uri), None)
        self._documents[normal_uri(document.uri)] = document

    def change(self, uri: str, version: int | None, edits: Iterable[Edit]) -> DocumentSnapshot:
        """Applies `edits` one after the other and returns the new snapshot.

        Raises KeyError for a document that is not open: there is no text that the edits could apply to.
        """
        document, edits = self._documents[normal_uri(uri)], list(edits)
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
        return document


def _is_within(key: str, folder: str) -> bool:
    """Whether a document's normal URI is that of `folder`, or of something in it."""
    return key == folder or key.startswith(folder.rstrip("/") + "/")


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
