"""`bench team`: many developers and one server: how long they wait, and how many of them it carries."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import anyio
from rich.console import Console
from rich.text import Text

from bench import keystrokes, machine
from bench.arms import llama_server
from bench.progress import INTERRUPTED, progress_bar
from bench.report import console_of, write_json
from bench.serving.clients import ARMS, OURS
from bench.serving.developers import RIGHT_SHARE, Developer, Tokens, developers, never_right
from bench.serving.figures import Run, carried_table, runs_table
from bench.serving.live_server import NAME, live
from bench.serving.protocol import Outage
from bench.serving.service_times import SETTINGS, settings_named
from bench.serving.simulation import Came, simulate
from bench.sessions.editor import ServerError
from lsp_server.backends.base import ModelError
from lsp_server.models import starter

_TABLE_WIDTH = 150
_COUNTS = (5, 10, 20, 30, 60, 100)
_LIVE_DEVELOPERS = 8
_LIVE_ARMS = (OURS, "usual")
_OUTAGE_DEVELOPERS = 30


def arguments(parser: argparse.ArgumentParser) -> None:
    keystrokes.source_arguments(parser)
    names = [setting.name for setting in SETTINGS]
    parser.add_argument("--setting", action="append", choices=names, help="a simulated server; several times for more")
    parser.add_argument("--arm", action="append", choices=ARMS, help="a client; several times for more (default: all)")
    parser.add_argument("--developers", type=int, action="append", metavar="N", help=f"default: {_COUNTS}")
    parser.add_argument("--all", action="store_true", help="go on with more developers than a client is carried with")
    parser.add_argument("--seconds", type=float, default=16.0, help="how long everybody types at least (default: 16)")
    parser.add_argument(
        "--together", type=float, default=300.0, metavar="SECONDS", help="and all of them together (default: 300)"
    )
    parser.add_argument("--warm-up", type=float, default=6.0, metavar="SECONDS", help="before it counts (default: 6)")
    parser.add_argument("--first", type=int, metavar="N", help="read only the first N changes of each session")
    parser.add_argument("--longest-pause", type=float, default=2000, metavar="MS", help="longer ones are cut to this")
    parser.add_argument("--seed", type=int, default=1, help="draws the places where they type (default: 1)")
    parser.add_argument(
        "--never-right", action="store_true", help="the simulated model writes nothing that is typed: no typing through"
    )
    parser.add_argument(
        "--outage", type=float, metavar="SECONDS", help="instead: the server answers 503 for so long, in the middle"
    )
    parser.add_argument(
        "--llama-server",
        action="store_true",
        help=f"instead: {_LIVE_DEVELOPERS} developers in real time on one llama-server with as many slots",
    )
    parser.add_argument("--binary", type=Path, metavar="FILE", help="a llama-server; default: that of xllamacpp")
    parser.add_argument("--model", type=Path, metavar="FILE", help="a GGUF file instead of the starter model")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures of every run")


def run(options: argparse.Namespace) -> int:
    console = console_of(_TABLE_WIDTH)
    runs: list[Run] = []
    outages: list[tuple[Run, Came]] = []
    status = 0
    try:
        if options.seconds <= options.warm_up:
            raise ValueError("--seconds must be more than --warm-up, or nothing counts")
        console.print(Text(machine.describe(machine.facts()), style="dim"))
        team = _team(options, console)
        if options.llama_server:
            _live(options, team, console, runs)
        else:
            _simulated(options, team, console, runs, outages)
    except (ServerError, ModelError, ValueError, OSError) as error:
        console.print(Text(f"bench: {error}", style="red"))
        return 2
    except KeyboardInterrupt:
        console.print(f"interrupted after {len(runs)} runs")
        status = INTERRUPTED
    _tell(options, console, runs, outages)
    settings = [asdict(setting) for setting in settings_named(options.setting)]
    result = {
        "machine": machine.facts(),
        "mode": NAME if options.llama_server else "simulated",
        "seconds": options.seconds,
        "together": options.together,
        "warm_up": options.warm_up,
        "longest_pause_ms": options.longest_pause,
        "seed": options.seed,
        "first": options.first,
        "right_share": 0.0 if options.never_right else RIGHT_SHARE,
        "settings": [] if options.llama_server else settings,
        "runs": [one.as_dict() for one in runs],
        "outages": [asdict(came) for _, came in outages],
    }
    write_json(options.json, result, indent=1)
    return status


def _counts(options: argparse.Namespace) -> list[int]:
    if options.developers and min(options.developers) < 1:
        raise ValueError("--developers must be at least 1")
    default: tuple[int, ...] = _COUNTS
    if options.llama_server:
        default = (_LIVE_DEVELOPERS,)
    elif options.outage is not None:
        default = (_OUTAGE_DEVELOPERS,)
    return sorted(set(options.developers or default))


def _seconds(options: argparse.Namespace, count: int) -> float:
    """How long each developer of a team types."""
    return max(float(options.seconds), float(options.warm_up + options.together / count))


def _team(options: argparse.Namespace, console: Console) -> list[Developer]:
    sessions = keystrokes.sessions_of(options)
    counts = _counts(options)

    def seconds(number: int) -> float:
        """A developer takes part in all teams that are larger than his number."""
        return max(_seconds(options, count) for count in counts if count > number)

    with console.status("reading sessions …"):
        team = developers(sessions, max(counts), seconds, options.longest_pause, options.seed, options.first)
    return never_right(team) if options.never_right else team


def _simulated(
    options: argparse.Namespace,
    team: Sequence[Developer],
    console: Console,
    runs: list[Run],
    outages: list[tuple[Run, Came]],
) -> None:
    from bench.sessions import vocabulary

    tokens = Tokens(vocabulary.load(options.model))
    settings, counts = settings_named(options.setting), _counts(options)
    arms = options.arm or ([OURS] if options.outage is not None else list(ARMS))

    def full(setting: str, arm: str) -> bool:
        """Whether fewer developers were too many already."""
        own = [one for one in runs if (one.setting, one.arm) == (setting, arm)]
        return not options.all and options.outage is None and any(not one.carried for one in own)

    with progress_bar(console) as progress:
        task = progress.add_task("developers", total=len(settings) * len(arms) * sum(counts))
        for setting in settings:
            for count in counts:
                for arm in arms:
                    if full(setting.name, arm):
                        progress.advance(task, count)
                        continue
                    progress.update(task, description=f"{setting.name}, {count} developers, {ARMS[arm]}")
                    outage = None
                    if options.outage is not None:
                        middle = (options.warm_up + _seconds(options, count)) / 2
                        outage = Outage(middle, middle + options.outage, options.outage)
                    members = [developer.until(_seconds(options, count)) for developer in team[:count]]
                    found, came = simulate(setting, arm, members, tokens, options.warm_up, outage)
                    runs.append(found)
                    if came is not None:
                        outages.append((found, came))
                    progress.advance(task, count)


def _live(options: argparse.Namespace, team: Sequence[Developer], console: Console, runs: list[Run]) -> None:
    if missing := llama_server.missing(options.binary):
        raise ValueError(missing)
    model = options.model or starter.model_file()
    for count in _counts(options):
        for arm in options.arm or _LIVE_ARMS:
            serving = llama_server.llama_server(model, options.binary, slots=count)
            with console.status(f"{count} developers, {ARMS[arm]}"), serving as server:
                members = [developer.until(options.seconds) for developer in team[:count]]
                runs.append(anyio.run(live, arm, members, server.url, options.warm_up))


def _tell(
    options: argparse.Namespace, console: Console, runs: Sequence[Run], outages: Sequence[tuple[Run, Came]]
) -> None:
    if options.llama_server:
        console.print(runs_table("a team on one llama-server, in real time", runs))
        return
    settings = settings_named(options.setting)
    for setting in settings:
        own = [one for one in runs if one.setting == setting.name]
        if own:
            console.print(runs_table(f"{setting.about}, a 7B model, simulated", own))
    if outages:
        for one, came in outages:
            what = f"{one.setting}, {one.developers} developers, {ARMS[one.arm]}"
            console.print(
                f"{what}: {came.asked} requests during the outage, "
                f"{came.disregarded} of them by clients that were asked to wait; completions in the busiest second: "
                f"{came.before} before, {came.after} in the ten seconds after it",
                markup=False,
            )
        return
    counts = sorted({one.developers for one in runs})
    if counts:
        console.print(carried_table(settings, runs, counts))
    for one in runs:
        if one.saturated:
            what = f"{one.setting}, {one.developers} developers, {ARMS[one.arm]}"
            console.print(f"saturated: {what}: too many pauses end without an answer", markup=False)
