"""Measures how a running code action delays completions: the same keys with and without an action, in turns."""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import anyio
from lsprotocol import types
from pygls.lsp.client import LanguageClient
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench import machine
from bench.arms.arm import quantile
from bench.report import write_json
from bench.sessions.editor import Editor, ServerError, editor
from lsp_server.core.languages import find_language
from lsp_server.core.outline import definitions

_CORE = Path(__file__).parents[1] / "lsp_server" / "core"
# The lines that are typed, in the file that contains them; and the file whose functions are explained meanwhile.
_TYPED, _EXPLAINED = _CORE / "document.py", _CORE / "context.py"
_LINES = (
    "return bisect_right(self.starts, offset) - 1",
    "return self.source[self.starts[line] : self.line_end(line)]",
)
_ARMS = ("alone", "beside")


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--turns", type=int, default=14, help="of each kind (default: 14)")
    parser.add_argument("--minutes", type=float, default=4.0, help="end after so many (default: 4)")
    parser.add_argument("--gap-ms", type=float, default=150.0, help="between two keys (default: 150)")
    parser.add_argument("--keys", type=int, default=30, help="in each turn (default: 30)")
    parser.add_argument("--action", default="explain", help="which runs meanwhile (default: explain)")
    parser.add_argument("--model", help="a GGUF file instead of the starter model")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures and every key")


@dataclass(slots=True)
class Key:
    """One key of one turn. ms: until the editor had the answer. busy: whether an action ran all the time. evaluated,
    decoded: numbers of tokens. queued_ms: how long the request waited for the model."""

    arm: str
    turn: int
    ms: float
    busy: bool
    source: str
    shown: int
    evaluated: int
    decoded: int
    queued_ms: float


class Actions:
    """Keeps an action running at the server, for one function after the other, until it is stopped."""

    def __init__(self, action: str) -> None:
        self.under_way = 0
        self.ended = 0
        self._wanted = False
        self._client: LanguageClient | None = None
        self._action = action
        self._tokens: set[Any] = set()
        text = _EXPLAINED.read_text("utf-8")
        language = find_language("python")
        found = [one for one in definitions(language, text.encode()) if one.kind == "function"]
        lines = [text.encode()[: one.start].count(b"\n") for one in found]
        self._lines = itertools.cycle(lines)
        self._document = types.TextDocumentItem(_EXPLAINED.as_uri(), "python", 1, text)

    def open(self, client: LanguageClient) -> None:
        """Opens the file that the actions are about."""
        self._client = client
        client.text_document_did_open(types.DidOpenTextDocumentParams(self._document))

    def progress(self, params: types.ProgressParams) -> None:
        """Must be called with each `$/progress`."""
        value = params.value
        kind = value.get("kind") if isinstance(value, dict) else getattr(value, "kind", "")
        title = value.get("title", "") if isinstance(value, dict) else getattr(value, "title", "") or ""
        if kind == "begin" and "xplain" in str(title):
            self._tokens.add(params.token)
        elif kind == "end" and params.token in self._tokens:
            self._tokens.discard(params.token)
            self.under_way, self.ended = self.under_way - 1, self.ended + 1
            if self._wanted and not self.under_way:
                self._start()

    def start(self) -> None:
        self._wanted = True
        self._start()

    async def stop(self) -> None:
        """Cancels the running action and waits for its end."""
        self._wanted = False
        assert self._client is not None
        await self._client.workspace_execute_command_async(types.ExecuteCommandParams("fimble.cancel"))
        with anyio.fail_after(30):
            while self.under_way:
                await anyio.sleep(0.01)

    def _start(self) -> None:
        assert self._client is not None
        self.under_way += 1
        line = next(self._lines)
        where = {"line": line, "character": 8}
        given = {"action": self._action, "uri": self._document.uri, "range": {"start": where, "end": where}}
        params = types.ExecuteCommandParams("fimble.action", [given])
        self._client.protocol.send_request(types.WORKSPACE_EXECUTE_COMMAND, params)


def run(options: argparse.Namespace) -> int:
    console = Console(highlight=False)
    console.print(Text(machine.describe(machine.facts()), style="dim"))
    try:
        keys = anyio.run(_measure, options, console)
    except (ServerError, OSError) as error:
        console.print(Text(f"bench: {error}", style="red"))
        return 2
    found = summary(keys)
    table = Table("keys", "", "alone, ms", "beside an action", "ratio")
    for name, row in found.items():
        for figure in ("p50", "p95"):
            alone, beside = row["alone"][figure], row["beside"][figure]
            ratio = f"{row['ratio'][figure]:.2f}"
            table.add_row(
                f"{name} ({row['alone']['keys']}, {row['beside']['keys']})", figure, f"{alone}", f"{beside}", ratio
            )
    console.print(table)
    shown = {arm: statistics.mean([key.shown for key in keys if key.arm == arm] or [0]) for arm in _ARMS}
    console.print(f"characters shown per key: {shown['alone']:.1f} alone, {shown['beside']:.1f} beside an action")
    result = {"machine": machine.facts(), "action": options.action, "gap_ms": options.gap_ms, "summary": found}
    write_json(options.json, {**result, "shown": shown, "keys": [asdict(key) for key in keys]})
    return 0


def summary(keys: Sequence[Key]) -> dict[str, Any]:
    """The p50 and p95 of each arm and their ratios, for all keys and for those that the model answered. A key beside an
    action counts only if an action ran all the time."""
    found: dict[str, Any] = {}
    for name, sources in (("all", None), ("answered by the model", {"model"})):
        row: dict[str, Any] = {}
        for arm in _ARMS:
            times = [
                key.ms
                for key in keys
                if key.arm == arm and key.busy == (arm == "beside") and (sources is None or key.source in sources)
            ]
            figures = {f"p{percent}": round(quantile(times, percent), 2) if times else 0.0 for percent in (50, 95)}
            row[arm] = {"keys": len(times), **figures}
        row["ratio"] = {
            p: round(row["beside"][p] / row["alone"][p], 3) if row["alone"][p] else 0 for p in ("p50", "p95")
        }
        found[name] = row
    return found


async def _measure(options: argparse.Namespace, console: Console) -> list[Key]:
    keys: list[Key] = []
    actions = Actions(options.action)
    async with editor(["--model", options.model] if options.model else [], actions.progress) as buffer:
        await buffer.ready()
        actions.open(buffer.client)
        actions.start()  # loads the chat model, so that both arms have it in memory
        while not actions.ended:
            await anyio.sleep(0.1)
        await actions.stop()
        ends = time.monotonic() + 60 * options.minutes
        number = 0
        for turn in range(options.turns):
            for arm in _ARMS if turn % 2 else reversed(_ARMS):
                number += 1
                if time.monotonic() > ends:
                    return keys
                found = await _turn(options, buffer, actions, arm, turn, number)
                keys += found
                times = sorted(key.ms for key in found)
                console.print(Text(f"turn {turn + 1}, {arm}: median {times[len(times) // 2]:.0f} ms", style="dim"))
    return keys


async def _turn(
    options: argparse.Namespace, buffer: Editor, actions: Actions, arm: str, turn: int, number: int
) -> list[Key]:
    """Types one line in a new document with a unique first line, so that nothing is reused from other turns. One
    request comes before the first key, so that no cold prompt is measured."""
    line = _LINES[turn % len(_LINES)]
    source = _TYPED.read_text("utf-8")
    at = source.index(line)
    head = f"# Take {number}.\n"
    text = head + source[:at] + source[source.index("\n", at) :]
    buffer.open(f"{_TYPED.as_uri()}.{number}.py", "python", text, len(head) + at)
    await buffer.suggestion()
    if arm == "beside":
        actions.start()
        await anyio.sleep(1.0)
    keys = []
    due = time.perf_counter()
    for character in line[: options.keys]:
        await anyio.sleep(max(0.0, due - time.perf_counter()))
        due = max(due, time.perf_counter()) + options.gap_ms / 1000
        before = actions.under_way
        buffer.type(character)
        shown = await buffer.suggestion()
        cost = shown.cost
        keys.append(
            Key(
                arm,
                turn,
                round(1000 * shown.seconds, 2),
                bool(before and actions.under_way),
                cost["source"],
                len(shown.text),
                cost["evaluatedTokens"],
                cost["decodedTokens"],
                cost["queuedMs"],
            )
        )
    if arm == "beside":
        await actions.stop()
    return keys
