"""Measures the cost of a separate engine process, and the memory of three windows that share one."""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import anyio
import psutil
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench import machine
from bench.arms.arm import quantile
from bench.report import write_json
from bench.sessions.editor import Editor, ServerError, editor

_FILE = Path(__file__).parents[1] / "lsp_server" / "core" / "document.py"
# The lines that are typed, into the file that contains them.
_LINES = (
    "return bisect_right(self.starts, offset) - 1",
    "return self.source[self.starts[line] : self.line_end(line)]",
)
_ARMS = ("in-process", "process", "shared")
_WINDOWS = 3


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--turns", type=int, default=6, help="of each home (default: 6)")
    parser.add_argument("--gap-ms", type=float, default=150.0, help="between two keys (default: 150)")
    parser.add_argument("--keys", type=int, default=30, help="in each turn (default: 30)")
    parser.add_argument("--model", help="a GGUF file instead of the starter model")
    parser.add_argument("--backend", choices=("llama", "scripted"), default="llama")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures")


def run(options: argparse.Namespace) -> int:
    console = Console(highlight=False)
    console.print(Text(machine.describe(machine.facts()), style="dim"))
    given = ["--backend", options.backend, *(["--model", options.model] if options.model else [])]
    try:
        with tempfile.TemporaryDirectory() as runtime:
            Path(runtime).chmod(0o700)
            environment = {**os.environ, "XDG_RUNTIME_DIR": runtime}
            keys = anyio.run(_keys, options, given, environment)
            memory = anyio.run(_memory, given, environment)
            _end_engines(runtime)
    except (ServerError, OSError) as error:
        console.print(Text(f"bench: {error}", style="red"))
        return 2
    figures = {home: _figures(found) for home, found in keys.items()}
    table = Table("engine", "answered by", "keys", "p50, ms", "p95, ms")
    for home, rows in figures.items():
        for source, row in rows.items():
            table.add_row(home, source, f"{row['keys']}", f"{row['p50']:.1f}", f"{row['p95']:.1f}")
    console.print(table)
    for home, megabytes in memory.items():
        console.print(f"{_WINDOWS if home == 'shared' else 1} window(s), {home}: {megabytes:.0f} MB (PSS of all)")
    write_json(options.json, {"machine": machine.facts(), "keys": figures, "pss_mb": memory})
    return 0


def _figures(found: list[tuple[str, float]]) -> dict[str, dict[str, float]]:
    """The p50 and p95 of the keys, by the source of the answer."""
    rows = {}
    for source in sorted({source for source, _ in found}):
        times = [ms for each, ms in found if each == source]
        rows[source] = {"keys": len(times), "p50": quantile(times, 50), "p95": quantile(times, 95)}
    return rows


async def _keys(
    options: argparse.Namespace, given: list[str], environment: Mapping[str, str]
) -> dict[str, list[tuple[str, float]]]:
    """For each home, the source of the answer to each key, and its time in ms. The homes take turns."""
    found: dict[str, list[tuple[str, float]]] = {home: [] for home in _ARMS}
    async with AsyncExitStack() as stack:
        buffers: dict[str, Editor] = {}
        for home in _ARMS:
            opened = editor([*given, "--engine", home], environment=environment)
            buffers[home] = await stack.enter_async_context(opened)
            await buffers[home].ready()
        for turn in range(options.turns):
            for home in _ARMS if turn % 2 else reversed(_ARMS):
                found[home] += await _turn(options, buffers[home], turn)
    return found


async def _turn(options: argparse.Namespace, buffer: Editor, turn: int) -> list[tuple[str, float]]:
    """Types a line in a new document. One request comes before the first key, so that no cold prompt is measured."""
    line = _LINES[turn % len(_LINES)]
    source = _FILE.read_text("utf-8")
    at, head = source.index(line), f"# Take {turn}.\n"
    text = head + source[:at] + source[source.index("\n", at) :]
    buffer.open(f"{_FILE.as_uri()}.{turn}.py", "python", text, len(head) + at)
    await buffer.suggestion()
    times = []
    for character in line[: options.keys]:
        buffer.type(character)
        shown = await buffer.suggestion()
        times.append((str(shown.cost["source"]), 1000 * shown.seconds))
        await anyio.sleep(options.gap_ms / 1000)
    return times


async def _memory(given: list[str], environment: Mapping[str, str]) -> dict[str, float]:
    """The proportional set size of all processes, in MB: of one window with its own model, and of three that share."""
    found = {}
    for home, windows in (("in-process", 1), ("shared", _WINDOWS)):
        async with AsyncExitStack() as stack:
            pids = set()
            for _ in range(windows):
                buffer = await stack.enter_async_context(editor([*given, "--engine", home], environment=environment))
                await buffer.ready()
                buffer.open(_FILE.as_uri(), "python", _FILE.read_text("utf-8"), 3000)
                await buffer.suggestion()
                pids.add(buffer.server_pid)
            engines = _engines(environment["XDG_RUNTIME_DIR"]) if home == "shared" else []
            found[home] = sum(_pss(process) for pid in pids for process in _family(pid)) + sum(map(_pss, engines))
    return found


def _family(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def _pss(process: psutil.Process) -> float:
    with suppress(psutil.Error):
        return float(process.memory_full_info().pss) / 1e6
    return 0.0


def _engines(runtime: str) -> list[psutil.Process]:
    """The shared engines that listen in a runtime folder."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if any(argument.startswith(runtime) for argument in process.cmdline()):
                found.append(process)
    return found


def _end_engines(runtime: str) -> None:
    for process in _engines(runtime):
        process.kill()
