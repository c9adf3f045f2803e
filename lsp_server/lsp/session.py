"""A client's session: connection, documents, settings, folders, tasks and messages. It does not know the services."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import anyio.abc
import anyio.lowlevel
from lsprotocol import types
from pygls.lsp.server import LanguageServer

from lsp_server import __version__
from lsp_server.core.document_store import DocumentStore
from lsp_server.lsp import convert
from lsp_server.lsp.clients import client_needs
from lsp_server.lsp.malformed import shared_converter
from lsp_server.lsp.protocol import FimbleProtocol
from lsp_server.lsp.transport import StdinReader, StdoutWriter, end_with
from lsp_server.settings.fields import Settings
from lsp_server.settings.last_run import SHOWN

logger = logging.getLogger(__name__)

_LAST_WRITE_SECONDS = 1.0


class Session(LanguageServer):
    """The part of the server that the services use. All of it belongs to the event loop.

    documents: the open ones, and a few closed ones.
    client: the client's needs.
    settings: those in force.
    roots: the workspace's folders.
    shown: the messages that are not shown again, because the user has seen them.
    """

    protocol: FimbleProtocol

    def __init__(self) -> None:
        super().__init__(
            "fimble",
            __version__,
            text_document_sync_kind=types.TextDocumentSyncKind.Incremental,
            notebook_document_sync=types.NotebookDocumentSyncOptions(
                [types.NotebookDocumentFilterWithNotebook(notebook="*")]
            ),
            protocol_cls=FimbleProtocol,
            converter_factory=shared_converter,
        )
        self.documents = DocumentStore()
        self.client = client_needs(types.InitializeParams(types.ClientCapabilities()))
        self.settings = Settings()
        self.roots: list[Path] = []
        self.shown: set[str] = set()
        self._tasks: anyio.abc.TaskGroup | None = None
        self._stopped: anyio.Event | None = None

    # The connection -------------------------------------------------------------------------------------

    async def talk(self, stdin: int, writer: StdoutWriter, end: Callable[[], Awaitable[None]]) -> None:
        """Handles the client's messages until `stop`. Then awaits `end`, for a second at most because the editor waits
        for the server to end, and cancels all tasks."""
        self._stopped = stopped = anyio.Event()
        async with anyio.create_task_group() as self._tasks:
            self.protocol.set_writer(writer)
            self._tasks.start_soon(self._read, stdin)
            await stopped.wait()
            with anyio.move_on_after(_LAST_WRITE_SECONDS):
                await end()
            self._tasks.cancel_scope.cancel()

    async def _read(self, stdin: int) -> None:
        messages = StdinReader(stdin)
        async for body in messages:
            self.protocol.arrived = messages.arrived
            self.protocol.receive(body)
            await anyio.lowlevel.checkpoint()  # one read may hold hundreds of messages
        self.stop()

    def stop(self) -> None:
        if self._stopped is not None:
            self._stopped.set()

    def start_task(self, function: Callable[..., Awaitable[None]], *args: object) -> None:
        """Runs a function as a task until the session ends. Its errors are logged."""

        async def guarded() -> None:
            try:
                await function(*args)
            except Exception:
                logger.exception("a background task failed")

        if self._tasks is not None:
            self._tasks.start_soon(guarded)

    # The client -----------------------------------------------------------------------------------------

    def client_initializes(self, params: types.InitializeParams) -> None:
        self.client = client_needs(params)
        self.documents.encoding = self.client.encoding
        uris = [folder.uri for folder in params.workspace_folders or []]
        if not uris and params.root_uri:
            uris = [params.root_uri]
        self.roots = convert.paths_of(uris)
        self.start_task(end_with, params.process_id, self.stop)

    def folders_changed(self, event: types.WorkspaceFoldersChangeEvent) -> None:
        """Updates the workspace's folders."""
        removed = convert.paths_of(folder.uri for folder in event.removed)
        added = convert.paths_of(folder.uri for folder in event.added)
        kept = [root for root in self.roots if root not in removed]
        self.roots = [*kept, *(root for root in added if root not in kept)]

    def show_once(self, kind: types.MessageType, message: str) -> None:
        """Logs a message, and shows it in the editor if it was not shown before."""
        logger.error("%s", message, extra=SHOWN)
        if message not in self.shown:
            self.shown.add(message)
            self.window_show_message(types.ShowMessageParams(kind, f"fimble: {message}"))

    def log(self, kind: types.MessageType, message: str) -> None:
        """Writes a message to the editor's log."""
        self.window_log_message(types.LogMessageParams(kind, f"fimble: {message}"))

    def report_server_error(self, error: Exception, source: type[Exception]) -> None:
        """Logs an error outside a request. The error of a request is sent as its answer."""
        logger.error("%s", error)
