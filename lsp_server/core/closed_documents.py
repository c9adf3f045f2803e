"""Keeps the text of the last closed documents, because prompts for other documents may still show it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from lsp_server.core.uris import normal_uri

if TYPE_CHECKING:
    from lsp_server.core.document import DocumentSnapshot

# How many closed documents are kept, and how many bytes of text they have together at most.
MOST_CLOSED, MOST_CLOSED_BYTES = 8, 1 << 20
# For how many closed documents the language is remembered.
_MOST_LANGUAGES = 64
# How many URIs of deleted files are remembered: an editor may close a document after its file was deleted.
_MOST_GONE = 64

Place = Callable[[str], tuple[str, str]]


class ClosedDocuments:
    """Bounded in number and in size. Deleted files are forgotten; renamed files are found under their new names."""

    def __init__(self) -> None:
        self._documents: dict[str, DocumentSnapshot] = {}
        self._languages: dict[str, str] = {}
        self._gone: dict[str, None] = {}

    def all(self) -> list[DocumentSnapshot]:
        return list(self._documents.values())

    def language_id(self, uri: str) -> str:
        """The language of a recently closed document; empty if it is not known."""
        return self._languages.get(normal_uri(uri), "")

    def add(self, document: DocumentSnapshot) -> None:
        """Keeps a document if it lies in the workspace and its file is not known to be deleted."""
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
        """Records that a document is open again, so its file is not deleted."""
        self._documents.pop(normal_uri(uri), None)
        for gone in [each for each in self._gone if _is_within(normal_uri(uri), each)]:
            del self._gone[gone]

    def forget(self, uri: str) -> list[DocumentSnapshot]:
        """Forgets a deleted file, or all files in a deleted folder. A document of it that is still open is not kept
        when it is closed. Returns the documents that were kept."""
        gone = normal_uri(uri)
        self._gone.pop(gone, None)
        self._gone[gone] = None
        if len(self._gone) > _MOST_GONE:
            del self._gone[next(iter(self._gone))]
        return [self._documents.pop(key) for key in list(self._documents) if _is_within(key, gone)]

    def move(self, old: str, new: str, place: Place) -> list[DocumentSnapshot]:
        """Forgets the old name of a renamed file or folder. Returns the documents kept of it, under their new URIs.
        `place` gives the path and the folder of a URI."""
        moved = []
        for document in self.forget(old):
            uri = new + normal_uri(document.uri).removeprefix(normal_uri(old))
            path, folder = place(uri)
            moved.append(replace(document, uri=uri, path=path, folder=folder))
        return moved

    def rename(self, place: Place) -> None:
        """Follows a change of the workspace's folders. Documents that are no longer in any folder are forgotten."""
        for key, document in list(self._documents.items()):
            path, folder = place(document.uri)
            self._documents[key] = replace(document, path=path, folder=folder)
        self._documents = {key: document for key, document in self._documents.items() if document.folder}

    def _size(self) -> int:
        return sum(len(document.source) for document in self._documents.values())


def _is_within(key: str, folder: str) -> bool:
    """Whether `key`, a normal URI, is that of `folder` or of something in it."""
    return key == folder or key.startswith(folder.rstrip("/") + "/")
