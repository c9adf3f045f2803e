"""Shows texts to the user: as a document that the client opens, as a hover on the code, or as a short message."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import re
import stat
import tempfile
from collections import deque
from pathlib import Path

from lsprotocol import types
from platformdirs import user_state_path
from pygls.lsp.server import LanguageServer

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.edits import TrackedRange
from lsp_server.features.actions.plain import plain_markdown
from lsp_server.lsp.clients import ClientNeeds

logger = logging.getLogger(__name__)

_ANSWER_SECONDS = 5.0
_MOST_FILES = 50
_MOST_HOVERS = 100
_MESSAGE_CHARACTERS = 700


class Explanations:
    """The explanations so far. A hover is shown as long as the code in its range is unchanged."""

    def __init__(self, server: LanguageServer) -> None:
        self._server = server
        self._hovers: deque[tuple[TrackedRange, str]] = deque(maxlen=_MOST_HOVERS)

    def document_changed(self, document: DocumentSnapshot) -> None:
        for tracked, _ in self._hovers:
            if tracked.document.uri == document.uri:
                tracked.follow(document)

    def document_closed(self, uri: str) -> None:
        self._hovers = deque((entry for entry in self._hovers if entry[0].document.uri != uri), maxlen=_MOST_HOVERS)

    def remember(self, tracked: TrackedRange, text: str) -> None:
        """Keeps a text for hovers in its range."""
        self._hovers.appendleft((tracked, plain_markdown(text)))

    def hover(self, document: DocumentSnapshot, offset: int, client: ClientNeeds) -> types.Hover | None:
        """The text of the smallest range around `offset` that has one."""
        found = [
            (tracked.end - tracked.start, tracked, text)
            for tracked, text in self._hovers
            if tracked.document is document and not tracked.lost and tracked.start <= offset <= tracked.end
        ]
        if not found:
            return None
        text = min(found, key=lambda entry: entry[0])[2]
        kind = types.MarkupKind.Markdown if client.markdown else types.MarkupKind.PlainText
        return types.Hover(types.MarkupContent(kind, text))

    async def show(self, title: str, text: str, client: ClientNeeds) -> None:
        """Opens `text` as a document. If the client cannot, shows the beginning of it as a message."""
        title, text = plain_markdown(" ".join(title.split())), plain_markdown(text)
        path = write_document(title, text)
        if path is not None and client.show_document:
            origin = types.Position(0, 0)
            # With a selection, because LSP4IJ never answers without one.
            params = types.ShowDocumentParams(
                path.as_uri(), external=False, take_focus=True, selection=types.Range(origin, origin)
            )
            asked = asyncio.ensure_future(self._server.window_show_document_async(params))
            await asyncio.wait({asked}, timeout=_ANSWER_SECONDS)
            if not asked.done():
                return  # it may be open all the same: LSP4IJ may not answer
            if asked.cancelled() or (asked.exception() is None and asked.result().success):
                return
            logger.warning("the client did not open %s", path)
        short = text if len(text) <= _MESSAGE_CHARACTERS else f"{text[:_MESSAGE_CHARACTERS]}… (all of it: {path})"
        self._server.window_show_message(types.ShowMessageParams(types.MessageType.Info, short))


def write_document(title: str, text: str) -> Path | None:
    """Writes a Markdown file into the user's state folder, and deletes the oldest ones there. None if it cannot be
    written. The file holds the user's code, so only the user may read it, whatever the umask is; the same for files
    that an older version has written."""
    state = user_state_path("fimble")
    folder = state / "explanations"
    name = re.sub(r"[^\w-]+", "-", title).strip("-").lower()[:60] or "text"
    digest = hashlib.blake2b(f"{title}\0{text}".encode(), digest_size=4).hexdigest()
    path = folder / f"{name}-{digest}.md"
    try:
        for each in (state, folder):
            each.mkdir(mode=0o700, parents=True, exist_ok=True)
            _make_private(each, 0o700)
        files = sorted(folder.glob("*.md"), key=lambda each: each.lstat().st_mtime, reverse=True)
        for old in files[_MOST_FILES - 1 :]:
            old.unlink(missing_ok=True)
        for kept in files[: _MOST_FILES - 1]:
            _make_private(kept, 0o600)
        _write_private(path, f"# {title}\n\n{text}\n")
    except OSError as error:
        logger.error("cannot write %s: %s", path, error.strerror)
        return None
    return path


def _make_private(path: Path, mode: int) -> None:
    """Removes the permissions of group and others from one of our files or folders. Ignores links."""
    found = path.lstat()
    if not stat.S_ISLNK(found.st_mode) and stat.S_IMODE(found.st_mode) != mode:
        path.chmod(mode)


def _write_private(path: Path, text: str) -> None:
    """Writes a file that only the user can read; replaces an existing one atomically."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        temporary.chmod(0o600)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
