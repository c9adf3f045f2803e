"""`bench http`: the cost of a key for `fimble serve --http`, with recorded sessions as requests of HTTP clients."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from secrets import token_urlsafe
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any

from rich.table import Table
from rich.text import Text

from bench import keystrokes, machine
from bench.arms import infill, zed
from bench.arms.arm import Answer, quantile
from bench.report import console_of, write_json
from bench.sessions.editor import ServerError
from bench.sessions.recordings import Change
from bench.sessions.timeline import with_gaps

_SECONDS = 120
_TABLE_WIDTH = 120
_DEFAULT_KEYS = 60
# The backend that runs the model; tests use one without a model.
BACKEND = "llama"


def arguments(parser: argparse.ArgumentParser) -> None:
    keystrokes.source_arguments(parser)
    parser.add_argument("--limit", type=int, default=_DEFAULT_KEYS, metavar="N", help="keys (default: 60)")
    parser.add_argument("--start", type=int, metavar="N", help="begin with this change, not in the densest part")
    parser.add_argument("--model", type=Path, metavar="FILE", help="a GGUF file instead of the starter model")
    parser.add_argument("--longest-pause", type=float, default=0, metavar="MS", help="wait between keys, as they did")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every key and the summary")


def run(options: argparse.Namespace) -> int:
    console = console_of(_TABLE_WIDTH)
    try:
        sessions = keystrokes.sessions_of(options)
        found = machine.facts()
        console.print(Text(machine.describe(found), style="dim"))
        passes = []
        for client in _CLIENTS:
            for session in sessions:
                changes = keystrokes.part(session, options.limit, options.start, deep=True)
                with serving(options.model) as server, console.status(f"{session.name}, as {client.name} asks"):
                    passes.append(_pass(session.name, client, server, changes, options.longest_pause))
    except (ServerError, ValueError, OSError) as error:
        console.print(Text(f"bench: {error}", style="red"))
        return 2
    console.print(_table(passes))
    write_json(options.json, {"machine": found, "passes": passes})
    return 0


@dataclass(frozen=True, slots=True)
class _Client:
    """One kind of client: the path of its requests, and the format of its requests and answers."""

    name: str
    path: str
    asks: infill.InfillClient | None = None

    def payload(self, change: Change) -> dict[str, Any] | None:
        return zed.payload(change) if self.asks is None else self.asks.payload(change, None)

    def answer(self, response: dict[str, Any], ms: float) -> Answer:
        return zed.answer_of(response, ms) if self.asks is None else infill.answer_of(response, ms)


_CLIENTS = (
    _Client("llama.vim", "/infill", infill.LLAMA_VIM),
    _Client("llama.vscode", "/infill", infill.LLAMA_VSCODE),
    _Client("Zed", "/v1/completions"),
)


class Server:
    """A running `fimble serve --http`."""

    def __init__(self, port: int, token: str) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=_SECONDS)
        self._headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}

    def post(self, path: str, payload: dict[str, Any]) -> tuple[dict[str, Any], float]:
        """Returns the answer and the time until it came, in ms. Raises ServerError."""
        began = time.perf_counter()
        try:
            self._connection.request("POST", path, json.dumps(payload), self._headers)
            response = self._connection.getresponse()
            text = response.read()
        except (OSError, HTTPException) as error:
            self._connection.close()
            raise ServerError(f"fimble has failed: {error}") from None
        if response.status != 200:
            raise ServerError(f"fimble says {response.status}: {text.decode('utf-8', 'replace')[:200]}")
        return dict(json.loads(text)), 1000 * (time.perf_counter() - began)

    def close(self) -> None:
        self._connection.close()


@contextmanager
def serving(model: Path | None) -> Iterator[Server]:
    """A context manager for a server whose model is loaded."""
    with TemporaryDirectory() as folder:
        token, path = token_urlsafe(16), Path(folder) / "token"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        os.write(descriptor, token.encode())
        os.close(descriptor)
        chosen = ["--model", str(model)] if model is not None else []
        command = [sys.executable, "-m", "lsp_server", "serve", "--backend", BACKEND, *chosen]
        http = ["--http", "127.0.0.1:0", "--token-file", str(path)]
        with subprocess.Popen([*command, *http], stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            try:
                said = process.stderr.readline()
                ready = process.stderr.readline()
                if "http://" not in said or "is ready" not in ready:
                    raise ServerError(f"fimble did not start: {said}{ready}".strip())
                server = Server(int(said.split("/infill")[0].rpartition(":")[2]), token)
                yield server
                server.close()
            finally:
                process.terminate()


def _pass(
    session: str, client: _Client, server: Server, changes: Sequence[Change], longest_pause: float
) -> dict[str, Any]:
    """Sends every key, one after the other. The first key, for which the cache is empty, does not count. by_model: the
    keys that the model answered; the others were answered from memory, or had no suggestion."""
    answers: list[Answer] = []
    for change, pause_ms in with_gaps(changes):
        payload = client.payload(change) if change.types else None
        if payload is not None:
            answers.append(client.answer(*server.post(client.path, payload)))
        time.sleep(min(pause_ms, longest_pause) / 1000)
    later = answers[1:]
    by_model = [answer for answer in later if answer.prompt_tokens]
    evaluated = [answer.evaluated_tokens for answer in by_model]
    return {
        "session": session,
        "client": client.name,
        "keys": len(later),
        "by_model": len(by_model),
        "prompt_tokens_p50": quantile([answer.prompt_tokens for answer in by_model], 50),
        "evaluated_p50": quantile(evaluated, 50),
        "evaluated_p95": quantile(evaluated, 95),
        "evaluated_mean": round(fmean(evaluated), 1) if evaluated else 0.0,
        "ms_p50": round(quantile([answer.ms for answer in later], 50), 1),
        "ms_p95": round(quantile([answer.ms for answer in later], 95), 1),
        "answers": [answer.as_dict() for answer in answers],
    }


def _table(passes: Sequence[dict[str, Any]]) -> Table:
    table = Table(title="prompt tokens evaluated at a key that the model is asked for, over HTTP")
    for title in ("session", "client"):
        table.add_column(title, no_wrap=True)
    for title in ("keys", "by model", "prompt", "p50", "p95", "mean", "ms p50", "ms p95"):
        table.add_column(title, justify="right")
    about = ("keys", "by_model", "prompt_tokens_p50", "evaluated_p50", "evaluated_p95", "evaluated_mean")
    names = (*about, "ms_p50", "ms_p95")
    for one in passes:
        table.add_row(one["session"], one["client"], *(f"{one[name]:g}" for name in names))
    return table
