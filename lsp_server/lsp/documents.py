"""Handles opening, changing and closing of the client's documents, and informs the other services."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from lsprotocol import types

from lsp_server.core import text
from lsp_server.core.document import Document, DocumentSnapshot, Edit, LargeDocument
from lsp_server.core.large_text import LargeText
from lsp_server.features.untrusted_files import is_file
from lsp_server.lsp import convert

if TYPE_CHECKING:
    from lsp_server.features.index.service import ProjectIndex
    from lsp_server.features.inline import InlineCompleter
    from lsp_server.features.other_buffers import BufferReader
    from lsp_server.lsp.actions import ActionService
    from lsp_server.lsp.completions import CompletionService
    from lsp_server.lsp.counting import Counting
    from lsp_server.lsp.power import Power
    from lsp_server.lsp.session import Session
    from lsp_server.lsp.snooze import Snooze

logger = logging.getLogger(__name__)

# After this long without a change, the user counts as resting.
_REST_SECONDS = 0.5
# For how many documents that are not open a warning is logged.
_MOST_TOLD = 100
# How long the disk may take to tell whether closed documents still exist.
_LOOK_SECONDS = 2.0


class DocumentService:
    """Handles all notifications about documents in order, and informs the other services. opening: called before a
    document is opened or renamed, with its URI."""

    def __init__(
        self,
        session: Session,
        completer: InlineCompleter,
        reader: BufferReader,
        *,
        actions: ActionService,
        completions: CompletionService,
        counting: Counting,
        opening: Callable[[str], None],
        power: Power,
        project: ProjectIndex,
        snooze: Snooze,
    ) -> None:
        self._session = session
        self._opening = opening
        self._store = session.documents
        self._completer = completer
        self._reader = reader
        self._actions, self._completions, self._counting = actions, completions, counting
        self._power, self._project, self._snooze = power, project, snooze
        self._resting: asyncio.TimerHandle | None = None
        self._told: set[str] = set()

    def opened(self, params: types.DidOpenTextDocumentParams) -> None:
        item = params.text_document
        self._completions.cancel(item.uri)
        language_id = str(getattr(item.language_id, "value", item.language_id))
        document = self._open(item.uri, item.text, language_id, item.version)
        self._completer.document_changed(self._seen(document))
        self._session.start_task(self.read_and_warm, document)

    def changed(self, params: types.DidChangeTextDocumentParams) -> None:
        uri, version = params.text_document.uri, params.text_document.version
        edits = convert.edits_of(params.content_changes)
        self._completions.cancel(uri)
        old = self._store.find(uri)
        if old is None:
            edits = self._opened_by(uri, edits)
            if not edits:
                self.not_open(uri)
                return
        document = self._store.change(uri, version, edits)
        self._counting.changed(old, document, edits)
        self._tell_actions(document)
        seen = self._seen(document)
        self._completer.document_changed(seen)
        self._power.refresh()
        if not self._snooze.why(uri):
            self._session.start_task(self._completer.warm, seen, seen.edit_end)
            self._rest_after(document)

    def closed(self, params: types.DidCloseTextDocumentParams) -> None:
        document = self._store.find(params.text_document.uri)
        if document is None:
            return
        self._completions.cancel(document.uri)
        seen = self._seen(document)
        self._store.close(document.uri)
        self._completer.document_closed(seen.uri)
        self._snooze.closed(document.uri)
        self._counting.closed(document.uri)
        self._actions.document_closed(document.uri)
        self._project.changed([document.uri])

    # Notebooks: their cells are documents. Some clients report these one by one, others together.

    def notebook_opened(self, params: types.DidOpenNotebookDocumentParams) -> None:
        notebook = params.notebook_document
        self._store.notebooks.open(notebook.uri, [cell.document for cell in notebook.cells])
        for item in params.cell_text_documents:
            self.opened(types.DidOpenTextDocumentParams(item))

    def notebook_changed(self, params: types.DidChangeNotebookDocumentParams) -> None:
        cells = params.change.cells
        if cells is None:
            return
        if cells.structure is not None:
            array = cells.structure.array
            new = [cell.document for cell in array.cells or []]
            self._store.notebooks.splice(params.notebook_document.uri, array.start, array.delete_count, new)
            for item in cells.structure.did_open or []:
                self.opened(types.DidOpenTextDocumentParams(item))
            for closed in cells.structure.did_close or []:
                self.closed(types.DidCloseTextDocumentParams(closed))
        for change in cells.text_content or []:
            self.changed(types.DidChangeTextDocumentParams(change.document, change.changes))

    def notebook_closed(self, params: types.DidCloseNotebookDocumentParams) -> None:
        for cell in params.cell_text_documents:
            self.closed(types.DidCloseTextDocumentParams(cell))
        self._store.notebooks.close(params.notebook_document.uri)

    # The workspace's files ------------------------------------------------------------------------------

    def files_changed(self, params: types.DidChangeWatchedFilesParams) -> None:
        self._project.changed(event.uri for event in params.changes)
        for event in params.changes:
            if event.type is types.FileChangeType.Deleted:
                self._store.closed.forget(event.uri)

    def files_deleted(self, params: types.DeleteFilesParams) -> None:
        self._project.changed(file.uri for file in params.files)
        for file in params.files:
            self._store.closed.forget(file.uri)

    def files_renamed(self, params: types.RenameFilesParams) -> None:
        self._project.changed(uri for file in params.files for uri in (file.old_uri, file.new_uri))
        for file in params.files:
            self._opening(file.new_uri)
            self._store.move(file.old_uri, file.new_uri, self._place)

    def follow_folders(self) -> None:
        """Renames the documents after the workspace's folders have changed."""
        for document in self._store.rename(self._place):
            self._completions.cancel(document.uri)
            self._tell_actions(document)

    def not_open(self, uri: str) -> None:
        """Logs once that a client requests or changes a document that is not open. A client that shows a document in
        two views may close it with the first of them."""
        if uri not in self._told and len(self._told) < _MOST_TOLD:
            self._told.add(uri)
            logger.warning("%s is not open: nothing is suggested in it until it is opened again", uri)

    async def read_and_warm(self, document: Document) -> None:
        """Warms the first prompt of a document, after the other files that it may show have been read."""
        self._power.refresh()
        if self._power.is_saving or self._snooze.why(document.uri):
            return
        self._index(document, at_rest=False)
        seen = self._seen(document)
        if await self._reader.read(seen) and self._store.find(document.uri) is document:
            await self._completer.warm(seen, seen.edit_end)

    async def rest(self, document: Document) -> None:
        """The work for when the user has not typed for a while."""
        await self._forget_deleted()
        if self._power.is_saving:
            return
        self._index(document, at_rest=True)
        seen = self._seen(document)
        if await self._reader.read(seen) and self._store.find(document.uri) is document:
            await self._completer.rest(seen, seen.edit_end)

    def _index(self, document: Document, *, at_rest: bool) -> None:
        """Brings the index of the document's folder up to date."""
        self._project.seen(document.uri, self._store.snapshots(), at_rest=at_rest)

    def _seen(self, document: Document) -> DocumentSnapshot:
        """The text around the document's last edit that is examined."""
        return self._store.seen(document, document.edit_end).document

    def _tell_actions(self, document: Document) -> None:
        if isinstance(document, DocumentSnapshot):
            self._actions.document_changed(document)
        else:  # it is too large now; large documents have no actions
            self._actions.document_closed(document.uri)

    async def _forget_deleted(self) -> None:
        """Forgets closed documents whose files are gone, since not every client reports deleted files."""
        uris = [document.uri for document in self._store.closed.all()]
        paths = {uri: path for uri in uris if (path := convert.path_of(uri)) is not None}
        if not paths:
            return
        look = partial(_missing, paths)
        with anyio.move_on_after(_LOOK_SECONDS):  # a folder on a network may not answer
            for uri in await anyio.to_thread.run_sync(look, abandon_on_cancel=True):
                self._store.closed.forget(uri)

    def _open(self, uri: str, content: str, language_id: str, version: int | None) -> Document:
        self._opening(uri)
        path, folder = self._place(uri)
        document: Document
        if len(content) > self._store.largest_bytes:
            document = LargeDocument(uri, path, language_id, version, LargeText.of_text(content), folder=folder)
        else:
            document = DocumentSnapshot.of(
                uri, text.encode(content), path=path, language_id=language_id, version=version, folder=folder
            )
        self._told.discard(uri)
        return self._store.open(document)

    def _opened_by(self, uri: str, edits: list[Edit]) -> list[Edit]:
        """Opens a document that is not open by the first of `edits` that has its whole text. Returns the edits from
        that one on; empty if none has the whole text."""
        for number, edit in enumerate(edits):
            if edit.range is None:
                self._open(uri, "", self._store.language_id(uri), None)
                return edits[number:]
        return []

    def _place(self, uri: str) -> tuple[str, str]:
        """The name of a document in the workspace, and the name of its folder."""
        return convert.shown_path(uri, self._session.roots), convert.folder_name(uri, self._session.roots)

    def _rest_after(self, document: Document) -> None:
        """Starts the timer after which the user counts as resting; each change restarts it."""
        if self._resting is not None:
            self._resting.cancel()
        loop = asyncio.get_running_loop()
        self._resting = loop.call_later(_REST_SECONDS, self._session.start_task, self.rest, document)


def _missing(paths: Mapping[str, Path]) -> list[str]:
    return [uri for uri, path in paths.items() if not is_file(path)]


def register(session: Session, service: DocumentService) -> None:
    """Registers the handlers with pygls."""

    files = types.FileOperationRegistrationOptions(
        [types.FileOperationFilter(types.FileOperationPattern("**"), scheme="file")]
    )

    @session.feature(types.WORKSPACE_DID_CHANGE_WATCHED_FILES)
    def files_changed(params: types.DidChangeWatchedFilesParams) -> None:
        service.files_changed(params)

    @session.feature(types.WORKSPACE_DID_DELETE_FILES, files)
    def files_deleted(params: types.DeleteFilesParams) -> None:
        service.files_deleted(params)

    @session.feature(types.WORKSPACE_DID_RENAME_FILES, files)
    def files_renamed(params: types.RenameFilesParams) -> None:
        service.files_renamed(params)
