"""Measures how the time of a request was spent until its answer: on its own work and on waits."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Literal, NamedTuple, TypeVar

from lsp_server.engine.api import Usage

# prompt: finding the hole and building the prompt, including the wait for the parsing thread. waiting: for a pause in
# the typing, and in the engine for other work. prefill, decode: the model's time. shaping: fitting the text into its
# place. checks: for undefined names and dangerous patterns.
Part = Literal["prompt", "waiting", "prefill", "decode", "shaping", "checks"]
PARTS: tuple[Part, ...] = ("prompt", "waiting", "prefill", "decode", "shaping", "checks")

T = TypeVar("T")


class Span(NamedTuple):
    """A part of the work with its time. began, ended: in seconds of the monotonic clock."""

    part: Part
    began: float
    ended: float


class Times:
    """The times of one request, which has just arrived. clock: gives seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._began = clock()
        self._spans: list[Span] = []

    @property
    def ms(self) -> float:
        """The time since the request arrived, in ms."""
        return 1000 * (self._clock() - self._began)

    async def during(self, part: Part, work: Awaitable[T]) -> T:
        """Awaits `work` and adds its time to `part`."""
        began = self._clock()
        try:
            return await work
        finally:
            self._spans.append(Span(part, began, self._clock()))

    def parts(self, spans: Iterable[Span] = ()) -> Mapping[Part, float]:
        """The time of each part so far, in ms, without time before the request arrived. spans: of the generation that
        answers it; they must not overlap."""
        now, found = self._clock(), dict.fromkeys(PARTS, 0.0)
        for span in (*self._spans, *spans):
            found[span.part] += 1000 * max(0.0, min(span.ended, now) - max(span.began, self._began))
        return found


def model_spans(usage: Usage, submitted: float, heard: float) -> Iterator[Span]:
    """The engine's work on a request until it reported `usage`, in order. heard: the time of the report; infinite if
    there is none yet. Before the engine starts the request, and in any time that is missing in the sum, it has worked
    for others."""
    if heard == math.inf:
        yield Span("waiting", submitted, heard)
        return
    taken = max(submitted, heard - usage.total_ms / 1000)
    yield Span("waiting", submitted, taken)
    ends = 0.0
    other = max(0.0, usage.total_ms - usage.queued_ms - usage.prefill_ms - usage.decode_ms)
    parts: tuple[tuple[Part, float], ...] = (
        ("waiting", usage.queued_ms),
        ("prefill", usage.prefill_ms),
        ("waiting", other),
        ("decode", usage.decode_ms),
    )
    for part, ms in parts:
        yield Span(part, taken + ends / 1000, taken + (ends + ms) / 1000)
        ends += ms
