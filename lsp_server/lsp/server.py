"""The language server: the life of a client's connection, and one handler for each request."""

from __future__ import annotations

import gc
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import anyio.lowlevel
import anyio.to_thread
import msgspec
from lsprotocol import types
from pygls.lsp.server import LanguageServer

from lsp_server import __version__, config
from lsp_server.backends.base import ModelSpec
from lsp_server.core.document_store import DocumentStore
from lsp_server.engine.api import ModelState, Role, RoutedEngine
from lsp_server.features.budget import shows_index
from lsp_server.features.inline import InlineCompleter
from lsp_server.features.options import InlineOptions
from lsp_server.features.project.service import ProjectIndex
from lsp_server.features.reading import BufferReader
from lsp_server.lsp import actions, convert, snooze
from lsp_server.lsp.actions import ActionService
from lsp_server.lsp.clients import client_needs, watched_files
from lsp_server.lsp.completions import CompletionService
from lsp_server.lsp.configuration import Configuration
from lsp_server.lsp.counting import ACCEPTED, DID_ACCEPT_PART, DID_SHOW, Counting
from lsp_server.lsp.documents import DocumentService
from lsp_server.lsp.power import Power
from lsp_server.lsp.progress import Failures, LoadProgress, progress_title
from lsp_server.lsp.protocol import Answer, FimbleProtocol, shared_converter
from lsp_server.lsp.snooze import Snooze
from lsp_server.lsp.state import StateService
from lsp_server.lsp.status import status, why_text
from lsp_server.lsp.transport import StdinReader, StdoutWriter, end_with
from lsp_server.settings.last_run import SHOWN, LastRun

logger = logging.getLogger(__name__)

WHY = "fimble.why"
_CONFIGURATION_SECONDS = 2.0
_LAST_WRITE_SECONDS = 1.0


class FimbleServer(LanguageServer):
    """One client's server. engine: what has the models. overrides: settings that outrank all others."""

    protocol: FimbleProtocol

    def __init__(self, engine: RoutedEngine, overrides: Mapping[str, Any] | None = None) -> None:
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
        self.settings = config.Settings()
        self.configuration = Configuration(self, overrides, self._put_in_force, self._show)
        self.roots: list[Path] = []
        self._engine = engine
        engine.on_model = self._model_changed
        self.power = Power(self)
        options = self._options
        self._reader = BufferReader(self._engine, options, self.documents.recent)
        self.project = ProjectIndex(self.start_task, lambda: shows_index(self._engine.model.info, self._options()))
        recent = self.documents.recent
        self._completer = InlineCompleter(self._engine, options, buffers=recent, index=self.project.offer)
        self.counting = Counting(self, self._engine)
        self.actions = ActionService(self, self._engine)
        self._loaded: ModelSpec | None = None
        self._model_origin = ""
        self._progress: LoadProgress | None = None
        self.state = StateService(self, self._engine)
        self.snooze = Snooze(self._snoozed)
        self._engine.on_working = self.state.changed
        self.completions = CompletionService(self, self._completer, self._engine)
        self.document_service = DocumentService(self, self._completer, self._reader)
        self._shown: set[str] = set()
        self._watches = False
        self._failures = Failures(self._shown)
        self._tasks: anyio.abc.TaskGroup | None = None
        self._stopped: anyio.Event | None = None
        self._last_run = LastRun(self._known_paths)
        _register(self)
        actions.register(self)
        snooze.register(self)

    # The connection -------------------------------------------------------------------------------------

    async def serve(self, stdin: int, stdout: int) -> int:
        """Serves the client at the two file descriptors until it says exit or goes away.

        Returns the exit status: 0 after shutdown and exit, 1 if the client left without.
        """
        self._stopped = stopped = anyio.Event()
        logging.getLogger("lsp_server").addHandler(self._last_run)
        self._engine.start()
        async with anyio.create_task_group() as self._tasks:
            writer = StdoutWriter(stdout, self.stop)
            self.protocol.set_writer(writer)
            self._tasks.start_soon(self._read, stdin)
            await stopped.wait()
            self.cancel_requests()
            with anyio.move_on_after(_LAST_WRITE_SECONDS):  # the editor waits for the server's end
                await self.counting.close()
            self._tasks.cancel_scope.cancel()
        self.project.close()
        await self._engine.stop()
        self._completer.close()
        self.actions.next_edits.close()
        writer.close()
        logging.getLogger("lsp_server").removeHandler(self._last_run)
        self._last_run.write(self._counted(), ended=True)
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
        self.completions.cancel_all()
        self.actions.cancel_all()
        self.state.end()

    def client_initializes(self, params: types.InitializeParams) -> None:
        self.client = client_needs(params)
        self.documents.encoding = self.client.encoding
        uris = [folder.uri for folder in params.workspace_folders or []]
        if not uris and params.root_uri:
            uris = [params.root_uri]
        self.roots = convert.paths_of(uris)
        self.project.follow(self.roots)
        options = params.initialization_options
        self.configuration.initialization_options = options if isinstance(options, dict) else {}
        if self.client.progress:
            self._progress = LoadProgress(self)
        self.start_task(end_with, params.process_id, self.stop)

    def client_initialized(self) -> None:
        if self.client.watch_configuration:
            registration = types.Registration("fimble-configuration", types.WORKSPACE_DID_CHANGE_CONFIGURATION)
            self.client_register_capability(types.RegistrationParams([registration]))
        self.start_task(self._configure, None)
        self.state.begin()
        self.start_task(self._note_run)

    def folders_changed(self, event: types.WorkspaceFoldersChangeEvent) -> None:
        """Follows the workspace's folders, whose files of settings count from now on, or no longer."""
        removed = convert.paths_of(folder.uri for folder in event.removed)
        added = convert.paths_of(folder.uri for folder in event.added)
        kept = [root for root in self.roots if root not in removed]
        self.roots = [*kept, *(root for root in added if root not in kept)]
        self.project.follow(self.roots)
        self.document_service.follow_folders()
        self.start_task(self._configure, None)

    def report_server_error(self, error: Exception, source: type[Exception]) -> None:
        """What goes wrong outside a request goes to stderr; a request's error is its answer."""
        logger.error("%s", error)

    async def _note_run(self) -> None:
        """Writes what a report of a bug would have, should this process end without a word."""
        write = partial(self._last_run.write, self._counted())
        await anyio.to_thread.run_sync(write, abandon_on_cancel=True)

    def start_task(self, function: Callable[..., Awaitable[None]], *args: object) -> None:
        async def guarded() -> None:
            try:
                await function(*args)
            except Exception:
                logger.exception("a background task failed")

        if self._tasks is not None:
            self._tasks.start_soon(guarded)

    def _options(self) -> InlineOptions:
        return self.settings.inline_options(replaces=self.client.replaces, ahead=not self.power.is_saving)

    # Settings and the model -----------------------------------------------------------------------------

    async def _configure(self, pushed: Any) -> None:
        await self.configuration.collect(pushed, _CONFIGURATION_SECONDS)

    def _put_in_force(self, found: config.Loaded) -> None:
        self.settings = found.settings
        self._model_origin = found.origins.get("model", "") if self.settings.model else ""
        self.project.set_enabled(self.settings.project_index)
        if self.settings.project_index and self.client.watch_files and not self._watches:
            self._watches = True
            self.client_register_capability(watched_files())
        self.documents.largest_bytes = self.settings.large_document_mb * 1_000_000
        self.counting.switch(self.settings.stats, self.configuration.arm)
        self._engine.settle(self.settings.engine)
        self._engine.route(self.settings.endpoints_in_use(), self.settings.places())
        self._engine.keep(
            {"completion": 60.0 * self.settings.unload_minutes, "chat": 60.0 * self.settings.chat_unload_minutes},
            self.settings.saved_prompts_mb << 20,
        )
        self.state.changed()
        self.power.refresh()
        spec = self.settings.model_spec()
        if spec != self._loaded or self._engine.model.kind in ("none", "failed"):
            self._loaded = spec
            self._engine.load(spec)

    def why_off(self) -> str:
        """Why nothing is completed although there is a model, or an empty string."""
        return self.snooze.why() if self.settings.enabled else "completions are switched off (setting `enabled`)"

    def _snoozed(self) -> None:
        """What was off may be on again, or the other way round."""
        self.completions.cancel_all()
        self.state.changed()
        for document in self.documents.recent()[:1]:
            self.start_task(self.document_service.read_and_warm, document)

    def _model_changed(self, role: Role, model: ModelState) -> None:
        self.actions.model_changed()
        self.state.changed()
        if role != "completion":
            return
        if model.kind == "loading":
            if model.message and model.news:  # the engine was lost
                self.window_log_message(types.LogMessageParams(types.MessageType.Warning, f"fimble: {model.message}"))
            if self._progress is not None:
                if model.news or model.progress > 0:
                    self._progress.begin(progress_title("loading the model", self.client))
                self._progress.report(model.progress)
            return
        if self._progress is not None:
            self._progress.end(model.info.name if model.info else model.message)
        if model.kind == "failed":
            origin = f" (`model` comes from {self._model_origin})" if self._model_origin else ""
            if self._failures.is_news(model.message + origin, model):
                self._show(types.MessageType.Error, model.message + origin)
            self.start_task(self._note_run)
        elif model.info is not None:
            if not gc.get_freeze_count():  # a collection that walks over all modules takes the loop 50 ms
                gc.freeze()
            self._failures.worked()
            text_ = f"fimble: {model.info.name} is ready" + (f" ({model.info.licence})" if model.info.licence else "")
            self.window_log_message(types.LogMessageParams(types.MessageType.Info, text_))
            if model.message:
                self._show(types.MessageType.Warning, model.message)
            self.completions.model_ready()
            self.start_task(self._note_run)
            for document in self.documents.recent()[:1]:  # it was opened before there was a model to warm
                self.start_task(self.document_service.read_and_warm, document)

    def _show(self, kind: types.MessageType, message: str) -> None:
        """Shows a message in the editor, once, and writes it to stderr."""
        logger.error("%s", message, extra=SHOWN)
        if message not in self._shown:
            self._shown.add(message)
            self.window_show_message(types.ShowMessageParams(kind, f"fimble: {message}"))

    def _known_paths(self) -> list[str]:
        models = (self.settings.model, self.settings.chat_model, self.settings.draft_model, *self.settings.lora)
        return [*map(str, self.roots), *models]

    # Requests -------------------------------------------------------------------------------------------

    def _counted(self) -> dict[str, Any]:
        """What a report of a bug may know of this run."""
        info, requests = self._engine.model.info, self.completions.log.summary()
        return {
            "client": self.client.name[:100],
            "positionEncoding": self.client.encoding,
            "model": {"state": self._engine.model.kind, **({"name": info.name} if info else {})},
            "documents": len(self.documents),
            "requests": requests["counts"],
            "latencyMs": requests["latencyMs"],
            "evaluatedTokens": self._engine.evaluated_tokens,
            "decodedTokens": self._engine.decoded_tokens,
        }

    async def status(self, params: Any = None) -> dict[str, Any]:
        """params: may name a place, as a TextDocumentPositionParams; the answer then says why nothing appears there."""
        await self.configuration.settled()
        found = status(
            self._engine,
            self.completions.log,
            client={"name": self.client.name, "positionEncoding": self.client.encoding},
            settings={**msgspec.to_builtins(self.settings), "endpoints": dict.fromkeys(self.settings.endpoints)},
            places=self._places(),
            problems=self.configuration.problems,
            state=self.state.current().told(),
            power={"onBattery": self.power.on_battery, "isSaving": self.power.is_saving},
            documents=len(self.documents),
            index=self.project.status(),
            stats=self.counting.state,
            checks={**self._completer.checks.told(), **self._completer.dangers.told()},
            seen=self.counting.seen,
            nextEdits=self.actions.next_edits.editor.summary(),
            context={uri: self._completer.prompts.context(uri).pieces for uri in self.documents.snapshots()},
        )
        if (place := convert.asked_place(params)) is not None:
            found["why"] = self.completions.why(*place)
        return found

    def _places(self) -> dict[str, Any]:
        """What may answer, for each job, and which of it does."""
        jobs: dict[str, Role] = {"completion": "completion", "actions": "chat"}
        return {
            job: [
                {"name": name, "state": model.kind, "message": model.message, "used": used}
                for name, model, used in self._engine.places(role)
            ]
            for job, role in jobs.items()
        }

    async def show_why(self) -> None:
        """Shows what became of the last requests, in whatever way the client shows texts."""
        await self.actions.show("Why nothing appeared", why_text(self.completions.log.last_ten(self.counting.seen)))


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

    files = types.FileOperationRegistrationOptions(
        [types.FileOperationFilter(types.FileOperationPattern("**"), scheme="file")]
    )

    @server.feature(types.WORKSPACE_DID_CHANGE_WATCHED_FILES)
    def files_changed(params: types.DidChangeWatchedFilesParams) -> None:
        server.document_service.files_changed(params)

    @server.feature(types.WORKSPACE_DID_DELETE_FILES, files)
    def files_deleted(params: types.DeleteFilesParams) -> None:
        server.document_service.files_deleted(params)

    @server.feature(types.WORKSPACE_DID_RENAME_FILES, files)
    def files_renamed(params: types.RenameFilesParams) -> None:
        server.document_service.files_renamed(params)

    @server.feature(types.TEXT_DOCUMENT_INLINE_COMPLETION, types.InlineCompletionOptions())
    async def inline_completion(params: types.InlineCompletionParams) -> Answer:
        return await server.completions.inline(params)

    @server.feature(types.TEXT_DOCUMENT_COMPLETION, types.CompletionOptions())
    async def completion(params: types.CompletionParams) -> Answer:
        return await server.completions.menu(params)

    @server.feature(types.TEXT_DOCUMENT_DID_SAVE, types.SaveOptions(include_text=False))
    def saved(params: types.DidSaveTextDocumentParams) -> None:
        server.counting.saved(params)

    @server.feature(DID_SHOW)
    def shown(params: Any) -> None:
        server.counting.told_shown(params)

    @server.feature(DID_ACCEPT_PART)
    def accepted_part(params: Any) -> None:
        server.counting.told_accepted_part(params)

    @server.command(ACCEPTED)
    def accepted(*arguments: Any) -> None:
        server.counting.told_accepted(arguments)

    @server.command(WHY)
    def why(*_: Any) -> None:
        server.start_task(server.show_why)

    @server.feature("fimble/status")
    async def fimble_status(params: Any) -> dict[str, Any]:
        return await server.status(params)
