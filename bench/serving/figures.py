"""What became of the keys of a team and of the server, as figures and tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from bench.arms.arm import quantile
from bench.serving.clients import ARMS, OURS, Key
from bench.serving.inference import Totals
from bench.serving.service_times import ServiceTimes

LIMIT_MS = 300.0


@dataclass(frozen=True, slots=True)
class Run:
    """One arm with so many developers on one server.

    keys: those at which a completion is wanted. answered: before the next change; shown: of these, with a suggestion;
    from_memory: of those, from an earlier one that is being typed. p50, p95: ms until a suggestion, over `shown`.
    paused: the keys after which the developer pauses for at least 300 ms, but for those whose answer was that there is
    nothing to show. late_share: of these, the share that had no suggestion within 300 ms. Unlike p50 and p95 it does
    not leave out the keys that got no answer. paused_p95: ms that 95% of them do not exceed; None if more than 5% have
    no answer at all.
    hit_rate: the share of the tokens of the prompts that were in the prefix cache. busy: the share of the time in which
    the server works; None where that is not known. A server that is busy all the time may well take more: a step takes
    hardly longer for one sequence more.
    """

    setting: str
    arm: str
    developers: int
    seconds: float
    keys: int
    answered: int
    shown: int
    from_memory: int
    p50: float
    p95: float
    paused: int
    paused_p95: float | None
    late_share: float
    hit_rate: float
    requests_per_key: float
    prompt_tokens_per_second: float
    evaluated_per_second: float
    decoded_per_second: float
    busy: float | None
    most_in_flight: int
    most_of_a_client: int

    @property
    def carried(self) -> bool:
        """Whether 95% of the keys after which somebody pauses are answered in time."""
        return self.paused_p95 is not None and self.paused_p95 < LIMIT_MS

    @property
    def saturated(self) -> bool:
        """Whether more than 5% of the keys after which somebody pauses get no answer at all."""
        return self.paused > 0 and self.paused_p95 is None

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "carried": self.carried, "saturated": self.saturated}


def run_of(
    setting: str,
    arm: str,
    developers: int,
    seconds: float,
    keys: Sequence[Key],
    totals: Totals,
    *,
    knows_busy: bool = True,
) -> Run:
    """The figures of a run. keys, totals: those of the `seconds` that count."""
    answered = [key for key in keys if key.ms is not None]
    shown = [key for key in answered if key.shown]
    waits = [key.ms or 0.0 for key in shown]
    before_pause = [key for key in keys if key.gap_ms >= LIMIT_MS and (key.ms is None or key.shown)]
    paused = [math.inf if key.ms is None else key.ms for key in before_pause]
    paused_p95 = quantile(paused, 95)
    return Run(
        setting=setting,
        arm=arm,
        developers=developers,
        seconds=round(seconds, 1),
        keys=len(keys),
        answered=len(answered),
        shown=len(shown),
        from_memory=sum(key.source == "memory" for key in shown),
        p50=round(quantile(waits, 50), 1),
        p95=round(quantile(waits, 95), 1),
        paused=len(paused),
        paused_p95=round(paused_p95, 1) if math.isfinite(paused_p95) else None,
        late_share=round(sum(ms > LIMIT_MS for ms in paused) / max(1, len(paused)), 4),
        hit_rate=round(totals.cached_tokens / max(1, totals.prompt_tokens), 4),
        requests_per_key=round(totals.requests / max(1, len(keys)), 3),
        prompt_tokens_per_second=round(totals.prompt_tokens / seconds, 1),
        evaluated_per_second=round(totals.evaluated_tokens / seconds, 1),
        decoded_per_second=round(totals.decoded_tokens / seconds, 1),
        busy=round(totals.busy_ms / 1000 / seconds, 3) if knows_busy else None,
        most_in_flight=totals.most_in_flight,
        most_of_a_client=totals.most_of_a_client,
    )


def most_carried(runs: Sequence[Run], arm: str) -> int:
    """The most developers up to whom every number that was tried is carried; 0 if the smallest is not."""
    carried = 0
    for run in sorted((run for run in runs if run.arm == arm), key=lambda run: run.developers):
        if not run.carried:
            break
        carried = run.developers
    return carried


def runs_table(title: str, runs: Sequence[Run]) -> Table:
    table = Table(title=title)
    table.add_column("client", no_wrap=True)
    columns = (
        "developers",
        "keys",
        "in time",
        "shown",
        "memory",
        "p50",
        "p95",
        "paused p95",
        "hits",
        "requests per key",
    )
    for name in (*columns, "evaluated/s", "decoded/s", "busy"):
        table.add_column(name, justify="right")
    for run in runs:
        busy = "" if run.busy is None else f"{run.busy:.0%}"
        table.add_row(
            ARMS.get(run.arm, run.arm),
            str(run.developers),
            str(run.keys),
            f"{run.answered / max(1, run.keys):.0%}",
            f"{run.shown / max(1, run.keys):.0%}",
            f"{run.from_memory / max(1, run.keys):.0%}",
            f"{run.p50:.0f}",
            f"{run.p95:.0f}",
            "none" if run.paused_p95 is None else f"{run.paused_p95:.0f}",
            f"{run.hit_rate:.1%}",
            f"{run.requests_per_key:.2f}",
            f"{run.evaluated_per_second:.0f}",
            f"{run.decoded_per_second:.0f}",
            busy,
        )
    return table


def carried_table(settings: Sequence[ServiceTimes], runs: Sequence[Run], counts: Sequence[int]) -> Table:
    """How many developers each arm carries on each server, and how many times as many fimble does."""
    table = Table(title=f"developers for whom 95% of the keys before a pause are answered within {LIMIT_MS:.0f} ms")
    table.add_column("server", no_wrap=True)
    arms = [arm for arm in ARMS if any(run.arm == arm for run in runs)]
    for arm in arms:
        table.add_column(ARMS[arm], justify="right")
    others = [arm for arm in arms if arm != OURS]
    for arm in others:
        table.add_column(f"fimble over {ARMS[arm]}", justify="right")
    for setting in settings:
        own = [run for run in runs if run.setting == setting.name]
        if not own:
            continue
        found = {arm: most_carried(own, arm) for arm in arms}
        row = [_number(found[arm], counts) for arm in arms]
        table.add_row(setting.name, *row, *(ratio(found.get(OURS, 0), found[arm], counts) for arm in others))
    return table


def _number(carried: int, counts: Sequence[int]) -> str:
    if carried == max(counts):
        return f"{carried} or more"
    return str(carried) if carried else f"fewer than {min(counts)}"


def ratio(ours: int, theirs: int, counts: Sequence[int]) -> str:
    """How many times as many developers, as far as the numbers that were tried tell."""
    if not ours:
        return "none"
    if not theirs:
        return f"more than {ours / min(counts):.1f} times"
    more = " or more" if ours == max(counts) else ""
    return f"{ours / theirs:.1f} times{more}"
