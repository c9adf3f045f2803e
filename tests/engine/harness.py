"""An engine that tests drive by hand: virtual time, a scripted backend, and every event in a list."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from lsp_server.backends.base import Backend, ModelError, ModelSpec, SequenceState, StepCosts
from lsp_server.backends.scripted import ScriptedBackend
from lsp_server.core.hole import HoleKind
from lsp_server.core.prompt import FimPrompt, Segment
from lsp_server.core.stopping import StopRule
from lsp_server.engine.core import EngineCore
from lsp_server.engine.request import Event, Finished, Generate, Load, ModelReady, Priority, TextDelta, Usage
from tests.support.formats import format_named

LINE = StopRule(HoleKind.LINE, max_lines=1)
BLOCK = StopRule(HoleKind.BLOCK, max_lines=100)
MOST_STEPS = 20_000

# A batch of four costs little more than one token, so that drafts pay.
CHEAP_BATCHES = StepCosts((0, 512), (1, 2, 4, 8, 16), ((10.0, 10.5, 11.0, 13.0, 20.0), (12.0, 12.5, 13.0, 15.0, 24.0)))

# The logits of each further token cost more than a step of its own.
DEAR_ROWS = replace(CHEAP_BATCHES, rows_ms=(0.0, 40.0))

# Uneven, as on a real CPU: the logits of a second token cost more than a step of its own, those of many do not.
UNEVEN_ROWS = replace(CHEAP_BATCHES, rows_ms=(0.0, 12.0, 5.0, 4.0, 4.0))

# Of a model that drafts for one with the costs above.
QUICK = StepCosts((0, 512), (1, 16), ((0.5, 1.0), (0.6, 1.2)))

Progress = Callable[[float], bool]


class VirtualClock:
    """Time that passes only when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class EngineHarness:
    """An engine, its latest backend, and what it has posted. Each step takes 10 ms of virtual time."""

    def __init__(
        self, backend: Callable[[ModelSpec, Progress], Backend] = ScriptedBackend, *, step_seconds: float = 0.01
    ) -> None:
        self._make = backend
        self._step_seconds = step_seconds
        self.clock = VirtualClock()
        self.events: list[Event] = []
        self.backends: list[Backend] = []
        self._loads: deque[Callable[[], None]] = deque()
        self.engine = EngineCore(self._factory, self.events.append, self.clock, self._loads.append)

    def swap(self, backend: Callable[[ModelSpec, Progress], Backend]) -> None:
        """Makes later loads use another factory."""
        self._make = backend

    def _factory(self, spec: ModelSpec, progress: Progress) -> Backend:
        backend = self._make(spec, progress)
        self.backends.append(backend)
        return backend

    @property
    def backend(self) -> Backend:
        return self.backends[-1]

    def load(
        self, *, sequences: int = 1, context_tokens: int = 1024, form: str = "qwen", draft: str = ""
    ) -> ModelReady:
        """Loads a model and checks that it is there. draft: as in ModelSpec."""
        self.engine.send(Load(ModelSpec("", context_tokens, sequences, fim_format=form, draft=draft)))
        self.receive()
        ready = self.events[-1]
        assert isinstance(ready, ModelReady), ready
        return ready

    def receive(self) -> None:
        """Handles the messages that have been sent, and loads what they ask for."""
        self.engine.receive()
        while self._loads:
            self._loads.popleft()()
            self.engine.receive()

    def send(self, *messages: Generate) -> None:
        for message in messages:
            self.engine.send(message)
        self.receive()

    def step(self) -> bool:
        """One step, and the check that the cache's record says what the backend holds."""
        worked = self.engine.step()
        self.clock.now += self._step_seconds
        self.check()
        return worked

    def check(self) -> None:
        for model in self.engine.models.values():
            for part in (model, *([model.draft] if model.draft else [])):
                part.cache.check(part.backend.length)
                if isinstance(part.backend, ScriptedBackend):
                    for sequence in part.cache:
                        assert part.backend.tokens(sequence.id) == sequence.tokens

    def drain(self) -> None:
        """Steps until nothing is left to do. Ends even if the engine never would."""
        for _ in range(MOST_STEPS):
            if not self.step():
                return
        raise AssertionError(f"the engine is still busy after {MOST_STEPS} steps")

    def run(self, request: Generate) -> Finished:
        """Sends a request, works until it is done, and returns its last event."""
        self.send(request)
        self.drain()
        return self.finished(request.id)

    def finished(self, id: int) -> Finished:
        """The last event of a request; raises if there is none, or more than one."""
        (event,) = [event for event in self.events if isinstance(event, Finished) and event.id == id]
        return event

    def answered_usage(self) -> Usage:
        """What the last request that has ended has cost."""
        return self.finished(self.answered()[-1]).usage

    def answered(self) -> list[int]:
        """The ids of all requests that have ended, in that order."""
        return [event.id for event in self.events if isinstance(event, Finished)]

    def deltas(self, id: int) -> list[TextDelta]:
        return [event for event in self.events if isinstance(event, TextDelta) and event.id == id]


def make_prompt(before: str, typed: str, after: str = "\n", form: str = "qwen") -> FimPrompt:
    """A prompt laid out in a format, without a document."""
    found = format_named(form)
    texts = {"context": b"", "path": b"", "before": before.encode(), "after": after.encode(), "typed": typed.encode()}
    segments = [
        Segment("marker", piece.encode()) if isinstance(piece, str) else Segment(piece.kind, texts[piece.kind])
        for piece in found.layout
    ]
    return FimPrompt(form, tuple(segment for segment in segments if segment.text))


def ask(
    id: int,
    prompt: FimPrompt | str,
    *,
    stop: StopRule = LINE,
    max_tokens: int = 12,
    priority: Priority = Priority.INLINE,
    deadline: float | None = None,
    rank: int = 0,
) -> Generate:
    """A request; a string stands for a prompt with that text before the cursor."""
    if isinstance(prompt, str):
        prompt = make_prompt(prompt, "")
    return Generate(id, prompt, stop, max_tokens, priority, deadline, rank=rank)


@lru_cache(maxsize=4096)
def cold(
    prompt: FimPrompt,
    stop: StopRule,
    max_tokens: int,
    context_tokens: int = 1024,
    texts: Sequence[bytes] = (),
    words: Sequence[bytes] = (),
    rank: int = 0,
) -> Finished:
    """What an engine answers that has never seen anything else: the truth that reuse is measured by. It neither
    speculates nor decodes several requests together."""
    harness = EngineHarness(lambda spec, progress: ScriptedBackend(spec, progress, texts=texts, words=words))
    harness.load(form=prompt.format, context_tokens=context_tokens)
    return harness.run(Generate(1, prompt, stop, max_tokens, rank=rank))


class PartlyFailing(ScriptedBackend):
    """Fails when told to, and leaves half of the chunk in its cells, as llama.cpp does after an abort."""

    fail_next = False

    def evaluate(self, sequence: int, position: int, tokens: Sequence[int], *, logits: int):  # type: ignore[no-untyped-def]
        if self.fail_next:
            self.fail_next = False
            super().evaluate(sequence, position, tokens[: (len(tokens) + 1) // 2], logits=0)
            raise ModelError("the device is gone")
        return super().evaluate(sequence, position, tokens, logits=logits)


class Recurrent(ScriptedBackend):
    """Holds a state instead of cells: it can be kept whole, dropped whole, or put back to where it was remembered."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.info = replace(self.info, recurrent=True)
        self.remembered: dict[int, list[int]] = {}

    def checkpoint(self, sequence: int) -> None:
        lengths = self.remembered.setdefault(sequence, [])
        lengths.append(self.length(sequence))
        del lengths[:-4]

    def truncate(self, sequence: int, length: int) -> int:
        if length >= self.length(sequence):
            return self.length(sequence)
        kept = [held for held in self.remembered.get(sequence, []) if held <= length]
        self.remembered[sequence] = kept
        return super().truncate(sequence, kept[-1] if kept else 0)

    def copy(self, source: int, target: int) -> None:
        super().copy(source, target)
        self.remembered[target] = list(self.remembered.get(source, []))

    def save(self, sequence: int) -> SequenceState | None:
        state = super().save(sequence)
        earlier = tuple((length, memoryview(b"there")) for length in self.remembered.get(sequence, []))
        return state and replace(state, checkpoints=earlier)

    def restore(self, sequence: int, state: SequenceState) -> int:
        self.remembered[sequence] = [length for length, kept in state.checkpoints if kept == b"there"]
        return super().restore(sequence, state)


class Forgetful(ScriptedBackend):
    """Drops everything at every cut, even where nothing would have to go."""

    def truncate(self, sequence: int, length: int) -> int:
        return super().truncate(sequence, 0)
