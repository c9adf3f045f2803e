"""Several engines that act as one: each role uses the first of its places that works, an endpoint or the local model.

When a place fails, the next one is used at once. The failed place is tried again after pauses that double, and used
again when it works.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lsp_server.backends.base import ModelSpec
from lsp_server.engine.api import HomeKind, ModelState
from lsp_server.engine.client import EngineClient
from lsp_server.engine.endpoint import LOCAL, Endpoint
from lsp_server.engine.request import ROLES, CacheUse, PromptRead, Role, TextDelta, Working

MakeRemote = Callable[[str, Endpoint], EngineClient]


class Switch:
    """See `api.RoutedEngine`. local: the engine that loads models itself. remote: makes the engine for an endpoint. All
    of them take their request ids from one counter.

    Owned by the event loop's thread, like the engines.
    """

    def __init__(self, local: EngineClient, remote: MakeRemote) -> None:
        self.on_model: Callable[[Role, ModelState], None] | None = None
        self.on_working: Callable[[], None] | None = None
        self.on_work: Callable[[PromptRead | TextDelta], None] = lambda _: None
        self.on_place: Callable[[], None] | None = None
        self._local = local
        self._make = remote
        self._remotes: dict[str, EngineClient] = {}
        self._endpoints: dict[str, Endpoint] = {}
        self._order: dict[Role, tuple[str, ...]] = dict.fromkeys(ROLES, (LOCAL,))
        self._used: dict[Role, str] = dict.fromkeys(ROLES, LOCAL)
        self._started = False
        self._watch(LOCAL, local)

    # The places -----------------------------------------------------------------------------------------

    def route(
        self,
        endpoints: Mapping[str, Endpoint],
        order: Mapping[Role, Sequence[str]],
        by_name: Sequence[str] = (),
    ) -> None:
        """Sets the endpoints, for each role the names of its places, the best first, and the further endpoints that may
        be asked by name."""
        every = (*order.values(), by_name)
        wanted = {name: endpoints[name] for names in every for name in names if name in endpoints}
        gone = [self._remotes[name] for name in self._remotes if wanted.get(name) != self._endpoints[name]]
        self._remotes = {name: engine for name, engine in self._remotes.items() if engine not in gone}
        new = [name for name in wanted if name not in self._remotes]
        for name in new:
            self._remotes[name] = self._make(name, wanted[name])
            self._watch(name, self._remotes[name])
        self._endpoints = wanted
        for role, names in order.items():
            self._order[role] = tuple(name for name in names if name == LOCAL or name in wanted) or (LOCAL,)
        for role in order:
            self._choose(role)
        # Only after each role has an existing place: the following calls report the states of its models.
        for engine in gone:
            self._local.later(engine.stop())
        for name in new:
            if self._started:
                self._remotes[name].start()
        for role in order:
            for name in self._order[role]:
                if name != LOCAL and self._remotes[name].models[role].kind == "none" and self._started:
                    self._remotes[name].load(ModelSpec(self._endpoints[name].url), role)
        self._told_of_places()

    def _engine(self, name: str) -> EngineClient:
        return self._local if name == LOCAL else self._remotes[name]

    def _of(self, role: Role) -> EngineClient:
        return self._engine(self._used[role])

    def _watch(self, name: str, engine: EngineClient) -> None:
        engine.on_model = lambda role, state: self._changed(name, role, state)
        engine.on_working = self._worked
        engine.on_work = lambda event: self.on_work(event)  # noqa: PLW0108 - what is set when it comes

    def _choose(self, role: Role) -> bool:
        """Uses the first place that works; if none does, the first that may work soon, else the last. An action can
        wait until the local model is loaded, so for actions the local model counts as working. Returns whether the
        place has changed."""
        order, before = self._order[role], self._used[role]
        kinds = {name: self._engine(name).models[role].kind for name in order}
        ready = next((name for name in order if kinds[name] == "ready"), None)
        soon = next((name for name in order if kinds[name] in ("loading", "idle", "none")), None)
        if role == "chat" and ready is not None and soon == LOCAL and order.index(LOCAL) < order.index(ready):
            ready = LOCAL
        self._used[role] = ready or soon or order[-1]
        return self._used[role] != before

    def _changed(self, name: str, role: Role, state: ModelState) -> None:
        moved = self._choose(role)
        self._told_of_places()
        if self.on_model is not None and (moved or self._used[role] == name):
            self.on_model(role, self._of(role).models[role])

    def _told_of_places(self) -> None:
        if self.on_place is not None:
            self.on_place()

    def _worked(self) -> None:
        if self.on_working is not None:
            self.on_working()

    def places(self, role: Role) -> list[tuple[str, ModelState, bool]]:
        """The places of a role, each with its name, its model's state, and whether it is in use."""
        used = self._used[role]
        return [(name, self._engine(name).models[role], name == used) for name in self._order[role]]

    def at(self, place: str) -> EngineClient | None:
        return self._local if place == LOCAL else self._remotes.get(place)

    # As an engine ---------------------------------------------------------------------------------------

    @property
    def models(self) -> dict[Role, ModelState]:
        return {role: self._of(role).models[role] for role in ROLES}

    @property
    def model(self) -> ModelState:
        return self._of("completion").models["completion"]

    @property
    def working(self) -> Working:
        engines = [self._local, *self._remotes.values()]
        return next((engine.working for engine in engines if engine.working.kind != "idle"), Working())

    @property
    def cache(self) -> CacheUse:
        return self._local.cache

    @property
    def evaluated_tokens(self) -> int:
        return sum(engine.evaluated_tokens for engine in (self._local, *self._remotes.values()))

    @property
    def decoded_tokens(self) -> int:
        return sum(engine.decoded_tokens for engine in (self._local, *self._remotes.values()))

    @property
    def home(self) -> HomeKind:
        return self._local.home

    @property
    def running(self) -> int:
        return sum(engine.running for engine in (self._local, *self._remotes.values()))

    def start(self) -> None:
        self._started = True
        for engine in (self._local, *self._remotes.values()):
            engine.start()

    def move_to(self, home: HomeKind) -> None:
        self._local.move_to(home)

    def load(self, spec: ModelSpec, role: Role = "completion") -> None:
        remote = self._used[role] != LOCAL
        if LOCAL not in self._order[role]:
            if self.models[role].kind not in ("loading", "ready"):  # else `route` has asked it already
                self._of(role).load(ModelSpec(self._endpoints[self._used[role]].url), role)
        elif not (
            remote and role != "completion" and self.models[role].kind == "ready"
        ):  # else loaded only when it is needed
            self._local.load(spec, role)

    def wake(self, role: Role = "completion") -> None:
        self._try_better(role)
        if self._used[role] == LOCAL:
            self._local.wake(role)
        else:
            self._of(role).try_again(role)

    def _try_better(self, role: Role) -> None:
        """Tries the failed places before the one in use again, if their pauses are over."""
        for name in self._order[role]:
            if name == self._used[role]:
                return
            self._engine(name).try_again(role)

    def keep(self, seconds: Mapping[Role, float], prompt_bytes: int = 0) -> None:
        self._local.keep(seconds, prompt_bytes)

    def submit(self, *asked: Any, role: Role = "completion", **more: Any) -> int:
        self._try_better(role)
        return self._of(role).submit(*asked, role=role, **more)

    def cancel(self, id: int, *, keep: bool = False) -> None:
        for engine in (self._local, *self._remotes.values()):
            engine.cancel(id, keep=keep)

    def token_ms(self, role: Role = "completion") -> float:
        return self._of(role).token_ms(role)

    async def stop(self) -> None:
        for engine in (*self._remotes.values(), self._local):
            await engine.stop()
