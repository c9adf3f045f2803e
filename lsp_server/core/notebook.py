"""Handles notebooks: each cell is a document, and the cells in one language are read as one text, in their order."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urldefrag

from lsp_server.core.languages import UNKNOWN, Language, find_language
from lsp_server.core.text import line_starts
from lsp_server.core.uris import normal_uri

if TYPE_CHECKING:
    from lsp_server.core.document import DocumentSnapshot

# How many bytes of the cells on either side are read.
_BESIDE_BYTES = 1 << 17
# The first line of a cell that names the language of the rest, and the languages. Other such lines are about Python.
_MAGIC = re.compile(rb"\A\s*%%(\w+)[ \t]*(?:-\S+[ \t]+)*([\w./-]*)[^\r\n]*")
_LANGUAGES = {
    **dict.fromkeys(("bash", "sh", "zsh", "ksh", "dash", "system", "sx"), "shellscript"),
    **{name: name for name in ("html", "javascript", "ruby", "perl", "sql", "latex", "markdown", "css", "rust", "go")},
    **{"js": "javascript", "R": "r", "bigquery": "sql", "svg": "xml", "typescript": "typescript", "ts": "typescript"},
}
_FILES = ("writefile", "file")
# The URIs of cells in clients that do not report notebooks: the notebook's URI with a fragment.
_CELL = re.compile(r"^(?:[\w.+-]*notebook[\w.+-]*:.*|.*\.ipynb)#", re.IGNORECASE)


@dataclass(slots=True)
class _Notebook:
    """cells: the normal URIs of its cells, in order. reported: whether the client reports the notebook and not only its
    cells."""

    cells: list[str] = field(default_factory=list)
    reported: bool = False


class Notebooks:
    """The cells of each notebook, in order."""

    def __init__(self) -> None:
        self._notebooks: dict[str, _Notebook] = {}
        self._of_cell: dict[str, str] = {}

    def open(self, uri: str, cells: Iterable[str]) -> None:
        self._notebooks[normal_uri(uri)] = _Notebook(reported=True)
        self.splice(uri, 0, 0, cells)

    def splice(self, uri: str, start: int, deleted: int, cells: Iterable[str]) -> None:
        """Replaces `deleted` cells from number `start` on."""
        notebook = self._notebooks.get(normal_uri(uri))
        if notebook is None:
            return
        new = [normal_uri(cell) for cell in cells]
        for cell in notebook.cells[start : start + deleted]:
            self._of_cell.pop(cell, None)
        notebook.cells[start : start + deleted] = new
        self._of_cell |= dict.fromkeys(new, normal_uri(uri))

    def close(self, uri: str) -> None:
        for cell in self._notebooks.pop(normal_uri(uri), _Notebook()).cells:
            self._of_cell.pop(cell, None)

    def cell_opened(self, uri: str) -> None:
        """Adds a cell, for clients that report cells only: they open the cells of a notebook in order."""
        cell = normal_uri(uri)
        if cell in self._of_cell or not _CELL.match(uri):
            return
        notebook = self._notebooks.setdefault(urldefrag(cell)[0], _Notebook())
        notebook.cells.append(cell)
        self._of_cell[cell] = urldefrag(cell)[0]

    def cell_closed(self, uri: str) -> None:
        cell = normal_uri(uri)
        notebook = self._notebooks.get(self._of_cell.get(cell, ""))
        if notebook is None or notebook.reported:
            return
        notebook.cells.remove(cell)
        name = self._of_cell.pop(cell)
        if not notebook.cells:
            del self._notebooks[name]

    def cells_beside(self, uri: str) -> Sequence[str]:
        """The normal URIs of all cells in the notebook of `uri`, in order; empty if `uri` is no cell."""
        notebook = self._notebooks.get(self._of_cell.get(normal_uri(uri), ""))
        return notebook.cells if notebook is not None else ()


def text_around(
    cell: DocumentSnapshot, offset: int, cells: Sequence[DocumentSnapshot]
) -> tuple[DocumentSnapshot, int] | None:
    """The cells of a notebook in the language of `cell` as one document, and the offset of `cell` in it. None while the
    cursor is in a first line that names the language of the rest."""
    magic = _magic(cell)
    if magic is not None and offset <= magic.end():
        return None
    same = [each for each in cells if _language_name(each) == _language_name(cell)]
    index = next(number for number, each in enumerate(same) if each is cell)
    before = list(_within(reversed(same[:index])))[::-1]
    return _joined((*before, cell, *_within(same[index + 1 :])), len(before))


def cell_language(cell: DocumentSnapshot) -> Language:
    """The language of a cell: the one that its first line names, else the one that the client reports."""
    magic = _magic(cell)
    if magic is None:
        return find_language(cell.language_id, cell.path)
    name, argument = magic[1].decode("utf-8", "replace"), magic[2].decode("utf-8", "replace")
    if name in _FILES:
        return find_language("", argument)
    if name == "script":
        name = argument.rpartition("/")[2]
    return find_language(_LANGUAGES.get(name, cell.language_id), cell.path)


def _language_name(cell: DocumentSnapshot) -> str:
    """A name for the cell's language that differs from all others, also for languages that fimble does not know."""
    language = cell_language(cell)
    if language is not UNKNOWN:
        return language.name
    magic = _magic(cell)
    return f"%%{magic[0].decode('utf-8', 'replace')}" if magic is not None else cell.language_id


def _magic(cell: DocumentSnapshot) -> re.Match[bytes] | None:
    """The match of a first line that names the language of the rest."""
    return _MAGIC.match(cell.source)


def _within(cells: Iterable[DocumentSnapshot]) -> Iterator[DocumentSnapshot]:
    room = _BESIDE_BYTES
    for cell in cells:
        room -= len(cell.source)
        if room < 0:
            return
        yield cell


@lru_cache(maxsize=4)
def _joined(cells: tuple[DocumentSnapshot, ...], index: int) -> tuple[DocumentSnapshot, int]:
    """Cached, because results for a document are stored under the identity of its snapshot."""
    cell = cells[index]
    texts = [_text(each) for each in cells]
    source, start = b"".join(texts), sum(map(len, texts[:index]))
    name, language = urldefrag(normal_uri(cell.uri))[0], cell_language(cell)
    if not _is_foreign(cell):
        uri, language_id = name, cell.language_id
    else:
        uri, language_id = f"{name}#{_language_name(cell)}", next(iter(language.ids), "plaintext")
    whole = replace(
        cell,
        uri=uri,
        language_id=language_id,
        source=source,
        starts=tuple(line_starts(source)),
        edit_end=start + cell.edit_end,
    )
    return whole, start


def _is_foreign(cell: DocumentSnapshot) -> bool:
    """Whether a cell's language differs from the one that the client reports, which is the notebook's."""
    return cell_language(cell) is not find_language(cell.language_id, cell.path)


def _text(cell: DocumentSnapshot) -> bytes:
    """A cell's text with a blank line after it. A first line that names another language is not text of that language,
    so it is replaced by blanks."""
    source, magic = cell.source, _magic(cell)
    if magic is not None and _is_foreign(cell):
        source = b" " * magic.end() + source[magic.end() :]
    newline = cell.newline
    return source + (newline if source and not source.endswith(newline) else b"") + newline
