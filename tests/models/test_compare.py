"""Models in turns: a ratio in spite of noise, one at a time where there is no room, and what counts as the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest

from lsp_server.backends.base import Backend, ModelSpec, NoRoomError
from lsp_server.backends.scripted import ScriptedBackend
from lsp_server.models import compare
from lsp_server.models.compare import Agreement, Answer


class Machine:
    """A clock that goes on only while a model works: `costs` seconds a token by the model's path, and up to five
    times that at random where something else runs."""

    def __init__(self, costs: dict[str, float], noise: float = 0.0, room: int = 9) -> None:
        self.costs, self.noise, self.room = costs, noise, room
        self.now, self.random = 0.0, Random(0)
        self.open: list[str] = []
        self.loads = 0

    def clock(self) -> float:
        return self.now

    def load(self, spec: ModelSpec, progress: Callable[[float], bool]) -> Backend:
        if len(self.open) >= self.room:
            raise NoRoomError("no room")
        self.loads += 1
        machine = self

        class Timed(ScriptedBackend):
            def evaluate(self, sequence, position, tokens, *, logits):  # type: ignore[no-untyped-def]
                slower = machine.random.choice((*[1] * 6, 1 + machine.noise, 1 + 4 * machine.noise))
                machine.now += machine.costs[spec.path] * len(tokens) * slower
                return super().evaluate(sequence, position, tokens, logits=logits)

            def close(self) -> None:
                machine.open.remove(spec.path)
                super().close()

        self.open.append(spec.path)
        return Timed(replace(spec, path=""), progress)

    def arms(self) -> compare.Arms:
        return compare.Arms(self.load, [ModelSpec(path, 512, 1) for path in self.costs], lambda _: True)


@pytest.mark.parametrize("room", [9, 1])
@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_how_many_times_as_fast(noise: float, room: int) -> None:
    machine = Machine({"a": 0.004, "b": 0.002, "c": 0.005}, noise, room)
    arms = machine.arms()
    first, second, third = compare.speeds(arms, clock=machine.clock)
    assert first.prefill.all == first.decode.all == first.gain == 1
    assert first.decode_tokens_s == pytest.approx(250, rel=0.05)
    for found, times in ((second, 2), (third, 0.8)):
        for ratio in (found.prefill, found.decode):
            assert ratio.all == pytest.approx(times, rel=0.05)
            assert ratio.low <= ratio.all <= ratio.high
            assert not ratio.rough
        assert found.gain == pytest.approx(times, rel=0.05)
    assert (machine.loads == 3) == (room == 9)
    assert len(machine.open) == min(3, room)
    arms.close()
    assert machine.open == []


def test_a_slow_model_is_not_timed_for_ever() -> None:
    machine = Machine({"a": 1.0, "b": 0.5})
    _, second = compare.speeds(machine.arms(), clock=machine.clock)
    assert second.decode.all == pytest.approx(2)
    assert machine.now < 800  # and not 40 rounds of them


def test_no_room_for_one_alone_is_said() -> None:
    with pytest.raises(NoRoomError):
        compare.speeds(Machine({"a": 1.0}, room=0).arms())


def test_it_can_be_stopped_between_two_turns() -> None:
    machine, turns = Machine({"a": 1.0, "b": 1.0}), 0

    def check() -> None:
        nonlocal turns
        turns += 1
        if turns == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compare.speeds(machine.arms(), check, machine.clock)
    assert turns == 4


def test_an_answer_is_a_line_and_what_would_follow() -> None:
    backend = ScriptedBackend(ModelSpec("", 512, 1), lambda _: True)
    prompt = b"def area(width, height):\n    return width * height\n\n\ndef volume(width):\n    return"
    first, second = compare.answer(backend, prompt), compare.answer(backend, prompt)
    assert first == second
    assert b"\n" not in first.line
    assert min(first.following) >= compare._LEAST_BEFORE
    assert max(first.following) == len(prompt)


def test_what_is_counted_as_the_same() -> None:
    prompts = [b"one", b"two", "drei ä".encode(), b"four"]
    first = [Answer(b"x", {40: b"a", 41: b"b"}), Answer(b"y", {40: b"c"}), Answer(b"z", {}), Answer(b"", {50: b"d"})]
    second = [
        Answer(b"x", {40: b"a", 41: b"B"}),
        Answer(b"Y", {40: b"c"}),
        Answer(b"Z", {40: b"e"}),
        Answer(b"", {51: b"d"}),
    ]
    assert compare.agreement(prompts, first, second) == Agreement(4, 2, 1, 0, 3, 2)
    assert compare.agreement(prompts, first, first) == Agreement(4, 4, 1, 1, 4, 4)


def test_only_as_many_prompts_as_there_is_time_for() -> None:
    machine = Machine({"a": 0.05, "b": 0.05})
    prompts = [b"x = " * 30 + b"%d" % number for number in range(60)]
    first, second = compare.agreements(machine.arms(), prompts, clock=machine.clock)
    assert first.lines == second.lines == second.same_lines
    assert compare._FEWEST_ANSWERS <= first.lines < 60
    assert first.same_tokens == first.tokens > 0


def test_times_that_are_no_use_say_so() -> None:
    assert compare._ratio([1, 1, 1, 1], [1, 1, 2, 2]).rough
    assert not compare._ratio([1, 1, 1, 1], [2, 2, 2.2, 2.2]).rough
