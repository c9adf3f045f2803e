"""Loads models on threads of their own, so that loading a second model delays no completion."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from lsp_server.backends.base import Backend, BackendFactory, ModelError, NoRoomError
from lsp_server.engine.draft_model import measured
from lsp_server.engine.model import LoadedModel
from lsp_server.engine.request import Event, Load, ModelFailed, ModelLoading
from lsp_server.engine.retry import FilesState, files_state
from lsp_server.engine.spawn import Spawn, in_thread

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model that the engine's thread can take over. files: as in ModelFailed."""

    load: Load
    model: LoadedModel
    files: FilesState = ()


@dataclass(frozen=True, slots=True)
class Crowded:
    """A model that does not fit into free memory, at least while others are loaded. message: what it needs. files: as
    in ModelFailed."""

    load: Load
    message: str
    files: FilesState = ()


@dataclass(frozen=True, slots=True)
class Admitted:
    """The result of `admit`: the adapters of `load` can be used with the loaded model, or an error that says why
    not."""

    load: Load
    error: Exception | None


class Loader:
    """Does one load at a time, in the order of the requests. A load that a newer load for its role makes useless is
    given up at its next progress callback.

    deliver: called on the loading thread with a loaded model, which nobody else refers to, or with the result that
    there is no room.
    """

    def __init__(
        self,
        factory: BackendFactory,
        post: Callable[[Event], None],
        deliver: Callable[[Loaded | Crowded | Admitted], None],
        spawn: Spawn = in_thread,
    ) -> None:
        self._factory = factory
        self._post = post
        self._deliver = deliver
        self._spawn = spawn
        self._turn = threading.Lock()  # one load at a time: for the memory and for llama.cpp's log
        self._state = threading.Lock()
        self._latest: dict[str, Load] = {}
        self._closed = False

    def start(self, load: Load) -> None:
        with self._state:
            self._latest[load.role] = load
        self._post(ModelLoading(0.0, load.number, load.role))
        self._spawn(lambda: self._run(load))

    def admit(self, load: Load, backend: Backend) -> None:
        """Finds out on another thread, while the model works, whether it can be used with the adapters of `load`."""
        with self._state:
            self._latest[load.role] = load
        self._spawn(lambda: self._admit(load, backend))

    def _admit(self, load: Load, backend: Backend) -> None:
        found: Exception | None = None
        with self._turn:
            try:
                backend.admit(load.spec.adapters, lambda _: self.wanted(load))
            except Exception as error:
                found = error
        with self._state:
            if self.wanted(load):
                self._deliver(Admitted(load, found))

    def close(self) -> None:
        """Gives up all loads. Nothing is delivered afterwards."""
        with self._state:
            self._closed = True

    def wanted(self, load: Load) -> bool:
        return not self._closed and self._latest.get(load.role) is load

    def _run(self, load: Load) -> None:
        share = 0.5 if load.spec.draft else 1.0

        def progress(fraction: float) -> bool:
            if self.wanted(load):
                self._post(ModelLoading(share * fraction, load.number, load.role))
            return self.wanted(load)

        backend: Backend | None = None
        with self._turn:
            if not self.wanted(load):
                return
            files = files_state(load.spec)
            try:
                backend = self._factory(load.spec, progress)
                model = LoadedModel.of(backend)
            except NoRoomError as error:
                self._deliver(Crowded(load, str(error), files))
                return
            except Exception as error:
                if backend is not None:
                    backend.close()
                if self.wanted(load):
                    message = _explained(load.spec.path, error)
                    # An empty path means the starter model, which can be installed meanwhile.
                    passing = not load.spec.path or not isinstance(error, ModelError)
                    self._post(ModelFailed(message, load.number, load.role, passing, files=files))
                return
            if load.spec.draft:
                model = self._with_draft(load, model)
            with self._state:
                if self.wanted(load):
                    self._deliver(Loaded(load, model, files))
                    return
            model.close()

    def _with_draft(self, load: Load, model: LoadedModel) -> LoadedModel:
        """The model with its draft model; without it, and with the reason in `lacks`, if that cannot be loaded or
        used."""

        def progress(fraction: float) -> bool:
            if self.wanted(load):
                self._post(ModelLoading(0.5 + 0.5 * fraction, load.number, load.role))
            return self.wanted(load)

        backend: Backend | None = None
        try:
            if model.backend.info.recurrent:
                raise ModelError(f"{model.backend.info.name} is recurrent and cannot take a draft back")
            measured(model.backend.info)
            backend = self._factory(load.spec.of_draft(), progress)
            return model.with_draft(backend)
        except Exception as error:
            if backend is not None:
                backend.close()
            reason = _explained(load.spec.draft, error)
            return replace(model, lacks=f"`draft_model` {load.spec.draft} is not used: {reason}")


def _explained(path: str, error: Exception) -> str:
    """The error in one line for the user. An unexpected error also goes to the log with its traceback."""
    if isinstance(error, ModelError):
        return str(error)
    logger.error("loading failed", exc_info=error)
    return f"loading {path} failed: {type(error).__name__}: {error}"
