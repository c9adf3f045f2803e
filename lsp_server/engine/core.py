"""The engine's main loop: owns the models, handles messages, and does one step of the most urgent request at a time."""

from __future__ import annotations

import math
import queue
import time
from collections.abc import Callable, Iterable, Sequence

from lsp_server.backends.base import BackendFactory, InterruptedEvaluation
from lsp_server.engine.decode import Generation
from lsp_server.engine.loader import Admitted, Crowded, Loaded, Loader
from lsp_server.engine.model import LoadedModel
from lsp_server.engine.preemption import Step, interrupts
from lsp_server.engine.prefix_cache import PrefixCache
from lsp_server.engine.registry import Registry, explained
from lsp_server.engine.request import (
    CacheUse,
    Cancel,
    Event,
    FinishReason,
    Generate,
    Keep,
    Load,
    Message,
    Priority,
    Role,
    Working,
    rejected,
)
from lsp_server.engine.saved_prompts import SavedPrompts, Written
from lsp_server.engine.scheduler import Scheduler
from lsp_server.engine.spawn import Spawn, in_thread
from lsp_server.engine.work import Work

QUEUE_LIMIT = 64

# How long actions and next edits wait after each request that the user's typing causes. Half of all keys come within 90
# ms of the key before, and a key that comes during a step of an action waits for the end of that step.
REST_SECONDS = 0.2

# After this long without a request, models do their background work (`Backend.rest`), until the next message.
IDLE_SECONDS = 3.0

_LONGEST_WAIT_SECONDS = 3600.0

# The progress of a prompt is reported again when it has grown by this share.
_TOLD_SHARE = 0.05


class EngineCore:
    """Runs on one thread, the only thread that touches a loaded model. `post` is called on that thread and on loader
    threads.

    Between two steps (one batch of a prompt, or one decoded token) it handles its messages. A message that makes the
    running step useless, or is more urgent, interrupts the step if the device can stop (`preemption.interrupts`). What
    earlier steps of a cancelled request have computed stays in the cache.
    """

    def __init__(
        self,
        factory: BackendFactory,
        post: Callable[[Event], None],
        clock: Callable[[], float] = time.monotonic,
        spawn: Spawn = in_thread,
    ) -> None:
        self._post = post
        self._clock = clock
        self._inbox: queue.SimpleQueue[Message | Loaded | Crowded | Admitted | Written] = queue.SimpleQueue()
        self._scheduler: Scheduler[Generation] = Scheduler(QUEUE_LIMIT)
        loader = Loader(factory, post, self._inbox.put, spawn)
        self._saved = SavedPrompts(spawn, self._inbox.put, clock)
        self._registry = Registry(loader, self._saved, post, self._cancel_all_of, clock)
        self._running = True
        self._step: Step | None = None  # written by the engine's thread, read by threads in `send`
        self._rest_until = 0.0  # until then actions and next edits wait
        self._key_at = clock()  # when the last completion request came
        self._idle_at = math.inf  # when models may do background work
        self._told = Working()
        self._told_cache = CacheUse()

    @property
    def models(self) -> dict[Role, LoadedModel]:
        """The loaded models. Used by the engine's thread, and by tests that drive the engine without a thread."""
        return self._registry.models

    def cache(self, role: Role = "completion") -> PrefixCache:
        """The record of a model's KV cache; an empty record if no model is loaded."""
        model = self.models.get(role)
        return model.cache if model else PrefixCache(0)

    def send(self, message: Message) -> None:
        """Hands the engine a message. Callable from any thread; never blocks."""
        self._inbox.put(message)
        step = self._step
        if step is not None and interrupts(message, step):
            step.backend.interrupt(True)

    def run(self) -> None:
        """Works until `Shutdown`. Sleeps, without polling, while there is nothing to do."""
        try:
            while self._running:
                self.receive(wait=not self._scheduler)
                self.rest()
                if not self.step() and self._clock() >= self._idle_at:
                    self.use_idle_time()
        finally:
            self._registry.loader.close()
            self.receive()
            self._registry.close()

    def receive(self, *, wait: bool = False) -> None:
        """Handles all messages in the inbox. wait: first waits for a message, or until some timed work is due."""
        if wait:
            saving = self._saved.next_due()
            due = min(self._idle_at, self._registry.next_due(), math.inf if saving is None else saving)
            try:
                self._handle(self._inbox.get(timeout=max(0.0, min(due - self._clock(), _LONGEST_WAIT_SECONDS))))
            except queue.Empty:
                return
        while True:
            try:
                message = self._inbox.get_nowait()
            except queue.Empty:
                return
            self._handle(message)

    def rest(self) -> None:
        """While the queue has only actions and next edits and the user has just typed, waits for messages until
        `_rest_until`."""
        while self._running and (left := self._rest_until - self._clock()) > 0:
            first = self._scheduler.first()
            if first is None or not first.priority.yields:
                return
            if first.priority is Priority.ACTION:
                self._tell(Working("waiting", first.job.request.role))
            try:
                self._handle(self._inbox.get(timeout=left))
            except queue.Empty:
                return
            self.receive()

    def step(self) -> bool:
        """Does one step of the most urgent request: one chunk of its prompt or one token. Also starts a due write of a
        saved prompt and unloads unused models. Returns False if there was no request."""
        worked = self._work()
        self._saved.rest(self.models.get("completion"), worked=worked)
        self._registry.tidy({entry.job.request.role for entry in self._scheduler})
        if not self._scheduler and self._told.kind != "measuring":
            self._tell(Working())
        return worked

    def use_idle_time(self) -> None:
        """Does one piece of the models' background work."""
        if self._registry.idle():
            self._tell(Working("measuring"))
        else:
            self._idle_at = math.inf
            self._tell(Working())

    def _tell(self, now: Working) -> None:
        """Posts what the engine does now, if the activity has changed or its progress has grown by `_TOLD_SHARE`."""
        told = self._told
        if (now.kind, now.role) != (told.kind, told.role) or abs(now.done - told.done) >= _TOLD_SHARE:
            self._told = now
            self._post(now)

    def _work(self) -> bool:
        now = self._clock()
        for job in self._scheduler.expired(now):
            self._finish(job, FinishReason.DEADLINE)
        entry = self._scheduler.first()
        if entry is None:
            return False
        job = entry.job
        # From here on a message can interrupt the step. Messages that came before are handled now.
        request, backend = job.request, job.model.backend
        self._step = Step(backend, request.id, request.priority, request.role, job.prompt)
        backend.interrupt(False)
        self.receive()
        if self._scheduler.first() is entry:
            self._advance(job, now)
        self._step = None
        return True

    def _advance(self, job: Generation, now: float) -> None:
        """Does one step of a request, together with its other candidates."""
        job.choose_prompt()
        if job.sequence is None and job.already_done():
            self._finish(job, FinishReason.LENGTH)
            return
        jobs = [job]
        try:
            others = self._companions(job)
            if job.sequence is None:
                for warming in [other for other in others if other.request.max_tokens == 0]:
                    warming.release()  # our prompt includes all that it would evaluate
                if not job.place(now):
                    self._preempt(job.model)
                    job.place(now)
            others = [other for other in others if other.request.max_tokens > 0]
            if not job.together_pays(1 + len(others)):
                others = []  # decode the candidates one after another, each with drafts
            work = job.prepare(alone=not others, pause=self._clock() - self._key_at)
            works = [(job, work)]
            works += self._joining(work, others, now)
            jobs = [job for job, _ in works]
            self._tell(job.working())
            if not self._evaluate([(job, work) for job, work in works if work is not None]):
                for interrupted in jobs:
                    interrupted.interrupted()
                return
            ended = [(each, *each.write(self._clock())) for each in jobs]
        except Exception as error:
            # An error of one request must not end the thread that serves all requests.
            why = explained(error)
            for failed in jobs:
                self._finish(failed, FinishReason.FAILED, why)
            self._registry.failed(job.request.role, why)
            return
        for done, delta, reason in ended:
            if delta is not None:
                self._post(delta)
            if reason is not None:
                self._finish(done, reason)

    def _companions(self, job: Generation) -> list[Generation]:
        """The other requests with the same prompt, which are candidates or warming. Their shared prompt is evaluated
        once, for `job`."""
        same = [entry.job for entry in self._scheduler if entry.job is not job and entry.job.model is job.model]
        for other in same:
            if other.request.prompt == job.request.prompt:
                other.choose_prompt(job)
        return [other for other in same if other.prompt == job.prompt]

    def _joining(
        self, work: Work | None, others: Sequence[Generation], now: float
    ) -> list[tuple[Generation, Work | None]]:
        """Those of `others` that need at most one token evaluated, so that one batch with `work` can do it."""
        joining: list[tuple[Generation, Work | None]] = []
        if work is None or len(work.tokens) > 1:
            return joining
        for other in others:
            if other.sequence is None and not other.place(now):
                continue
            work = other.prepare(alone=False)
            if work is None or len(work.tokens) == 1:
                joining.append((other, work))
        return joining

    def _evaluate(self, works: list[tuple[Generation, Work]]) -> bool:
        """Evaluates the work of one or several requests in one batch. Returns False if the evaluation was interrupted;
        then nothing was computed."""
        if not works:
            return True
        backend = works[0][1].backend
        began = self._clock()
        try:
            if len(works) == 1:
                work = works[0][1]
                wanted = work.logits + len(work.draft)
                rows = [backend.evaluate(work.sequence, work.position, [*work.tokens, *work.draft], logits=wanted)]
            else:
                each = backend.evaluate_each([(work.sequence, work.position, work.tokens[0]) for _, work in works])
                rows = [[row] for row in each]
        except InterruptedEvaluation:
            for _, work in works:
                work.cache.truncate(work.sequence, backend.truncate(work.sequence, work.position))
            return False
        except Exception as error:
            # Part of the batch may be in the cache; only the backend knows how much.
            for _, work in works:
                work.cache.truncate(work.sequence, backend.truncate(work.sequence, work.position))
            draft = works[0][0].model.draft
            if draft is None or backend is not draft.backend:
                works[0][0].model.health.step(works=False)
                raise
            draft.failure = f"{backend.info.name} failed, and drafts no more: {explained(error)}"
            self._registry.tell(works[0][0].request.role)
            return True
        works[0][0].model.health.step(works=True)
        seconds = self._clock() - began
        for (job, work), found in zip(works, rows, strict=True):
            job.spend(seconds, work)
            job.take(work, found)
        return True

    # Messages -------------------------------------------------------------------------------------------

    def _handle(self, message: Message | Loaded | Crowded | Admitted | Written) -> None:
        if isinstance(message, Generate):
            self._generate(message)
        elif isinstance(message, Cancel):
            job = self._scheduler.get(message.id)
            if job is not None:
                self._finish(job, FinishReason.CANCELLED)
        elif isinstance(message, Load):
            self._registry.load(message)
        elif isinstance(message, Loaded):
            self._registry.take(message)
            self._idle_at = self._clock() + IDLE_SECONDS
        elif isinstance(message, Admitted):
            self._registry.adapt(message.load, message.error)
        elif isinstance(message, Crowded):
            self._registry.wait_for_room(message)
        elif isinstance(message, Keep):
            self._registry.keep(message.seconds)
            self._saved.limit(message.prompt_bytes)
        elif isinstance(message, Written):
            self._saved.written(message)
        else:
            self._running = False
            self._cancel(self._scheduler.clear())

    def _typed(self, request: Generate) -> None:
        """Starts the wait of actions and next edits anew, if this request, which has come or ended, was caused by
        typing."""
        if not request.priority.yields:
            self._rest_until = self._clock() + REST_SECONDS

    def _generate(self, request: Generate) -> None:
        self._typed(request)
        if request.priority is Priority.INLINE:
            self._key_at = self._clock()
        model = self.models.get(request.role)
        if model is None:
            self._post(rejected(request, "no model is loaded"))
            return
        try:
            room = model.backend.info.context_tokens - max(request.max_tokens, request.reserve)
            encoded = model.encoder.encode(request.prompt.with_written(request.written), room)
            smaller = request.quick.with_written(request.written) if request.quick else None
            quick = model.encoder.encode(smaller, room) if smaller else None
        except Exception as error:
            self._post(rejected(request, explained(error), FinishReason.FAILED))
            return
        job = Generation(request, encoded, model, self._clock(), quick)
        dropped = self._scheduler.add(request.id, job, request.priority, request.deadline)
        if dropped is not None:
            self._finish(dropped.job, FinishReason.REJECTED, f"more than {QUEUE_LIMIT} requests are waiting")

    # Requests -------------------------------------------------------------------------------------------

    def _finish(self, job: Generation, reason: FinishReason, message: str = "") -> None:
        self._scheduler.remove(job.request.id)
        self._typed(job.request)
        self._idle_at = self._clock() + IDLE_SECONDS
        job.release()
        now = self._clock()
        if self.models.get(job.request.role) is job.model:
            self._registry.use(job.request.role)
        if job.request.role == "completion":
            self._tell_cache(job.model.cache)
        self._post(job.finished(reason, now, message))

    def _tell_cache(self, cache: PrefixCache) -> None:
        """Posts what a model's KV cache holds, if it differs from the last report."""
        use = CacheUse(tuple(len(sequence.tokens) for sequence in cache), cache.forks, cache.evictions)
        if use != self._told_cache:
            self._told_cache = use
            self._post(use)

    def _preempt(self, model: LoadedModel) -> None:
        """Takes the sequence away from the model's least urgent request that has one. That request gets another when
        its turn comes."""
        holders = [e.job for e in self._scheduler if e.job.model is model and e.job.sequence is not None]
        holders[-1].release()

    def _cancel_all_of(self, model: LoadedModel) -> None:
        self._cancel([entry.job for entry in self._scheduler if entry.job.model is model])

    def _cancel(self, jobs: Iterable[Generation]) -> None:
        for job in jobs:
            self._finish(job, FinishReason.CANCELLED)
