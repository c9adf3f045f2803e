"""A large batch stops for what cannot wait, and goes on for what needs it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from lsp_server.backends.base import InterruptedEvaluation, ModelSpec
from lsp_server.backends.scripted import ScriptedBackend
from lsp_server.core.prompt import FimPrompt
from lsp_server.engine.request import Cancel, FinishReason, Generate, Load, Message, Priority, Shutdown
from tests.engine.harness import LINE, EngineHarness, Progress, ask, cold, make_prompt

LONG = "def area(width):\n    return width * 2\n" * 12


class Stoppable(ScriptedBackend):
    """Takes 10 ms of virtual time for each token, and looks at its flag behind each. meanwhile: sends a message from
    another thread, once, when `after` tokens of a batch are done."""

    harness: EngineHarness
    meanwhile: Message | None = None
    after = 0

    def __init__(self, spec: ModelSpec, progress: Progress, **given: Any) -> None:
        super().__init__(spec, progress, **given)
        self.info = replace(self.info, interruptible=True, token_ms=10.0)
        self.stopped = False
        self.stops = 0
        self.sizes: list[int] = []

    def interrupt(self, wanted: bool) -> None:
        self.stopped = wanted

    def evaluate(self, sequence: int, position: int, tokens: Sequence[int], *, logits: int):  # type: ignore[no-untyped-def]
        for index in range(len(tokens)):
            if self.stopped:
                self.stops += 1
                raise InterruptedEvaluation
            self.harness.clock.now += 0.01
            if self.meanwhile is not None and index >= self.after:
                message, self.meanwhile = self.meanwhile, None
                self.harness.engine.send(message)
        self.sizes.append(len(tokens))
        return super().evaluate(sequence, position, tokens, logits=logits)


def harness_of(sequences: int = 2) -> tuple[EngineHarness, Stoppable]:
    made: list[Stoppable] = []

    def factory(spec: ModelSpec, progress: Progress) -> Stoppable:
        made.append(Stoppable(spec, progress))
        made[-1].harness = harness
        return made[-1]

    harness = EngineHarness(factory, step_seconds=0.0)
    harness.load(sequences=sequences)
    return harness, made[0]


def prompt(before: str, typed: str = "") -> FimPrompt:
    return make_prompt(before, typed)


@pytest.mark.parametrize(
    ("message", "stops"),
    [
        pytest.param(Cancel(1), True, id="cancelled"),
        pytest.param(Cancel(1, keep=True), False, id="cancelled by typing on"),
        pytest.param(Cancel(9), False, id="another one cancelled"),
        pytest.param(ask(2, prompt("elsewhere")), True, id="a key elsewhere"),
        pytest.param(ask(2, prompt(LONG, "re")), False, id="a key in the same frozen prompt"),
        pytest.param(ask(2, prompt("a"), priority=Priority.ACTION), False, id="something less urgent"),
        pytest.param(Load(ModelSpec("", fim_format="qwen")), True, id="another model"),
        pytest.param(Load(ModelSpec("", fim_format="qwen"), role="chat"), False, id="a model for something else"),
        pytest.param(Shutdown(), True, id="the end"),
    ],
)
def test_what_stops_a_batch(message: Message, stops: bool) -> None:
    harness, backend = harness_of()
    harness.send(ask(1, prompt(LONG), max_tokens=0, priority=Priority.WARMING))
    backend.meanwhile = message
    harness.step()
    assert bool(backend.stops) == stops
    assert bool(harness.engine.cache().tokens(0)) != stops, "a batch that was stopped is lost, any other is kept"


def test_typing_on_while_the_prompt_is_evaluated_loses_nothing() -> None:
    """The request of the key before is cancelled, and the next one needs what is being evaluated."""
    harness, backend = harness_of()
    harness.send(ask(1, prompt(LONG)))
    backend.meanwhile = Cancel(1, keep=True)
    harness.step()
    harness.receive()
    first = harness.finished(1)
    done = harness.run(ask(2, prompt(LONG, "re")))
    assert backend.stops == 0
    assert first.reason is FinishReason.CANCELLED
    assert done.usage.reused_tokens >= 64
    assert done.text == cold(prompt(LONG, "re"), LINE, 12).text


def test_a_key_elsewhere_stops_what_was_given_up() -> None:
    harness, backend = harness_of()
    harness.send(ask(1, prompt(LONG)))
    backend.meanwhile = Cancel(1, keep=True)
    send = harness.engine.send

    def both(message: Message) -> None:
        send(message)
        if isinstance(message, Cancel):
            send(ask(2, prompt("elsewhere")))

    harness.engine.send = both  # type: ignore[method-assign]
    harness.step()
    assert backend.stops == 1
    harness.engine.send = send  # type: ignore[method-assign]
    harness.drain()
    assert harness.finished(2).text == cold(prompt("elsewhere"), LINE, 12).text


def test_texts_are_those_of_a_cold_run_however_often_batches_are_stopped() -> None:
    harness, backend = harness_of(sequences=3)
    for turn in range(30):
        before = LONG[: 40 + 13 * turn]
        harness.send(ask(10 * turn, prompt(before), max_tokens=0, priority=Priority.WARMING))
        backend.meanwhile, backend.after = ask(10 * turn + 1, prompt(before[turn:], "x"[: turn % 2])), turn % 7
        harness.drain()
        harness.receive()  # what was sent during the last batch
        harness.drain()
        found = harness.finished(10 * turn + 1)
        assert found.text == cold(prompt(before[turn:], "x"[: turn % 2]), LINE, 12).text
        assert harness.finished(10 * turn).reason is FinishReason.LENGTH
    assert backend.stops > 0


# The quick prompt ---------------------------------------------------------------------------------------

SHORT = LONG[-37:]
MARKERS = 6  # the start of the text, those of the format, and the suffix


def quick(id: int, typed: str = "") -> Generate:
    return replace(ask(id, prompt(LONG, typed)), quick=prompt(SHORT, typed))


def test_a_cold_place_is_answered_from_the_quick_prompt() -> None:
    harness, _ = harness_of()
    done = harness.run(quick(1))
    assert done.usage.quick
    assert done.usage.prompt_tokens == len(SHORT) + MARKERS
    assert done.text == cold(prompt(SHORT), LINE, 12).text


def test_a_place_whose_prompt_is_evaluated_is_answered_from_that() -> None:
    harness, _ = harness_of()
    harness.run(quick(1))
    harness.run(ask(2, prompt(LONG), max_tokens=0, priority=Priority.WARMING))
    done = harness.run(quick(3, "r"))
    assert not done.usage.quick
    assert done.usage.evaluated_tokens == 1
    assert done.text == cold(prompt(LONG, "r"), LINE, 12).text


def test_a_prompt_that_is_nearly_evaluated_is_finished() -> None:
    harness, _ = harness_of()
    harness.run(ask(1, prompt(LONG[:-20]), max_tokens=0, priority=Priority.WARMING))
    assert not harness.run(quick(2)).usage.quick


def test_the_full_prompt_goes_on_behind_the_answer() -> None:
    harness, _ = harness_of()
    harness.send(quick(1), ask(2, prompt(LONG), max_tokens=0, priority=Priority.WARMING))
    harness.drain()
    assert harness.answered() == [1, 2]
    assert harness.finished(1).usage.quick
    assert harness.finished(2).usage.evaluated_tokens == len(LONG) + MARKERS


def test_a_machine_that_becomes_slow_goes_over_to_the_quick_prompt() -> None:
    harness, backend = harness_of()
    backend.info = replace(backend.info, token_ms=0.0)
    harness.send(ask(9, prompt("warm " * 30)))
    harness.drain()
    model = harness.engine.models["completion"]
    for _ in range(40):
        model.pace.learn(64, 0, 0.01)  # fast, so far
    harness.send(quick(1))
    harness.drain()
    assert harness.finished(1).usage.quick


def test_all_candidates_have_the_same_prompt() -> None:
    harness, _ = harness_of(sequences=4)
    harness.send(*(replace(quick(rank + 1), rank=rank) for rank in range(3)))
    harness.drain()
    assert [harness.finished(rank + 1).usage.quick for rank in range(3)] == [True] * 3
    assert [harness.finished(rank + 1).text for rank in range(3)] == [
        cold(prompt(SHORT), LINE, 12, rank=rank).text for rank in range(3)
    ]
    assert sum(harness.finished(rank + 1).usage.evaluated_tokens for rank in range(3)) <= len(SHORT) + 8


def test_batches_in_the_background_are_short_while_keys_come() -> None:
    """Each key interrupts what is evaluated for another prompt; batches as long as that would all be lost."""
    harness, backend = harness_of()
    harness.run(ask(1, prompt(SHORT), max_tokens=1))
    harness.send(ask(2, prompt(LONG), max_tokens=0, priority=Priority.WARMING))
    backend.sizes.clear()
    harness.step()
    assert max(backend.sizes) * 0.01 <= 0.1
    harness.clock.now += 1.0
    backend.sizes.clear()
    harness.step()
    assert 0.6 <= max(backend.sizes) * 0.01 <= 1.1
