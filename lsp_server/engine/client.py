"""The engine as the event loop sees it: sends requests, receives events, and keeps the state of the models."""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any

import anyio

from lsp_server.backends.base import BackendFactory, ModelError, ModelInfo, ModelSpec
from lsp_server.core.names.allowed import Members
from lsp_server.core.opening import Opening
from lsp_server.core.prompt import FimPrompt
from lsp_server.core.stopping import StopRule
from lsp_server.engine.api import HomeKind, ModelState
from lsp_server.engine.crashes import Losses
from lsp_server.engine.endpoint import LOCAL
from lsp_server.engine.home import Home, ThreadHome
from lsp_server.engine.request import (
    ROLES,
    CacheUse,
    Cancel,
    EngineLost,
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
    TextDelta,
    Usage,
    Working,
)
from lsp_server.engine.retry import FilesState, Retry, files_state

logger = logging.getLogger(__name__)

# The engine's own queue holds 64 requests. This limit also counts requests that it has not received yet because it is
# in a step.
_MOST_REQUESTS = 256
# A request with fewer evaluated tokens does not show the prefill speed. And the weight of the newest request in the
# moving average.
_LEAST_TIMED_TOKENS, _NEWEST_SHARE = 32, 0.3


class EngineClient:
    """The client of one engine, which runs in one home at a time. See `api.Engine` for the methods.

    homes: a function for each kind of home, which makes it; the engine starts in the first. ids: the source of request
    ids; engines behind one switch share it.

    If the engine is lost, every running request ends as failed at once. A new engine is started after a pause that
    doubles with each loss, and loads the same models again. A prompt that was running at two losses is not sent again.
    """

    def __init__(
        self,
        homes: Mapping[HomeKind, Callable[[], Home]],
        on_model: Callable[[Role, ModelState], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        ids: Iterator[int] | None = None,
    ) -> None:
        self.models: dict[Role, ModelState] = {role: ModelState() for role in ROLES}
        self.on_model = on_model
        self.on_working: Callable[[], None] | None = None
        self.working = Working()
        self.cache = CacheUse()
        self.on_work: Callable[[PromptRead | TextDelta], None] = lambda _: None
        self._homes = homes
        self._kind: HomeKind = next(iter(homes))
        self._home = homes[self._kind]()
        self._left: set[asyncio.Task[None]] = set()  # tasks that stop former homes
        self._loop: asyncio.AbstractEventLoop | None = None
        self._context = contextvars.copy_context()
        self._requests: dict[int, Generate] = {}  # running, by id
        self._listeners: dict[int, Callable[[TextDelta | Finished], None]] = {}
        self._ids = itertools.count(1) if ids is None else ids
        self._loads: dict[Role, int] = {}
        self._specs: dict[Role, ModelSpec] = {}
        self._retries: dict[Role, Retry] = {role: Retry() for role in ROLES}
        self._keep: Keep | None = None
        self._losses = Losses()
        self._again: asyncio.TimerHandle | None = None  # timer of the next start, while the engine is lost
        self._clock = clock
        self._stopping = False
        self._token_ms: dict[Role, float] = {}
        self.evaluated_tokens = self.decoded_tokens = 0

    @property
    def model(self) -> ModelState:
        return self.models["completion"]

    @property
    def home(self) -> HomeKind:
        return self._kind

    @property
    def running(self) -> int:
        return len(self._listeners)

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._context = contextvars.copy_context()
        self._home.start(partial(self._post, self._home))

    def move_to(self, home: HomeKind) -> None:
        if home == self._kind or home not in self._homes or self._loop is None or self._stopping:
            return
        self.later(self._home.stop())
        self._kind, self._home = home, self._homes[home]()
        self._home.start(partial(self._post, self._home))
        self._end_all(FinishReason.CANCELLED, "the engine has moved to another home")
        self._forget_loss()
        self.cache = CacheUse()
        self._set_working(Working())
        for role in self.models:
            self._loads[role] = self._loads.get(role, 0) + 1  # so that late news of the old load is ignored
            self._set_model(role, ModelState())

    def later(self, end: Coroutine[Any, Any, None]) -> None:
        """Runs the coroutine that stops a former home or engine as a task; `stop` waits for it."""
        if self._loop is None:
            end.close()
            return
        self._left.add(task := self._loop.create_task(end))
        task.add_done_callback(self._left.discard)

    def load(self, spec: ModelSpec, role: Role = "completion") -> None:
        self._specs[role], self._retries[role] = spec, Retry()
        self._load(role)

    def _load(self, role: Role, why: str = "") -> None:
        self._token_ms.pop(role, None)
        self._set_model(role, ModelState("loading", message=why, news=not why and self._retries[role].tries == 0))
        self._loads[role] = self._loads.get(role, 0) + 1
        if self._again is None:
            self._home.send(Load(self._specs[role], self._loads[role], role))

    def wake(self, role: Role = "completion") -> None:
        kind, retry, now = self.models[role].kind, self._retries[role], self._clock()
        if kind == "idle":
            self._load(role)
        elif not self.try_again(role) and kind == "failed" and retry.should_check_files(now):
            # On a thread that nobody waits for: a network mount that hangs would block the event loop.
            look = partial(self._look, role, retry, self._specs[role])
            threading.Thread(target=look, name="look", daemon=True).start()

    def try_again(self, role: Role) -> bool:
        """Loads a failed model again if its pause is over. Returns whether it does."""
        again = self.models[role].kind == "failed" and self._retries[role].due(self._clock())
        if again:
            self._load(role)
        return again

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
        elif not state.news:  # the file may be half written: report a repeated failure only if it did not change
            self._set_model(role, replace(state, news=True))

    def keep(self, seconds: Mapping[Role, float], prompt_bytes: int = 0) -> None:
        self._keep = Keep(dict(seconds), prompt_bytes)
        if self._again is None:
            self._home.send(self._keep)

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
        members: Members | None = None,
        written: str = "",
        draft: str = "",
    ) -> int:
        id = next(self._ids)
        limits = quick, opening, members, written, draft
        request = Generate(id, prompt, stop, max_tokens, priority, deadline, reserve, role, rank, *limits)
        if refusal := self._refusal(request):
            listener(Finished(id, "", FinishReason.REJECTED, Usage(), message=refusal))
            return id
        self._listeners[id] = listener
        self._requests[id] = request
        self._home.send(request)
        return id

    def _refusal(self, request: Generate) -> str:
        """Why a request is refused, in words for the user; empty if it is sent."""
        if len(self._listeners) >= _MOST_REQUESTS:
            return f"more than {_MOST_REQUESTS} requests are under way"
        if self._again is not None:
            return "the engine is being started again"
        if self._losses.is_blamed(request.prompt):
            return "this prompt has ended the engine twice and is not sent again; please report it (`fimble report`)"
        return ""

    def cancel(self, id: int, *, keep: bool = False) -> None:
        if id in self._listeners:
            self._home.send(Cancel(id, keep))

    def at(self, place: str) -> EngineClient | None:
        return self if place == LOCAL else None

    async def stop(self) -> None:
        self._stopping = True
        self._forget_loss()
        await self._home.stop()
        for task in list(self._left):
            await task
        self._end_all(FinishReason.CANCELLED, "the engine has stopped")

    def _end_all(self, reason: FinishReason, message: str) -> None:
        """Ends every running request: its listener gets `Finished` with this reason."""
        listeners = dict(self._listeners)
        self._listeners.clear()
        self._requests.clear()
        for id, listener in listeners.items():
            listener(Finished(id, "", reason, Usage(), message=message))

    def _post(self, home: Home, event: Event | EngineLost) -> None:
        """Hands an event of a home to the event loop. Called on any thread."""
        if self._loop is None or self._stopping:
            return
        try:
            self._loop.call_soon_threadsafe(self._dispatch, home, event, context=self._context)
        except RuntimeError:  # the loop has been closed meanwhile
            return

    def _dispatch(self, home: Home, event: Event | EngineLost) -> None:
        if home is not self._home or self._stopping:
            return
        if isinstance(event, EngineLost):
            self._lost(event.why)
        elif isinstance(event, CacheUse):
            self.cache = event
        elif isinstance(event, Working):
            self._set_working(event)
        elif isinstance(event, PromptRead | TextDelta | Finished):
            if event.id in self._listeners:  # else it has already got its `Finished`
                self._request_event(event)
        elif event.load == self._loads.get(event.role, 0):  # else it is about a replaced model
            self._model_event(event)

    def _request_event(self, event: PromptRead | TextDelta | Finished) -> None:
        if isinstance(event, PromptRead):
            self.on_work(event)
        elif isinstance(event, TextDelta):
            self._listeners[event.id](event)
            self.on_work(event)
        else:
            self._learn(event)
            self.evaluated_tokens += event.usage.evaluated_tokens
            self.decoded_tokens += event.usage.decoded_tokens
            self._listeners.pop(event.id)(event)

    def _model_event(self, event: ModelLoading | ModelReady | ModelFailed | ModelIdle) -> None:
        retry = self._retries[event.role]
        if isinstance(event, ModelLoading):
            why = self.models[event.role].message  # why the model is loaded again
            news = not why and retry.tries == 0
            self._set_model(event.role, ModelState("loading", event.progress, message=why, news=news))
        elif isinstance(event, ModelReady):
            retry.ready(self._clock())
            self._losses.ready(self._clock())
            self._set_model(event.role, ModelState("ready", info=event.info, message=event.notice))
        elif isinstance(event, ModelFailed):
            retry.failed(self._clock(), event.files, passing=event.passing, worked=event.worked)
            self._set_model(event.role, ModelState("failed", message=event.message, news=retry.tries == 1))
        else:
            self._set_model(event.role, ModelState("idle", message=event.message))

    # The loss of an engine ------------------------------------------------------------------------------

    def _lost(self, why: str) -> None:
        """Ends all requests as failed, and starts a new engine after a pause."""
        now = self._clock()
        again = self._losses.lost(now, (request.prompt for request in self._requests.values()))
        message = f"the engine {why}"
        logger.error("%s; it is started again in %.2g s", message, again)
        self._forget_loss()
        if self._loop is not None:
            self._again = self._loop.call_later(again, self._start_again)
        self.cache = CacheUse()
        self._end_all(FinishReason.FAILED, f"{message} and is started again")
        self._set_working(Working())
        for role, state in self.models.items():
            if state.kind == "loading" and self._losses.is_hopeless:
                # From now on this counts as a model that cannot be loaded: it is tried again while the user types.
                self._retries[role].failed(now, (), passing=True, worked=False)
                # The model may be the cause of a crash, but not of an engine that cannot be started.
                crashed = why.startswith(("was ended", "ended with"))
                hint = " while the model was loaded; another model, or `gpu_layers = 0`, may work" if crashed else ""
                self._set_model(role, ModelState("failed", message=f"{message}{hint}"))
            elif state.kind in ("loading", "ready"):
                self._set_model(role, ModelState("loading", message=f"{message} and is started again"))

    def _start_again(self) -> None:
        self._forget_loss()
        if self._keep is not None:
            self._home.send(self._keep)
        for role, state in self.models.items():
            if state.kind == "loading":
                self._load(role, state.message)

    def _forget_loss(self) -> None:
        if self._again is not None:
            self._again.cancel()
        self._again = None

    # What is known of the engine ------------------------------------------------------------------------

    def token_ms(self, role: Role = "completion") -> float:
        info = self.models[role].info
        return self._token_ms.get(role) or (info.token_ms if info else 0.0)

    def _learn(self, event: Finished) -> None:
        role, usage = self._requests.pop(event.id).role, event.usage
        if usage.evaluated_tokens >= _LEAST_TIMED_TOKENS and usage.prefill_ms > 0:
            now, known = usage.prefill_ms / usage.evaluated_tokens, self.token_ms(role)
            self._token_ms[role] = known + _NEWEST_SHARE * (now - known) if known else now

    def _set_working(self, working: Working) -> None:
        self.working = working
        if self.on_working is not None:
            self.on_working()

    def _set_model(self, role: Role, state: ModelState) -> None:
        self.models[role] = state
        if self.on_model is not None:
            self.on_model(role, state)


def in_this_process(
    factory: BackendFactory, on_model: Callable[[Role, ModelState], None] | None = None
) -> EngineClient:
    """An engine on a thread of this process. factory: loads a model."""
    return EngineClient({"in-process": lambda: ThreadHome(factory)}, on_model)


@asynccontextmanager
async def loaded(
    factory: BackendFactory, spec: ModelSpec, progress: Callable[[ModelState], None] = lambda _: None
) -> AsyncIterator[tuple[EngineClient, ModelInfo]]:
    """A context manager for an engine whose model is loaded; the engine is stopped at the end. progress: called with
    every state of the model. Raises ModelError if the model cannot be loaded."""
    known = anyio.Event()

    def changed(_: Role, model: ModelState) -> None:
        progress(model)
        if model.kind in ("ready", "failed"):
            known.set()

    engine = in_this_process(factory, changed)
    engine.start()
    try:
        engine.load(spec)
        await known.wait()
        if engine.model.info is None:
            raise ModelError(engine.model.message)
        yield engine, engine.model.info
    finally:
        await engine.stop()
