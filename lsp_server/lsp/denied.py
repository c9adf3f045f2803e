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
        self.why = ""

    def follow(self, patterns: Sequence[str]) -> None:
        """Sets the patterns, and checks the folders and documents again."""
        if tuple(patterns) != self._patterns:
            self._patterns, self._folders = tuple(patterns), DeniedFolders(patterns)
            known = (document.uri for document in self._session.documents.recent())
            self._opened = bool(self._folders) and any(map(self._has, (*self._session.documents.snapshots(), *known)))
        self.look()

    def opening(self, uri: str) -> None:
        """To be called before a document is opened."""
        if self._folders and not self._opened and self._has(uri):
            self._opened = True
            self.look()

    def _has(self, uri: str) -> bool:
        """Whether a document lies in a denied folder. Works for cells of notebooks too: their URIs have the path."""
        try:
            path = unquote(urlsplit(uri).path)
        except ValueError:
            return True
        if not path.startswith("/"):
            return False  # it has no path, as a document that was never saved
        return self._folders.have(Path(path[1:] if path[2:3] == ":" else path))

    def look(self) -> None:
        """Checks the workspace's present folders."""
        why = ""
        if self._opened:
            why = "a document of a folder of `endpoints_denied` is open, or was"
        elif self._folders and any(map(self._folders.meet, self._session.roots)):
            why = "the workspace lies in a folder of `endpoints_denied`, or has one in it"
        if why != self.why:
            self.why = why
            self._changed()
