"""Decides which of two settings is better, only after enough days: a test in two stages.

The first days of each setting show how much days differ by chance. This gives the number of days that are needed to
find a difference of 5%. The result is computed only from these days, so it does not depend on how often the user looks.
Since the spread of the first days is used throughout, the error rates are exact for any true spread (Stein's
procedure).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, variance
from typing import Any, Literal

from lsp_server.stats.calculations import mean_log
from lsp_server.stats.counts import Tally

# A day with fewer keys is ignored.
LEAST_KEYS = 200
# The number of days of each setting from which the spread is estimated.
FIRST_DAYS = 8
# The relative difference to find, the probability to report one that does not exist, and the probability to find one
# that does.
DIFFERENCE, FALSE_ALARMS, POWER = 0.05, 0.03, 0.87
_DEGREES = 2 * (FIRST_DAYS - 1)


@dataclass(frozen=True, slots=True)
class Interval:
    """How much more the second setting has than the first, as a share of the first's, with its confidence interval."""

    more: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """days: counted days of each setting so far.
    needed: days of each that are needed; None while unknown.
    missing: days of each that are still missing.
    kept: the difference in characters kept per key; latency: in the time until a suggestion is shown; None with too
    little data.
    result: "A" or "B" if that is better; "none" if neither is better by `DIFFERENCE`; "open" if it is too early."""

    days: tuple[int, int]
    needed: int | None
    missing: tuple[int, int]
    kept: Interval | None
    latency: Interval | None
    result: Literal["A", "B", "none", "open"]

    def as_json(self) -> dict[str, Any]:
        def of(found: Interval | None) -> dict[str, float] | None:
            return None if found is None else {"more": found.more, "low": found.low, "high": found.high}

        return {
            "days": self.days,
            "neededOfEach": self.needed,
            "missing": self.missing,
            "kept": of(self.kept),
            "latency": of(self.latency),
            "result": self.result,
        }


def compare(found: Tally, arms: tuple[str, str]) -> Verdict:
    """Compares two arms over their first days, as many as are needed."""
    kept = _kept_by_day(found, arms[0]), _kept_by_day(found, arms[1])
    days = len(kept[0]), len(kept[1])
    if min(days) < FIRST_DAYS:
        missing = max(0, FIRST_DAYS - days[0]), max(0, FIRST_DAYS - days[1])
        return Verdict(days, None, missing, None, None, "open")
    logs = [value for _, value in kept[0]], [value for _, value in kept[1]]
    spread = _spread(logs[0][:FIRST_DAYS], logs[1][:FIRST_DAYS])
    needed = days_needed(spread)
    counted = [list(each[:needed]) for each in logs]
    missing = max(0, needed - days[0]), max(0, needed - days[1])
    difference = _interval(counted[0], counted[1], spread)
    named = [[day for day, _ in each[:needed]] for each in kept]
    late = [_latency_by_day(found, arm, each) for arm, each in zip(arms, named, strict=True)]
    latency = None
    if min(map(len, late)) >= FIRST_DAYS:
        latency = _interval(late[0], late[1], _spread(late[0][:FIRST_DAYS], late[1][:FIRST_DAYS]))
    result: Literal["A", "B", "none", "open"] = "open"
    if not any(missing):
        result = "B" if difference.low > 0 else "A" if difference.high < 0 else "none"
    return Verdict(days, needed, missing, difference, latency, result)


def days_needed(spread: float) -> int:
    """How many days of each arm are needed to find a difference of `DIFFERENCE`."""
    quantiles = _t_quantile(1 - FALSE_ALARMS / 2) + _t_quantile(POWER)
    return max(FIRST_DAYS, math.ceil(2 * (spread * quantiles / math.log1p(DIFFERENCE)) ** 2))


def _kept_by_day(found: Tally, arm: str) -> list[tuple[str, float]]:
    """For each counted day, the logarithm of the characters kept per key; the oldest day first."""
    keys: dict[str, int] = {}
    kept: dict[str, int] = {}
    for key, counts in found.counts.items():
        if key.arm == arm:
            keys[key.day] = keys.get(key.day, 0) + counts["keys"]
            kept[key.day] = kept.get(key.day, 0) + counts["kept_300"]
    return [(day, math.log((kept[day] + 1) / keys[day])) for day in sorted(keys) if keys[day] >= LEAST_KEYS]


def _latency_by_day(found: Tally, arm: str, days: Sequence[str]) -> list[float]:
    by_day: dict[str, dict[int, int]] = {}
    for key, buckets in found.latencies.items():
        if key.arm == arm:
            day = by_day.setdefault(key.day, {})
            for bucket, count in buckets.items():
                day[bucket] = day.get(bucket, 0) + count
    means = (mean_log(by_day.get(day, {})) for day in days)
    return [mean for mean in means if mean is not None]


def _spread(one: Sequence[float], other: Sequence[float]) -> float:
    return math.sqrt((variance(one) + variance(other)) / 2)


def _interval(one: Sequence[float], other: Sequence[float], spread: float) -> Interval:
    more = fmean(other) - fmean(one)
    half = _t_quantile(1 - FALSE_ALARMS / 2) * spread * math.sqrt(1 / len(one) + 1 / len(other))
    return Interval(math.expm1(more), math.expm1(more - half), math.expm1(more + half))


def _t_quantile(p: float) -> float:
    """A quantile of Student's t distribution, by its expansion around the normal one; exact to three digits here."""
    z, n = NormalDist().inv_cdf(p), _DEGREES
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / n + second / n**2 + third / n**3
