"""Calibration: what is measured decides, what was measured is kept, and a busy machine is left alone."""

from __future__ import annotations

import json
import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from lsp_server.backends import calibration
from lsp_server.backends.base import StepCosts
from lsp_server.backends.calibration import CPU_SIZES, DEEP, BusyError, Calibration, calibrate


class Machine:
    """A machine on a clock of its own: a step's cost in ms follows from what it is made with."""

    def __init__(self, flash_token: float = 1.0, plain_token: float = 2.0, slow: float = 1.0) -> None:
        self.now = 0.0
        self.token_ms = {True: flash_token, False: plain_token}
        self.slow = slow
        self.opened = 0
        self.evaluated = 0

    @contextmanager
    def probe(self, flash: bool) -> Iterator[Context]:
        self.opened += 1
        try:
            yield Context(self, flash)
        finally:
            self.opened -= 1

    def step(self, context: Context, size: int, logits: int) -> None:
        """A step of a context of this machine."""
        threads = {2: 1.0, 1: 1.5}[context.threads if size == 1 else context.batch_threads]
        row_ms = 5 * (logits - 1)
        ms = (20 + self.token_ms[context.flash] * size + row_ms + context.depth / 100) * threads * self.slow
        context.depth += size
        self.now += ms / 1000
        self.evaluated += 1

    def steps(
        self, flash: tuple[bool, ...] = (False, True), threads: tuple[int, ...] = (2, 1)
    ) -> Generator[None, None, Calibration]:
        return calibrate(
            self.probe,
            machine="two cores",
            model="m.gguf",
            flash=flash,
            threads=threads,
            sizes=CPU_SIZES,
            clock=lambda: self.now,
        )

    def measure(self, flash: tuple[bool, ...] = (False, True), threads: tuple[int, ...] = (2, 1)) -> Calibration:
        steps = self.steps(flash, threads)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                found: Calibration = end.value
                return found


class Context:
    """A context of the machine."""

    def __init__(self, machine: Machine, flash: bool) -> None:
        self.machine, self.flash = machine, flash
        self.depth, self.threads, self.batch_threads = 0, 0, 0

    def step(self, size: int, logits: int = 1) -> None:
        self.machine.step(self, size, logits)

    def back_to(self, depth: int) -> None:
        self.depth = min(self.depth, depth)

    def use_threads(self, threads: int, batch_threads: int) -> None:
        self.threads, self.batch_threads = threads, batch_threads


@pytest.mark.parametrize(("flash_token", "plain_token", "expected"), [(1.0, 2.0, True), (2.0, 1.0, False)])
def test_the_faster_attention_is_chosen(flash_token: float, plain_token: float, expected: bool) -> None:
    machine = Machine(flash_token, plain_token)
    found = machine.measure()
    assert found.flash_attention is expected
    assert found.threads == 2
    assert machine.opened == 0
    assert found.costs.ms(1, 0) == pytest.approx(21)
    assert found.costs.ms(32, DEEP) == pytest.approx(20 + 32 + DEEP / 100, abs=1)
    assert found.costs.ms(8, 0, logits=8) == pytest.approx(20 + 8 + 5 * 7)
    assert found.prefill_per_second == pytest.approx(1000 * 32 / found.costs.ms(32, DEEP))


def test_a_users_own_choice_is_not_overruled() -> None:
    found = Machine(1.0, 2.0).measure(flash=(False,), threads=(1,))
    assert (found.flash_attention, found.threads) == (False, 1)


@pytest.mark.parametrize("slow", [100, 1000])
def test_a_slow_model_is_measured_for_a_while_and_no_longer(slow: float) -> None:
    """What is told was measured, however slow the machine is: a machine that seemed slower would never draft."""
    machine = Machine(slow=slow)
    found = machine.measure()
    assert machine.now < max(100, 25 * slow / 50)
    assert found.costs.largest(45, 0) == 1
    assert found.costs.ms(1, 0) == pytest.approx(22 * slow)
    assert found.costs.ms(2, 0, logits=2) == pytest.approx((20 + 2 * 2 + 5) * slow)
    assert found.costs.ms(1, DEEP) == pytest.approx(found.costs.ms(1, 0))
    assert len(found.costs.rows_ms) >= 2


@pytest.mark.parametrize("slow", [2.5, 5])
def test_a_machine_of_half_the_speed_is_measured_in_full(slow: float) -> None:
    machine = Machine(slow=slow)
    found = machine.measure()
    assert found.costs.sizes == CPU_SIZES
    assert found.flash_attention is True
    assert found.busy_ms > 0
    assert found.costs.ms(1, DEEP) == pytest.approx((20 + 1 + DEEP / 100) * slow)


def test_a_machine_that_is_measured_in_part_takes_what_it_has() -> None:
    machine = Machine(slow=15)
    found = machine.measure()
    assert found.costs.sizes == CPU_SIZES
    assert found.flash_attention is False


def test_other_work_meanwhile_is_noticed() -> None:
    class Disturbed(Machine):
        def step(self, context: Context, size: int, logits: int) -> None:
            self.slow = 3.0 if context.depth >= DEEP and size > 1 else self.slow
            super().step(context, size, logits)

    with pytest.raises(BusyError):
        Disturbed().measure()


def test_other_work_while_one_attention_is_measured_does_not_decide() -> None:
    class Disturbed(Machine):
        def step(self, context: Context, size: int, logits: int) -> None:
            self.slow = 1.4 if context.flash and self.now < 4.5 else 1.0
            super().step(context, size, logits)

    machine = Disturbed(flash_token=1.0, plain_token=1.2)
    assert machine.measure().flash_attention is True
    assert machine.now > 4.5


def test_what_is_not_wanted_any_more_ends() -> None:
    machine = Machine()
    steps = machine.steps()
    for _ in range(20):
        next(steps)
    assert machine.opened == 1
    steps.close()
    assert machine.opened == 0


def test_each_step_is_one_that_others_can_go_before() -> None:
    """No more than one evaluation lies between two stops, and what others do meanwhile is not measured."""
    machine = Machine()
    undisturbed, steps = machine.measure(), machine.steps()
    for _ in range(10_000):
        machine.now += 0.01  # somebody else has the model
        before = machine.evaluated
        try:
            next(steps)
        except StopIteration as end:
            assert end.value.costs.ms_at[0] == pytest.approx(undisturbed.costs.ms_at[0])
            assert end.value.seconds == pytest.approx(undisturbed.seconds)
            return
        assert machine.evaluated - before <= 1
    raise AssertionError("it does not come to an end")


def test_threads_for_prompts_are_chosen_apart() -> None:
    class Batches(Machine):
        """A second thread helps batches and costs single tokens time."""

        def step(self, context: Context, size: int, logits: int) -> None:
            slow = {(1, 2): 2.0, (1, 1): 1.0, (2, 2): 1.0, (2, 1): 2.0}
            self.slow = slow[(1, context.threads) if size == 1 else (2, context.batch_threads)]
            super().step(context, size, logits)

    found = Batches().measure()
    assert (found.threads, found.batch_threads) == (1, 2)


def test_what_was_measured_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "folder", lambda: tmp_path / "calibration")
    key = calibration.key_of("m.gguf", 3, True)
    assert key != calibration.key_of("m.gguf", 4, True)
    assert calibration.remembered(key) is None
    found = Machine().measure()
    calibration.remember(key, found)
    assert calibration.remembered(key) == found
    (file,) = (tmp_path / "calibration").iterdir()
    file.write_text(file.read_text().replace(f'"version": {found.version}', '"version": 0'))
    assert calibration.remembered(key) is None
    file.write_text("{")
    assert calibration.remembered(key) is None


DEEP_LISTS = "[" * 100_000

# What a file may say in place of what was measured, by the path to it.
UNUSABLE = [
    (("threads",), 100_000),
    (("threads",), 0),
    (("batch_threads",), 100_000),
    (("batch_threads",), -1),
    (("threads",), -2),
    (("threads",), "2"),
    (("costs", "sizes"), []),
    (("costs", "sizes"), [1]),
    (("costs", "sizes"), [1, 2, 4, 8, 16, 1 << 30]),
    (("costs", "sizes"), [0, 2, 4, 8, 16, 32]),
    (("costs", "sizes"), [1, 2, 4, 4, 16, 32]),
    (("costs", "sizes"), [32, 16, 8, 4, 2, 1]),
    (("costs", "sizes"), [1, 2, 4, 8, 16]),
    (("costs", "depths"), [0, 0]),
    (("costs", "depths"), [-1, 512]),
    (("costs", "depths"), [0, 1 << 60]),
    (("costs", "ms_at"), [[1.0], [1.0]]),
    (("costs", "ms_at", 0), [0.0] * 6),
    (("costs", "ms_at", 1), [9.0, 8.0, 7.0, 6.0, 5.0, 4.0]),
    (("costs", "ms_at", 1), [-1.0] * 6),
    (("costs", "ms_at", 0), [1.0, 2.0, 3.0, 4.0, 5.0, 1e300]),
    (("costs", "rows_ms"), [1.0]),
    (("costs", "rows_ms"), [0.0] * 7),
    (("costs", "rows_ms", 0), -5.0),
    (("busy_ms",), -1.0),
    (("prefill_per_second",), None),
    (("model",), "m" * 100_000),
    (("costs",), None),
]


@pytest.mark.parametrize(("place", "value"), UNUSABLE, ids=[f"{place} {str(value)[:30]}" for place, value in UNUSABLE])
def test_what_is_kept_and_cannot_have_been_measured_is_measured_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: tuple[str | int, ...], value: object
) -> None:
    monkeypatch.setattr(calibration, "folder", lambda: tmp_path)
    found = Machine().measure()
    calibration.remember("key", found)
    assert calibration.remembered("key") == found
    (file,) = tmp_path.iterdir()
    kept = inner = json.loads(file.read_text())
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    file.write_text(json.dumps(kept))
    assert calibration.remembered("key") is None
    calibration.remember("key", found)
    assert calibration.remembered("key") == found


@pytest.mark.parametrize("content", [DEEP_LISTS, '{"costs": ' + DEEP_LISTS, "", "null", "[]", "\udcff", " " * 100_000])
def test_a_damaged_calibration_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    monkeypatch.setattr(calibration, "folder", lambda: tmp_path)
    (tmp_path / "key.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    assert calibration.remembered("key") is None


def test_a_pipe_in_place_of_a_calibration_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "folder", lambda: tmp_path)
    os.mkfifo(tmp_path / "key.json")
    assert calibration.remembered("key") is None
    found = Machine().measure()
    calibration.remember("key", found)
    assert calibration.remembered("key") == found


def test_that_it_cannot_be_kept_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(calibration, "folder", lambda: tmp_path / "file" / "calibration")
    calibration.remember("key", Machine().measure())


@pytest.mark.skipif(not hasattr(os, "getloadavg"), reason="this system does not tell its load")
@pytest.mark.parametrize(("load", "expected"), [(0.1, False), (0.5, False), (1000.0, True)])
def test_a_machine_with_other_work_is_left_alone(load: float, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0))
    assert calibration.busy() is expected


COSTS = StepCosts((0, 512), (1, 8, 16), ((10.0, 17.0, 33.0), (20.0, 27.0, 43.0)))


@pytest.mark.parametrize(
    ("size", "depth", "ms"),
    [(1, 0, 10), (8, 0, 17), (4, 0, 13), (12, 0, 25), (1, 512, 20), (1, 256, 15), (1, 1024, 30), (32, 0, 65)],
)
def test_costs_between_what_was_measured(size: int, depth: int, ms: float) -> None:
    assert COSTS.ms(size, depth) == pytest.approx(ms)


@pytest.mark.parametrize(
    ("budget", "depth", "size"), [(45, 0, 16), (30, 0, 14), (30, 512, 9), (30, 1024, 1), (1, 0, 1)]
)
def test_the_largest_step_within_a_budget(budget: float, depth: int, size: int) -> None:
    assert COSTS.largest(budget, depth) == size


@pytest.mark.parametrize(("size", "logits", "ms"), [(8, 8, 17 + 35), (8, 1, 17), (8, 4, 17 + 15), (16, 16, 33 + 75)])
def test_logits_of_several_tokens_cost_extra(size: int, logits: int, ms: float) -> None:
    assert replace(COSTS, rows_ms=(0.0, 35.0)).ms(size, 0, logits) == pytest.approx(ms)


@pytest.mark.parametrize(
    ("rows_ms", "size", "logits", "apart"),
    [
        ((), 16, 5, False),
        ((0.0, 35.0), 1, 1, False),
        ((0.0, 35.0), 2, 2, False),
        ((0.0, 140.0), 2, 2, True),
        ((0.0, 140.0), 16, 2, True),
        ((0.0, 40.0), 16, 5, False),
    ],
)
def test_tokens_are_evaluated_apart_where_that_is_cheaper(
    rows_ms: tuple[float, ...], size: int, logits: int, apart: bool
) -> None:
    assert replace(COSTS, rows_ms=rows_ms).apart_pays(size, 0, logits) is apart


@pytest.mark.parametrize("slow", [2.5, 3.5, 6])
def test_a_slow_model_may_draft(slow: float) -> None:
    """It is the kind of model for which drafts pay most."""
    found = Machine(slow=slow).measure()
    assert len(found.costs.rows_ms) >= 2
    assert found.costs.ms(2, 0, logits=2) == pytest.approx(
        found.costs.ms(2, 0) + 5 * slow * (1.5 if found.threads == 1 else 1)
    )


def test_no_room_for_a_second_context_leaves_the_first() -> None:
    class Full(Machine):
        @contextmanager
        def probe(self, flash: bool) -> Iterator[Context]:
            if self.opened:
                raise calibration.ProbeError("no room")
            with super().probe(flash) as context:
                yield context

    assert Full(1.0, 2.0).measure().flash_attention is False


def test_a_second_context_that_fails_leaves_the_first() -> None:
    class Failing(Machine):
        def step(self, context: Context, size: int, logits: int) -> None:
            if context.flash and size > 4:
                raise calibration.ProbeError("it fails")
            super().step(context, size, logits)

    found = Failing(1.0, 2.0).measure()
    assert found.flash_attention is False
    assert found.costs.sizes == CPU_SIZES
