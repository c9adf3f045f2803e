"""Computes percentiles of latencies, and rates with confidence intervals, from counts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import NormalDist

from lsp_server.stats.counts import BUCKETS

# Suggestions that come later than this are not waited for.
BUDGET_MS = 100
_Z = NormalDist().inv_cdf(0.975)


def percentile(buckets: Mapping[int, int], share: float) -> float | None:
    """The latency in ms that this share of all does not exceed, interpolated inside its bucket; None if there are none.
    For the bucket above the last bound, that bound."""
    total = sum(buckets.values())
    if total <= 0:
        return None
    wanted, seen = share * total, 0
    for bucket in sorted(buckets):
        count = buckets[bucket]
        if count > 0 and seen + count >= wanted:
            if bucket >= len(BUCKETS):
                return float(BUCKETS[-1])
            low = BUCKETS[bucket - 1] if bucket else 0
            return low + (BUCKETS[bucket] - low) * max(0.0, wanted - seen) / count
        seen += count
    return float(BUCKETS[-1])


def mean_log(buckets: Mapping[int, int]) -> float | None:
    """The mean of the logarithms of the latencies; None if there are none."""
    total = sum(buckets.values())
    if total <= 0:
        return None
    ends = (0.5, *BUCKETS, 2 * BUCKETS[-1])
    return sum(count * math.log(math.sqrt(ends[at] * ends[at + 1])) for at, count in buckets.items()) / total


def late_share(buckets: Mapping[int, int], ms: int = BUDGET_MS) -> float | None:
    """The share of latencies above `ms`, which must be the bound of a bucket; None if there are none."""
    total = sum(buckets.values())
    late = sum(count for bucket, count in buckets.items() if bucket >= len(BUCKETS) or BUCKETS[bucket] > ms)
    return late / total if total > 0 else None


def rate(part: float, whole: float, trials: float | None = None) -> tuple[float, float, float] | None:
    """A share with its 95% interval, by Wilson's formula; None if the whole is 0. trials: the number of independent
    trials, if `whole` counts something else."""
    n = whole if trials is None else min(whole, trials)
    if whole <= 0 or n <= 0:
        return None
    p = min(1.0, max(0.0, part / whole))
    middle = (p + _Z * _Z / (2 * n)) / (1 + _Z * _Z / n)
    half = _Z * math.sqrt(p * (1 - p) / n + _Z * _Z / (4 * n * n)) / (1 + _Z * _Z / n)
    return p, max(0.0, middle - half), min(1.0, middle + half)


def sparkline(values: list[float]) -> str:
    """A row of bars, one for each value."""
    most = max(values, default=0)
    bars = "▁▂▃▄▅▆▇█"
    return "".join(bars[min(7, int(8 * value / most))] if most > 0 and value > 0 else " " for value in values)
