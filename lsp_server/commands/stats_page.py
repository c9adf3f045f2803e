"""The page of `fimble stats` in a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from lsp_server.commands.output import console
from lsp_server.stats.calculations import BUDGET_MS, late_share, percentile, sparkline
from lsp_server.stats.counts import EMPTY_ANSWERS
from lsp_server.stats.report import LATELY_DAYS

if TYPE_CHECKING:
    from rich.table import Table

    from lsp_server.stats.report import Group, Report

SOURCES = {"memory": "from memory", "adopted": "begun for an earlier key", "model": "begun for the key itself"}


def show(made: Report) -> None:
    """Prints the page."""
    page = console()
    if not made.days:
        page.print("Nothing has been counted yet. Type with suggestions on, and look again.")
        return
    page.print(f"The week to {made.today.isoformat()}, against the week before\n", style="bold")
    page.print(_weeks(made))
    days = made.last_days(LATELY_DAYS)
    for name, values in series(days).items():
        line = sparkline(values)
        if line.strip():
            page.print(f"\n{name}, the last {LATELY_DAYS} days\n{line}")
    page.print(f"\nThe last {LATELY_DAYS} days", style="bold")
    for title, groups in (("language", made.languages), ("model", made.models)):
        if groups:
            page.print()
            page.print(_table(title, groups))
    if made.sources:
        page.print()
        page.print(_sources(made.sources))
    empty = {kind: made.week.counts[kind] for kind in EMPTY_ANSWERS if made.week.counts[kind]}
    if empty:
        page.print("\nRequests without a suggestion", style="bold")
        for kind, count in sorted(empty.items(), key=lambda entry: -entry[1]):
            page.print(f"{count:7,}  {EMPTY_ANSWERS[kind]}")
    page.print("\nWhat would help", style="bold")
    for line in made.advice:
        page.print(f"• {line}")
    if made.week.is_estimate or made.before.is_estimate:
        page.print("\n~: an estimate, since the editor does not say what it shows")


def series(days: list[tuple[str, Group]]) -> dict[str, list[float]]:
    """The values for the charts, one for each day."""
    return {
        "Characters accepted": [float(max(0, group.counts["accepted_characters"])) for _, group in days],
        f"Suggestions later than {BUDGET_MS} ms": [late_share(group.buckets) or 0.0 for _, group in days],
    }


def figures(group: Group) -> dict[str, str]:
    """The figures of a week, as texts."""
    mark = "~" if group.is_estimate else ""
    times = [percentile(group.buckets, share) for share in (0.5, 0.95, 0.99)]
    late = late_share(group.buckets)
    return {
        "suggestions shown": f"{mark}{group.shown:,}",
        "accepted": interval(group.accept_rate, mark),
        "of it, kept after 5 minutes": interval(group.keep_rate),
        "typed to the end instead": f"{group.counts['typed_through']:,}",
        "keys saved": f"{group.saved:,}",
        "share of what was written": "–" if group.written_share is None else f"{group.written_share:.0%}",
        "time to show, p50 · p95 · p99": " · ".join(f"{ms:.0f}" for ms in times if ms is not None) + " ms"
        if group.buckets
        else "–",
        f"later than {BUDGET_MS} ms": "–" if late is None else f"{late:.0%}",
        "code actions, used": f"{group.counts['actions']:,}, {group.counts['actions_applied']:,}",
        "processor time": f"{group.counts['cpu_ms'] / 60_000:.1f} min",
        "tokens read, written": f"{group.counts['evaluated_tokens']:,}, {group.counts['decoded_tokens']:,}",
        "written for nothing, at least": f"{group.counts['wasted_tokens']:,} tokens",
    }


def interval(found: tuple[float, float, float] | None, mark: str = "") -> str:
    """A rate with its 95% interval."""
    return "–" if found is None else f"{mark}{found[0]:.0%} ({found[1]:.0%} to {found[2]:.0%})"


def _weeks(made: Report) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for title in ("", "this week", "the week before"):
        table.add_column(title, justify="left" if not title else "right")
    one, other = figures(made.week), figures(made.before)
    for name, text in one.items():
        table.add_row(name, text, other[name])
    return table


def _table(title: str, groups: Mapping[str, Group]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for name in (title, "shown", "accepted", "kept", "saved", "p50", "p95", f"> {BUDGET_MS} ms"):
        table.add_column(name, justify="left" if name == title else "right")
    for name, group in groups.items():
        table.add_row(name, *cells(group))
    return table


def cells(group: Group) -> list[str]:
    """The figures of a table row."""
    times = [percentile(group.buckets, share) for share in (0.5, 0.95)]
    late = late_share(group.buckets)
    return [
        f"{'~' if group.is_estimate else ''}{group.shown:,}",
        interval(group.accept_rate),
        interval(group.keep_rate),
        f"{group.saved:,}",
        *("–" if ms is None else f"{ms:.0f} ms" for ms in times),
        "–" if late is None else f"{late:.0%}",
    ]


def _sources(groups: Mapping[str, Group]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for name in ("where it came from", "answers", "p50", "p95", "p99"):
        table.add_column(name, justify="left" if name.startswith("where") else "right")
    for name, group in groups.items():
        times = [percentile(group.buckets, share) for share in (0.5, 0.95, 0.99)]
        shown = ["–" if ms is None else f"{ms:.0f} ms" for ms in times]
        table.add_row(SOURCES.get(name, name), f"{sum(group.buckets.values()):,}", *shown)
    return table
