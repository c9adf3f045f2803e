"""`bench keystrokes`: the cost of every key of a real editing session, counted in tokens or typed in real time."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
from rich.console import Console
from rich.text import Text

from bench import machine, plot
from bench.progress import progress_bar
from bench.report import console_of, write_json
from bench.sessions import recordings, repository, tables
from bench.sessions.editor import ServerError, editor
from bench.sessions.recordings import Change
from bench.sessions.timeline import Beat, densest, spread
from lsp_server.backends.base import ModelError
from lsp_server.core.fim_formats import FORMATS, FimFormat, find_format
from lsp_server.settings.fields import Settings

# One format of each order: PSM, and the default model's, in which the suffix is first.
_DEFAULT_FORMATS = ("qwen-fim", "prefix-only")
_DEFAULT_LIVE_KEYS = 300
_TABLE_WIDTH = 140
# The bytes of at least 1,000 tokens of code before the cursor, and of 200 after it.
_BEFORE, _AFTER = 5000, 1000


@dataclass(frozen=True, slots=True)
class Session:
    """A recording or a repository. changes: returns a new iterator over its changes, in order of time."""

    name: str
    changes: Callable[[], Iterator[Change]]


def source_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments that name the sessions."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", type=Path, metavar="DIR", help="recorded sessions: *.json.gz, *.json")
    source.add_argument("--repo", type=Path, metavar="DIR", help="a git repository whose files are typed")
    source.add_argument("--repetitive", type=Path, metavar="FILE", help="a file, of repetitive code if you like")
    parser.add_argument("--rate", type=float, default=50, metavar="MS", help="ms per key of those (default: 50)")
    parser.add_argument("--session", metavar="NAME", help="only sessions whose name contains this")


def arguments(parser: argparse.ArgumentParser) -> None:
    source_arguments(parser)
    parser.add_argument("--limit", type=int, metavar="N", help=f"keys; {_DEFAULT_LIVE_KEYS}, or with --count all")
    parser.add_argument("--model", type=Path, metavar="FILE", help="a GGUF file instead of the starter model")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every key and the summary")
    parser.add_argument("--summary-only", action="store_true", help="leave the keys out of --json")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw it, as .png or .svg (needs matplotlib)")
    live = parser.add_argument_group("typing in real time (the default)")
    live.add_argument("--speed", type=float, default=1.0, help="2 types twice as fast (default: 1)")
    live.add_argument("--longest-pause", type=float, default=2000, metavar="MS", help="longer ones are cut to this")
    live.add_argument("--start", type=int, metavar="N", help="begin with this change, not in the densest part")
    live.add_argument(
        "--known",
        action="store_true",
        help="instead of a model, predict the session's own text: what type-through serves at best",
    )
    defaults = Settings()
    count = parser.add_argument_group("counting tokens, on virtual time and without evaluating anything")
    count.add_argument("--count", action="store_true", help="count instead of typing")
    names = [form.name for form in FORMATS]
    count.add_argument("--format", action="append", choices=names, metavar="NAME", help=f"of {', '.join(names)}")
    count.add_argument("--ms-per-token", type=float, default=2.6, metavar="MS", help="default: 2.6")
    count.add_argument("--sequences", type=int, default=defaults.resident_prompts, help="default: as the server")
    count.add_argument("--context", type=int, default=defaults.context_tokens, help="default: as the server")
    count.add_argument("--no-baseline", action="store_true", help="leave out the usual PSM prompt")


def run(options: argparse.Namespace) -> int:
    console = console_of(_TABLE_WIDTH)
    try:
        if options.plot is not None:
            plot.check(options.plot)
        sessions = sessions_of(options)
        found = machine.facts()
        console.print(Text(machine.describe(found), style="dim"))
        result = _count(options, sessions, console) if options.count else _type(options, sessions, console)
    except (ServerError, ModelError, ValueError, OSError) as error:
        console.print(Text(f"bench: {error}", style="red"))
        return 2
    result = {"machine": found, **result}
    if options.plot is not None:
        plot.draw(result, options.plot)
    if options.summary_only:
        result.pop("keys")
    write_json(options.json, result, indent=1 if options.summary_only else None)
    return 0


def sessions_of(options: argparse.Namespace) -> list[Session]:
    """The sessions that the options name. If there are none, raises ValueError with a list of the existing ones."""
    found: list[Session] = []
    if options.repo is not None:
        if not repository.files(options.repo):
            raise ValueError(f"{options.repo} has no source files in a language that fimble knows")
        name = f"{options.repo.resolve().name} at {options.rate:g} ms"
        found.append(Session(name, partial(repository.typed, options.repo, options.rate)))
    elif options.repetitive is not None:
        source = options.repetitive.read_text("utf-8")
        typed = partial(repository.retyped, source, options.repetitive.name, 0.0, options.rate)
        found.append(Session(options.repetitive.name, typed))
    else:
        for path in sorted([*options.data.glob("*.json.gz"), *options.data.glob("*.json")]):
            name = path.name.removesuffix(".gz").removesuffix(".json")
            found.append(Session(name, partial(_recorded, path)))
    chosen = [session for session in found if (options.session or "") in session.name]
    if not chosen:
        known = ", ".join(session.name for session in found) or "none"
        raise ValueError(f"no such session in {options.repo or options.repetitive or options.data}; there are: {known}")
    return chosen


def _recorded(path: Path) -> Iterator[Change]:
    return spread(recordings.read(path))


# Counting -----------------------------------------------------------------------------------------------


def _count(options: argparse.Namespace, sessions: Sequence[Session], console: Console) -> dict[str, Any]:
    from bench.sessions import counting, vocabulary

    tokenizer = vocabulary.load(options.model)
    rules = counting.Rules(options.context, options.sequences, options.ms_per_token)
    summaries: list[counting.CountSummary] = []
    keys: dict[str, dict[str, list[tuple[int, int, int]]]] = {}
    with progress_bar(console) as progress:
        for session in sessions:
            total = sum(change.types for change in islice(session.changes(), options.limit))
            if not total:
                continue
            keys[session.name] = {}
            for order, policy, clock in _policies(options, rules):
                task = progress.add_task(f"{session.name}, {order}", total=total)
                counted = []
                for key in counting.count(islice(session.changes(), options.limit), policy, tokenizer, clock):
                    counted.append(key)
                    progress.update(task, completed=len(counted))
                progress.remove_task(task)
                summaries.append(counting.summarise(session.name, order, counted))
                keys[session.name][order] = [(key.evaluated, int(key.answered), key.rest) for key in counted]
    console.print(tables.count_table(summaries))
    return {
        "mode": "count",
        "model": tokenizer.name,
        "rules": asdict(rules),
        "key_fields": ["evaluated", "answered", "rest"],
        "summary": [summary.as_dict() for summary in summaries],
        "keys": keys,
    }


def _policies(options: argparse.Namespace, rules: Any) -> Iterator[tuple[str, Any, Any]]:
    """The name, the policy and the clock of each row."""
    from bench.sessions import counting

    for name in options.format or _DEFAULT_FORMATS:
        yield name, counting.Anchored(_format(name), rules), rules
    if not options.no_baseline:
        yield "usual PSM", counting.Usual(rules), rules
        patient = counting.Rules(rules.context_tokens, rules.resident_prompts, ms_per_token=0.0)
        yield "usual PSM, no clock", counting.Usual(patient), patient


def _format(name: str) -> FimFormat:
    form = find_format(name)
    assert form is not None, "argparse has checked it"
    return form


# Typing -------------------------------------------------------------------------------------------------


def _type(options: argparse.Namespace, sessions: Sequence[Session], console: Console) -> dict[str, Any]:
    results = {}
    summaries = []
    model: dict[str, Any] = {}
    for session in sessions:
        with console.status(f"reading {session.name} …"):
            changes = _part_of(options, session)
        keys, model, wall_seconds = anyio.run(_play, options, session.name, changes, console)
        if keys:
            summaries.append(tables.live_summary(session.name, keys, wall_seconds))
            results[session.name] = [key.as_dict() for key in keys]
    console.print(Text(f"{model['name']}, format {model['format']}, on the {model['device']}", style="dim"))
    console.print(tables.live_table(summaries))
    return {
        "mode": "typed",
        "model": {key: model[key] for key in ("name", "format", "device", "context_tokens", "sequences")},
        "speed": options.speed,
        "longest_pause_ms": options.longest_pause,
        "summary": summaries,
        "keys": results,
    }


def _part_of(options: argparse.Namespace, session: Session) -> list[Change]:
    """The changes to type: the densest part of the session, or the part that begins at --start."""
    return part(session, options.limit or _DEFAULT_LIVE_KEYS, options.start, options.longest_pause)


def part(
    session: Session, limit: int, start: int | None = None, longest_pause_ms: float = 2000, *, deep: bool = False
) -> list[Change]:
    """`limit` changes from index `start` on, or else the fastest typed ones. deep: prefer places with much text on both
    sides of the cursor, if there are any."""
    if start is None:
        typed, in_depth = [], []
        for change in session.changes():
            typed.append(Beat(change.time_ms, change.types and change.key is not None))
            after = len(change.document.source) - change.cursor
            in_depth.append(replace(typed[-1], typed=typed[-1].typed and change.cursor > _BEFORE and after > _AFTER))
        beats = in_depth if deep and any(beat.typed for beat in in_depth) else typed
        start = densest(beats, limit, longest_pause_ms)
    return list(islice(session.changes(), start, start + limit))


async def _play(
    options: argparse.Namespace, name: str, changes: Sequence[Change], console: Console
) -> tuple[list[Any], dict[str, Any], float]:
    from bench.sessions.live import Player

    with TemporaryDirectory() as folder:
        arguments = ["--model", str(options.model)] if options.model else []
        if options.known:
            arguments = ["--backend", "scripted", "--model", str(_last_texts(changes, Path(folder)))]
        async with editor(arguments) as connection:
            with console.status("loading the model …"):
                model = await connection.ready()
            with progress_bar(console) as progress:
                task = progress.add_task(name, total=sum(change.types for change in changes))
                player = Player(connection, options.speed, options.longest_pause)
                keys = await player.play(changes, lambda: progress.advance(task))
            return keys, model, player.wall_seconds


def _last_texts(changes: Sequence[Change], folder: Path) -> Path:
    """A file with the last text of each document, for a backend that predicts what it has read."""
    last = {change.document.uri: change.document.source for change in changes}
    path = folder / "known"
    path.write_bytes(b"\n".join(last.values()))
    return path
