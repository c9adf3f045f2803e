"""The page of `fimble stats` as one HTML file: no scripts, no external files, light and dark, charts as SVG."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

from lsp_server.commands.stats_page import SOURCES, cells, figures
from lsp_server.stats.calculations import BUDGET_MS, percentile
from lsp_server.stats.counts import EMPTY_ANSWERS
from lsp_server.stats.report import LATELY_DAYS

if TYPE_CHECKING:
    from lsp_server.stats.report import Group, Report

# The most days in a chart. It has all days with counts, and at least four weeks.
_MOST_DAYS = 365
# A line is drawn over at most this many days without a value: a weekend and one more day.
_LONGEST_GAP = 3
_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM = 720, 184, 76, 16, 28

_STYLE = """
:root { color-scheme: light dark; --ink: #1d2330; --soft: #565e6e; --line: #d5d9e2; --back: #fff; --card: #f5f6f9;
  --one: #2459c4; --two: #b4490e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e7e9ee; --soft: #a9b0bf; --line: #3a4150; --back: #14171d;
  --card: #1d212a; --one: #8ab0ff; --two: #ffab76; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 66rem; padding: 1.5rem 1rem 3rem; color: var(--ink); background: var(--back);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 1rem; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
h1 time { white-space: nowrap; } p.note { color: var(--soft); }
.wide { overflow-x: auto; background: linear-gradient(to right, var(--back) 40%, transparent) left / 2.5rem 100%,
  linear-gradient(to left, var(--back) 40%, transparent) right / 2.5rem 100%,
  linear-gradient(to right, var(--line), transparent) left / .75rem 100%,
  linear-gradient(to left, var(--line), transparent) right / .75rem 100%;
  background-repeat: no-repeat; background-attachment: local, local, scroll, scroll; }
.wide + .wide { margin-top: 1.5rem; } :focus-visible { outline: 2px solid var(--one); outline-offset: 2px; }
dl { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: .75rem; margin: 0; }
dl div { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: .6rem .8rem; }
dt { color: var(--soft); font-size: .875rem; } dd { margin: 0; font-size: 1.15rem; }
dd small, td small { display: block; color: var(--soft); font-size: .875rem; }
table { border-collapse: collapse; width: 100%; } caption { text-align: left; color: var(--soft); }
th, td { padding: .3rem 0 .3rem 1rem; text-align: right; vertical-align: top; border-bottom: 1px solid var(--line); }
td { white-space: nowrap; font-variant-numeric: tabular-nums; }
th { font-weight: 600; } thead th { color: var(--soft); vertical-align: bottom; }
th:first-child { padding-left: 0; text-align: left; min-width: 8rem; overflow-wrap: anywhere; }
figure { margin: 1rem 0; } figcaption { color: var(--soft); }
svg { display: block; width: 100%; height: auto; } svg * { vector-effect: non-scaling-stroke; }
svg text { fill: var(--soft); font: 12px system-ui, sans-serif; } .axis { stroke: var(--line); }
@media (max-width: 19rem) { dl { grid-template-columns: 1fr; } }
@media (max-width: 40rem) { svg text { font-size: 19px; } }
@media (min-width: 40rem) { dl { grid-template-columns: repeat(3, 1fr); } }
@media (min-width: 60rem) { dl { grid-template-columns: repeat(4, 1fr); } svg text { font-size: 10px; } }
.bar { fill: var(--one); }
.line { fill: none; stroke: var(--one); stroke-width: 2; } .high { fill: none; stroke: var(--two); stroke-width: 2;
  stroke-dasharray: 5 3; } .dot { fill: var(--one); } .dot.high { fill: var(--two); stroke: none; }
.limit { stroke: var(--soft); stroke-dasharray: 2 4; }
"""


def page(made: Report) -> str:
    """The whole HTML file."""
    body = (
        _body(made) if made.days else "<p>Nothing has been counted yet. Type with suggestions on, and look again.</p>"
    )
    day = made.today.isoformat()
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>fimble: the week to {day}</title>\n<style>{_STYLE}</style>\n"
        "</head>\n<body>\n<main>\n"
        f"<h1>fimble: the week to <time>{day}</time></h1>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _body(made: Report) -> str:
    first = min(made.days)
    count = (made.today - made.today.fromisoformat(first)).days + 1
    days = made.last_days(max(LATELY_DAYS, min(_MOST_DAYS, count)))
    parts = [_weeks(made.week, made.before), _advice(made.advice), "<h2>Day by day</h2>"]
    accepted = [float(max(0, group.counts["accepted_characters"])) for _, group in days]
    parts.append(_bars("Characters accepted", [name for name, _ in days], accepted))
    middle = [percentile(group.buckets, 0.5) for _, group in days]
    high = [percentile(group.buckets, 0.95) for _, group in days]
    parts.append(_lines("Time to show, in ms", [name for name, _ in days], middle, high))
    parts.append(f"<h2>The last {LATELY_DAYS} days</h2>")
    titles = ("shown", "accepted", "kept after 5 minutes", "keys saved", "p50", "p95", f"over {BUDGET_MS} ms")
    for title, groups in (("Language", made.languages), ("Model", made.models)):
        if groups:
            parts.append(_table(title, titles, {name: cells(group) for name, group in groups.items()}))
    if made.sources:
        parts.append(_table("Where it came from", ("answers", "p50", "p95", "p99"), _source_rows(made.sources)))
    empty = {why: [f"{made.week.counts[kind]:,}"] for kind, why in EMPTY_ANSWERS.items() if made.week.counts[kind]}
    if empty:
        parts.append("<h2>Requests without a suggestion, this week</h2>")
        parts.append(_table("Reason", ("requests",), empty))
    if made.week.is_estimate or made.before.is_estimate:
        parts.append('<p class="note">~: an estimate, since the editor does not say what it shows.</p>')
    return "\n".join(parts)


def _weeks(week: Group, before: Group) -> str:
    old = figures(before)
    shown = (
        f"<div><dt>{escape(name)}</dt><dd>{_html(text)}<small>the week before: {escape(old[name])}</small></dd></div>"
        for name, text in figures(week).items()
    )
    return "<dl>\n" + "\n".join(shown) + "\n</dl>"


def _advice(lines: Sequence[str]) -> str:
    return "<h2>What would help</h2>\n<ul>" + "".join(f"<li>{_html(line)}</li>" for line in lines) + "</ul>"


def _table(title: str, names: Sequence[str], rows: Mapping[str, Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in (title, *names))
    lines = (
        f'<tr><th scope="row">{_html(name)}</th>' + "".join(f"<td>{_html(text)}</td>" for text in row) + "</tr>"
        for name, row in rows.items()
    )
    # An area that scrolls sideways must be reachable by keyboard.
    return (
        f'<div class="wide" role="region" tabindex="0" aria-label="{escape(title)}"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def _html(text: str) -> str:
    """A text as HTML: text in back quotes as code, the interval of a rate on a line of its own."""
    found = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))
    return re.sub(r"^(~?\d+%) \((\d+% to \d+%)\)$", r"\1<small>\2</small>", found)


def _source_rows(groups: Mapping[str, Group]) -> dict[str, list[str]]:
    rows = {}
    for name, group in groups.items():
        times = [percentile(group.buckets, share) for share in (0.5, 0.95, 0.99)]
        shown = ["–" if ms is None else f"{ms:.0f} ms" for ms in times]
        rows[SOURCES.get(name, name)] = [f"{sum(group.buckets.values()):,}", *shown]
    return rows


# Charts ---------------------------------------------------------------------------------------------------


def _bars(title: str, names: Sequence[str], values: Sequence[float]) -> str:
    top = _round_up(max(values, default=0))
    step = (_WIDTH - _LEFT) / len(values)
    drawn = "".join(
        f'<rect class="bar" x="{_LEFT + at * step:.1f}" y="{_y(value, top):.1f}" width="{max(0.8, 0.8 * step):.1f}" '
        f'height="{max(0.0, _HEIGHT - _BOTTOM - _y(value, top)):.1f}"><title>{names[at]}: {value:,.0f}</title></rect>'
        for at, value in enumerate(values)
        if value > 0
    )
    told = (
        f"{title}, {names[0]} to {names[-1]}: {sum(values):,.0f} in all, {max(values, default=0):,.0f} on the best day"
    )
    return _figure(title, told, _axes(names, top) + drawn)


def _lines(title: str, names: Sequence[str], middle: Sequence[float | None], high: Sequence[float | None]) -> str:
    top = _round_up(max((value for value in (*middle, *high) if value is not None), default=0))
    drawn = _line("line", "dot", middle, top, names) + _line("high", "dot high", high, top, names)
    if top >= BUDGET_MS:
        y = _y(BUDGET_MS, top)
        drawn += f'<line class="limit" x1="{_LEFT}" x2="{_WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>'
    known = [value for value in middle if value is not None]
    told = f"{title}, {names[0]} to {names[-1]}"
    told += f": a median of {min(known):.0f} to {max(known):.0f} ms" if known else ": no day has any"
    caption = f"{title}: median (solid) and 95th percentile (dashed); dotted: {BUDGET_MS} ms"
    return _figure(caption, told, _axes(names, top) + drawn)


def _line(kind: str, dot: str, values: Sequence[float | None], top: float, names: Sequence[str]) -> str:
    """A line from day to day, interrupted at longer gaps than a weekend. Each day is also a dot."""
    step = (_WIDTH - _LEFT) / len(values)
    runs: list[list[tuple[float, float]]] = [[]]
    dots, last = "", -1
    for at, value in enumerate(values):
        if value is None:
            continue
        if at - last - 1 > _LONGEST_GAP:
            runs.append([])
        last = at
        point = _LEFT + (at + 0.4) * step, _y(value, top)
        runs[-1].append(point)
        dots += (
            f'<circle class="{dot}" cx="{point[0]:.1f}" cy="{point[1]:.1f}" r="{2.5 if step > 8 else 1.2}">'
            f"<title>{names[at]}: {value:.0f} ms</title></circle>"
        )
    lines = (" ".join(f"{x:.1f},{y:.1f}" for x, y in run) for run in runs if len(run) > 1)
    return "".join(f'<polyline class="{kind}" points="{points}"/>' for points in lines) + dots


def _axes(names: Sequence[str], top: float) -> str:
    base = _HEIGHT - _BOTTOM
    found = ""
    for share in (0.0, 0.5, 1.0):
        y = _y(share * top, top)
        found += f'<line class="axis" x1="{_LEFT}" x2="{_WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>'
        found += f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{_number(share * top)}</text>'
    for at, anchor in ((0, "start"), (len(names) // 2, "middle"), (len(names) - 1, "end")):
        x = _LEFT + (at + 0.5) * (_WIDTH - _LEFT) / len(names)
        x = min(_WIDTH, max(_LEFT, x)) if anchor == "middle" else (_LEFT if anchor == "start" else _WIDTH)
        found += f'<text x="{x:.1f}" y="{base + 20}" text-anchor="{anchor}">{names[at]}</text>'
    return found


def _figure(caption: str, told: str, drawn: str) -> str:
    return (
        f'<figure><figcaption>{escape(caption)}</figcaption><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{escape(told)}">{drawn}</svg></figure>'
    )


def _y(value: float, top: float) -> float:
    return _TOP + (_HEIGHT - _BOTTOM - _TOP) * (1 - value / top)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.1f}"


def _round_up(value: float) -> float:
    """The next round number for the end of an axis."""
    unit = 1.0
    while value > 10 * unit:
        unit *= 10
    return next(step * unit for step in (1, 2, 4, 6, 8, 10) if value <= step * unit)
