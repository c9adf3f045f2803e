"""The event loop's side of the engine: requests out, events in, and what is known of the model."""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import anyio

from lsp_server.backends.base import BackendFactory, ModelError, ModelInfo, ModelSpec
from lsp_server.core.opening import Opening
from lsp_server.core.prompt import FimPrompt
from lsp_server.core.stopping import StopRule
from lsp_server.engine.core import Engine
from lsp_server.engine.request import (
    Cancel,
    Event,
    Finished,
    FinishReason,
    Generate,
    Keep,
    Load,
    ModelFailed,
    ModelIdle,
    ModelLoading,
    ModelReady,
    Priority,
    PromptRead,
    Role,
    Shutdown,
    TextDelta,
    Usage,
    Working,
)
from lsp_server.engine.retry import FilesState, Retry, files_state

_STOP_SECONDS = 5.0
# The engine itself keeps 64; this bounds what is on the way to it while it is in a step.
_MOST_REQUESTS = 256
# Prompts of fewer new tokens do not tell how fast prompts are evaluated. And how much the newest tells.
_LEAST_TIMED_TOKENS, _NEWEST_SHARE = 32, 0.3


@dataclass(frozen=True, slots=True)
class ModelState:
    """kind: none before a model was asked for; idle if it was unloaded because nobody used it, until `wake`.
    progress: 0 to 1 while loading. message: why it failed or is idle, or what is not as asked for though it is ready.
    news: False for what comes of trying again by itself, as long as it may be no more than that: a user who has been
    told that it failed need not be told of each try.
    """

    kind: Literal["none", "loading", "ready", "failed", "idle"] = "none"
    progress: float = 0.0
    info: ModelInfo | None = None
    message: str = ""
    news: bool = True


class EngineClient:
    """Owns the engine's thread. All methods are for the event loop's thread.

    on_model is called with every change of a model's state, on_working when `working` has changed, on_work with what
    comes of a request's step before the last one: how much of its prompt is done, or what it has written.
    evaluated_tokens, decoded_tokens: of all requests that have ended, warming and abandoned ones included.
    """

    def __init__(
        self,
        factory: BackendFactory,
        on_model: Callable[[Role, ModelState], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.models: dict[Role, ModelState] = {"completion": ModelState(), "chat": ModelState()}
        self.on_model = on_model
        self.on_working: Callable[[], None] | None = None
        self.working = Working()
        self.on_work: Callable[[PromptRead | TextDelta], None] = lambda _: None
        self._engine = Engine(factory, self._post)
        self._thread = threading.Thread(target=self._engine.run, name="model", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._context = contextvars.copy_context()
        self._roles: dict[int, Role] = {}  # of the requests under way
        self._listeners: dict[int, Callable[[TextDelta | Finished], None]] = {}
        self._ids = itertools.count(1)
        self._loads: dict[Role, int] = {}
        self._specs: dict[Role, ModelSpec] = {}
        self._retries: dict[Role, Retry] = {"completion": Retry(), "chat": Retry()}
        self._clock = clock
        self._stopping = False
        self._token_ms: dict[Role, float] = {}
        self.evaluated_tokens = self.decoded_tokens = 0

    @property
    def model(self) -> ModelState:
        """The model that completes code."""
        return self.models["completion"]

    @property
    def running(self) -> int:
        """How many requests have not ended."""
        return len(self._listeners)

    @property
    def cache(self) -> tuple[list[int], int, int]:
        """Tokens resident in each sequence, forks and evictions so far. Read across threads, for showing."""
        cache = self._engine.cache()
        return [len(sequence.tokens) for sequence in cache], cache.forks, cache.evictions

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._context = contextvars.copy_context()
        self._thread.start()

    def load(self, spec: ModelSpec, role: Role = "completion") -> None:
        """Loads a model, in place of the one that has this role. Its progress shows in `models`."""
        self._specs[role], self._retries[role] = spec, Retry()
        self._load(role)

    def _load(self, role: Role) -> None:
        self._token_ms.pop(role, None)
        self._set_model(role, ModelState("loading", news=self._retries[role].tries == 0))
        self._loads[role] = self._loads.get(role, 0) + 1
        self._engine.send(Load(self._specs[role], self._loads[role], role))

    def wake(self, role: Role = "completion") -> None:
        """Loads a model again that was unloaded because nobody used it, or that failed if it is time to try again or
        its files have changed. Does nothing to any other."""
        kind, retry, now = self.models[role].kind, self._retries[role], self._clock()
        if kind == "idle" or (kind == "failed" and retry.due(now)):
            self._load(role)
        elif kind == "failed" and retry.looks(now):
            # On a thread that nobody waits for: a network mount that hangs would stop the loop.
            look = partial(self._look, role, retry, self._specs[role])
            threading.Thread(target=look, name="look", daemon=True).start()

    def _look(self, role: Role, retry: Retry, spec: ModelSpec) -> None:
        files = files_state(spec)
        with suppress(RuntimeError):  # the loop has been closed meanwhile
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._looked, role, retry, files, context=self._context)

    def _looked(self, role: Role, retry: Retry, files: FilesState) -> None:
        changed, state = retry.changed(self._clock(), files), self.models[role]
        if self._stopping or retry is not self._retries[role] or state.kind != "failed":
            return
        if changed:
            self._load(role)
        elif not state.news:  # so it is not just half of what is still being written
            self._set_model(role, replace(state, news=True))

    def keep(self, seconds: Mapping[Role, float], prompt_bytes: int = 0) -> None:
        """Sets how long models stay loaded without being used; 0 for ever. And how much of prompts is kept on the
        disk; 0 for nothing."""
        self._engine.send(Keep(dict(seconds), prompt_bytes))

    def submit(
        self,
        prompt: FimPrompt,
        stop: StopRule | None,
        max_tokens: int,
        listener: Callable[[TextDelta | Finished], None],
        *,
        priority: Priority = Priority.INLINE,
        deadline: float | None = None,
        reserve: int = 0,
        role: Role = "completion",
        rank: int = 0,
        quick: FimPrompt | None = None,
        opening: Opening | None = None,
    ) -> int:
        """Starts a request and returns its id. The listener gets its events, on the loop; the last one, and
        only that, is `Finished`. quick, opening: as in `Generate`."""
        id = next(self._ids)
        if len(self._listeners) >= _MOST_REQUESTS:
            message = f"more than {_MOST_REQUESTS} requests are under way"
            listener(Finished(id, "", FinishReason.REJECTED, Usage(), message=message))
            return id
        self._listeners[id] = listener
        self._roles[id] = role
        self._engine.send(
            Generate(id, prompt, stop, max_tokens, priority, deadline, reserve, role, rank, quick, opening)
        )
        return id

    def cancel(self, id: int, *, keep: bool = False) -> None:
        """Asks the engine to end a request; its `Finished` comes all the same. keep: as in `Cancel`."""
        if id in self._listeners:
            self._engine.send(Cancel(id, keep))

    async def stop(self) -> None:
        """Ends the thread. Waits for the step it is in, but never longer than a few seconds."""
        self._stopping = True
        if self._thread.is_alive():
            self._engine.send(Shutdown())
            await anyio.to_thread.run_sync(self._thread.join, _STOP_SECONDS)
        for id, listener in list(self._listeners.items()):
            listener(Finished(id, "", FinishReason.CANCELLED, Usage(), message="the engine has stopped"))
        self._listeners.clear()

    def _post(self, event: Event) -> None:
        """On the engine's thread: hands an event to the loop."""
        if self._loop is None or self._stopping:
            return
        try:
            self._loop.call_soon_threadsafe(self._dispatch, event, context=self._context)
        except RuntimeError:  # the loop has been closed meanwhile
            return

    def _dispatch(self, event: Event) -> None:
        if isinstance(event, Working):
            self.working = event
            if self.on_working is not None:
                self.on_working()
            return
        if isinstance(event, PromptRead | TextDelta | Finished) and event.id not in self._listeners:
            return  # it has been told that the engine stopped
        if isinstance(event, PromptRead):
            self.on_work(event)
        elif isinstance(event, TextDelta):
            self._listeners[event.id](event)
            self.on_work(event)
        elif isinstance(event, Finished):
            self._learn(event)
            self.evaluated_tokens += event.usage.evaluated_tokens
            self.decoded_tokens += event.usage.decoded_tokens
            self._listeners.pop(event.id)(event)
        elif event.load == self._loads.get(event.role, 0):  # else about a model that is being replaced
            self._model_event(event)

    def _model_event(self, event: ModelLoading | ModelReady | ModelFailed | ModelIdle) -> None:
        retry = self._retries[event.role]
        if isinstance(event, ModelLoading):
            self._set_model(event.role, ModelState("loading", progress=event.progress, news=retry.tries == 0))
        elif isinstance(event, ModelReady):
            retry.ready(self._clock())
            self._set_model(event.role, ModelState("ready", info=event.info, message=event.notice))
        elif isinstance(event, ModelFailed):
            retry.failed(self._clock(), event.files, passing=event.passing, worked=event.worked)
            self._set_model(event.role, ModelState("failed", message=event.message, news=retry.tries == 1))
        else:
            self._set_model(event.role, ModelState("idle", message=event.message))

    def token_ms(self, role: Role = "completion") -> float:
        """What a token of a prompt takes, in ms: in the requests that have ended lately, or when the model was loaded.
        0 if nobody knows."""
        info = self.models[role].info
        return self._token_ms.get(role) or (info.token_ms if info else 0.0)

    def _learn(self, event: Finished) -> None:
        role, usage = self._roles.pop(event.id, "completion"), event.usage
        if usage.evaluated_tokens >= _LEAST_TIMED_TOKENS and usage.prefill_ms > 0:
            now, known = usage.prefill_ms / usage.evaluated_tokens, self.token_ms(role)
            self._token_ms[role] = known + _NEWEST_SHARE * (now - known) if known else now

    def _set_model(self, role: Role, state: ModelState) -> None:
        self.models[role] = state
        if self.on_model is not None:
            self.on_model(role, state)


@asynccontextmanager
async def loaded(
    factory: BackendFactory, spec: ModelSpec, progress: Callable[[ModelState], None] = lambda _: None
) -> AsyncIterator[tuple[EngineClient, ModelInfo]]:
    """An engine whose model is ready; it is stopped at the end. progress: gets every state of the model. Raises
    ModelError if that cannot be loaded."""
    known = anyio.Event()

    def changed(_: Role, model: ModelState) -> None:
        progress(model)
        if model.kind in ("ready", "failed"):
            known.set()

    engine = EngineClient(factory, changed)
    engine.start()
    try:
        engine.load(spec)
        await known.wait()
        if engine.model.info is None:
            raise ModelError(engine.model.message)
        yield engine, engine.model.info
    finally:
        await engine.stop()
