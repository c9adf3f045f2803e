"""The documents that were closed last, as they were: their text still shows in prompts for others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from lsp_server.core.uris import normal_uri

if TYPE_CHECKING:
    from lsp_server.core.document import DocumentSnapshot

# How much is remembered of closed documents: so many, and so many bytes of them together.
MOST_CLOSED, MOST_CLOSED_BYTES = 8, 1 << 20
# Of how many closed documents the language is remembered.
_MOST_LANGUAGES = 64
# Of how many files that are gone the names are remembered: an editor may close a document after its file has gone.
_MOST_GONE = 64

Place = Callable[[str], tuple[str, str]]


class ClosedDocuments:
    """Bounded in number and in size. Files that are gone are forgotten, renamed ones are known by their new names."""

    def __init__(self) -> None:
        self._documents: dict[str, DocumentSnapshot] = {}
        self._languages: dict[str, str] = {}
        self._gone: dict[str, None] = {}

    def all(self) -> list[DocumentSnapshot]:
        return list(self._documents.values())

    def language_id(self, uri: str) -> str:
        """The language of a document that was closed lately; empty if that is not known."""
        return self._languages.get(normal_uri(uri), "")

    def add(self, document: DocumentSnapshot) -> None:
        """Remembers one, if it lies in the workspace and its file is not known to be gone."""
        key = normal_uri(document.uri)
        if not document.folder or any(_is_within(key, gone) for gone in self._gone):
            return
        self._documents[key] = document
        while len(self._documents) > MOST_CLOSED or self._size() > MOST_CLOSED_BYTES:
            del self._documents[next(iter(self._documents))]

    def add_language(self, uri: str, language_id: str) -> None:
        self._languages.pop(normal_uri(uri), None)
        self._languages[normal_uri(uri)] = language_id
        if len(self._languages) > _MOST_LANGUAGES:
            del self._languages[next(iter(self._languages))]

    def opened(self, uri: str) -> None:
        """A document is open again, so there is such a file."""
        self._documents.pop(normal_uri(uri), None)
        for gone in [each for each in self._gone if _is_within(normal_uri(uri), each)]:
            del self._gone[gone]

    def forget(self, uri: str) -> list[DocumentSnapshot]:
        """Forgets a file, or all in a folder, that is not there any more; what of it is still open is not remembered
        when it is closed. Returns what was remembered."""
        gone = normal_uri(uri)
        self._gone.pop(gone, None)
        self._gone[gone] = None
        if len(self._gone) > _MOST_GONE:
            del self._gone[next(iter(self._gone))]
        return [self._documents.pop(key) for key in list(self._documents) if _is_within(key, gone)]

    def move(self, old: str, new: str, place: Place) -> list[DocumentSnapshot]:
        """Forgets what a file or a folder was called before, and returns what was remembered of it, under its new
        name. `place` gives the path and the folder of a URI."""
        moved = []
        for document in self.forget(old):
            uri = new + normal_uri(document.uri).removeprefix(normal_uri(old))
            path, folder = place(uri)
            moved.append(replace(document, uri=uri, path=path, folder=folder))
        return moved

    def rename(self, place: Place) -> None:
        """Follows a change of the workspace's folders; what lies in none any more is forgotten."""
        for key, document in list(self._documents.items()):
            path, folder = place(document.uri)
            self._documents[key] = replace(document, path=path, folder=folder)
        self._documents = {key: document for key, document in self._documents.items() if document.folder}

    def _size(self) -> int:
        return sum(len(document.source) for document in self._documents.values())


def _is_within(key: str, folder: str) -> bool:
    """Whether a document's normal URI is that of `folder`, or of something in it."""
    return key == folder or key.startswith(folder.rstrip("/") + "/")
