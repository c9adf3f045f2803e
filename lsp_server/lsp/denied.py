"""Whether this server may send text to endpoints on other machines, or a folder of `endpoints_denied` prevents it.

A prompt may show parts of other files. So one document of such a folder is enough to prevent it for the whole server.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from lsp_server.settings.denied import DeniedFolders

if TYPE_CHECKING:
    from lsp_server.lsp.session import Session


class DeniedPlaces:
    """Checks the workspace's folders, and each document before it is opened. If the user denies folders, paths are
    looked up on the event loop, so that nothing can be sent before the check. changed: called when `why` has changed.
    why: why endpoints on other machines are not asked; empty if they are."""

    def __init__(self, session: Session, changed: Callable[[], None]) -> None:
        self._session, self._changed = session, changed
        self._folders = DeniedFolders(())
        self._patterns: tuple[str, ...] = ()
        self._opened = False  # whether a document of such a folder is open, or was
        self._met: set[str] = set()  # the patterns whose folders had an open document; some may not be in force now
        self.why = ""

    def follow(self, patterns: Sequence[str]) -> None:
        """Sets the patterns, and checks the folders and documents again."""
        if tuple(patterns) != self._patterns:
            self._patterns, self._folders = tuple(patterns), DeniedFolders(patterns)
            self._look_at_documents()
        self.check_folders()

    def _look_at_documents(self) -> None:
        known = (document.uri for document in self._session.documents.recent())
        for uri in (*self._session.documents.snapshots(), *known) if self._folders else ():
            self._note(uri)
        self._opened = not self._met.isdisjoint(self._patterns)

    def opening(self, uri: str) -> None:
        """Must be called before a document is opened."""
        if self._folders:
            self._note(uri)
            self._opened = not self._met.isdisjoint(self._patterns)
            self.check_folders()

    def _note(self, uri: str) -> None:
        """Adds the patterns of the folders that a document lies in to `_met`."""
        if _is_in(self._folders, uri):
            self._met.update(pattern for pattern in self._patterns if _is_in(DeniedFolders([pattern]), uri))

    def may_read(self, folder: Path) -> bool:
        """Whether an action may show parts of the files in a folder: a document outside the workspace's folders may
        belong to a project with a denied folder. May be called on any thread; reads the disk."""
        return bool(self.why) or not self._folders.overlap(folder)

    def check_folders(self) -> None:
        """Checks the workspace's present folders."""
        why = ""
        if self._opened:
            why = "a document of a folder of `endpoints_denied` is open, or was"
        elif self._folders and any(map(self._folders.overlap, self._session.roots)):
            why = "the workspace lies in a folder of `endpoints_denied`, or has one in it"
        if why != self.why:
            self.why = why
            self._changed()


def _is_in(folders: DeniedFolders, uri: str) -> bool:
    """Whether a document lies in one of the folders. Works for cells of notebooks too: their URIs have the path."""
    try:
        given = unquote(urlsplit(uri).path)
    except ValueError:
        return True
    if "/" not in given:
        return False  # it has no path, as a document that was never saved
    path = given[given.index("/") :]  # `jar:file:///…` has a scheme in front of it
    path = path[1:] if path[2:3] == ":" else f"/{path.lstrip('/')}"
    return folders.contain(Path(path))
