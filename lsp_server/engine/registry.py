"""The loaded models by role: loads, replaces and unloads them, and makes room. Used by the engine's thread only."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from lsp_server.backends.base import ModelError
from lsp_server.engine.loader import Crowded, Loaded, Loader
from lsp_server.engine.model import LoadedModel
from lsp_server.engine.request import Event, Load, ModelFailed, ModelIdle, ModelReady, Role
from lsp_server.engine.residency import Residency
from lsp_server.engine.retry import FilesState, files_state
from lsp_server.engine.saved_prompts import SavedPrompts

logger = logging.getLogger(__name__)


class Registry:
    """models: the loaded models.
    loader: loads models on other threads.
    saved: the prompts on the disk.
    end_requests: ends all requests of a model, before it is unloaded or its adapters change."""

    def __init__(
        self,
        loader: Loader,
        saved: SavedPrompts,
        post: Callable[[Event], None],
        end_requests: Callable[[LoadedModel], None],
        clock: Callable[[], float],
    ) -> None:
        self.loader = loader
        self._saved = saved
        self.models: dict[Role, LoadedModel] = {}
        self._post = post
        self._end_requests = end_requests
        self._clock = clock
        self._loads: dict[Role, Load] = {}  # the load of each loaded model
        self._files: dict[Role, FilesState] = {}  # the state of its files then
        self._residency = Residency()
        self._waiting: dict[Role, Crowded] = {}  # loads that wait until another model can be unloaded
        self._alone: set[Load] = set()  # loads that are tried once more while no other model is loaded

    def use(self, role: Role) -> None:
        """Notes that a model has been used."""
        self._residency.use(role, self._clock())

    def keep(self, seconds: Mapping[Role, float]) -> None:
        """Sets after how many seconds without use a model is unloaded; 0: never."""
        self._residency.limit(seconds)

    def next_due(self) -> float:
        """When the next model expires, or may be unloaded for a load that waits for room; infinite if never."""
        return self._residency.next_due(self._waiting)

    def close(self) -> None:
        """Unloads all models."""
        for role in list(self.models):
            self._unload(role)

    def wait_for_room(self, crowded: Crowded) -> None:
        """Notes that a model has no room while others are loaded."""
        if self.loader.wanted(crowded.load):
            self._waiting[crowded.load.role] = crowded
            if set(self.models) - {crowded.load.role}:
                self._alone.discard(crowded.load)

    def load(self, message: Load) -> None:
        loaded = self._loads.get(message.role)
        # A load with the same spec loads the model again, unless other adapters were asked for meanwhile.
        news = loaded is not None and (loaded.spec != message.spec or not self.loader.wanted(loaded))
        if news and loaded is not None and replace(loaded.spec, adapters=message.spec.adapters) == message.spec:
            self.loader.admit(message, self.models[message.role].backend)
            return
        self._unload(message.role)
        self._waiting.pop(message.role, None)
        self._alone = {load for load in self._alone if load.role != message.role}
        self.loader.start(message)

    def adapt(self, load: Load, refused: Exception | None) -> None:
        """Replaces the adapters of a loaded model, unless the backend refused them. The cache was computed with the old
        adapters, so it is dropped: an answer never mixes the two."""
        if not self.loader.wanted(load):
            return
        model = self.models.get(load.role)
        if model is None:  # unloaded meanwhile because nobody used it
            self.loader.start(load)
            return
        self._end_requests(model)
        try:
            if refused is not None:
                raise refused
            model.backend.adapt(load.spec.adapters)
        except Exception as error:
            self._unload(load.role)
            self._post(ModelFailed(explained(error), load.number, load.role, files=files_state(load.spec)))
            return
        self.models[load.role], self._loads[load.role] = model.emptied(), load
        self._residency.use(load.role, self._clock())
        self.tell(load.role)

    def take(self, loaded: Loaded) -> None:
        """Makes a loaded model the one that answers requests for its role."""
        load, model = loaded.load, loaded.model
        if not self.loader.wanted(load):
            model.close()
            return
        if load.role == "completion":
            model = model.with_saved(self._saved)
        self.models[load.role], self._loads[load.role], self._files[load.role] = model, load, loaded.files
        self._residency.use(load.role, self._clock())
        self.tell(load.role)

    def tell(self, role: Role) -> None:
        """Posts the present state of a role's model."""
        model = self.models[role]
        self._post(ModelReady(model.info, self._loads[role].number, role, model.notice))

    def idle(self) -> bool:
        """Does one piece of the models' background work. Returns False if there is nothing more to do."""
        for role, model in self.models.items():
            before = model.backend.info
            try:
                more = model.backend.rest()
            except Exception as error:  # an error of background work must not end the thread
                logger.warning("%s", explained(error))
                more = False
            if model.backend.info is not before:
                self.tell(role)
            if more:
                return True
        return False

    def tidy(self, busy: Iterable[Role]) -> None:
        """Unloads models that have expired, and models that must make room and are not in use.

        busy: the roles that have requests.
        """
        now = self._clock()
        for role in busy:
            self._residency.use(role, now)
        for role in self._residency.expired(now):
            self._suspend(role, "unloaded because it was not used for a while")
        for role, crowded in list(self._waiting.items()):
            spare = self._residency.to_unload(role, now)
            if spare is not None:
                self._suspend(spare, "unloaded to make room for another model")
                self.loader.start(crowded.load)
            elif set(self.models) - {role}:
                continue  # the others are in use; tried again when one is not
            elif crowded.load not in self._alone:  # another model may have been unloaded since
                self._alone.add(crowded.load)
                self.loader.start(crowded.load)
            else:
                self._alone.discard(crowded.load)
                self._post(ModelFailed(crowded.message, crowded.load.number, role, True, files=crowded.files))
            del self._waiting[role]

    def failed(self, role: Role, why: str) -> None:
        """Unloads a model if several steps in a row have failed, as happens when its GPU is lost. Called when a step
        has failed."""
        model, number = self.models[role], self._loads[role].number
        if not model.health.broken:
            return
        self._unload(role)
        message = model.health.message(model.info.name, why)
        self._post(ModelFailed(message, number, role, True, model.health.worked, self._files[role]))

    def _suspend(self, role: Role, message: str) -> None:
        number = self._loads[role].number
        self._unload(role)
        self._post(ModelIdle(message, number, role))

    def _unload(self, role: Role) -> None:
        model = self.models.pop(role, None)
        self._loads.pop(role, None)
        self._residency.drop(role)
        if model is not None:
            self._end_requests(model)
            model.close()


def explained(error: Exception) -> str:
    """The error in one line for the user. An unexpected error also goes to the log with its traceback."""
    if not isinstance(error, ModelError):
        logger.error("the model failed", exc_info=error)
    return str(error) or type(error).__name__
