"""Evaluated prompts on the disk: read when needed again, written while the user pauses and when a model is unloaded."""

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
from lsp_server.engine.saved_prompt_choice import ReadPace, Saved, best, is_worth_saving, replaced, same_pace
from lsp_server.engine.spawn import Spawn
from lsp_server.engine.work import take_sequence
from lsp_server.system import saved_prompt_files

logger = logging.getLogger(__name__)

# A prompt is written after this many seconds without work, and at this rate at most, to spare the disk.
REST_SECONDS, _BYTES_PER_SECOND = 4.0, 500_000

# How long writing prompts may delay the unloading of a model.
END_SECONDS = 1.0

# The pause after a failed write.
_FAILED_SECONDS = 600.0

# If a folder changed this shortly before it was listed, it may have changed again since with the same time stamp.
_UNSURE_NS = 2_000_000_000


@dataclass(frozen=True, slots=True)
class Written:
    """The result of a write on another thread. size: in bytes; 0 if there was no room."""

    size: int
    problem: str = ""


class Model(Protocol):
    """The parts of a loaded model that are needed here."""

    @property
    def backend(self) -> Backend: ...

    @property
    def info(self) -> ModelInfo: ...

    @property
    def cache(self) -> PrefixCache: ...

    @property
    def pace(self) -> Pace: ...


class SavedPrompts:
    """The saved prompts of the completion model. Used by the engine's thread; only writes run on another thread.

    deliver: called on that thread with the result of a write. clock: the engine's.
    """

    def __init__(self, spawn: Spawn, deliver: Callable[[Written], None], clock: Callable[[], float]) -> None:
        self._spawn, self._deliver, self._clock = spawn, deliver, clock
        self._limit_bytes = 0
        self._pace = ReadPace()
        self._key = ""
        self._known: dict[str, Saved] = {}  # by name
        self._changed, self._looked = -1, 0
        self._idle_since: float | None = None  # None: the engine works, or all is saved
        self._not_before = 0.0
        self._writing: threading.Event | None = None  # set when the write under way has ended

    def limit(self, count: int) -> None:
        """Sets how many bytes may be on the disk; with 0 nothing is read or written."""
        self._limit_bytes = count

    # Reading --------------------------------------------------------------------------------------------

    def token_ms(self, model: Model) -> float:
        """The prefill time per token to report for a model, so that prompts get the same size as the saved ones (see
        `same_pace`); 0 if it was not measured."""
        saved, measured = self._find(model), model.backend.info.token_ms
        return same_pace(saved, measured) if measured > 0 else 0.0

    def seconds_left(self, model: Model, tokens: Sequence[int], held: int) -> float:
        """The estimated time to get all of `tokens` into the cache, of which it holds `held`; in seconds."""
        found = self._worth_reading(model, tokens, held)
        if found is None:
            return model.pace.seconds(len(tokens) - held, held)
        saved, there = found
        return self._pace.seconds(saved.size) + model.pace.seconds(len(tokens) - there, there)

    def take_sequence(self, model: Model, tokens: Sequence[int]) -> int | None:
        """Takes a sequence for `tokens`, which holds as many of them as possible: from the cache, or from a saved
        prompt if that has clearly more. None if all sequences are busy."""
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
            if prompt.tokens == saved.tokens:  # else the file was replaced meanwhile
                held = backend.restore(sequence, SequenceState(length, state, tuple(earlier)))
            if held != len(saved.tokens):
                raise saved_prompt_files.DamagedError(f"{saved.name} does not fit the model")
            cache.append(sequence, saved.tokens)
            self._pace.learn(saved.size, time.perf_counter() - began)
        except FileNotFoundError:  # another server has deleted it to make room
            self._known.pop(saved.name, None)
        except Exception as error:
            logger.info("a saved prompt cannot be read: %s", error)
            cache.truncate(sequence, backend.truncate(sequence, 0))
            self._forget(saved.name)
        return sequence

    def _worth_reading(
        self, model: Model, tokens: Sequence[int], held: int, *, asks: bool = False
    ) -> tuple[Saved, int] | None:
        """The saved prompt to read, if that is faster than to evaluate the tokens after the first `held`; and how many
        tokens it spares."""
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
        """The saved prompts of a model. Lists the folder again if it may have changed."""
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
        """When the next write may be due; None if not before the engine has worked again."""
        if self._idle_since is None or self._writing is not None or not self._limit_bytes:
            return None
        return max(self._idle_since + REST_SECONDS, self._not_before)

    def rest(self, model: Model | None, *, worked: bool) -> None:
        """Starts to write a prompt of `model`, if it is time and one is worth it. worked: whether the engine has just
        worked."""
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
        """Notes the result of a write, and when the next may begin."""
        self._writing = None
        pause = _FAILED_SECONDS if written.problem or not written.size else written.size / _BYTES_PER_SECOND
        self._not_before = self._clock() + pause
        if written.problem:
            logger.warning("a prompt cannot be saved in %s: %s", saved_prompt_files.folder(), written.problem)

    def end(self, model: Model) -> None:
        """Writes the unsaved prompts of a model before it is unloaded, the most recently used first, until END_SECONDS
        have passed."""
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
        """The sequences that are worth saving and are not saved, the most recently used first."""
        if not self._limit_bytes or not _key_of(model):
            return []
        there, unsaved = self._find(model), []
        for sequence in sorted(model.cache, key=lambda sequence: -sequence.used):
            tokens = _kept(model, sequence)
            if not sequence.busy and is_worth_saving(there, tokens) and self._pays(model, len(tokens)):
                there.append(Saved("", tokens, 0))  # so that sequences with nearly the same tokens do not count
                unsaved.append(sequence)
        return unsaved

    def _pays(self, model: Model, count: int) -> bool:
        """Whether reading is faster than evaluating, estimated from the sizes of the known files."""
        sizes = [saved.size / len(saved.tokens) for saved in self._known.values()]
        evaluating = model.pace.seconds(count, 0)
        return not sizes or not evaluating or self._pace.seconds(int(count * max(sizes))) < evaluating

    def _writer(self, model: Model, sequence: ResidentSequence) -> Callable[[Callable[[], bool]], int] | None:
        """A function that writes a sequence's present state to a file; None if the state cannot be read from the
        backend."""
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
    """The tokens of a sequence to save: all of them. But the state of a sliding-window model cannot be cut back after
    it is restored, so it gets only the tokens that the same prompt will need."""
    sliding = 0 < model.backend.info.sliding_tokens < len(sequence.tokens)
    return sequence.tokens[: model.cache.settled(sequence.id) if sliding else None]


def _tried(write: Callable[[Callable[[], bool]], int], go_on: Callable[[], bool]) -> Written:
    try:
        return Written(write(go_on))
    except Exception as error:
        return Written(0, str(error) or type(error).__name__)


def _key_of(model: Model) -> str:
    """The key of a model's saved prompts: what their states and their layout depend on. Empty if the model's states
    cannot be saved."""
    info = model.backend.info
    if not info.state_key or (info.recurrent and info.sliding_tokens):
        return ""  # recurrent and sliding-window states are cut back in different ways
    return f"{info.state_key} {info.format.name} {info.format.layout}"
