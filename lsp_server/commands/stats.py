"""`fimble stats`: shows the counts as a page, JSON, CSV or HTML; `fimble stats clear` deletes them."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lsp_server.backends.base import ModelError
from lsp_server.commands.output import tell

if TYPE_CHECKING:
    from lsp_server.stats.counts import Tally
    from lsp_server.stats.report import Report


def add_arguments(commands: Any, common: argparse.ArgumentParser) -> None:
    """The arguments of `fimble stats`."""
    parser = commands.add_parser(
        "stats",
        parents=[common],
        help="what became of suggestions: accepted, kept, how soon they came",
        description="Shows what was counted on this machine: this week against the one before.",
    )
    parser.add_argument("action", nargs="?", choices=("show", "clear"), default="show", help="clear deletes all counts")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print the report as JSON")
    form.add_argument("--csv", action="store_true", help="print every row: a day, language, model and source each")
    form.add_argument("--weekly", action="store_true", help="print the last week in a few sentences")
    form.add_argument("--html", metavar="FILE", help="write the page with charts to a file that a browser shows")


def run(options: argparse.Namespace) -> int:
    """Raises ModelError, one line, if the counts cannot be read or deleted, or the page cannot be written."""
    if options.action == "clear":
        return _clear()
    found = counts()
    if options.csv:
        _print_csv(found)
        return 0
    if options.weekly:
        from lsp_server.stats.weekly import weekly

        tell(weekly(found, date.today()) or "No suggestion was shown in the last week.")
        return 0
    from lsp_server.stats.report import report

    made = report(found, date.today(), _token_ms())
    if options.json:
        tell(json.dumps(made.as_json(), indent=2))
    elif options.html:
        _write_html(made, Path(options.html).expanduser())
    else:
        from lsp_server.commands.stats_page import show

        show(made)
    return 0


def counts() -> Tally:
    """All counts. Raises ModelError."""
    from lsp_server.stats import store

    try:
        return store.read()
    except store.StoreError as error:
        fix = "try again" if error.retry else "`fimble stats clear` begins anew"
        raise ModelError(f"the counts in {store.path()} cannot be read: {error.word}; {fix}") from None


def _clear() -> int:
    from lsp_server.stats import store

    try:
        was = store.clear()
    except OSError as error:
        raise ModelError(f"{store.path()} cannot be deleted: {error.strerror}") from None
    tell("all counts are deleted" if was else "there are no counts")
    return 0


def _print_csv(found: Tally) -> None:
    from lsp_server.stats.calculations import percentile
    from lsp_server.stats.counts import COUNTERS

    keys = sorted(
        {*found.counts, *found.latencies}, key=lambda key: (key.day, key.language, key.model, key.source, key.arm)
    )
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["day", "language", "model", "source", "arm", *COUNTERS, "p50_ms", "p95_ms", "p99_ms"])
    for key in keys:
        row: Mapping[str, int] = found.counts.get(key, {})
        times = [percentile(found.latencies.get(key, {}), share) for share in (0.5, 0.95, 0.99)]
        shown = ["" if ms is None else f"{ms:.1f}" for ms in times]
        named = [key.day, _cell(key.language), _cell(key.model), _cell(key.source), _cell(key.arm)]
        writer.writerow([*named, *(row.get(name, 0) for name in COUNTERS), *shown])


def _cell(text: str) -> str:
    """A name as a spreadsheet cell that is always text, whatever it begins with. A model may have any name."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _write_html(made: Report, path: Path) -> None:
    from lsp_server.commands.stats_html import page

    try:
        path.write_text(page(made), "utf-8")
    except OSError as error:
        raise ModelError(f"{path} cannot be written: {error.strerror}") from None
    tell(f"{path}: open it in a browser")


def _token_ms() -> dict[str, float]:
    """The measured time per token on this machine, in ms, by the model's name."""
    from lsp_server.backends import calibration

    folder = calibration.folder()
    names = sorted(folder.glob("*.json")) if folder.is_dir() else []
    found = [calibration.remembered(each.stem) for each in names]
    return {each.model: each.costs.ms(1, calibration.DEEP) for each in found if each is not None}
