"""`fimble compare`: tries two settings on alternate days, and says which is better when there is enough data."""

from __future__ import annotations

import argparse
import json
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lsp_server.backends.base import ModelError
from lsp_server.commands.output import tell

if TYPE_CHECKING:
    from lsp_server.settings.comparison import Trial
    from lsp_server.stats.comparing import Interval, Verdict


def add_arguments(commands: Any, common: argparse.ArgumentParser) -> None:
    """The arguments of `fimble compare`."""
    parser = commands.add_parser(
        "compare",
        parents=[common],
        help="try two settings on alternate days, and see which is better for you",
        description="Begins a trial of two files of settings, each of which is in force on half of the days, or shows "
        "how the trial stands.",
    )
    parser.add_argument("files", nargs="*", metavar="A.toml B.toml", help="settings to try; without, shows the trial")
    parser.add_argument("--stop", action="store_true", help="end the trial")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    """Raises ModelError, one line, for files that cannot be tried, or if there is no trial."""
    from lsp_server.settings import comparison

    going = comparison.current()
    if options.files:
        if len(options.files) != 2 or options.stop:
            raise ModelError("give two files of settings, or none to see how the trial stands")
        if going is not None:
            raise ModelError(f"{_named(going)} are being tried already; `fimble compare --stop` ends that")
        return _start(Path(options.files[0]), Path(options.files[1]))
    if going is None:
        raise ModelError("there is no trial; `fimble compare A.toml B.toml` begins one")
    _show(going, as_json=options.json)
    if options.stop:
        try:
            comparison.stop()
        except OSError as error:
            raise ModelError(f"{comparison.state_path()} cannot be deleted: {error.strerror}") from None
        tell("The trial has ended; your own settings are in force when an editor starts the server again.")
    return 0


def _start(one: Path, other: Path) -> int:
    from lsp_server.settings import comparison

    values = _settings(one), _settings(other)
    if values[0] == values[1]:
        raise ModelError(f"{one} and {other} set the same")
    try:
        comparison.start((one.name, other.name), values, date.today())
    except OSError as error:
        raise ModelError(f"{comparison.state_path()} cannot be written: {error.strerror}") from None
    except TypeError:
        raise ModelError("dates and times are no settings") from None
    tell(
        f"{one.name} and {other.name} are tried from today, each on one of every two days, over your other settings. "
        "It counts when an editor starts the server again. `fimble compare` shows how it stands."
    )
    return 0


def _settings(path: Path) -> dict[str, Any]:
    """The settings in a file, with full paths of models. Raises ModelError if they are wrong."""
    from lsp_server.settings import models, sources, toml

    values, problem = toml.read(path)
    if values is None:
        raise ModelError(problem or f"there is no {path}")
    settings, problems = sources.merge([sources.Source(str(path), values)])
    if problems:
        raise ModelError(problems[0])
    if not settings.stats:
        raise ModelError(f"`stats` is off in {path}, and without counts nothing can be compared")
    placed = {}
    for key, value in values.items():
        try:
            placed[key] = models.placed(key, value, path.absolute().parent, may_be_path=True)
        except (models.RefusedError, OSError, ValueError) as error:
            raise ModelError(f"setting `{key}` in {path} cannot be used: {toml.shown(error)}") from None
    return placed


def _show(going: Trial, *, as_json: bool) -> None:
    from lsp_server.commands.stats import counts
    from lsp_server.stats.comparing import compare

    found = compare(counts(), going.arms)
    if as_json:
        names = dict(zip("AB", going.names, strict=True))
        tell(json.dumps({"names": names, "began": going.began, **found.as_json()}, indent=2))
        return
    for line in lines(found, going):
        tell(line)


def lines(found: Verdict, going: Trial) -> list[str]:
    """The state of a trial, in words."""
    from lsp_server.stats.comparing import DIFFERENCE, LEAST_KEYS

    one, other = going.names
    told = [
        f"{_named(going)} have been tried since {going.began}: {found.days[0]} and {found.days[1]} days with at least "
        f"{LEAST_KEYS} keys."
    ]
    if found.result in ("A", "B"):
        better = going.names["AB".index(found.result)]
        told.append(f"{better} is better for you: more of what you accept is kept.")
    elif found.result == "none":
        told.append(f"Neither is better by {DIFFERENCE:.0%} or more, as far as can be told.")
    elif found.needed is None:
        told.append(
            f"There is no difference to tell yet: {found.missing[0]} and {found.missing[1]} days more show how much "
            "days differ by themselves."
        )
    else:
        told.append(
            f"There is no difference to tell yet: a difference of {DIFFERENCE:.0%} takes {found.needed} days of each, "
            f"which is {found.missing[0]} and {found.missing[1]} days more."
        )
    so_far = "" if found.result != "open" else ", so far and not a result"
    if found.kept is not None:
        told.append(f"Characters kept for each key, {other} against {one}: {_percent(found.kept)}{so_far}.")
    if found.latency is not None:
        told.append(f"Time to show, {other} against {one}: {_percent(found.latency)}{so_far}.")
    return told


def _named(going: Trial) -> str:
    return f"{going.names[0]} and {going.names[1]}"


def _percent(found: Interval) -> str:
    return f"{found.more:+.1%} ({found.low:+.1%} to {found.high:+.1%})"
