"""Prompts that outlive the server: read from the cache folder when they are needed again, and written while the user
rests and at the end."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from lsp_server.backends.base import Backend, ModelInfo, SequenceState
from lsp_server.engine.pace import Pace
from lsp_server.engine.prefix_cache import PrefixCache, ResidentSequence
from lsp_server.engine.saved_prompt_choice import ReadPace, Saved, best, is_news, replaced, same_pace
from lsp_server.engine.spawn import Spawn
from lsp_server.engine.work import take_sequence
from lsp_server.system import saved_prompt_files

logger = logging.getLogger(__name__)

# After so long without work a prompt is written, and so many bytes a second at most, so that a disk lasts.
REST_SECONDS, _BYTES_PER_SECOND = 4.0, 500_000

# How long a model that is given up may take to write its prompts.
END_SECONDS = 1.0

# What cannot be written is not tried again for so long.
_FAILED_SECONDS = 600.0

# A folder that was changed this shortly before it was looked at may have changed again since, within the file system's
# unit of time.
_UNSURE_NS = 2_000_000_000


@dataclass(frozen=True, slots=True)
class Written:
    """A prompt has been written, on another thread, or could not be. size: in bytes; 0 if there was no room for it."""

    size: int
    problem: str = ""


class Model(Protocol):
    """What is needed of a loaded model."""

    @property
    def backend(self) -> Backend: ...

    @property
    def info(self) -> ModelInfo: ...

    @property
    def cache(self) -> PrefixCache: ...

    @property
    def pace(self) -> Pace: ...


class SavedPrompts:
    """The saved prompts of the model that completes code. For the engine's thread; it only writes on another one.

    deliver: takes what becomes of a write, on that thread. clock: the engine's.
    """

    def __init__(self, spawn: Spawn, deliver: Callable[[Written], None], clock: Callable[[], float]) -> None:
        self._spawn, self._deliver, self._clock = spawn, deliver, clock
        self._limit_bytes = 0
        self._pace = ReadPace()
        self._key = ""
        self._known: dict[str, Saved] = {}  # by name
        self._changed, self._looked = -1, 0
        self._idle_since: float | None = None  # None: it works, or all is saved
        self._not_before = 0.0
        self._writing: threading.Event | None = None  # set when the write under way has ended

    def limit(self, count: int) -> None:
        """Sets how many bytes there may be on the disk; with 0 nothing is read or written."""
        self._limit_bytes = count

    # Reading --------------------------------------------------------------------------------------------

    def token_ms(self, model: Model) -> float:
        """What a token of a model's prompt is to be said to take, so that prompts are made as large as those that are
        saved; 0 if that was not measured."""
        saved, measured = self._find(model), model.backend.info.token_ms
        return same_pace(saved, measured) if measured > 0 else 0.0

    def seconds_left(self, model: Model, tokens: Sequence[int], held: int) -> float:
        """How long it takes until all of `tokens` are there, of which `held` are."""
        found = self._worth_reading(model, tokens, held)
        if found is None:
            return model.pace.seconds(len(tokens) - held, held)
        saved, there = found
        return self._pace.seconds(saved.size) + model.pace.seconds(len(tokens) - there, there)

    def take_sequence(self, model: Model, tokens: Sequence[int]) -> int | None:
        """A sequence for `tokens`, which holds what it can of them: what is resident, or what was saved if that is
        clearly more. None if all are busy."""
        backend, cache = model.backend, model.cache
        found = self._worth_reading(model, tokens, cache.match(tokens)[1], asks=True)
        sequence = take_sequence(backend, cache, tokens)
        if sequence is None or found is None:
            return sequence
        saved = found[0]
        began = time.perf_counter()
        cache.truncate(sequence, backend.truncate(sequence, 0))
        try:
            prompt, states = saved_prompt_files.read(self._key, saved.name)
            *earlier, (length, state) = zip(prompt.lengths, states, strict=True)
            held = 0
            if prompt.tokens == saved.tokens:  # else it was exchanged for another
                held = backend.restore(sequence, SequenceState(length, state, tuple(earlier)))
            if held != len(saved.tokens):
                raise saved_prompt_files.DamagedError(f"{saved.name} does not fit the model")
            cache.append(sequence, saved.tokens)
            self._pace.learn(saved.size, time.perf_counter() - began)
        except FileNotFoundError:  # another server has made room
            self._known.pop(saved.name, None)
        except Exception as error:
            logger.info("a saved prompt cannot be read: %s", error)
            cache.truncate(sequence, backend.truncate(sequence, 0))
            self._forget(saved.name)
        return sequence

    def _worth_reading(
        self, model: Model, tokens: Sequence[int], held: int, *, asks: bool = False
    ) -> tuple[Saved, int] | None:
        """The saved prompt to read instead of evaluating more than `held` of `tokens`, and how many it spares."""
        found = best(self._find(model), tokens, held) if self._limit_bytes else None
        if found is None:
            return None
        evaluating = model.pace.seconds(found[1] - held, held)
        if evaluating and evaluating <= self._pace.seconds(found[0].size):
            if asks:
                self._pace.turned_down()
            return None
        return found

    def _find(self, model: Model) -> list[Saved]:
        """What is saved for a model."""
        key = _key_of(model)
        if not key or not self._limit_bytes:
            return []
        changed = saved_prompt_files.changed()
        if (key, changed) != (self._key, self._changed) or self._looked - changed < _UNSURE_NS:
            if key != self._key:
                self._known = {}
            self._key, self._changed, self._looked = key, changed, time.time_ns()
            there = set(saved_prompt_files.names(key))
            self._known = {name: known for name, known in self._known.items() if name in there}
            for name in there - self._known.keys():
                self._look_at(name, whole=model.backend.info.recurrent or model.backend.info.sliding_tokens > 0)
        return list(self._known.values())

    def _look_at(self, name: str, *, whole: bool) -> None:
        try:
            prompt = saved_prompt_files.describe(self._key, name)
        except FileNotFoundError:
            return
        except (OSError, saved_prompt_files.DamagedError):
            self._forget(name)
            return
        lengths = prompt.lengths if whole else None
        self._known[name] = Saved(name, prompt.tokens, prompt.size, lengths, prompt.token_ms)

    def _forget(self, name: str) -> None:
        self._known.pop(name, None)
        saved_prompt_files.remove(name)

    # Writing --------------------------------------------------------------------------------------------

    def next_due(self) -> float | None:
        """When there may be something to write; None if not before the engine has worked again."""
        if self._idle_since is None or self._writing is not None or not self._limit_bytes:
            return None
        return max(self._idle_since + REST_SECONDS, self._not_before)

    def rest(self, model: Model | None, *, worked: bool) -> None:
        """Begins to write a prompt of `model`, if it is time and there is one to be written. worked: whether the engine
        has just worked."""
        if worked:
            self._idle_since = self._clock()
        due, now = self.next_due(), self._clock()
        if due is None or due > now:
            return
        unsaved = self._unsaved(model) if model is not None else []
        write = self._writer(model, unsaved[0]) if model is not None and unsaved else None
        if write is None:
            self._idle_since = None
            return
        self._writing = ended = threading.Event()

        def run() -> None:
            written = _tried(write, lambda: True)
            ended.set()
            self._deliver(written)

        self._spawn(run)

    def written(self, written: Written) -> None:
        """Takes note of what has become of a write."""
        self._writing = None
        pause = _FAILED_SECONDS if written.problem or not written.size else written.size / _BYTES_PER_SECOND
        self._not_before = self._clock() + pause
        if written.problem:
            logger.warning("a prompt cannot be saved in %s: %s", saved_prompt_files.folder(), written.problem)

    def end(self, model: Model) -> None:
        """Writes what is not saved of a model that is given up, the latest used first, as far as there is time."""
        until = time.monotonic() + END_SECONDS
        if self._writing is not None:
            self._writing.wait(END_SECONDS)
        for sequence in self._unsaved(model):
            if time.monotonic() >= until:
                return
            write = self._writer(model, sequence)
            if write is not None:
                _tried(write, lambda: time.monotonic() < until)

    def _unsaved(self, model: Model) -> list[ResidentSequence]:
        """The sequences worth saving that are not saved, the latest used first."""
        if not self._limit_bytes or not _key_of(model):
            return []
        there, unsaved = self._find(model), []
        for sequence in sorted(model.cache, key=lambda sequence: -sequence.used):
            tokens = _kept(model, sequence)
            if not sequence.busy and is_news(there, tokens) and self._pays(model, len(tokens)):
                there.append(Saved("", tokens, 0))  # others may hold much the same
                unsaved.append(sequence)
        return unsaved

    def _pays(self, model: Model, count: int) -> bool:
        """Whether it is read faster than it is evaluated, as far as is known without reading it."""
        sizes = [saved.size / len(saved.tokens) for saved in self._known.values()]
        evaluating = model.pace.seconds(count, 0)
        return not sizes or not evaluating or self._pace.seconds(int(count * max(sizes))) < evaluating

    def _writer(self, model: Model, sequence: ResidentSequence) -> Callable[[Callable[[], bool]], int] | None:
        """What writes a sequence, as it is now."""
        tokens = _kept(model, sequence)
        if len(tokens) < len(sequence.tokens):
            model.cache.truncate(sequence.id, model.backend.truncate(sequence.id, len(tokens)))
        state = model.backend.save(sequence.id)
        if state is None or state.length != len(tokens):
            return None
        key, limit = self._key, self._limit_bytes
        states = [*state.checkpoints, (state.length, state.data)]
        token_ms, instead_of = model.info.token_ms, replaced(self._find(model), tokens)

        def write(go_on: Callable[[], bool]) -> int:
            return saved_prompt_files.write(
                key, tokens, states, token_ms, limit_bytes=limit, instead_of=instead_of, go_on=go_on
            )

        return write


def _kept(model: Model, sequence: ResidentSequence) -> list[int]:
    """What is saved of a sequence: all, but of one that cannot be cut back when it is restored, no more than what the
    same prompt will need."""
    sliding = 0 < model.backend.info.sliding_tokens < len(sequence.tokens)
    return sequence.tokens[: model.cache.settled(sequence.id) if sliding else None]


def _tried(write: Callable[[Callable[[], bool]], int], go_on: Callable[[], bool]) -> Written:
    try:
        return Written(write(go_on))
    except Exception as error:
        return Written(0, str(error) or type(error).__name__)


def _key_of(model: Model) -> str:
    """What the states of a model depend on, and how its prompts are laid out."""
    info = model.backend.info
    if not info.state_key or (info.recurrent and info.sliding_tokens):
        return ""  # each of the two is cut back in a way in which the other cannot be
    return f"{info.state_key} {info.format.name} {info.format.layout}"
