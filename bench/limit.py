"""`bench limit`: compares the engine with its floor: bare `llama_decode` calls for the new tokens only."""

from __future__ import annotations

import argparse
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, closing
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench import keystrokes, machine, plot
from bench.arms.arm import Answer, quantile
from bench.arms.busy import spinner
from bench.arms.engine_arm import EngineArm, engine_arm
from bench.arms.floor import Floor
from bench.progress import progress_bar
from bench.report import console_of, write_json
from bench.sessions.editor import ServerError
from bench.sessions.recordings import Change
from bench.sessions.timeline import with_gaps
from lsp_server.backends.base import ModelError
from lsp_server.engine.prefix_cache import common_prefix
from lsp_server.settings.fields import Settings

_DEFAULT_KEYS = 100
_TABLE_WIDTH = 120
# How many earlier prompts are searched for a common prefix; tokens after it are new.
_REMEMBERED_PROMPTS = 16
_BUSY_ROUNDS, _BUSY_TOKENS = 10, 24


@dataclass(frozen=True, slots=True)
class LimitKey:
    """One key. The floor evaluates new_tokens and decodes as many tokens as the engine. calls: the number of
    llama_decode calls."""

    prompt_tokens: int
    new_tokens: int
    evaluated_tokens: int
    decoded_tokens: int
    engine_calls: int
    floor_calls: int
    engine_prompt_ms: float
    floor_prompt_ms: float
    engine_ms: float
    floor_ms: float

    @property
    def ratio(self) -> float:
        return self.engine_ms / self.floor_ms


def arguments(parser: argparse.ArgumentParser) -> None:
    keystrokes.source_arguments(parser)
    parser.add_argument("--limit", type=int, default=_DEFAULT_KEYS, metavar="N", help="keys (default: 100)")
    parser.add_argument("--tokens", type=int, default=12, metavar="N", help="tokens decoded per key (default: 12)")
    parser.add_argument("--start", type=int, metavar="N", help="begin with this change, not in the densest part")
    parser.add_argument("--model", type=Path, metavar="FILE", help="a GGUF file instead of the starter model")
    drafts = parser.add_mutually_exclusive_group()
    drafts.add_argument("--draft-model", type=Path, metavar="FILE", help="a small GGUF file that drafts for the model")
    drafts.add_argument("--no-drafts", action="store_true", help="without speculation")
    parser.add_argument("--busy", action="store_true", help="also: a decode step while one core is kept busy")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every key and the summary")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw it, as .png or .svg (needs matplotlib)")


def run(options: argparse.Namespace) -> int:
    console = console_of(_TABLE_WIDTH)
    try:
        if not 2 <= options.tokens <= 64:
            raise ValueError("--tokens is a number from 2 to 64")
        if options.plot is not None:
            plot.check(options.plot)
        sessions = keystrokes.sessions_of(options)
        found = machine.facts()
        console.print(Text(machine.describe(found), style="dim"))
        result = {"machine": found, **anyio.run(_measure, options, sessions, console)}
    except (ServerError, ModelError, ValueError, OSError) as error:
        console.print(Text(f"bench: {error}", style="red"))
        return 2
    console.print(_table(result["summary"]))
    if result["busy"] is not None:
        console.print(_busy_line(result["busy"]))
    if options.plot is not None:
        _draw(result, options.plot)
    write_json(options.json, result)
    return 0


async def _measure(
    options: argparse.Namespace, sessions: Sequence[keystrokes.Session], console: Console
) -> dict[str, Any]:
    settings = Settings(model=str(options.model or ""), draft_model=str(options.draft_model or ""))
    spec = replace(settings.model_spec(), measure_first=True)
    summaries, keys, busy = [], {}, None
    async with AsyncExitStack() as stack:
        with console.status("loading the model …"):
            arm = await stack.enter_async_context(engine_arm(spec, drafts=not options.no_drafts))
            floor = stack.enter_context(closing(Floor(arm.backend.inner, spec)))
        with console.status("filling the resident prompts …"):
            await arm.fill()
        drafts = (
            "not calibrated: no drafts" if not arm.info.costs else "without drafts" if options.no_drafts else "drafts"
        ) + (f" by {arm.info.draft}" if arm.info.draft else "")
        described = f"{arm.info.name}, format {arm.format.name}, on the {arm.info.device}, {drafts}"
        console.print(Text(described, style="dim"))
        for session in sessions:
            with console.status(f"reading {session.name} …"):
                changes = keystrokes.part(session, options.limit, options.start, deep=True)
            with progress_bar(console) as progress:
                task = progress.add_task(session.name, total=sum(change.types for change in changes))
                measured = await measure(arm, floor, changes, options.tokens, partial(progress.advance, task))
            if measured:
                keys[session.name] = [asdict(key) for key in measured]
                summaries.append({"session": session.name, **summarise(measured)})
        residents = arm.client.cache.resident
        if options.busy:
            with console.status("keeping a core busy …"):
                busy = await beside_a_busy_core(arm, changes[-1])
    flash, threads, _ = arm.backend.inner.opened
    return {
        "mode": "limit",
        "model": {"name": arm.info.name, "format": arm.format.name, "device": arm.info.device},
        "settings": {
            **asdict(spec),
            "path": Path(arm.info.path).name,
            "chunk_tokens": arm.info.chunk_tokens,
            "flash_attention": flash,
            "threads": threads,
            "calibrated": arm.info.costs is not None,
            "drafts": arm.info.costs is not None and not options.no_drafts,
        },
        "tokens": options.tokens,
        "resident_tokens": residents,
        "summary": summaries,
        "busy": busy,
        "keys": keys,
    }


async def measure(
    arm: EngineArm, floor: Floor, changes: Sequence[Change], tokens: int, on_key: Callable[[], object]
) -> list[LimitKey]:
    """Measures each key with the engine, then with the floor. The first key, a cold prompt, is not recorded."""
    keys: list[LimitKey] = []
    seen: deque[list[int]] = deque(maxlen=_REMEMBERED_PROMPTS)
    for change, pause_ms in with_gaps(changes):
        if not change.types:
            continue
        answer = await arm.answer(change, tokens)
        prompt = arm.last_tokens
        if seen:
            known = max(common_prefix(prompt, earlier) for earlier in seen)
            new = min(max(1, len(prompt) - known), answer.evaluated_tokens)
            keys.append(_floor_key(arm, floor, answer, new))
        seen.append(prompt)
        await arm.rest(change, pause_ms)
        on_key()
    return keys


def _floor_key(arm: EngineArm, floor: Floor, answer: Answer, new: int) -> LimitKey:
    prompt, calls = arm.last_tokens, len(arm.last_calls)
    split = len(prompt) - new
    floor.prepare(prompt[:split])
    prompt_ms, ms = floor.run(prompt[split:], answer.decoded_tokens)
    floor_calls = -(-new // arm.info.chunk_tokens) + answer.decoded_tokens - 1
    return LimitKey(
        prompt_tokens=len(prompt),
        new_tokens=new,
        evaluated_tokens=answer.evaluated_tokens,
        decoded_tokens=answer.decoded_tokens,
        engine_calls=calls,
        floor_calls=floor_calls,
        engine_prompt_ms=round(answer.prompt_ms, 3),
        floor_prompt_ms=round(prompt_ms, 3),
        engine_ms=round(answer.ms, 3),
        floor_ms=round(ms, 3),
    )


def summarise(keys: Sequence[LimitKey]) -> dict[str, Any]:
    """ratio_p50, ratio_p95: of the ratios at each key. extra: how many tokens the engine evaluated besides the new
    ones. The engine keeps the logits of decoded tokens. So it needs fewer llama_decode calls than the floor if the user
    types the text that it has generated. same_calls: only the other keys, which show the engine's overhead.
    """
    ratios = [key.ratio for key in keys]
    extra = [key.evaluated_tokens - key.new_tokens for key in keys]
    same = [key.ratio for key in keys if key.engine_calls == key.floor_calls]
    return {
        "keys": len(keys),
        "new_tokens_p50": quantile([key.new_tokens for key in keys], 50),
        "evaluated_p50": quantile([key.evaluated_tokens for key in keys], 50),
        "keys_with_extra": sum(tokens > 0 for tokens in extra),
        "extra_mean": round(sum(extra) / len(keys), 2),
        "engine_calls": sum(key.engine_calls for key in keys),
        "floor_calls": sum(key.floor_calls for key in keys),
        "engine_ms_p50": round(quantile([key.engine_ms for key in keys], 50), 2),
        "floor_ms_p50": round(quantile([key.floor_ms for key in keys], 50), 2),
        "engine_ms_p95": round(quantile([key.engine_ms for key in keys], 95), 2),
        "floor_ms_p95": round(quantile([key.floor_ms for key in keys], 95), 2),
        "ratio_p50": round(quantile(ratios, 50), 3),
        "ratio_p95": round(quantile(ratios, 95), 3),
        "ratio_of_totals": round(sum(key.engine_ms for key in keys) / sum(key.floor_ms for key in keys), 3),
        "keys_of_same_calls": len(same),
        "ratio_p50_same_calls": round(quantile(same, 50), 3),
    }


async def beside_a_busy_core(arm: EngineArm, change: Change) -> dict[str, Any]:
    """The time of a decode step in ms, with all cores free and with one busy core, in turns."""
    steps: dict[str, list[float]] = {"idle": [], "busy": []}

    async def steps_of(answers: list[float]) -> None:
        answer = await arm.answer(change, _BUSY_TOKENS)
        answers.append((answer.ms - answer.prompt_ms) / (answer.decoded_tokens - 1))

    with spinner() as core:
        for _ in range(_BUSY_ROUNDS):
            await steps_of(steps["idle"])
            core.on()
            await steps_of(steps["busy"])
            core.off()
    idle, busy = (quantile(values, 50) for values in steps.values())
    return {
        "step_ms_idle_p50": round(idle, 2),
        "step_ms_busy_p50": round(busy, 2),
        "ratio_p50": round(busy / idle, 2),
        "ratio_worst_turn": round(max(b / a for a, b in zip(*steps.values(), strict=True)), 2),
        "steps_ms": {name: [round(value, 2) for value in values] for name, values in steps.items()},
    }


def _table(summaries: Sequence[dict[str, Any]]) -> Table:
    table = Table(title="the engine over its floor")
    table.add_column("")
    for summary in summaries:
        table.add_column(summary["session"], justify="right")
    rows = {
        "keys": "{keys}",
        "new prompt tokens / evaluated, p50": "{new_tokens_p50} / {evaluated_p50}",
        "keys for which more was evaluated": "{keys_with_extra}",
        "llama_decode calls, engine / floor": "{engine_calls} / {floor_calls}",
        "ms per answer, p50, engine / floor": "{engine_ms_p50} / {floor_ms_p50}",
        "ms per answer, p95, engine / floor": "{engine_ms_p95} / {floor_ms_p95}",
        "ratio per key, p50 / p95": "{ratio_p50} / {ratio_p95}",
        "where the calls are equally many: keys": "{keys_of_same_calls}",
        "of these the ratio, p50": "{ratio_p50_same_calls}",
        "ratio of the totals": "{ratio_of_totals}",
    }
    for name, figures in rows.items():
        table.add_row(name, *(figures.format(**summary) for summary in summaries))
    return table


def _busy_line(busy: dict[str, Any]) -> Text:
    return Text(
        f"a decode step: {busy['step_ms_idle_p50']} ms, and {busy['step_ms_busy_p50']} ms beside a busy core: "
        f"{busy['ratio_p50']} times (worst turn {busy['ratio_worst_turn']})"
    )


def _draw(result: dict[str, Any], path: Path) -> None:
    """Draws cumulative shares of the keys over the times of the engine and of the floor."""
    panels: dict[str, dict[str, Sequence[float]]] = {
        session: {"engine": [key["engine_ms"] for key in keys], "floor": [key["floor_ms"] for key in keys]}
        for session, keys in result["keys"].items()
    }
    plot.draw_shares(panels, "ms per answer", path)
