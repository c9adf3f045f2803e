"""`bench peers`: compares fimble with other tools: the same keys, model and machine, in one run."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import anyio
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench import keystrokes, machine, plot
from bench.arms import infill, llama_server, model_files, tabby
from bench.arms.arm import Answer, Arm, ratios, summary
from bench.arms.engine_arm import EngineArm, engine_arm
from bench.arms.floor import BareArm, Floor
from bench.progress import INTERRUPTED, progress_bar
from bench.report import console_of, write_json
from bench.sessions import tables
from bench.sessions.editor import ServerError, editor
from bench.sessions.live import LiveKey, Player
from bench.sessions.recordings import Change
from bench.sessions.timeline import with_gaps
from lsp_server.backends.base import ModelError
from lsp_server.models import starter
from lsp_server.settings.fields import Settings

_DEFAULT_KEYS = 60
_TABLE_WIDTH = 140
_BLOCK_CHANGES = 20
_CLIENTS = {client.name: client for client in (infill.LLAMA_VIM, infill.LLAMA_VSCODE)}
_TABBY, _BARE = "tabby-agent", "bare"
_PEERS = (*_CLIENTS, _TABBY, _BARE)


def arguments(parser: argparse.ArgumentParser) -> None:
    keystrokes.source_arguments(parser)
    parser.add_argument("--limit", type=int, default=_DEFAULT_KEYS, metavar="N", help="keys (default: 60)")
    parser.add_argument("--start", type=int, metavar="N", help="begin with this change, not in the densest part")
    parser.add_argument("--model", type=Path, metavar="FILE", help="a GGUF file instead of the starter model")
    parser.add_argument("--q4-0", action="store_true", help="the model quantised again, as Q4_0")
    parser.add_argument("--fim-format", default="", metavar="NAME", help="fimble's prompt format (default: detected)")
    parser.add_argument(
        "--tokens", type=int, action="append", metavar="N", help="tokens of an answer, may be repeated (default: 4, 12)"
    )
    parser.add_argument(
        "--peer", action="append", choices=_PEERS, help="only this peer, may be repeated; llama.vim always is one"
    )
    parser.add_argument("--forced-only", action="store_true", help="leave out the part as users have it")
    parser.add_argument("--llama-server", type=Path, metavar="FILE", help="a binary instead of xllamacpp's")
    parser.add_argument("--tabby-agent", type=Path, metavar="FILE", help="the dist/cli.js of tabby-agent")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every key and the summary")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw it, as .png or .svg (needs matplotlib)")


def run(options: argparse.Namespace) -> int:
    console = console_of(_TABLE_WIDTH)
    taken = _Taken()
    status = 0
    try:
        if any(not 2 <= tokens <= 64 for tokens in options.tokens or ()):
            raise ValueError("--tokens is a number from 2 to 64")
        if options.plot is not None:
            plot.check(options.plot)
        if reason := llama_server.missing(options.llama_server):
            raise ValueError(reason)
        sessions = keystrokes.sessions_of(options)
        found = machine.facts()
        console.print(Text(machine.describe(found), style="dim"))
        with console.status("preparing the model …"):
            model, asked, made_up = _model(options)
        if made_up:
            console.print(
                f"[dim]{asked.name} declares no FIM tokens: both sides run a copy that declares "
                f"{' '.join(made_up)} as such. That is for timing only; the text is nonsense.[/]"
            )
        taken.described = {"machine": found, "made_up_fim_tokens": made_up}
        anyio.run(_measure, options, sessions, model, asked, console, taken)
    except (ServerError, ModelError, ValueError, OSError) as error:
        console.print(Text(f"bench: {error}", style="red"))
        return 2
    except KeyboardInterrupt:
        if not taken.keys:
            return INTERRUPTED
        console.print(f"interrupted after {taken.keys} keys")
        status = INTERRUPTED
    result = taken.as_dict()
    _show(result, console)
    if options.plot is not None:
        _draw(result, options.plot)
    write_json(options.json, result)
    return status


@dataclass(slots=True)
class _Pass:
    """The answers of all arms to the keys of a session so far. tokens: as in `Arm.answer`."""

    session: str
    tokens: int | None
    answers: dict[str, list[Answer]]

    @property
    def keys(self) -> int:
        """How many keys all arms have answered."""
        return min(map(len, self.answers.values()))

    def as_dict(self) -> dict[str, Any]:
        return _pass_result(self.session, self.tokens, {name: all_[: self.keys] for name, all_ in self.answers.items()})


@dataclass(slots=True)
class _Taken:
    """All measurements so far. described: model, machine and settings. served: the results of fimble's server by
    session."""

    described: dict[str, Any] = field(default_factory=dict)
    passes: list[_Pass] = field(default_factory=list)
    served: list[dict[str, Any]] = field(default_factory=list)

    @property
    def keys(self) -> int:
        return sum(one.keys for one in self.passes)

    def begin(self, session: str, tokens: int | None, arms: Sequence[Arm]) -> _Pass:
        self.passes.append(_Pass(session, tokens, {arm.name: [] for arm in arms}))
        return self.passes[-1]

    def as_dict(self) -> dict[str, Any]:
        passes = [one.as_dict() for one in self.passes if one.keys]
        return {
            "mode": "peers",
            **self.described,
            "passes": passes,
            "together": together(passes),
            "served": self.served,
        }


def _model(options: argparse.Namespace) -> tuple[Path, Path, tuple[str, ...]]:
    """The model file that all arms run, the original file, and the FIM tokens that were declared in the copy."""
    asked = options.model or starter.model_file()
    if options.q4_0:
        asked = model_files.requantised(asked)
    model, made_up = model_files.with_fim_tokens(asked)
    return model, asked, made_up


async def _measure(
    options: argparse.Namespace,
    sessions: Sequence[keystrokes.Session],
    model: Path,
    asked: Path,
    console: Console,
    taken: _Taken,
) -> None:
    spec = replace(Settings(model=str(model)).model_spec(), fim_format=options.fim_format or None, measure_first=True)
    async with AsyncExitStack() as stack:
        with console.status("starting fimble and its peers …"):
            ours = await stack.enter_async_context(engine_arm(spec))
            await ours.fill()
            peers = _peers(options, model, stack, console)
            arms = [ours, *peers]
            if _BARE in (options.peer or _PEERS):
                floor = stack.enter_context(closing(Floor(ours.backend.inner, spec, llama_server.BATCH)))
                arms.append(_bare(floor, peers[0]))
        console.print(Text(f"fimble: {ours.info.name}, format {ours.format.name}, on the {ours.info.device}", "dim"))
        source = str(options.llama_server) if options.llama_server else f"xllamacpp {machine.version('xllamacpp')}"
        taken.described |= {
            "model": {
                "name": ours.info.name,
                "file": model.name,
                "format": ours.format.name,
                "device": ours.info.device,
            },
            "calibrated": ours.info.costs is not None,
            "llama_server": {**llama_server.SETTINGS, "from": source},
            "clients": {client.name: dict(client.constants) for client in _CLIENTS.values()},
            "resident_tokens": ours.client.cache.resident,
        }
        with progress_bar(console) as progress:
            for session in sessions:
                changes = keystrokes.part(session, options.limit, options.start, deep=True)
                total = sum(change.types for change in changes)
                for tokens in options.tokens or (4, 12):
                    task = progress.add_task(f"{session.name}, {tokens} tokens", total=total)
                    await _pass(arms, changes, taken.begin(session.name, tokens, arms), partial(progress.advance, task))
                    progress.remove_task(task)
                if not options.forced_only:
                    task = progress.add_task(f"{session.name}, as users have it", total=total)
                    begun = taken.begin(session.name, None, peers)
                    taken.served.append(
                        await _in_normal_use(asked, peers, changes, begun, partial(progress.advance, task))
                    )
                    progress.remove_task(task)
        taken.described["rest_tokens"] = ours.rest_tokens


def _peers(options: argparse.Namespace, model: Path, stack: AsyncExitStack, console: Console) -> list[Arm]:
    """The peers, each with its own llama-server, because two on one server would share its cache. llama.vim is the
    first."""

    def server() -> llama_server.LlamaServer:
        return stack.enter_context(llama_server.llama_server(model, options.llama_server))

    wanted = {infill.LLAMA_VIM.name, *(options.peer or _PEERS)}
    arms: list[Arm] = [llama_server.InfillArm(_CLIENTS[name], server()) for name in _CLIENTS if name in wanted]
    if _TABBY in wanted:
        if reason := tabby.missing(options.tabby_agent):
            console.print(Text(f"without tabby-agent: {reason}", style="dim"))
        else:
            arms.append(stack.enter_context(tabby.tabby_agent(options.tabby_agent, server())))
    return arms


def _bare(floor: Floor, peer: Arm) -> Arm:
    """An arm that does the work of llama.vim's answers with bare calls of fimble's own llama.cpp."""
    assert isinstance(peer, llama_server.InfillArm)
    return BareArm(f"{peer.name}, bare", floor, lambda: peer.latest)


async def _pass(
    arms: Sequence[Arm], changes: Sequence[Change], into: _Pass, on_key: Callable[[], object] = lambda: None
) -> None:
    """Measures every key with every arm, in turns; each time another arm is first. The first key, for which the cache
    is empty, is not recorded."""
    turn = count()
    for change, pause_ms in with_gaps(changes):
        if not change.types:
            continue
        first = next(turn)
        for index in range(len(arms)):
            arm = arms[(first + index) % len(arms)]
            answer = await arm.answer(change, into.tokens)
            if first > 0:
                into.answers[arm.name].append(answer)
        for arm in arms:
            await arm.rest(change, pause_ms)
        on_key()


async def _in_normal_use(
    model: Path, peers: Sequence[Arm], changes: Sequence[Change], into: _Pass, on_key: Callable[[], object]
) -> dict[str, Any]:
    """Measures as in normal use: fimble's server over stdio, with keys in real time, and the peers, each with its own
    settings and prompts. The arms take turns after a few keys."""
    keys: list[LiveKey] = []
    seconds = 0.0
    async with editor(["--model", str(model)]) as connection:
        await connection.ready()
        player = Player(connection, 1.0, 2000)
        for start in range(0, len(changes), _BLOCK_CHANGES):
            block = changes[start : start + _BLOCK_CHANGES]
            keys += await player.play(block)
            seconds += player.wall_seconds
            await _pass(peers, block, into, on_key)
    return {"keys": [key.as_dict() for key in keys], **tables.live_summary(into.session, keys, seconds)}


def _pass_result(session: str, tokens: int | None, answers: dict[str, list[Answer]]) -> dict[str, Any]:
    ours = answers.get(EngineArm.name)
    others = {name: given for name, given in answers.items() if name != EngineArm.name}
    return {
        "session": session,
        "tokens": tokens,
        "arms": {name: summary(given, tokens) for name, given in answers.items()},
        "ratios": {name: ratios(ours, given, tokens) for name, given in others.items()} if ours else {},
        "keys": {name: [answer.as_dict() for answer in given] for name, given in answers.items()},
    }


def together(passes: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One summary of the keys of all sessions for each number of tokens, without the single keys."""
    found = []
    for tokens in sorted({one["tokens"] for one in passes if one["tokens"]}):
        answers: dict[str, list[Answer]] = {}
        for one in passes:
            if one["tokens"] == tokens:
                for arm, keys in one["keys"].items():
                    answers.setdefault(arm, []).extend(Answer(**key) for key in keys)
        result = _pass_result("all", tokens, answers)
        del result["keys"]
        found.append(result)
    return found


# Showing ------------------------------------------------------------------------------------------------


def _show(result: dict[str, Any], console: Console) -> None:
    forced = [one for one in result["passes"] if one["tokens"]]
    free = [one for one in result["passes"] if not one["tokens"]]
    console.print(_arms_table("the same number of tokens; fimble's engine, below the protocol", forced))
    console.print(_ratios_table([*forced, *result["together"]]))
    if free:
        console.print(_arms_table("as users have it: the peers", free))
        console.print("as users have it: fimble's server over stdio, in real time, its own prompts")
        console.print(tables.live_table(result["served"]))


def _arms_table(title: str, passes: Sequence[dict[str, Any]]) -> Table:
    table = Table(title=title)
    for name in ("session", "tokens", "arm"):
        table.add_column(name, no_wrap=True)
    names = ("keys", "prompt", "evaluated p50 / p95", "decoded", "prompt ms p50 / p95", "answer ms p50 / p95")
    for name in names:
        table.add_column(name, justify="right")
    for one in passes:
        for arm, s in one["arms"].items():
            table.add_row(
                one["session"],
                str(one["tokens"] or "free"),
                arm,
                f"{s['counted']} of {s['keys']}",
                f"{s['prompt_tokens_p50']:g}",
                f"{s['evaluated_p50']:g} / {s['evaluated_p95']:g}",
                f"{s['decoded_mean']:g}",
                f"{s['prompt_ms_p50']:g} / {s['prompt_ms_p95']:g}",
                f"{s['ms_p50']:g} / {s['ms_p95']:g}",
            )
    return table


def _ratios_table(passes: Sequence[dict[str, Any]]) -> Table:
    table = Table(title="how many times longer the peers took, over the keys that both answered alike")
    for name in ("session", "tokens", "peer"):
        table.add_column(name, no_wrap=True)
    columns: dict[str, str] = {
        "keys": "keys",
        "evaluated_p50": "tokens p50",
        "prompt_p50": "prompt p50",
        "prompt_p95": "prompt p95",
        "whole_p50": "answer p50",
        "whole_p95": "answer p95",
        "key_whole_p50": "per key p50",
        "key_whole_p5": "per key p5",
    }
    for title in columns.values():
        table.add_column(title, justify="right")
    for one in passes:
        for arm, found in one["ratios"].items():
            for title, part in ((arm, found), (f"{arm}; decoded anew", found["anew"])):
                figures = ["ours is 0" if part[name] is None else f"{part[name]:g}" for name in columns]
                table.add_row(one["session"], str(one["tokens"]), title, *figures)
    return table


def _draw(result: dict[str, Any], path: Path) -> None:
    """Draws cumulative shares of the keys over the time of the whole answer, with equal numbers of tokens."""
    panels: dict[str, dict[str, Sequence[float]]] = {
        f"{one['session']}, {one['tokens']} tokens": {
            arm: [key["ms"] for key in keys] for arm, keys in one["keys"].items()
        }
        for one in result["passes"]
        if one["tokens"]
    }
    plot.draw_shares(panels, "ms per answer", path)
