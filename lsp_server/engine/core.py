"""The engine: owns the model, takes messages, and works one small step at a time on the most urgent one."""

from __future__ import annotations

import logging
import queue
import time
from collections import deque
from collections.abc import Callable

from lsp_server.backends.base import Backend, BackendFactory, ModelError
from lsp_server.engine.decode import Generation
from lsp_server.engine.encode import Encoder
from lsp_server.engine.prefix_cache import PrefixCache
from lsp_server.engine.request import (
    Cancel,
    Event,
    Finished,
    FinishReason,
    Generate,
    Load,
    Message,
    ModelFailed,
    ModelLoading,
    ModelReady,
    Shutdown,
    Usage,
)
from lsp_server.engine.scheduler import Scheduler
from lsp_server.engine.vocabulary import Vocabulary

logger = logging.getLogger(__name__)

QUEUE_LIMIT = 64


class Engine:
    """Runs on one thread, the only one that touches the model. `post` is called on that thread.

    Between two steps (one chunk of a prompt or one decoded token) it looks at its messages, so a
    cancellation or a more urgent request waits for one step at most. What a cancelled request had computed
    stays in the cache.
    """

    def __init__(
        self,
        factory: BackendFactory,
        post: Callable[[Event], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._factory = factory
        self._post = post
        self._clock = clock
        self._inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._unread: deque[Message] = deque()
        self._scheduler: Scheduler[Generation] = Scheduler(QUEUE_LIMIT)
        self._backend: Backend | None = None
        self._encoder: Encoder | None = None
        self._vocabulary = Vocabulary(())
        self._cache = PrefixCache(0)
        self._stops: frozenset[int] = frozenset()
        self._running = True

    @property
    def cache(self) -> PrefixCache:
        return self._cache

    def send(self, message: Message) -> None:
        """Hands the engine a message. Callable from any thread; never blocks."""
        self._inbox.put(message)

    def run(self) -> None:
        """Works until `Shutdown`. Sleeps, without polling, while there is nothing to do."""
        try:
            while self._running:
                self.receive(wait=not self._scheduler)
                self.step()
        finally:
            self._unload()

    def receive(self, *, wait: bool = False) -> None:
        """Handles the messages that have come; with `wait`, waits for the first."""
        if wait and not self._unread:
            self._unread.append(self._inbox.get())
        self._fetch()
        while self._unread:
            self._handle(self._unread.popleft())

    def step(self) -> bool:
        """One chunk or one token of the most urgent request. False if there was nothing to do."""
        now = self._clock()
        for job in self._scheduler.expired(now):
            self._finish(job, FinishReason.DEADLINE)
        entry = next(iter(self._scheduler), None)
        if entry is None or self._backend is None:
            return False
        job = entry.job
        if job.sequence is None and job.already_done(self._cache):
            self._finish(job, FinishReason.LENGTH)
            return True
        try:
            if job.sequence is None and not job.place(self._backend, self._cache, now):
                self._preempt()
                job.place(self._backend, self._cache, now)
            delta, reason = job.advance(self._backend, self._cache, self._clock)
        except Exception as error:
            # One request's trouble must not end the thread that every other request depends on.
            self._finish(job, FinishReason.FAILED, _explained(error))
            return True
        if delta is not None:
            self._post(delta)
        if reason is not None:
            self._finish(job, reason)
        return True

    # Messages -------------------------------------------------------------------------------------------

    def _fetch(self) -> None:
        while True:
            try:
                self._unread.append(self._inbox.get_nowait())
            except queue.Empty:
                return

    def _handle(self, message: Message) -> None:
        if isinstance(message, Generate):
            self._generate(message)
        elif isinstance(message, Cancel):
            job = self._scheduler.get(message.id)
            if job is not None:
                self._finish(job, FinishReason.CANCELLED)
        elif isinstance(message, Load):
            self._load(message)
        else:
            self._running = False
            self._cancel_all()

    def _generate(self, request: Generate) -> None:
        if self._backend is None or self._encoder is None:
            self._post(_rejected(request, "no model is loaded"))
            return
        try:
            room = self._backend.info.context_tokens - max(request.max_tokens, request.reserve)
            encoded = self._encoder.encode(request.prompt, room)
        except Exception as error:
            self._post(_rejected(request, _explained(error), FinishReason.FAILED))
            return
        job = Generation(request, encoded, self._vocabulary, self._stops, self._clock())
        dropped = self._scheduler.add(request.id, job, request.priority, request.deadline)
        if dropped is not None:
            self._finish(dropped.job, FinishReason.REJECTED, f"more than {QUEUE_LIMIT} requests are waiting")

    def _load(self, message: Load) -> None:
        self._unload()
        self._post(ModelLoading(0.0, message.number))

        def progress(fraction: float) -> bool:
            self._post(ModelLoading(fraction, message.number))
            return not self._superseded()

        backend: Backend | None = None
        try:
            backend = self._factory(message.spec, progress)
            self._take(backend)
        except Exception as error:
            if backend is not None:
                backend.close()
            if not self._superseded():
                text = _explained(error)
                if not isinstance(error, ModelError):
                    text = f"loading {message.spec.path} failed: {type(error).__name__}: {text}"
                self._post(ModelFailed(text, message.number))
            return
        self._post(ModelReady(backend.info, message.number))

    def _take(self, backend: Backend) -> None:
        """Makes `backend` the one that requests are worked on with."""
        form = backend.info.format
        ids = (backend.marker(spelling) for spelling in (*form.markers, *form.stops))
        self._stops = frozenset(token for token in ids if token is not None)
        self._vocabulary = Vocabulary([backend.piece(token) for token in range(backend.info.vocabulary)])
        self._encoder = Encoder(backend)
        self._cache = PrefixCache(backend.info.sequences)
        self._backend = backend

    def _superseded(self) -> bool:
        """Whether a message has come that makes the model being loaded useless."""
        self._fetch()
        return any(isinstance(message, Load | Shutdown) for message in self._unread)

    # Requests -------------------------------------------------------------------------------------------

    def _finish(self, job: Generation, reason: FinishReason, message: str = "") -> None:
        self._scheduler.remove(job.request.id)
        job.release(self._cache)
        self._post(job.finished(reason, self._clock(), message))

    def _preempt(self) -> None:
        """Takes the sequence of the least urgent request that has one; it gets another when its turn comes."""
        holders = [entry.job for entry in self._scheduler if entry.job.sequence is not None]
        holders[-1].release(self._cache)

    def _cancel_all(self) -> None:
        for job in self._scheduler.clear():
            self._finish(job, FinishReason.CANCELLED)

    def _unload(self) -> None:
        self._cancel_all()
        backend, self._backend, self._encoder = self._backend, None, None
        self._cache = PrefixCache(0)
        if backend is not None:
            backend.close()


def _explained(error: Exception) -> str:
    """The error in a line for the user. One that nobody foresaw leaves its traceback in the log."""
    if not isinstance(error, ModelError):
        logger.error("the model failed", exc_info=error)
    return str(error) or type(error).__name__


def _rejected(request: Generate, message: str, reason: FinishReason = FinishReason.REJECTED) -> Finished:
    return Finished(request.id, "", reason, Usage(), message=message)
