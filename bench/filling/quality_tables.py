"""The figures of `bench quality`: summaries for the JSON, and tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.table import Table

from bench.filling.comparison import compare, interval
from bench.filling.completers import NO_SUFFIX, NOT_HEALED, RAW_LINE, SHOWN

Record = dict[str, Any]

# Possible values of `min_confidence`.
_THRESHOLDS = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)


def summarise(records: Sequence[Record]) -> list[dict[str, Any]]:
    """One summary per set, in the order of their first records."""
    sets = list(dict.fromkeys(record["set"] for record in records))
    return [_summary(name, [record for record in records if record["set"] == name]) for name in sets]


def _summary(name: str, records: Sequence[Record]) -> dict[str, Any]:
    """Shares are in percent, with the bounds of a 95% interval. All records have the same treatments.

    shown: the holes for which the treatment has any text. parses: of these, those that add no syntax error. undefined:
    of these, those with a name that is certainly defined nowhere.
    """
    treatments = list(records[0]["scores"])
    comparisons = []
    for first, second in _pairs(treatments):
        for measure in _measures(records):
            found = compare(_column(records, first, measure), _column(records, second, measure))
            comparisons.append({"first": first, "second": second, "measure": measure, **found})
    groups = {}
    for group in sorted({record["group"] for record in records}):
        members = [record for record in records if record["group"] == group]
        groups[group] = {treatment: _figures(members, treatment) for treatment in treatments}
    return {
        "set": name,
        "holes": len(records),
        "treatments": {treatment: _figures(records, treatment) for treatment in treatments},
        "comparisons": comparisons,
        "groups": groups if len(groups) > 1 else {},
        "confidence": _confidence(records),
    }


def _confidence(records: Sequence[Record]) -> list[dict[str, float]]:
    """For each threshold of the confidence: the share of suggestions that stay (shown), how many of these are right,
    and how many right ones stay and wrong ones are removed; in percent."""
    measure = _measures(records)[0]
    made = [record for record in records if "confidence" in record and record["scores"][SHOWN]["text"].strip()]
    right = _column(made, SHOWN, measure) if made else []
    found = []
    for threshold in _THRESHOLDS:
        left = [good for record, good in zip(made, right, strict=True) if record["confidence"] >= threshold]
        found.append(
            {
                "threshold": threshold,
                "shown": _share(len(left), len(made)),
                "right": _share(sum(left), len(left)),
                "right_kept": _share(sum(left), sum(right)),
                "wrong_removed": _share(right.count(False) - left.count(False), right.count(False)),
            }
        )
    return found if made else []


def _share(count: int, total: int) -> float:
    return round(100 * count / total, 1) if total else 0.0


def _pairs(treatments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The compared pairs: the first treatment with every other one; with and without healing; with and without the
    suffix."""
    for other in treatments[1:]:
        yield treatments[0], other
    for absent in (NOT_HEALED, NO_SUFFIX):
        if absent in treatments:
            yield RAW_LINE, absent


def _measures(records: Sequence[Record]) -> list[str]:
    return ["pass@1", "exact"] if _tested(records) else ["exact"]


def _tested(records: Sequence[Record]) -> bool:
    return any(score["verdict"] for score in records[0]["scores"].values())


def _column(records: Sequence[Record], treatment: str, measure: str) -> list[bool]:
    scores = [record["scores"][treatment] for record in records]
    return [score["verdict"] == "passed" if measure == "pass@1" else score["exact"] for score in scores]


def _figures(records: Sequence[Record], treatment: str) -> dict[str, Any]:
    scores = [record["scores"][treatment] for record in records]
    parses = [score["parses"] for score in scores if score["parses"] is not None]
    found: dict[str, Any] = {}
    for measure in _measures(records):
        solved = _column(records, treatment, measure)
        low, high = interval([100.0 * one for one in solved])
        found[measure] = {"percent": _percent(solved), "low": round(low, 2), "high": round(high, 2)}
    found["similarity"] = round(100 * sum(score["similarity"] for score in scores) / len(scores), 2)
    found["shown"] = _percent([bool(score["text"].strip()) for score in scores])
    found["parses"] = _percent(parses) if parses else None
    names = [score["undefined"] for score in scores if score.get("undefined") is not None]
    found["undefined"] = _percent(names) if names else None
    return found


def _percent(values: Sequence[bool]) -> float:
    return round(100 * sum(values) / len(values), 2)


def figures_table(summary: dict[str, Any]) -> Table:
    table = Table(title=f"{summary['set']}, {summary['holes']} holes: percent (95% interval)")
    measures = list(next(iter(summary["treatments"].values())))
    table.add_column("")
    for measure in measures:
        table.add_column("edit similarity" if measure == "similarity" else measure, justify="right")
    for name, figures in summary["treatments"].items():
        table.add_row(name, *(_cell(figures[measure]) for measure in measures))
    return table


def groups_table(summary: dict[str, Any]) -> Table:
    """The figures of the first treatment, by group."""
    first = next(iter(summary["treatments"]))
    table = Table(title=f"{summary['set']}, {first}, by group")
    table.add_column("")
    measures = list(summary["treatments"][first])
    for measure in measures:
        table.add_column("edit similarity" if measure == "similarity" else measure, justify="right")
    for group, treatments in summary["groups"].items():
        table.add_row(group, *(_cell(treatments[first][measure]) for measure in measures))
    return table


def comparisons_table(summary: dict[str, Any]) -> Table:
    table = Table(title=f"{summary['set']}: paired, same holes")
    for name in ("first", "second", "measure"):
        table.add_column(name)
    for name in ("points (95%)", "only first", "only second", "McNemar p"):
        table.add_column(name, justify="right")
    for row in summary["comparisons"]:
        points = f"{row['points']:+.1f} ({row['low']:+.1f} to {row['high']:+.1f})"
        names = (row["first"], row["second"], row["measure"])
        table.add_row(*names, points, str(row["only_first"]), str(row["only_second"]), f"{row['p']:.3g}")
    return table


def confidence_table(summary: dict[str, Any]) -> Table:
    table = Table(title=f"{summary['set']}: if less confident suggestions were not shown (percent)")
    for name in ("min_confidence", "shown", "right of these", "right ones kept", "wrong ones removed"):
        table.add_column(name, justify="right")
    for row in summary["confidence"]:
        shares = [row[name] for name in ("shown", "right", "right_kept", "wrong_removed")]
        table.add_row(f"{row['threshold']:.2f}", *map(_cell, shares))
    return table


def _cell(figure: Any) -> str:
    if figure is None:
        return "-"
    if isinstance(figure, dict):
        return f"{figure['percent']:.1f} ({figure['low']:.1f} to {figure['high']:.1f})"
    return f"{figure:.1f}"
