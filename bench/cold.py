"""`bench cold`: measures the first suggestion in a file: by the server, its engine, bare calls and llama-server."""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import anyio
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench import keystrokes, machine, plot
from bench.arms import cold_places, llama_server, model_files
from bench.arms.arm import Answer, quantile
from bench.arms.cold_arms import (
    BestSettings,
    EngineAnswer,
    Served,
    asked_of_engine,
    best_settings,
    opened_at_once,
    served,
    user_folders,
)
from bench.arms.engine_arm import engine_arm
from bench.arms.infill import LLAMA_VIM
from bench.progress import INTERRUPTED, progress_bar
from bench.report import console_of, write_json
from bench.sessions.editor import ServerError, editor
from bench.sessions.recordings import Change
from lsp_server.backends.base import ModelError, ModelSpec
from lsp_server.models import starter
from lsp_server.settings.fields import Settings

_TABLE_WIDTH = 120
_LONG_MS = 3000.0


@dataclass(slots=True)
class PlaceResult:
    """The results of one place. opened_ms: from the opening of the file in a server that was just initialised. fresh,
    reopened: the results of a server with an empty cache folder, and of the next server with the same folder."""

    path: str
    line: int
    lines: int
    opened_ms: float | None = None
    fresh: Served | None = None
    reopened: Served | None = None
    engine: EngineAnswer | None = None
    peer: Answer | None = None

    def as_dict(self) -> dict[str, Any]:
        found = {"path": self.path, "line": self.line, "lines": self.lines, "opened_ms": self.opened_ms}
        for name in ("fresh", "reopened", "engine", "peer"):
            part = getattr(self, name)
            found[name] = part.as_dict() if part is not None else None
        return found


def arguments(parser: argparse.ArgumentParser) -> None:
    keystrokes.source_arguments(parser)
    parser.add_argument("--limit", type=int, default=40, metavar="N", help="places (default: 40)")
    parser.add_argument("--seed", type=int, default=0, help="of the places that are drawn")
    parser.add_argument("--lines", type=int, default=300, metavar="N", help="least length of a file (default: 300)")
    parser.add_argument("--model", type=Path, metavar="FILE", help="a GGUF file instead of the starter model")
    parser.add_argument("--tokens", type=int, default=12, metavar="N", help="decoded for a whole answer (default: 12)")
    parser.add_argument("--served-only", action="store_true", help="leave out the engine, bare calls and llama-server")
    parser.add_argument(
        "--half-core", action="store_true", help="the servers are put on one core and stopped half of the time"
    )
    parser.add_argument("--llama-server", type=Path, metavar="FILE", help="a binary instead of xllamacpp's")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every place and the summary")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw it, as .png or .svg (needs matplotlib)")


def run(options: argparse.Namespace) -> int:
    console = console_of(_TABLE_WIDTH)
    bench: _Bench | None = None
    status = 0
    try:
        if not 2 <= options.tokens <= 64:
            raise ValueError("--tokens is a number from 2 to 64")
        if options.plot is not None:
            plot.check(options.plot)
        with console.status("drawing places …"):
            places = cold_places.drawn(options)
        found = machine.facts()
        console.print(Text(machine.describe(found), style="dim"))
        bench = _prepared(options)
        anyio.run(_measure, bench, places, console)
    except (ServerError, ModelError, ValueError, OSError) as error:
        console.print(Text(f"bench: {error}", style="red"))
        return 2
    except KeyboardInterrupt:
        if bench is None or not bench.results:
            return INTERRUPTED
        console.print(f"interrupted after {len(bench.results)} of {len(places)} places")
        status = INTERRUPTED
    result = {"machine": found, **bench.as_dict()}
    console.print(_table(result["summary"]))
    if options.plot is not None:
        _draw(result["places"], options.plot)
    write_json(options.json, result)
    return status


@dataclass(slots=True)
class _Bench:
    """The data that all places share. serves: the server's arguments. model: the model file of the other arms.
    described: the server's description of its model."""

    options: argparse.Namespace
    serves: Sequence[str]
    spec: ModelSpec
    model: Path
    made_up: tuple[str, ...]
    described: dict[str, Any] = field(default_factory=dict)
    best: BestSettings | None = None
    peer: llama_server.InfillArm | None = None
    results: list[PlaceResult] = field(default_factory=list)

    async def place(self, change: Change, turn: int) -> None:
        """Measures all arms at one place. Each time another arm is first."""
        document = change.document
        line = document.line_at(change.cursor) + 1
        result = PlaceResult(document.path, line, document.line_count)
        asking: list[Callable[[Change, PlaceResult], Awaitable[None]]] = [self._serve]
        if self.best is not None:
            asking.append(self._engine)
        if self.peer is not None:
            asking.append(self._peer)
        for ask in [*asking[turn % len(asking) :], *asking[: turn % len(asking)]]:
            await ask(change, result)
        self.results.append(result)

    @property
    def halved(self) -> bool:
        return bool(self.options.half_core)

    def as_dict(self) -> dict[str, Any]:
        """The settings and the results so far."""
        return {
            "mode": "cold",
            "model": {key: self.described[key] for key in ("name", "format", "device", "context_tokens")},
            "made_up_fim_tokens": self.made_up,
            "seed": self.options.seed,
            "least_lines": self.options.lines,
            "tokens": self.options.tokens,
            "half_core": self.halved,
            "bare": asdict(self.best) if self.best else None,
            "llama_server": llama_server.SETTINGS if self.peer else None,
            "summary": summarise(self.results),
            "places": [result.as_dict() for result in self.results],
        }

    async def _serve(self, change: Change, result: PlaceResult) -> None:
        with user_folders() as environment:
            result.fresh = await served(change, self.serves, environment, halved=self.halved)
            result.reopened = await served(change, self.serves, environment, halved=self.halved)
        with user_folders() as environment:
            result.opened_ms = await opened_at_once(change, self.serves, environment, halved=self.halved)

    async def _engine(self, change: Change, result: PlaceResult) -> None:
        assert self.best is not None
        async with engine_arm(self.spec) as arm:  # a newly loaded model
            result.engine = await asked_of_engine(arm, change, self.options.tokens, self.best)

    async def _peer(self, change: Change, result: PlaceResult) -> None:
        assert self.peer is not None
        result.peer = await self.peer.answer(change, self.options.tokens)


def _prepared(options: argparse.Namespace) -> _Bench:
    asked = options.model or starter.model_file()
    model, made_up = (asked, ()) if options.served_only else model_files.with_fim_tokens(asked)
    # The server uses the model file unchanged; the arms that answer with equal numbers of tokens need FIM tokens.
    return _Bench(options, ["--model", str(asked)], Settings(model=str(model)).model_spec(), model, made_up)


async def _measure(bench: _Bench, places: Sequence[Change], console: Console) -> None:
    options = bench.options
    async with AsyncExitStack() as stack:
        with console.status("starting once, so that the model is known …"):
            async with editor(bench.serves) as buffer:
                bench.described = await buffer.ready()
        if not options.served_only:
            with console.status("looking for the best settings of bare calls …"):
                async with engine_arm(bench.spec) as arm:
                    bench.best = best_settings(arm)
            if reason := llama_server.missing(options.llama_server):
                console.print(Text(f"without llama-server: {reason}", style="dim"))
            else:
                with console.status("starting llama-server …"):
                    running = stack.enter_context(llama_server.llama_server(bench.model, options.llama_server))
                    bench.peer = llama_server.InfillArm(LLAMA_VIM, running, cold=True)
        with progress_bar(console) as progress:
            task = progress.add_task("places", total=len(places))
            for turn, change in enumerate(places):
                await bench.place(change, turn)
                progress.advance(task)


def summarise(results: Sequence[PlaceResult]) -> dict[str, Any]:
    """The median and the 95th percentile in ms, over the places with text to show; and the ratios at each place.
    for_lack_of_time: how many places had nothing to show because the time was over."""
    fresh = [result.fresh for result in results if result.fresh]
    reopened = [result.reopened for result in results if result.reopened]
    engine = [result.engine for result in results if result.engine]
    both = [(r.engine, r.peer) for r in results if r.engine and r.peer and r.peer.source == "model"]
    return {
        "places": len(results),
        "fresh": {
            "shown": sum(one.first_ms is not None for one in fresh),
            "for_lack_of_time": sum("deadline_ms" in one.reason for one in fresh),
            "within_3_s": sum(one.first_ms is not None and one.first_ms <= _LONG_MS for one in fresh),
            "quick": sum(one.quick for one in fresh),
            "start_ms": _times([one.start_ms for one in fresh]),
            "first_ms": _times([one.first_ms for one in fresh]),
            "full_ms": _times([one.full_ms for one in fresh]),
        },
        "opened_ms": _times([result.opened_ms for result in results]),
        "reopened": {
            "shown": sum(one.first_ms is not None for one in reopened),
            "evaluated_p50": quantile([one.evaluated_tokens for one in reopened], 50),
            "first_ms": _times([one.first_ms for one in reopened]),
        },
        "engine": {
            "prompt_tokens_p50": quantile([one.prompt_tokens for one in engine], 50),
            "quick_tokens_p50": quantile([one.quick_tokens for one in engine if one.quick_tokens], 50),
            "first_ms": _times([one.first_ms for one in engine]),
            "whole_ms": _times([one.whole_ms for one in engine]),
            "bare_ms": _times([one.bare_ms for one in engine]),
            "prefill_over_bare": _ratio([one.prefill_per_second / one.bare_prefill_per_second for one in engine]),
            "full_over_expected": _ratio([one.full_ms / one.expected_full_ms for one in engine]),
        }
        if engine
        else None,
        "peer": {
            "places": len(both),
            "prompt_tokens_p50": quantile([peer.prompt_tokens for _, peer in both], 50),
            "whole_ms": _times([peer.ms for _, peer in both]),
            "over_engine": _ratio([peer.ms / one.whole_ms for one, peer in both]),
        }
        if both
        else None,
    }


def _times(values: Sequence[float | None]) -> dict[str, float]:
    there = [value for value in values if value is not None]
    return {"p50": round(quantile(there, 50), 1), "p95": round(quantile(there, 95), 1)}


def _ratio(values: Sequence[float]) -> dict[str, float]:
    return {f"p{percent}": round(quantile(values, percent), 3) for percent in (5, 50, 95)}


def _table(summary: dict[str, Any]) -> Table:
    fresh, reopened, engine, peer = (summary[name] for name in ("fresh", "reopened", "engine", "peer"))
    table = Table("", "p50", "p95", title=f"the first suggestion, at {summary['places']} places; ms")

    def row(name: str, times: dict[str, float]) -> None:
        table.add_row(name, f"{times['p50']:g}", f"{times['p95']:g}")

    row("server: from its start until the model is ready", fresh["start_ms"])
    row(f"from opening the file at once to a suggestion ({summary['places']})", summary["opened_ms"])
    row(f"model ready: from the request to a suggestion ({fresh['shown']} shown)", fresh["first_ms"])
    row(f"until the full prompt is done ({fresh['quick']} answered from a quick one)", fresh["full_ms"])
    row(f"reopened: from the request to a suggestion ({reopened['shown']} shown)", reopened["first_ms"])
    table.add_row(f"shown within {_LONG_MS / 1000:g} s", f"{fresh['within_3_s']} of {fresh['shown']}", "")
    table.add_row("nothing for lack of time", str(fresh["for_lack_of_time"]), "")
    if engine is not None:
        row("engine: first text", engine["first_ms"])
        row("engine: whole answer", engine["whole_ms"])
        row("bare llama_decode: whole answer from the full prompt", engine["bare_ms"])
        row("engine: rate of the full prompt over bare", engine["prefill_over_bare"])
        row("engine: full prompt done over bare, quick prompt and decoding", engine["full_over_expected"])
    if peer is not None:
        row(f"llama.vim: whole answer ({peer['places']} places)", peer["whole_ms"])
        row("llama.vim over the engine, whole answers", peer["over_engine"])
    return table


def _draw(places: Sequence[dict[str, Any]], path: Path) -> None:
    """Draws cumulative shares of the places over the time to the first suggestion, and to equally long answers."""

    def of(part: str, name: str) -> list[float]:
        return [place[part][name] for place in places if place[part] and place[part][name] is not None]

    panels: dict[str, dict[str, Sequence[float]]] = {
        "the first suggestion": {
            "model ready": of("fresh", "first_ms"),
            "reopened": of("reopened", "first_ms"),
            "opened at once": [place["opened_ms"] for place in places if place["opened_ms"] is not None],
        }
    }
    if of("engine", "whole_ms"):
        panels["equally long answers"] = {
            "fimble": of("engine", "whole_ms"),
            "bare, full prompt": of("engine", "bare_ms"),
            "llama.vim": of("peer", "ms"),
        }
    plot.draw_shares(panels, "ms", path, of="the places")
