"""An action's steps are short, so that a completion that comes meanwhile waits for none of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from lsp_server.backends.base import StepCosts
from lsp_server.backends.scripted import ScriptedBackend
from lsp_server.engine.core import REST_SECONDS
from lsp_server.engine.model import ACTION_STEP_MS, ActionSteps
from lsp_server.engine.request import Load, Priority
from tests.engine.harness import BLOCK, LINE, EngineHarness, ModelSpec, Progress, ask, cold, make_prompt

LONG = "x = 1\n" * 60


class Timed(ScriptedBackend):
    """Takes virtual time for each token, and remembers how many tokens each step had."""

    harness: EngineHarness
    token_ms = 1.0

    def __init__(self, spec: ModelSpec, progress: Progress, costs: StepCosts | None = None) -> None:
        super().__init__(spec, progress, costs=costs)
        self.sizes: list[int] = []

    def evaluate(self, sequence: int, position: int, tokens: Sequence[int], *, logits: int):  # type: ignore[no-untyped-def]
        self.sizes.append(len(tokens))
        self.harness.clock.now += self.token_ms * len(tokens) / 1000
        return super().evaluate(sequence, position, tokens, logits=logits)


def harness_of(token_ms: float, costs: StepCosts | None = None) -> tuple[EngineHarness, list[Timed]]:
    """An engine with both models, and its backends: completion, chat."""
    made: list[Timed] = []

    def factory(spec: ModelSpec, progress: Progress) -> Timed:
        made.append(Timed(spec, progress, costs))
        made[-1].harness, made[-1].token_ms = harness, token_ms
        return made[-1]

    harness = EngineHarness(factory, step_seconds=0)
    harness.load()
    harness.engine.send(Load(ModelSpec(""), role="chat"))
    harness.receive()
    return harness, made


LINEAR = StepCosts((0, 512), (1, 64), ((1.0, 64.0), (1.0, 64.0)))


@pytest.mark.parametrize("costs", [None, LINEAR], ids=["not measured", "measured"])
@pytest.mark.parametrize("role", ["completion", "chat"])
def test_a_completion_is_taken_between_two_steps_of_an_action(role: str, costs: StepCosts | None) -> None:
    harness, (completion, chat) = harness_of(1.0, costs)
    harness.send(replace(ask(1, LONG, priority=Priority.ACTION), role=role))
    acting = chat if role == "chat" else completion
    while harness.step() and sum(acting.sizes) < 200:
        pass
    before = len(acting.sizes)
    assert not harness.answered()
    harness.send(ask(2, "a = ", stop=LINE))
    while not harness.answered():
        harness.step()
    if role == "chat":
        assert len(chat.sizes) == before  # not one more step of the action came first
    assert harness.finished(2).text == cold(make_prompt("a = ", ""), LINE, 12).text
    harness.drain()
    assert harness.finished(1).text == cold(make_prompt(LONG, ""), LINE, 12).text
    assert max(acting.sizes) == (25 if costs else 16)


@pytest.mark.parametrize("role", ["completion", "chat"])
def test_the_place_where_the_user_types_is_evaluated_while_an_action_runs(role: str) -> None:
    """Else the next key would find its prompt where it was when the action began."""
    harness, (_, chat) = harness_of(1.0, None)
    harness.send(replace(ask(1, LONG, priority=Priority.ACTION), role=role))
    for _ in range(4):
        harness.step()
    harness.send(ask(2, "a = ", max_tokens=0, priority=Priority.WARMING))
    before = len(chat.sizes)
    while 2 not in harness.answered():
        harness.step()
    assert harness.answered() == [2]
    assert len(chat.sizes) == before
    harness.drain()


def test_an_action_rests_while_the_user_types() -> None:
    """What comes is handled at once; when nothing has come for a while, the action goes on."""
    harness, _ = harness_of(1.0, None)
    harness.send(replace(ask(1, LONG, priority=Priority.ACTION), role="chat"))
    harness.step()
    harness.send(ask(2, "a = ", stop=LINE, max_tokens=0))
    while not harness.answered():
        harness.step()
    harness.clock.now = harness.engine._rest_until - REST_SECONDS / 2
    harness.engine.send(ask(3, "a = b", stop=LINE))
    harness.engine.rest()
    assert next(iter(harness.engine._scheduler)).id == 3
    harness.clock.now = harness.engine._rest_until + 1
    harness.engine.send(ask(4, "c = ", stop=LINE))
    harness.engine.rest()
    assert harness.engine._scheduler.get(4) is None  # it did not wait, so nothing was looked at
    harness.receive()
    harness.drain()
    assert set(harness.answered()) == {1, 2, 3, 4}


def test_what_is_not_an_action_takes_longer_steps() -> None:
    harness, (completion, _) = harness_of(1.0, LINEAR)
    harness.run(ask(1, LONG))
    assert max(completion.sizes) == 45


def test_a_model_slower_than_a_step_reads_in_batches_that_take_little_longer_than_a_token() -> None:
    costs = StepCosts((0, 512), (1, 16, 64), ((30.0, 36.0, 60.0), (30.0, 36.0, 60.0)))
    harness, (_, chat) = harness_of(0.01, costs)
    harness.run(replace(ask(1, LONG, priority=Priority.ACTION), role="chat"))
    assert max(chat.sizes) == costs.largest(1.25 * 30, 0) == 19


@pytest.mark.parametrize(("token_ms", "most"), [(30.0, 1), (3.0, 8), (0.5, 32), (0.01, 64)])
def test_steps_that_were_not_measured_are_learned(token_ms: float, most: int) -> None:
    harness, (_, chat) = harness_of(token_ms)
    harness.run(replace(ask(1, LONG, priority=Priority.ACTION), role="chat"))
    assert max(chat.sizes[1:]) == most
    assert max(chat.sizes[1:]) * token_ms <= max(ACTION_STEP_MS, token_ms)


def test_a_machine_that_is_busy_now_shortens_steps_that_were_measured() -> None:
    harness, (_, chat) = harness_of(4.0, LINEAR)
    harness.run(replace(ask(1, LONG, priority=Priority.ACTION), role="chat"))
    assert chat.sizes[:2] == [25, 6]
    assert max(chat.sizes[1:]) <= 6


def test_a_draft_makes_no_step_longer() -> None:
    flat = StepCosts((0, 512), (1, 4, 64), ((10.0, 20.0, 320.0), (10.0, 20.0, 320.0)))
    text = ("def area(width):\n    return width * 2\n" * 12).encode()
    sizes: dict[Priority, int] = {}
    for priority in (Priority.INLINE, Priority.ACTION):
        made: list[Timed] = []

        def factory(spec: ModelSpec, progress: Progress, made: list[Timed] = made) -> Timed:
            made.append(Timed(spec, progress, flat))
            made[0]._texts = (text,)
            made[0].harness = harness  # noqa: B023 - called in this turn of the loop
            return made[0]

        harness = EngineHarness(factory)
        harness.load()
        prompt = make_prompt("", text[:200].decode())
        done = harness.run(ask(1, prompt, stop=BLOCK, max_tokens=80, priority=priority))
        assert done.usage.accepted_tokens > 0
        sizes[priority] = max(made[0].sizes)
    assert sizes[Priority.ACTION] <= flat.largest(ACTION_STEP_MS, 0) < sizes[Priority.INLINE]


def test_a_limit_is_learned() -> None:
    steps = ActionSteps(8, 64)
    assert ActionSteps(8, 4).limit == 4
    steps.learn(8, 50)
    assert steps.limit == 4
    steps.learn(2, 1)  # not a full step: says nothing
    assert steps.limit == 4
    steps.learn(4, 20)
    assert steps.limit == 4
    for _ in range(9):
        steps.learn(steps.limit, 1)
    assert steps.limit == 64
    steps.learn(1, 1000)
    assert steps.limit == 1
