"""Where the time of a request went: what was done for it or waited for, in the time until its answer."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Literal, NamedTuple, TypeVar

from lsp_server.engine.api import Usage

# prompt: finding the hole and making the prompt, with the wait for the thread that does it. waiting: for a pause in the
# typing, and in the engine for other work. prefill, decode: the model's time. shaping: making the text fit its place.
# checks: of names and of dangerous patterns.
Part = Literal["prompt", "waiting", "prefill", "decode", "shaping", "checks"]
PARTS: tuple[Part, ...] = ("prompt", "waiting", "prefill", "decode", "shaping", "checks")

T = TypeVar("T")


class Span(NamedTuple):
    """began, ended: in seconds of the monotonic clock."""

    part: Part
    began: float
    ended: float


class Times:
    """Of one request, which has just come. clock: in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._began = clock()
        self._spans: list[Span] = []

    @property
    def ms(self) -> float:
        """How long ago it came."""
        return 1000 * (self._clock() - self._began)

    async def during(self, part: Part, work: Awaitable[T]) -> T:
        """Awaits `work`, whose time is this part's."""
        began = self._clock()
        try:
            return await work
        finally:
            self._spans.append(Span(part, began, self._clock()))

    def parts(self, spans: Iterable[Span] = ()) -> Mapping[Part, float]:
        """The time of each part up to now, in ms; what was done before the request came does not count. spans: of the
        generation that answers it; none of them at the same time as another."""
        now, found = self._clock(), dict.fromkeys(PARTS, 0.0)
        for span in (*self._spans, *spans):
            found[span.part] += 1000 * max(0.0, min(span.ended, now) - max(span.began, self._began))
        return found


def model_spans(usage: Usage, submitted: float, heard: float) -> Iterator[Span]:
    """What an engine did for a request up to when it told of `usage`, in the order in which it does it. heard: when
    that was; infinite if it has told nothing yet. Until it takes a request up, and where something is missing to the
    whole, it has worked for others."""
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
