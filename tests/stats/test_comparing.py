"""Trials of two settings: differences that are there are found in the time that was said, and others are not."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import date, timedelta

import pytest

from lsp_server.settings.comparison import Trial
from lsp_server.stats.comparing import FIRST_DAYS, LEAST_KEYS, Verdict, compare, days_needed
from lsp_server.stats.counts import Key, Tally

TRIAL = Trial("0a1b2c3d", "2026-01-01", ("A.toml", "B.toml"), ({}, {}))
BEGAN = date(2026, 1, 1)
SIMULATIONS = 200


def lived(chance: random.Random, days: int, more: float, spread: float, *, drift: float = 0.0) -> Tally:
    """What a user's days leave behind. more: how much more of the second setting is kept; spread: how much days differ
    by themselves; drift: how much more is kept each day, because the user learns."""
    found = Tally()
    for number in range(days):
        day = BEGAN + timedelta(days=number)
        turn = TRIAL.turn(day)
        keys = int(chance.uniform(1500, 6000))
        rate = 0.4 * (1 + more * turn) * chance.lognormvariate(0, spread) * (1 + drift) ** number
        key = Key(day.isoformat(), "Python", "a model", "memory", TRIAL.arms[turn])
        found.add(key, kept_300=int(rate * keys))
        found.add(Key(day.isoformat(), "Python", "a model", "", TRIAL.arms[turn]), keys=keys)
        for _ in range(8):
            found.took(key, chance.lognormvariate(3.5 + 0.3 * turn, 0.8))
    return found


def verdict(chance: random.Random, more: float, spread: float, **options: float) -> Verdict:
    """What a user is told who looks when there should be a result: as many days later as was said after the first."""
    state = chance.getstate()
    early = compare(lived(chance, 2 * FIRST_DAYS, more, spread, **options), TRIAL.arms)
    assert early.needed is not None
    chance.setstate(state)
    return compare(lived(chance, 2 * early.needed, more, spread, **options), TRIAL.arms)


@pytest.mark.parametrize("spread", [0.04, 0.1])
def test_a_difference_of_five_percent_is_found_in_the_time_that_was_said(spread: float) -> None:
    results = [verdict(random.Random(seed), 0.05, spread).result for seed in range(SIMULATIONS)]
    assert results.count("B") >= 0.8 * SIMULATIONS
    assert "open" not in results


@pytest.mark.parametrize("spread", [0.04, 0.1])
def test_no_difference_is_hardly_ever_found_where_there_is_none(spread: float) -> None:
    results = [verdict(random.Random(1000 + seed), 0.0, spread).result for seed in range(SIMULATIONS)]
    assert results.count("none") >= 0.95 * SIMULATIONS


def test_looking_every_day_finds_no_more_than_looking_once() -> None:
    alarms = 0
    for seed in range(60):
        chance = random.Random(2000 + seed)
        whole = lived(chance, 200, 0.0, 0.05)
        days = sorted({key.day for key in whole.counts})
        results = set()
        for last in days[::7]:
            seen = Tally({key: counts for key, counts in whole.counts.items() if key.day <= last}, {})
            results.add(compare(seen, TRIAL.arms).result)
        alarms += bool(results & {"A", "B"})
    assert alarms <= 5


def test_who_learns_meanwhile_is_told_no_difference() -> None:
    results = [verdict(random.Random(3000 + seed), 0.0, 0.05, drift=0.002).result for seed in range(60)]
    assert results.count("none") >= 55


def test_the_interval_holds_the_difference() -> None:
    hits = 0
    for seed in range(SIMULATIONS):
        found = verdict(random.Random(5000 + seed), 0.08, 0.05).kept
        assert found is not None
        assert found.low < found.more < found.high
        hits += found.low <= 0.08 <= found.high
    assert hits >= 0.93 * SIMULATIONS


def test_it_is_said_how_many_days_more_it_takes() -> None:
    for days in (0, 1, 5, 2 * FIRST_DAYS - 2):
        found = compare(lived(random.Random(5), days, 0.05, 0.1), TRIAL.arms)
        assert (found.result, found.needed, found.kept) == ("open", None, None)
        assert sum(found.missing) == 2 * FIRST_DAYS - days
    early = compare(lived(random.Random(5), 20, 0.05, 0.1), TRIAL.arms)
    later = compare(lived(random.Random(5), 40, 0.05, 0.1), TRIAL.arms)
    assert early.needed is not None
    assert early.needed == later.needed
    assert [early.missing[0] - 10, later.missing[0]] == [later.missing[0], early.needed - 20]
    assert days_needed(0.2) > days_needed(0.1) > days_needed(0.01) == FIRST_DAYS


def test_how_much_longer_the_second_takes_is_told() -> None:
    found = compare(lived(random.Random(6), 60, 0.0, 0.1), TRIAL.arms).latency
    assert found is not None
    assert found.low < 0.35 < found.high
    assert found.low > 0.1


def test_days_of_few_keys_and_counts_of_other_days_say_nothing() -> None:
    found = lived(random.Random(7), 40, 0.05, 0.1)
    before = compare(found, TRIAL.arms)
    for number in range(10):
        day = (BEGAN + timedelta(days=100 + number)).isoformat()
        found.add(Key(day, arm=TRIAL.arms[0]), keys=LEAST_KEYS - 1, kept_300=9999)
        found.add(Key(day), keys=5000, kept_300=9999)
        found.add(Key(day, arm="ffffffffA"), keys=5000, kept_300=9999)
    assert compare(found, TRIAL.arms) == before


@pytest.mark.parametrize("pick", [lambda turns: turns[0::2], lambda turns: turns[1::2]], ids=["first", "second"])
def test_of_each_two_days_one_is_for_each_in_no_order(pick: Callable[[list[int]], list[int]]) -> None:
    turns = [TRIAL.turn(BEGAN + timedelta(days=number)) for number in range(400)]
    assert all(one + other == 1 for one, other in zip(turns[0::2], turns[1::2], strict=True))
    assert 70 <= sum(pick(turns)) <= 130
