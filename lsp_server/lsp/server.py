"""The language server: creates the services of one client and connects them."""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio.to_thread
import msgspec
from lsprotocol import types

from lsp_server.backends.base import ModelSpec
from lsp_server.engine.api import JOBS, ModelState, Role, RoutedEngine
from lsp_server.features.budget import shows_index
from lsp_server.features.index.service import ProjectIndex
from lsp_server.features.inline import InlineCompleter
from lsp_server.features.options import InlineOptions
from lsp_server.features.other_buffers import BufferReader
from lsp_server.lsp import actions, completions, convert, counting, documents, snooze
from lsp_server.lsp.actions import ActionService
from lsp_server.lsp.clients import watched_files
from lsp_server.lsp.completions import CompletionService
from lsp_server.lsp.configuration import Configuration
from lsp_server.lsp.counting import Counting
from lsp_server.lsp.documents import DocumentService
from lsp_server.lsp.model_news import ModelNews
from lsp_server.lsp.power import Power
from lsp_server.lsp.routes import Routes
from lsp_server.lsp.session import Session
from lsp_server.lsp.snooze import Snooze
from lsp_server.lsp.state import StateService
from lsp_server.lsp.status_request import status
from lsp_server.lsp.transport import StdoutWriter
from lsp_server.lsp.weekly import Weekly
from lsp_server.settings import sources
from lsp_server.settings.last_run import LastRun
from lsp_server.status.listener import StatusListener
from lsp_server.status.request_log import fimble_status, why_text

if TYPE_CHECKING:
    from lsp_server.features.python_modules import PythonModules

logger = logging.getLogger(__name__)

WHY = "fimble.why"
_CONFIGURATION_SECONDS = 2.0


class FimbleServer(Session):
    """Creates the services of one client, and passes each event to the services that need it.

    engine: owns the models. overrides: settings that outrank all others.
    """

    actions: ActionService
    completions: CompletionService
    _routes: Routes

    def __init__(self, engine: RoutedEngine, overrides: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.protocol.served = self
        self._engine = engine
        self._began = time.monotonic()
        self._loaded: ModelSpec | None = None
        self._watches = False
        self._news = ModelNews(self)
        self._last_run = LastRun(self._known_paths)
        self.configuration = Configuration(self, overrides, self._put_in_force)
        self.power = Power(self)
        self.snooze = Snooze(self._snoozed)
        recent, options = self.documents.recent, self._options
        self._reader = BufferReader(engine, options, recent)
        self.project = ProjectIndex(self.start_task, lambda: shows_index(engine.model.info, options()))
        offer, modules = self.project.offer, self._python_modules
        self._completer = InlineCompleter(engine, options, buffers=recent, index=offer, modules=modules)
        self.counting, self.weekly = Counting(self, engine, self._another_day), Weekly(self)
        self.state = StateService(
            self,
            engine,
            acting=lambda: self.actions.running,
            waiting=lambda: self.completions.waiting,
            why_off=self.why_off,
            question=lambda: self._routes.consent.question,
            source=lambda: self.completions.log.from_endpoint,
        )
        self.status_listener = StatusListener(self.start_task, self._fimble_status)
        self._routes = Routes(self, engine, self._routed, self.state.changed)
        self.actions = ActionService(self, engine, self.counting, self.snooze, self.state.changed)
        self.actions.next_edits.editor.saves_power = lambda: self.power.is_saving
        self.completions = CompletionService(
            self,
            self._completer,
            engine,
            configuration=self.configuration,
            counting=self.counting,
            next_edits=self.actions.next_edits,
            snooze=self.snooze,
            state=self.state,
        )
        self.actions.answered = self.completions.log.acted
        self.document_service = DocumentService(
            self,
            self._completer,
            self._reader,
            actions=self.actions,
            completions=self.completions,
            counting=self.counting,
            opening=self._routes.opening,
            power=self.power,
            project=self.project,
            snooze=self.snooze,
        )
        engine.on_model = self._model_changed
        engine.on_working = self.state.changed
        engine.on_place = self._place_changed
        self.actions.may_read = self._routes.denied.may_read
        self.actions.consent = self._routes.consent
        _register(self)
        documents.register(self, self.document_service)
        completions.register(self, self.completions)
        counting.register(self, self.counting)
        actions.register(self, self.actions)
        snooze.register(self, self.snooze)

    # The connection -------------------------------------------------------------------------------------

    async def serve(self, stdin: int, stdout: int) -> int:
        """Serves the client at the two file descriptors until it sends `exit`, closes stdin or ends.

        Returns the exit status: 0 after `shutdown` and `exit`, 1 if the client left without them.
        """
        logging.getLogger("lsp_server").addHandler(self._last_run)
        self._engine.start()
        writer = StdoutWriter(stdout, self.stop)
        await self.talk(stdin, writer, self._end)
        self.project.close()
        await self._engine.stop()
        self._completer.close()
        self.actions.next_edits.close()
        writer.close()
        logging.getLogger("lsp_server").removeHandler(self._last_run)
        self._last_run.write(self._run_data(), ended=True)
        return 1 if self.protocol.exit_code is None else self.protocol.exit_code

    async def _end(self) -> None:
        self.cancel_requests()
        await self.status_listener.close()
        await self.counting.close()

    def cancel_requests(self) -> None:
        """Cancels all running requests; each gets an empty answer."""
        self.completions.cancel_all()
        self.actions.cancel_all()
        self.state.end()

    def cancel_action(self, token: str | int) -> None:
        self.actions.cancel(token)

    def refused(self, method: str, reason: str) -> None:
        """Logs a completion request that could not be handled."""
        self.completions.log.refused(method, reason)

    def client_initializes(self, params: types.InitializeParams) -> None:
        super().client_initializes(params)
        self.project.follow(self.roots)
        options = params.initialization_options
        self.configuration.initialization_options = options if isinstance(options, dict) else {}
        self._news.begin()

    def client_initialized(self) -> None:
        if self.client.watch_configuration:
            registration = types.Registration("fimble-configuration", types.WORKSPACE_DID_CHANGE_CONFIGURATION)
            self.client_register_capability(types.RegistrationParams([registration]))
        self.start_task(self._configure, None)
        self.state.begin()
        self.start_task(self._note_run)
        self.start_task(self._completer.preload)

    def folders_changed(self, event: types.WorkspaceFoldersChangeEvent) -> None:
        """Updates the workspace's folders, whose settings files count from now on, or no longer."""
        super().folders_changed(event)
        self._routes.folders_changed()
        self.project.follow(self.roots)
        self.document_service.follow_folders()
        self.start_task(self._configure, None)

    async def _note_run(self) -> None:
        """Writes the data of a bug report, in case this process dies."""
        write = partial(self._last_run.write, self._run_data())
        await anyio.to_thread.run_sync(write, abandon_on_cancel=True)

    def _options(self) -> InlineOptions:
        return self.settings.inline_options(replaces=self.client.replaces, ahead=not self.power.is_saving)

    # Settings and the model -----------------------------------------------------------------------------

    async def _configure(self, pushed: Any) -> None:
        await self.configuration.collect(pushed, _CONFIGURATION_SECONDS)

    def _put_in_force(self, found: sources.Loaded) -> None:
        self.settings = found.settings
        self._news.origin = found.origins.get("model", "") if self.settings.model else ""
        self.project.set_enabled(self.settings.project_index)
        if self.settings.project_index and self.client.watch_files and not self._watches:
            self._watches = True
            self.client_register_capability(watched_files())
        self.documents.largest_bytes = self.settings.large_document_mb * 1_000_000
        self.counting.switch(self.settings.stats, self.configuration.arm)
        self.status_listener.switch(self.settings.status_socket)
        self.weekly.check()
        self._engine.move_to(self.settings.engine)
        self._routes.follow(self.settings, found.asked_again)
        self._engine.keep(
            self.settings.kept_seconds(),
            self.settings.saved_prompts_mb << 20,
        )
        self.state.changed()
        self.power.refresh()
        spec = self.settings.model_spec()
        if spec != self._loaded or self._engine.model.kind in ("none", "failed"):
            self._loaded = spec
            self._engine.load(spec)

    def _routed(self, again: tuple[str, ...], edits: bool) -> None:
        self.actions.again.allowed, self.actions.next_edits.has_place = again, edits

    def _place_changed(self) -> None:
        self.actions.place_changed()
        self._routes.consent.place_changed()

    def _another_day(self) -> None:
        if self.configuration.arm:
            self.configuration.collect_again()
        self.weekly.check()

    def why_off(self) -> str:
        """Why completions are off although there is a model; empty if they are on."""
        return self.snooze.why() if self.settings.enabled else "completions are switched off (setting `enabled`)"

    def _snoozed(self) -> None:
        """Called when completions were switched off or on."""
        self.completions.cancel_all()
        self.state.changed()
        for document in self.documents.recent()[:1]:
            self.start_task(self.document_service.read_and_warm, document)

    def _model_changed(self, role: Role, model: ModelState) -> None:
        self.actions.model_changed(role, model)
        self.state.changed()
        if role != "completion":
            return
        self._news.tell(model)
        if model.kind == "failed":
            self.start_task(self._note_run)
        elif model.kind != "loading" and model.info is not None:
            if not gc.get_freeze_count():  # a collection over all modules blocks the event loop for 50 ms
                gc.freeze()
            self.completions.model_ready()
            self.start_task(self._note_run)
            for document in self.documents.recent()[:1]:  # opened before there was a model to warm
                self.start_task(self.document_service.read_and_warm, document)

    def _known_paths(self) -> list[str]:
        return [*map(str, self.roots), *self.settings.files()]

    # Requests -------------------------------------------------------------------------------------------

    def _run_data(self) -> dict[str, Any]:
        """The data about this run that a bug report may contain."""
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
        """params: may be a TextDocumentPositionParams; then the answer also says why nothing appears at that
        position."""
        await self.configuration.settled()
        self._routes.consent.read_decisions()
        found = status(
            self._engine,
            self.completions.log,
            client={"name": self.client.name, "positionEncoding": self.client.encoding},
            settings={**msgspec.to_builtins(self.settings), "endpoints": dict.fromkeys(self.settings.endpoints)},
            places=self._places(),
            denied=self._routes.denied.why,
            consent=self._routes.consent.summary(),
            problems=self.configuration.problems,
            state=self.state.current().summary(),
            power={"onBattery": self.power.on_battery, "isSaving": self.power.is_saving},
            documents=len(self.documents),
            index=self.project.status(),
            stats=self.counting.state,
            checks={**self._completer.checks.summary(), **self._completer.dangers.summary()},
            seen=self.counting.seen,
            nextEdits=self.actions.next_edits.editor.summary(),
            context={uri: self._completer.prompts.context(uri).pieces for uri in self.documents.snapshots()},
        )
        if (place := convert.asked_place(params)) is not None:
            found["why"] = self.completions.why(*place)
        return found

    def _python_modules(self) -> PythonModules:
        from lsp_server.features.python_modules import PythonModules

        return PythonModules(lambda: self.roots)

    def _fimble_status(self) -> dict[str, Any]:
        """The data for `fimble status`."""
        return fimble_status(
            self._engine,
            self.completions.log,
            self.counting.seen,
            self._known_paths(),
            client=self.client.name[:100],
            runsSeconds=round(time.monotonic() - self._began),
            state=self.state.current().summary()["state"],
            off=self.why_off(),
            documents=len(self.documents),
            stats=self.counting.state,
            consent=[each["text"] for each in self._routes.consent.summary()],
        )

    def _places(self) -> dict[str, Any]:
        """For each kind of request, the places that may answer it and which of them is in use."""
        return {
            job: [
                {"name": name, "state": model.kind, "message": model.message, "used": used}
                for name, model, used in self._engine.places(role)
            ]
            for job, role in JOBS.items()
        }

    async def show_why(self) -> None:
        """Shows the results of the last requests in a way that the client supports."""
        await self.actions.show("Why nothing appeared", why_text(self.completions.log.last_ten(self.counting.seen)))


def _register(server: FimbleServer) -> None:
    """Registers the handlers with pygls. They are closures because pygls marks the functions that it registers."""

    @server.feature(types.INITIALIZED)
    def initialized(params: types.InitializedParams) -> None:
        server.client_initialized()

    @server.feature(types.WORKSPACE_DID_CHANGE_CONFIGURATION)
    def configuration_changed(params: types.DidChangeConfigurationParams) -> None:
        server.start_task(server._configure, params.settings)

    @server.feature(types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS)
    def folders_changed(params: types.DidChangeWorkspaceFoldersParams) -> None:
        server.folders_changed(params.event)

    @server.command(WHY)
    def why(*_: Any) -> None:
        server.start_task(server.show_why)

    @server.feature("fimble/status")
    async def fimble_status(params: Any) -> dict[str, Any]:
        return await server.status(params)
