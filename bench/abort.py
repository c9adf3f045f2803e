"""Measures how soon a cancelled prefill stops: cancels a long prefill at many depths, and waits for its end."""

from __future__ import annotations

import argparse
import random
import time
from pathlib import Path
from typing import Any

import anyio
from rich.console import Console
from rich.table import Table
from rich.text import Text

import lsp_server
from bench import machine
from bench.arms.arm import quantile
from bench.report import write_json
from lsp_server.backends import llama
from lsp_server.backends.base import ModelError, ModelInfo, ModelSpec
from lsp_server.core.prompt import FimPrompt, Segment
from lsp_server.engine.client import EngineClient, loaded
from lsp_server.engine.request import Finished, FinishReason, TextDelta

_PROMPT_BYTES = 3600  # about 1,000 tokens


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--limit", type=int, default=60, metavar="N", help="prompts to abort (default: 60)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments at which they are aborted")
    parser.add_argument("--model", type=Path, metavar="FILE", help="a GGUF file instead of the starter model")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every abort and the summary")


def run(options: argparse.Namespace) -> int:
    console = Console(highlight=False)
    found = machine.facts()
    console.print(Text(machine.describe(found), style="dim"))
    try:
        aborts, info, whole_ms = anyio.run(_measure, options, console)
    except (ModelError, OSError) as error:
        console.print(Text(f"bench: {error}", style="red"))
        return 2
    times = [abort["ms"] for abort in aborts]
    result: dict[str, Any] = {
        "machine": found,
        "model": info.name,
        "calibrated": info.costs is not None,
        "prefill_ms": whole_ms,
        "aborts": aborts,
        "p50_ms": quantile(times, 50),
        "p95_ms": quantile(times, 95),
        "worst_ms": max(times),
    }
    table = Table("prompts aborted", "whole prompt", "p50", "p95", "worst")
    table.add_row(
        str(len(times)), *(f"{ms:.0f} ms" for ms in (whole_ms, result["p50_ms"], result["p95_ms"], max(times)))
    )
    console.print(table)
    if info.costs is None:
        console.print("The machine has not been measured (it was busy), so that chunks do not shrink with depth.")
    write_json(options.json, result)
    return 0


async def _measure(options: argparse.Namespace, console: Console) -> tuple[list[dict[str, float]], ModelInfo, float]:
    async with loaded(llama.load, ModelSpec(str(options.model or ""), calibrate=True, measure_first=True)) as (
        client,
        info,
    ):
        whole, _ = await _prefill(client, 0, None)
        rng = random.Random(options.seed)
        aborts = []
        with console.status("aborting …"):
            for number in range(1, options.limit + 1):
                after = rng.uniform(0.02, 0.95) * whole
                ms, tokens = await _prefill(client, number, after)
                if tokens:
                    aborts.append({"after_ms": 1000 * after, "depth": tokens, "ms": 1000 * ms})
        if not aborts:
            raise ModelError("every prompt had ended before it could be cancelled; set --limit higher")
        return aborts, info, 1000 * whole


async def _prefill(client: EngineClient, number: int, abort_after: float | None) -> tuple[float, int]:
    """Evaluates a prompt that shares no prefix with the cache. Returns the time it took, or the time from the
    cancellation to the end; and the number of evaluated tokens, 0 if it ended before it was cancelled."""
    done = anyio.Event()
    last: list[tuple[Finished, float]] = []

    def listener(event: TextDelta | Finished) -> None:
        if isinstance(event, Finished):
            last.append((event, time.perf_counter()))
            done.set()

    source = (Path(lsp_server.__file__).parent / "core" / "document.py").read_bytes()[:_PROMPT_BYTES]
    prompt = FimPrompt("plain", (Segment("before", f"# {number}\n".encode() + source),))
    began = time.perf_counter()
    id = client.submit(prompt, None, 0, listener)
    if abort_after is not None:
        await anyio.sleep(abort_after)
        began = time.perf_counter()
        client.cancel(id)
    await done.wait()
    finished, ended = last[0]
    if finished.reason is FinishReason.FAILED:
        raise ModelError(finished.message)
    cancelled = finished.reason is FinishReason.CANCELLED
    return ended - began, finished.usage.evaluated_tokens if cancelled or abort_after is None else 0
