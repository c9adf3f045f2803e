"""The times of keys: spreads coarse time stamps, and finds the densest part of a session."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise

from bench.sessions.recordings import Change

_SECOND_MS = 1000.0


def spread(changes: Iterable[Change]) -> Iterator[Change]:
    """The changes, with equal stamps spread evenly up to the next stamp, at most over a second, because some recordings
    count whole seconds. A stamp that is lower than the one before is replaced by it."""
    waiting: list[Change] = []
    latest = float("-inf")
    for _, group in groupby(_forward(changes), key=lambda change: change.time_ms):
        following = list(group)
        yield from _spread_group(waiting, following[0].time_ms)
        waiting, latest = following, following[0].time_ms
    yield from _spread_group(waiting, latest + _SECOND_MS)


def _forward(changes: Iterable[Change]) -> Iterator[Change]:
    latest = float("-inf")
    for change in changes:
        if change.time_ms < latest:
            yield replace(change, time_ms=latest)
        else:
            latest = change.time_ms
            yield change


def _spread_group(group: Sequence[Change], next_ms: float) -> Iterator[Change]:
    if len(group) == 1:
        yield group[0]
        return
    for index, change in enumerate(group):
        span = min(_SECOND_MS, next_ms - change.time_ms)
        yield replace(change, time_ms=change.time_ms + span * index / len(group))


def with_gaps(changes: Iterable[Change]) -> Iterator[tuple[Change, float]]:
    """Each change with the time until the next one, in ms; infinite after the last."""
    last: Change | None = None
    for change in changes:
        if last is not None:
            yield last, change.time_ms - last.time_ms
        last = change
    if last is not None:
        yield last, float("inf")


@dataclass(frozen=True, slots=True)
class Beat:
    """The data of a change for finding the densest part. typed: whether it is one typed character."""

    time_ms: float
    typed: bool


def densest(beats: Sequence[Beat], count: int, longest_pause_ms: float) -> int:
    """The index of the first of the `count` changes with the most typed characters per second, with pauses shortened to
    `longest_pause_ms`. Held backspaces and formatted code do not count as typed."""
    if len(beats) <= count:
        return 0
    times, typed = [0.0], [0]
    for last, beat in pairwise(beats):
        times.append(times[-1] + min(longest_pause_ms, beat.time_ms - last.time_ms))
    for beat in beats:
        typed.append(typed[-1] + beat.typed)

    def rate(first: int) -> float:
        return (typed[first + count] - typed[first]) / (times[first + count - 1] - times[first] + _SECOND_MS)

    return max(range(len(beats) - count + 1), key=rate)
