"""Tests whether a difference is chance: bootstrap intervals and McNemar's test, over shared holes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

_RESAMPLES = 2000
_SEED = 20240229


def interval(values: Sequence[float]) -> tuple[float, float]:
    """The 95% bootstrap interval of the mean of `values`, of which there is at least one."""
    import numpy as np

    sample = np.asarray(values, dtype=np.float64)
    generator = np.random.default_rng(_SEED)
    means = [sample[generator.integers(0, len(sample), len(sample))].mean() for _ in range(_RESAMPLES)]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def mcnemar(only_first: int, only_second: int) -> float:
    """The two-sided exact p value of McNemar's test: `only_first` holes were solved by the first treatment alone,
    `only_second` by the second alone."""
    count = only_first + only_second
    if count == 0:
        return 1.0
    tail = sum(math.comb(count, k) for k in range(min(only_first, only_second) + 1))
    return min(1.0, float(2 * tail / 2**count))


def compare(first: Sequence[bool], second: Sequence[bool]) -> dict[str, Any]:
    """Compares two treatments over the same holes: the difference of their solved shares, in percentage points."""
    differences = [100.0 * (a - b) for a, b in zip(first, second, strict=True)]
    low, high = interval(differences)
    only_first, only_second = sum(d > 0 for d in differences), sum(d < 0 for d in differences)
    return {
        "points": round(sum(differences) / len(differences), 2),
        "low": round(low, 2),
        "high": round(high, 2),
        "only_first": only_first,
        "only_second": only_second,
        "p": float(f"{mcnemar(only_first, only_second):.3g}"),
    }
