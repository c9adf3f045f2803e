"""The language server: the life of a client's connection, and one handler for each request."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import anyio.lowlevel
import msgspec
from lsprotocol import types
from pygls.exceptions import JsonRpcInvalidParams
from pygls.lsp.server import LanguageServer

from lsp_server import __version__, config
from lsp_server.backends.base import BackendFactory, ModelSpec
from lsp_server.core import text
from lsp_server.core.document import DocumentSnapshot, DocumentStore
from lsp_server.engine.client import EngineClient, ModelState
from lsp_server.engine.request import Role
from lsp_server.features import first_suggestions
from lsp_server.features.inline import InlineCompleter
from lsp_server.features.outcome import Outcome, Trigger
from lsp_server.features.reading import BufferReader
from lsp_server.features.reasons import why_silent
from lsp_server.lsp import actions, convert
from lsp_server.lsp.actions import ActionService
from lsp_server.lsp.clients import client_needs, outcome_for
from lsp_server.lsp.configuration import Configuration
from lsp_server.lsp.progress import LoadProgress, progress_title
from lsp_server.lsp.protocol import Answer, FimbleProtocol, shared_converter, stamped_document
from lsp_server.lsp.status import STALE, RequestLog, status
from lsp_server.lsp.transport import StdinReader, StdoutWriter

logger = logging.getLogger(__name__)

_CONFIGURATION_SECONDS = 2.0
# A menu that waits for its slowest source must not wait for us; the client asks again at the next key.
_MENU_SECONDS = 0.5
# Without a key for this long, the user rests.
_REST_SECONDS = 0.5


class FimbleServer(LanguageServer):
    """One client's server. factory: what loads a model. overrides: settings that outrank all others."""

    protocol: FimbleProtocol

    def __init__(self, factory: BackendFactory, overrides: Mapping[str, Any] | None = None) -> None:
        super().__init__(
            "fimble",
            __version__,
            text_document_sync_kind=types.TextDocumentSyncKind.Incremental,
            protocol_cls=FimbleProtocol,
            converter_factory=shared_converter,
        )
        self.documents = DocumentStore()
        self.client = client_needs(types.InitializeParams(types.ClientCapabilities()))
        self.settings = config.Settings()
        self._configuration = Configuration(self, overrides, self._put_in_force, self._show)
        self.roots: list[Path] = []
        self._engine = EngineClient(factory, self._model_changed)
        options = lambda: self.settings.inline_options(replaces=self.client.replaces)  # noqa: E731
        self._completer = InlineCompleter(self._engine, options, buffers=self.documents.recent)
        self._reader = BufferReader(self._engine, options, self.documents.recent)
        self.actions = ActionService(self, self._engine)
        self._loaded: ModelSpec | None = None
        self._model_origin = ""
        self._progress: LoadProgress | None = None
        self._log = RequestLog()
        self._resting: asyncio.TimerHandle | None = None
        self._running: dict[tuple[str, str], anyio.CancelScope] = {}
        self._shown: set[str] = set()
        self._failure = ""
        self._tasks: anyio.abc.TaskGroup | None = None
        self._stopped: anyio.Event | None = None
        _register(self)
        actions.register(self)

    # The connection -------------------------------------------------------------------------------------

    async def serve(self, stdin: int, stdout: int) -> int:
        """Serves the client at the two file descriptors until it says exit or goes away.

        Returns the exit status: 0 after shutdown and exit, 1 if the client left without.
        """
        self._stopped = stopped = anyio.Event()
        self._engine.start()
        async with anyio.create_task_group() as self._tasks:
            writer = StdoutWriter(stdout, self.stop)
            self.protocol.set_writer(writer)
            self._tasks.start_soon(self._read, stdin)
            await stopped.wait()
            self.cancel_requests()
            self._tasks.cancel_scope.cancel()
        await self._engine.stop()
        self._completer.close()
        writer.close()
        return 1 if self.protocol.exit_code is None else self.protocol.exit_code

    async def _read(self, stdin: int) -> None:
        async for body in StdinReader(stdin):
            self.protocol.receive(body)
            await anyio.lowlevel.checkpoint()  # one read may hold hundreds of messages
        self.stop()

    def stop(self) -> None:
        if self._stopped is not None:
            self._stopped.set()

    def cancel_requests(self) -> None:
        """Answers everything that is running with nothing."""
        for scope in list(self._running.values()):
            scope.cancel()
        self.actions.cancel_all()

    def client_initializes(self, params: types.InitializeParams) -> None:
        self.client = client_needs(params)
        self.documents.encoding = self.client.encoding
        uris = [folder.uri for folder in params.workspace_folders or []]
        if not uris and params.root_uri:
            uris = [params.root_uri]
        self.roots = convert.paths_of(uris)
        options = params.initialization_options
        self._configuration.initialization_options = options if isinstance(options, dict) else {}
        if self.client.progress:
            self._progress = LoadProgress(self)

    def client_initialized(self) -> None:
        if self.client.watch_configuration:
            registration = types.Registration("fimble-configuration", types.WORKSPACE_DID_CHANGE_CONFIGURATION)
            self.client_register_capability(types.RegistrationParams([registration]))
        self.start_task(self._configure, None)

    def folders_changed(self, event: types.WorkspaceFoldersChangeEvent) -> None:
        """Follows the workspace's folders, whose files of settings count from now on, or no longer."""
        removed = convert.paths_of(folder.uri for folder in event.removed)
        added = convert.paths_of(folder.uri for folder in event.added)
        kept = [root for root in self.roots if root not in removed]
        self.roots = [*kept, *(root for root in added if root not in kept)]
        for document in self.documents.rename(self._place):
            self._cancel(document.uri)
            self.actions.document_changed(document)
        self.start_task(self._configure, None)

    def report_server_error(self, error: Exception, source: type[Exception]) -> None:
        """What goes wrong outside a request goes to stderr; a request's error is its answer."""
        logger.error("%s", error)

    def start_task(self, function: Callable[..., Awaitable[None]], *args: object) -> None:
        async def guarded() -> None:
            try:
                await function(*args)
            except Exception:
                logger.exception("a background task failed")

        if self._tasks is not None:
            self._tasks.start_soon(guarded)

    # Settings and the model -----------------------------------------------------------------------------

    async def _configure(self, pushed: Any) -> None:
        await self._configuration.collect(pushed, _CONFIGURATION_SECONDS)

    def _put_in_force(self, found: config.Loaded) -> None:
        self.settings = found.settings
        self._model_origin = found.origins.get("model", "") if self.settings.model else ""
        self._engine.keep(
            {"completion": 60.0 * self.settings.unload_minutes, "chat": 60.0 * self.settings.chat_unload_minutes}
        )
        spec = self.settings.model_spec()
        if spec != self._loaded or self._engine.model.kind == "failed":
            self._loaded = spec
            self._engine.load(spec)

    def _model_changed(self, role: Role, model: ModelState) -> None:
        self.actions.model_changed()
        if role != "completion":
            return
        if model.kind == "loading":
            if self._progress is not None:
                if model.progress == 0:
                    self._progress.begin(progress_title("loading the model", self.client))
                self._progress.report(model.progress, "measuring this machine" if model.phase == "measuring" else "")
            return
        message = model.info.name if model.info else model.message
        if self._progress is not None:
            self._progress.end(message)
        if model.kind == "failed":
            origin = f" (`model` comes from {self._model_origin})" if self._model_origin else ""
            self._failure = model.message + origin
            self._show(types.MessageType.Error, self._failure)
        elif model.info is not None:
            if not gc.get_freeze_count():  # a collection that walks over all modules takes the loop 50 ms
                gc.freeze()
            self._shown.discard(self._failure)  # should it fail so again, that is news
            text_ = f"fimble: {model.info.name} is ready" + (f" ({model.info.licence})" if model.info.licence else "")
            self.window_log_message(types.LogMessageParams(types.MessageType.Info, text_))
            if model.message:
                self._show(types.MessageType.Warning, model.message)
            for document in self.documents.recent()[:1]:  # it was opened before there was a model to warm
                self.start_task(self._read_and_warm, document)

    def _show(self, kind: types.MessageType, message: str) -> None:
        """Shows a message in the editor, once, and writes it to stderr."""
        logger.error("%s", message)
        if message not in self._shown:
            self._shown.add(message)
            self.window_show_message(types.ShowMessageParams(kind, f"fimble: {message}"))

    # Documents ------------------------------------------------------------------------------------------

    def document_opened(self, params: types.DidOpenTextDocumentParams) -> None:
        item = params.text_document
        self._cancel(item.uri)
        path, folder = self._place(item.uri)
        document = DocumentSnapshot.of(
            item.uri,
            text.encode(item.text),
            path=path,
            language_id=str(getattr(item.language_id, "value", item.language_id)),
            version=item.version,
            folder=folder,
        )
        self.documents.open(document)
        self._completer.document_changed(document)
        self.start_task(self._read_and_warm, document)

    async def _read_and_warm(self, document: DocumentSnapshot) -> None:
        """Warms the first prompt of a document, once what it may show of others has been read."""
        if await self._reader.read(document) and self.documents.get(document.uri) is document:
            await self._completer.warm(document, document.edit_end)

    def document_changed(self, params: types.DidChangeTextDocumentParams) -> None:
        uri, edits = params.text_document.uri, convert.edits_of(params.content_changes)
        self._cancel(uri)
        try:
            document = self.documents.change(uri, params.text_document.version, edits)
        except KeyError:
            logger.error("a change for %s, which is not open, is ignored", uri)
            return
        self.actions.document_changed(document)
        self._completer.document_changed(document)
        self.start_task(self._completer.warm, document, document.edit_end)
        self._rest_after(document)

    def document_closed(self, params: types.DidCloseTextDocumentParams) -> None:
        self._cancel(params.text_document.uri)
        self.documents.close(params.text_document.uri)
        self._completer.document_closed(params.text_document.uri)
        self.actions.document_closed(params.text_document.uri)

    def _place(self, uri: str) -> tuple[str, str]:
        """What a document is called in the workspace, and the name of its folder."""
        return convert.shown_path(uri, self.roots), convert.folder_name(uri, self.roots)

    def _rest_after(self, document: DocumentSnapshot) -> None:
        """Starts the time after which the user counts as resting; each change starts it anew."""
        if self._resting is not None:
            self._resting.cancel()
        loop = asyncio.get_running_loop()
        self._resting = loop.call_later(_REST_SECONDS, self.start_task, self._rest, document)

    async def _rest(self, document: DocumentSnapshot) -> None:
        if await self._reader.read(document) and self.documents.get(document.uri) is document:
            await self._completer.rest(document, document.edit_end)

    def _cancel(self, uri: str) -> None:
        """Ends the requests for a document whose text is about to be another: their answers are stale."""
        for (running, _), scope in list(self._running.items()):
            if running == uri:
                scope.cancel()

    # Requests -------------------------------------------------------------------------------------------

    async def inline_completion(self, params: types.InlineCompletionParams) -> Answer:
        document = stamped_document(params.text_document.uri)
        invoked = params.context.trigger_kind == types.InlineCompletionTriggerKind.Invoked
        trigger = Trigger.INVOKED if invoked else Trigger.AUTOMATIC
        outcome = await self._complete(document, params.position, trigger, types.TEXT_DOCUMENT_INLINE_COMPLETION)
        shown = (outcome.suggestion, *outcome.alternatives)
        encoding = self.documents.encoding
        items = [convert.inline_item(suggestion, document, encoding) for suggestion in shown if suggestion is not None]
        return Answer(document, types.InlineCompletionList(items), types.InlineCompletionList([]))

    async def completion(self, params: types.CompletionParams) -> Answer:
        document = stamped_document(params.text_document.uri)
        outcome = Outcome(reason=f"nothing within {_MENU_SECONDS:g} s, and menus do not wait longer: open it again")
        with anyio.move_on_after(_MENU_SECONDS):
            outcome = await self._complete(document, params.position, Trigger.AUTOMATIC, types.TEXT_DOCUMENT_COMPLETION)
        items = []
        if outcome.suggestion is not None:
            items.append(convert.completion_item(outcome.suggestion, document, self.documents.encoding))
        empty = types.CompletionList(is_incomplete=True, items=[])
        return Answer(document, types.CompletionList(is_incomplete=True, items=items), empty)

    async def status(self, params: Any = None) -> dict[str, Any]:
        """params: may name a place, as a TextDocumentPositionParams; the answer then says why nothing appears there."""
        await self._configuration.settled()
        found = status(
            self._engine,
            self._log,
            client={"name": self.client.name, "positionEncoding": self.client.encoding},
            settings=msgspec.to_builtins(self.settings),
            problems=self._configuration.problems,
            documents=len(self.documents),
            context={uri: self._completer.context(uri).pieces for uri in self.documents.snapshots()},
        )
        if (place := convert.place_of(params)) is not None:
            found["why"] = self._why_silent(place[0]) or self._log.why(*place)
        return found

    def _why_silent(self, uri: str) -> str:
        """Why nothing can be suggested in a document at present, or an empty string."""
        document, options = self.documents.get(uri), self.settings.inline_options()
        return why_silent(self._engine, document, options, explicit=False, wakes=False) if document else ""

    async def _remember_first(self, found: first_suggestions.FirstSuggestion) -> None:
        await anyio.to_thread.run_sync(first_suggestions.remember, found, abandon_on_cancel=True)

    async def _complete(
        self, document: DocumentSnapshot, position: types.Position, trigger: Trigger, method: str
    ) -> Outcome:
        """The answer to one request. A newer one of its kind for the same document, or a change of the
        document, ends it with nothing."""
        await self._configuration.settled()
        try:
            offset = convert.offset_of(document, position, self.documents.encoding)
        except convert.PositionError as error:
            raise JsonRpcInvalidParams(str(error)) from None
        key = document.uri, method
        if (previous := self._running.get(key)) is not None:
            previous.cancel()
        outcome = STALE
        with anyio.CancelScope() as scope:
            self._running[key] = scope
            try:
                if self.documents.get(document.uri) is document:
                    outcome = await self._completer.complete(document, offset, trigger)
            finally:
                if self._running.get(key) is scope:
                    del self._running[key]
        # A cancellation can come when the answer is already there and nothing is left to interrupt.
        if scope.cancel_called or self.documents.get(document.uri) is not document:
            outcome = STALE
        info = self._engine.model.info
        first = first_suggestions.measured(outcome, info) if info is not None and trigger is Trigger.AUTOMATIC else None
        if first is not None:
            self.start_task(self._remember_first, first)
        outcome = outcome_for(self.client, outcome, document)
        self._log.add(document.uri, document.version, position.line, method, outcome)
        return outcome


def _register(server: FimbleServer) -> None:
    """Tells pygls what there is. Handlers are closures because pygls marks the functions it registers."""

    @server.feature(types.INITIALIZED)
    def initialized(params: types.InitializedParams) -> None:
        server.client_initialized()

    @server.feature(types.WORKSPACE_DID_CHANGE_CONFIGURATION)
    def configuration_changed(params: types.DidChangeConfigurationParams) -> None:
        server.start_task(server._configure, params.settings)

    @server.feature(types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS)
    def folders_changed(params: types.DidChangeWorkspaceFoldersParams) -> None:
        server.folders_changed(params.event)

    @server.feature(types.TEXT_DOCUMENT_INLINE_COMPLETION, types.InlineCompletionOptions())
    async def inline_completion(params: types.InlineCompletionParams) -> Answer:
        return await server.inline_completion(params)

    @server.feature(types.TEXT_DOCUMENT_COMPLETION, types.CompletionOptions())
    async def completion(params: types.CompletionParams) -> Answer:
        return await server.completion(params)

    @server.feature("fimble/status")
    async def fimble_status(params: Any) -> dict[str, Any]:
        return await server.status(params)
