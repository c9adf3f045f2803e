"""The queue as plain data: order, bound and deadlines, against a model that keeps a plain list."""

from __future__ import annotations

import random

import pytest

from lsp_server.engine.request import Priority
from lsp_server.engine.scheduler import Scheduler


@pytest.mark.parametrize(
    ("arrivals", "order"),
    [
        ([], []),
        ([(1, Priority.INLINE), (2, Priority.INLINE)], [1, 2]),
        ([(1, Priority.WARMING), (2, Priority.INLINE)], [2, 1]),
        ([(1, Priority.ACTION), (2, Priority.PREPARED), (3, Priority.ACTION), (4, Priority.INLINE)], [4, 2, 1, 3]),
    ],
)
def test_the_most_urgent_comes_first_and_then_the_oldest(arrivals: list, order: list) -> None:
    scheduler: Scheduler[str] = Scheduler(10)
    for id, priority in arrivals:
        assert scheduler.add(id, f"job {id}", priority, None) is None
    assert [entry.id for entry in scheduler] == order
    assert scheduler.clear() == [f"job {id}" for id in order]
    assert len(scheduler) == 0


@pytest.mark.parametrize(
    ("newcomer", "goes"),
    [(Priority.INLINE, 3), (Priority.WARMING, 3), (Priority.ACTION, 4)],
)
def test_a_full_queue_gives_up_its_least_urgent_newest(newcomer: Priority, goes: int) -> None:
    scheduler: Scheduler[str] = Scheduler(3)
    scheduler.add(1, "a", Priority.INLINE, None)
    scheduler.add(2, "b", Priority.ACTION, None)
    scheduler.add(3, "c", Priority.ACTION, None)
    dropped = scheduler.add(4, "d", newcomer, None)
    assert dropped is not None
    assert dropped.id == goes
    assert scheduler.get(goes) is None
    assert len(scheduler) == 3


def test_a_deadline_has_passed_when_its_time_has_come() -> None:
    scheduler: Scheduler[str] = Scheduler(3)
    for id, deadline in enumerate([2.0, None, 1.0]):
        scheduler.add(id, f"job {id}", Priority.INLINE, deadline)
    assert [scheduler.expired(now) for now in (0.5, 1.0, 2.0)] == [[], ["job 2"], ["job 0", "job 2"]]
    assert len(scheduler) == 3


@pytest.mark.parametrize("seed", range(6))
def test_random_events_agree_with_a_plain_list(seed: int) -> None:
    rng = random.Random(seed)
    limit = rng.choice([1, 2, 5, 16])
    scheduler: Scheduler[str] = Scheduler(limit)
    model: list[tuple[int, int, int, str, float | None]] = []  # priority, arrival, id, job, deadline
    now = 0.0
    for arrival in range(3000):
        now += rng.random()
        event = rng.random()
        if event < 0.55:
            priority = rng.choice(list(Priority))
            deadline = rng.choice([None, now + rng.uniform(-1, 20)])
            dropped = scheduler.add(arrival, f"job {arrival}", priority, deadline)
            model = sorted([*model, (int(priority), arrival, arrival, f"job {arrival}", deadline)])
            if len(model) > limit:
                assert dropped is not None
                assert dropped.id == model.pop()[2]
            else:
                assert dropped is None
        elif event < 0.85:
            id = rng.choice(model)[2] if model and rng.random() < 0.8 else rng.randrange(arrival + 1)
            expected = next((entry[3] for entry in model if entry[2] == id), None)
            assert scheduler.get(id) == expected
            assert scheduler.remove(id) == expected
            model = [entry for entry in model if entry[2] != id]
        elif event < 0.99:
            late = [entry[3] for entry in model if entry[4] is not None and entry[4] <= now]
            assert scheduler.expired(now) == late
        else:
            assert scheduler.clear() == [entry[3] for entry in model]
            model = []
        assert len(scheduler) == len(model) <= limit
        assert [entry.id for entry in scheduler] == [entry[2] for entry in model]
