"""Compares models: their speed, measured in turns, and how often they write the same.

Other programs on a machine come and go. So the models take many short turns, in alternating order. Other work only
makes an evaluation longer, so the fastest share of each model's evaluations counts.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lsp_server.backends.base import Backend, BackendFactory, ModelSpec, NoRoomError
from lsp_server.models import measure

if TYPE_CHECKING:
    from lsp_server.backends.base import Logits

_ROUNDS, _FEWEST_ROUNDS = 40, 4
_DEPTH, _READ_TOKENS, _DECODED_TOKENS = 128, 32, 4
_QUICK = 0.2  # the quantile of the durations that counts
_ROUGH = 1.25
_REPEATS_ALONE = 8  # turns in a row if the models are loaded one at a time
_SPEED_S, _ANSWERS_S = 90.0, 180.0
_FEWEST_ANSWERS = 12
_LINE_TOKENS = 24
# After this many bytes of text, a model's next token is compared.
_LEAST_BEFORE = 40


@dataclass(frozen=True, slots=True)
class Ratio:
    """The speed of a model as a multiple of another's. low, high: the lowest and highest value from all turns, and from
    each half of them."""

    all: float
    low: float
    high: float

    @property
    def rough(self) -> bool:
        """Whether the two halves differ much, so that something else ran meanwhile."""
        return self.high > _ROUGH * self.low


@dataclass(frozen=True, slots=True)
class Speed:
    """Tokens per second of prefill and of decode, and each as a multiple of the first model's speed."""

    prefill_tokens_s: float
    decode_tokens_s: float
    prefill: Ratio
    decode: Ratio

    @property
    def gain(self) -> float:
        """Both speeds as one number: a key costs a part of a prompt and some decoded tokens, so both have equal
        weight."""
        return math.sqrt(self.prefill.all * self.decode.all)


@dataclass(frozen=True, slots=True)
class Answer:
    """line: the text that a model writes after a prompt, to the line's end. following: the bytes of the most probable
    next token at each place in the prompt, by the number of bytes before it."""

    line: bytes
    following: Mapping[int, bytes]


@dataclass(frozen=True, slots=True)
class Agreement:
    """How often a model writes the same as the first. lines, same_lines: greedy lines, and those that are equal.
    other_lines, same_other_lines: the same for prompts with non-ASCII text. tokens, same_tokens: next tokens at the
    same places of the prompts, and those that are equal."""

    lines: int
    same_lines: int
    other_lines: int
    same_other_lines: int
    tokens: int
    same_tokens: int


class Arms:
    """The compared models, loaded when first used. If they do not fit into memory together, one at a time."""

    def __init__(self, factory: BackendFactory, specs: Sequence[ModelSpec], progress: Callable[[float], bool]) -> None:
        self._factory, self._specs, self._progress = factory, specs, progress
        self._loaded: dict[int, Backend] = {}
        self._alone = False

    def __len__(self) -> int:
        return len(self._specs)

    def __getitem__(self, index: int) -> Backend:
        if index not in self._loaded:
            if self._alone:
                self.close()
            try:
                self._loaded[index] = self._factory(self._specs[index], self._progress)
            except NoRoomError:
                if not self._loaded:
                    raise
                self._alone = True
                self.close()
                self._loaded[index] = self._factory(self._specs[index], self._progress)
        return self._loaded[index]

    @property
    def repeats(self) -> int:
        """How many turns in a row a model takes."""
        return _REPEATS_ALONE if self._alone else 1

    def close(self) -> None:
        while self._loaded:
            self._loaded.popitem()[1].close()


def speeds(
    arms: Arms, check: Callable[[], None] = lambda: None, clock: Callable[[], float] = time.perf_counter
) -> list[Speed]:
    """Times all models in turns. check: called between turns, and may raise."""
    for index in range(len(arms)):
        check()
        _turn(arms[index], clock)  # warms up, and finds out whether all fit into memory
    began, rounds = clock(), 0
    reading: list[list[float]] = [[] for _ in range(len(arms))]
    decoding: list[list[float]] = [[] for _ in range(len(arms))]
    while rounds < _ROUNDS and (rounds < _FEWEST_ROUNDS or clock() - began < _SPEED_S):
        order = range(len(arms)) if rounds % 2 == 0 else reversed(range(len(arms)))
        for index in order:
            check()
            model = arms[index]
            for _ in range(arms.repeats):
                read_s, decoded_s = _turn(model, clock)
                reading[index] += read_s
                decoding[index] += decoded_s
        rounds += 1
    return [
        Speed(
            1 / _quick(reading[index]),
            1 / _quick(decoding[index]),
            _ratio(reading[0], reading[index]),
            _ratio(decoding[0], decoding[index]),
        )
        for index in range(len(arms))
    ]


def _turn(backend: Backend, clock: Callable[[], float]) -> tuple[list[float], list[float]]:
    """The seconds per token of some chunks of a prompt after `_DEPTH` tokens, and of some tokens decoded after it.

    There is one figure for each evaluation: the shorter an evaluation, the more of them are undisturbed.
    """
    import numpy as np

    tokens = [*backend.start_tokens(), *backend.tokenize(measure.PROMPT)][: _DEPTH + _READ_TOKENS]
    depth, step = backend.truncate(0, _DEPTH), backend.info.chunk_tokens
    for start in range(depth, _DEPTH, step):
        backend.evaluate(0, start, tokens[start : min(start + step, _DEPTH)], logits=1)
    read, decoded = [], []
    logits: list[Logits] = []
    for start in range(_DEPTH, len(tokens), step):
        chunk, began = tokens[start : start + step], clock()
        logits = backend.evaluate(0, start, chunk, logits=1)
        read.append(max(clock() - began, 1e-9) / len(chunk))
    for position in range(len(tokens), len(tokens) + _DECODED_TOKENS):
        token, began = int(np.argmax(logits[0])), clock()
        logits = backend.evaluate(0, position, [token], logits=1)
        decoded.append(max(clock() - began, 1e-9))
    return read, decoded


def _quick(seconds: Sequence[float]) -> float:
    return sorted(seconds)[int(_QUICK * len(seconds))]


def _ratio(first: Sequence[float], second: Sequence[float]) -> Ratio:
    middle = len(first) // 2
    halves = [_quick(first[part]) / _quick(second[part]) for part in (slice(middle), slice(middle, None))]
    ratio = _quick(first) / _quick(second)
    return Ratio(ratio, min(ratio, *halves), max(ratio, *halves))


def agreements(
    arms: Arms,
    prompts: Sequence[bytes],
    check: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.perf_counter,
) -> list[Agreement]:
    """The agreement of each model with the first, over as many prompts as the first model answers within its time."""
    began = clock()
    first: list[Answer] = []
    for prompt in prompts:
        if len(first) >= _FEWEST_ANSWERS and clock() - began > _ANSWERS_S:
            break
        check()
        first.append(answer(arms[0], prompt))
    found = [agreement(prompts, first, first)]
    for index in range(1, len(arms)):
        answers = []
        for prompt in prompts[: len(first)]:
            check()
            answers.append(answer(arms[index], prompt))
        found.append(agreement(prompts, first, answers))
    return found


def answer(backend: Backend, prompt: bytes) -> Answer:
    """Evaluates a prompt, records the most probable token at each place, and decodes a line."""
    import numpy as np

    backend.truncate(0, 0)
    info = backend.info
    tokens = [*backend.start_tokens(), *backend.tokenize(prompt)]
    tokens = tokens[: info.context_tokens - _LINE_TOKENS - 1]
    before, following, best = 0, {}, 0
    for start in range(0, len(tokens), info.chunk_tokens):
        chunk = tokens[start : start + info.chunk_tokens]
        rows = backend.evaluate(0, start, chunk, logits=len(chunk))
        for token, row in zip(chunk, rows, strict=True):
            before += len(backend.piece(token))
            best = int(np.argmax(row))
            if before >= _LEAST_BEFORE:
                following[before] = backend.piece(best)
    line = b""
    for position in range(len(tokens), len(tokens) + _LINE_TOKENS):
        if backend.ends(best):
            break
        line += backend.piece(best)
        if b"\n" in line:
            break
        best = int(np.argmax(backend.evaluate(0, position, [best], logits=1)[0]))
    return Answer(line.partition(b"\n")[0], following)


def agreement(prompts: Sequence[bytes], first: Sequence[Answer], second: Sequence[Answer]) -> Agreement:
    """The number of equal lines, and of equal next tokens at places where both models have a token border in the
    prompt."""
    pairs = list(zip(prompts, first, second, strict=False))
    other = [(one, two) for prompt, one, two in pairs if not prompt.isascii()]
    shared = [(one.following, two.following) for _, one, two in pairs]
    places = [(one[at], two[at]) for one, two in shared for at in one.keys() & two.keys()]
    return Agreement(
        lines=len(pairs),
        same_lines=sum(one.line == two.line for _, one, two in pairs),
        other_lines=len(other),
        same_other_lines=sum(one.line == two.line for one, two in other),
        tokens=len(places),
        same_tokens=sum(one == two for one, two in places),
    )
