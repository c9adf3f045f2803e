"""Where the time of a request went: parts that do not overlap, and nothing from before it came."""

from __future__ import annotations

import math

import anyio
import pytest

from lsp_server.engine.api import Usage
from lsp_server.features.request_times import PARTS, Span, Times, model_spans


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


async def test_the_time_of_work_that_is_waited_for_is_its_parts() -> None:
    clock = Clock()
    times = Times(clock)

    async def work() -> str:
        await anyio.sleep(0)
        clock.now += 0.25
        return "done"

    assert await times.during("prompt", work()) == "done"
    clock.now += 1.0
    assert times.ms == pytest.approx(1250)
    assert times.parts() == dict.fromkeys(PARTS, 0.0) | {"prompt": pytest.approx(250)}


async def test_work_that_fails_has_taken_its_time_too() -> None:
    clock = Clock()
    times = Times(clock)

    async def work() -> None:
        clock.now += 0.5
        raise ValueError

    with pytest.raises(ValueError):
        await times.during("waiting", work())
    assert times.parts()["waiting"] == pytest.approx(500)


def test_an_engines_time_is_told_as_a_whole() -> None:
    usage = Usage(queued_ms=10, prefill_ms=20, decode_ms=40, total_ms=100)
    spans = list(model_spans(usage, 100.0, 100.125))
    assert [(span.part, round(1000 * (span.ended - span.began))) for span in spans] == [
        ("waiting", 25),  # until it took the request up
        ("waiting", 10),
        ("prefill", 20),
        ("waiting", 30),
        ("decode", 40),
    ]
    assert [one.ended for one in spans[:-1]] == [other.began for other in spans[1:]]


def test_what_was_done_before_a_request_came_is_not_its_time() -> None:
    """It adopts what an earlier one had the model begin, in the middle of its prompt."""
    clock = Clock()
    begun = list(model_spans(Usage(queued_ms=10, prefill_ms=20, decode_ms=40, total_ms=70), 100.0, 100.07))
    clock.now = 100.02
    times = Times(clock)
    clock.now = 100.06
    found = times.parts([*begun, Span("shaping", 100.07, 100.08)])
    assert found == dict.fromkeys(PARTS, 0.0) | {"prefill": pytest.approx(10), "decode": pytest.approx(30)}


def test_as_long_as_an_engine_has_told_nothing_it_is_waited_for() -> None:
    clock = Clock()
    times = Times(clock)
    clock.now = 100.5
    assert times.parts(model_spans(Usage(), 100.1, math.inf))["waiting"] == pytest.approx(400)
