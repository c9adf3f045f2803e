"""The summaries of `bench keystrokes`, as tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from rich.table import Table

from bench.sessions.counting import CountSummary, percentile
from bench.sessions.live import LiveKey


def count_table(summaries: Sequence[CountSummary]) -> Table:
    table = Table(title="prompt tokens evaluated before an answer, per answered key")
    for name in ("session", "order"):
        table.add_column(name, no_wrap=True)
    for name in ("keys", "unanswered", "p50", "p95", "p99", "mean", "all per key", "at rest per key"):
        table.add_column(name, justify="right")
    for row in summaries:
        figures = [row.keys, row.unanswered, row.p50, row.p95, row.p99, row.mean, row.evaluated_per_key]
        table.add_row(row.session, row.order, *(f"{figure:g}" for figure in [*figures, row.rest_per_key]))
    return table


def live_summary(session: str, keys: Sequence[LiveKey], wall_seconds: float) -> dict[str, Any]:
    """The figures of one session typed in real time; `keys` is not empty.

    asked_model: the keys that the model answered; the percentiles of tokens and ms are for these. typed_characters: the
    single characters that were typed. credit_characters: those of them that the latest suggestion contained at that
    place.
    """
    answered = [key for key in keys if key.ms is not None]
    shown = [key for key in answered if key.suggestion]
    model = [key for key in answered if key.source == "model" and key.evaluated_tokens is not None]
    evaluated = sorted(key.evaluated_tokens or 0 for key in model) or [0]
    waited = sorted(round(key.ms or 0) for key in shown) or [0]
    decoded = sum(key.decoded_tokens or 0 for key in answered)
    credited = sum(1 for last, key in pairwise(keys) if key.key and last.credit)
    return {
        "session": session,
        "keys": len(keys),
        "answered": len(answered),
        "shown": len(shown),
        "asked_model": len(model),
        "from_memory": sum(key.source == "memory" for key in shown),
        "evaluated_p50": percentile(evaluated, 50),
        "evaluated_p95": percentile(evaluated, 95),
        "evaluated_mean": round(sum(evaluated) / len(evaluated), 2),
        "ms_p50": percentile(waited, 50),
        "ms_p95": percentile(waited, 95),
        "typed_characters": sum(key.key is not None for key in keys),
        "credit_characters": credited,
        "credit_per_shown": round(sum(key.credit for key in shown) / max(1, len(shown)), 2),
        "decoded": decoded,
        "wasted": round(sum(key.wasted_tokens or 0 for key in answered), 1),
        "cpu_ms_per_key": round(sum(key.cpu_ms for key in keys) / len(keys), 1),
        "cpu_cores_used": round(sum(key.cpu_ms for key in keys) / 1000 / wall_seconds, 2),
    }


def live_table(summaries: Sequence[dict[str, Any]]) -> Table:
    """One column per session: there are more figures than sessions."""
    table = Table(title="typed in real time")
    table.add_column("")
    for summary in summaries:
        table.add_column(summary["session"], justify="right")

    def share(name: str, whole: str) -> list[str]:
        return [f"{s[name]} ({s[name] / max(1, s[whole]):.0%})" for s in summaries]

    table.add_row("keys", *(str(s["keys"]) for s in summaries))
    table.add_row("answered before the next key", *share("answered", "keys"))
    table.add_row("with a suggestion", *share("shown", "keys"))
    table.add_row("of these from memory", *share("from_memory", "shown"))
    table.add_row("ms to a suggestion, p50 / p95", *(f"{s['ms_p50']} / {s['ms_p95']}" for s in summaries))
    tokens = (f"{s['evaluated_p50']} / {s['evaluated_p95']} / {s['evaluated_mean']:g}" for s in summaries)
    table.add_row("prompt tokens, p50 / p95 / mean", *tokens)
    table.add_row("typed characters that were suggested", *share("credit_characters", "typed_characters"))
    table.add_row("characters then typed, per suggestion", *(f"{s['credit_per_shown']:g}" for s in summaries))
    table.add_row("tokens decoded", *(str(s["decoded"]) for s in summaries))
    table.add_row("of these wasted", *share("wasted", "decoded"))
    table.add_row("CPU ms per key", *(f"{s['cpu_ms_per_key']:g}" for s in summaries))
    table.add_row("cores busy", *(f"{s['cpu_cores_used']:g}" for s in summaries))
    return table
