"""Measures the cost of the statistics: time per key, disk space, and losses by a kill or by two writers."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio

from bench.sessions.counting import percentile
from lsp_server.core.document import DocumentSnapshot, Edit
from lsp_server.core.shape import Suggestion
from lsp_server.core.text import encode
from lsp_server.features.outcome import Outcome
from lsp_server.lsp.counting import Counting
from lsp_server.stats import store
from lsp_server.stats.counts import Key, Tally

_URI = "file:///w/a.py"
_LANGUAGES = {"Python": 0.5, "TypeScript": 0.2, "Markdown": 0.15, "Rust": 0.1, "JSON": 0.05}
# The share of the answers from each source, and the mean logarithm of their latency.
_SOURCES = {"memory": (0.5, 0.5), "adopted": (0.2, 3.0), "model": (0.3, 4.4)}
_MODELS = ("Qwen2.5 Coder 0.5B Instruct", "Qwen2.5 Coder 1.5B Instruct")
_WORKING_DAYS = 250
# A process is killed after it has typed for a time in this range, in seconds.
_KILL_AFTER = (2.5, 6.0)
_PROMISED_SECONDS = 5.0


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--keys", type=int, default=5000, help="keys typed into each of two documents")
    parser.add_argument("--events", type=int, default=1_000_000, help="events whose file is measured")
    parser.add_argument("--writes", type=int, default=10_000, help="writes of two processes together")
    parser.add_argument("--kills", type=int, default=5, help="processes that are killed while they count")
    parser.add_argument("--part", choices=("type", "write"), help=argparse.SUPPRESS)  # in processes of its own


def run(options: argparse.Namespace) -> int:
    """Prints the figures as JSON lines. Returns 1 if counts were lost that must not be lost."""
    if options.part == "type":
        asyncio.run(_type_for_ever())
    if options.part == "write":
        write(options.writes)
        return 0
    found: dict[str, Any] = {}
    for name, lines in (("10 KB", 250), ("1 MB", 25_000)):
        found[f"a key in {name}"] = _shown(asyncio.run(_key_times(options.keys, lines)))
    with tempfile.TemporaryDirectory() as folder:
        found["file"] = _file(options.events, Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        found["two writers"] = _two_writers(options.writes, Path(folder))
    found["kills"] = [_killed(random.Random(number)) for number in range(options.kills)]
    for name, value in found.items():
        print(json.dumps({name: value}))
    late = any(each["lost_older_than_5_s"] for each in found["kills"])
    return int(late or found["two writers"]["lost"] != 0)


# Time -----------------------------------------------------------------------------------------------------


class _Documents:
    """The part of a session's documents that `Counting` needs."""

    encoding = "utf-16"

    def __init__(self, document: DocumentSnapshot) -> None:
        self.document = document

    def find(self, _: str) -> DocumentSnapshot:
        return self.document


class _Session:
    """The part of a session that `Counting` needs. There is no client."""

    def __init__(self, document: DocumentSnapshot) -> None:
        self.documents = _Documents(document)

    def start_task(self, function: Any, *given: Any) -> None:
        self._task = asyncio.get_running_loop().create_task(function(*given))


def _counting(document: DocumentSnapshot) -> tuple[Counting, _Session]:
    state = SimpleNamespace(info=SimpleNamespace(name=_MODELS[0]))
    engine: Any = SimpleNamespace(evaluated_tokens=0, decoded_tokens=0, models={"completion": state, "chat": state})
    session: Any = _Session(document)
    counting = Counting(session, engine, lambda: None)
    counting.switch(wanted=True, arm="")
    return counting, session


class Typist:
    """Types a line repeatedly into the middle of a document, and gets the rest of the line as an answer at each key.
    Every 40th key accepts a suggestion, and every tenth acceptance is undone; with `plainly` there are none."""

    line = "surface = area_of(self.width, self.height)\n"

    def __init__(self, lines: int, *, plainly: bool = False) -> None:
        self.plainly = plainly
        source = encode("".join(f"value_{number} = compute({number})  # of many\n" for number in range(lines)))
        self.document = DocumentSnapshot.of(_URI, source, version=1, language_id="python")
        self.counting, self.session = _counting(self.document)
        self.cursor, self.at, self.keys = self.document.line_start(lines // 2), 0, 0

    def key(self) -> float:
        """The processor time of counting on the event loop for the next key and its answer, in ms."""
        self.keys += 1
        start = end = self.cursor
        if self.keys % 40 == 0 and self.at and not self.plainly:
            text, self.at = self.line[self.at :], len(self.line)
        elif self.keys % 10 == 0 and self.at and not self.plainly:
            start, text, self.at = start - 1, "", self.at - 1
        else:
            text, self.at = self.line[self.at], self.at + 1
        old = self.document
        where = old.position(start, "utf-16"), old.position(end, "utf-16")
        self.document = replace(old.edited(start, end, encode(text)), version=(old.version or 0) + 1)
        self.session.documents.document = self.document
        self.cursor = start + len(text)
        self.at %= len(self.line)
        rest = self.line[self.at :].rstrip("\n")
        shown = Suggestion(rest, self.cursor, self.cursor) if rest else None
        outcome = Outcome(shown, source="memory", total_ms=1.0, reason="" if shown else "the model wrote nothing")
        began = time.thread_time()
        self.counting.changed(old, self.document, [Edit(where, text)])
        self.counting.answered(self.document, outcome, 0, self.cursor)
        return 1000 * (time.thread_time() - began)


async def _key_times(keys: int, lines: int) -> list[float]:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_STATE_HOME"] = folder
        typist, times = Typist(lines), []
        for _ in range(keys):
            times.append(typist.key())
            await anyio.sleep(0)  # lets the sums be written
        await typist.counting.close()
        return times


def _shown(times: list[float]) -> dict[str, float]:
    ordered = sorted(round(1000 * ms) for ms in times)
    return {f"p{share}_ms": percentile(ordered, share) / 1000 for share in (50, 95, 99)} | {
        "max_ms": ordered[-1] / 1000
    }


# Room -----------------------------------------------------------------------------------------------------


def _file(events: int, folder: Path) -> dict[str, Any]:
    """Writes a year with `events` keys, each with an answer, in five languages and with two models, one after the
    other."""
    os.environ["XDG_STATE_HOME"] = str(folder)
    chance, today, each = random.Random(1), date.today(), events // _WORKING_DAYS
    languages, sources = list(_LANGUAGES), list(_SOURCES)
    found = Tally()
    for number in range(_WORKING_DAYS):
        day = today - timedelta(days=360 - number * 360 // _WORKING_DAYS)
        model = _MODELS[number * 2 // _WORKING_DAYS]
        for _ in range(each):
            language = chance.choices(languages, list(_LANGUAGES.values()))[0]
            source = chance.choices(sources, [share for share, _ in _SOURCES.values()])[0]
            key = Key(day.isoformat(), language, model, source)
            found.add(replace(key, source=""), keys=1, typed=1)
            found.add(key, requests=1, suggestions=1, shown_guessed=1, accepted=chance.random() < 0.1)
            found.took(key, chance.lognormvariate(_SOURCES[source][1], 0.7))
        if number % 25 == 24:
            store.add(found.take(), today)
    return {"events": each * _WORKING_DAYS, "bytes": store.path().stat().st_size}


# Losses ---------------------------------------------------------------------------------------------------


def _part(folder: Path, *given: str) -> subprocess.Popen[str]:
    env = {**os.environ, "XDG_STATE_HOME": str(folder)}
    command = [sys.executable, "-m", "bench", "stats", *given]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)


def write(count: int) -> None:
    """Writes one key at a time. Counts that could not be written are written with the next key, as in a server."""
    found = Tally()
    for number in range(count):
        found.add(Key(date.today().isoformat(), "Python"), keys=1, typed=3)
        batch = found.take()
        while batch:
            try:
                store.add(batch, date.today())
                break
            except store.StoreError as error:
                if not error.retry:
                    raise
                if number < count - 1:
                    found.merge(batch)
                    break


def _two_writers(writes: int, folder: Path) -> dict[str, Any]:
    began = time.perf_counter()
    os.environ["XDG_STATE_HOME"] = str(folder)
    writers = [_part(folder, "--part", "write", "--writes", str(writes // 2)) for _ in range(2)]
    status = [writer.wait() for writer in writers]
    counted = store.read().counts[Key(date.today().isoformat(), "Python")]
    lost = 2 * (writes // 2) - counted["keys"]
    return {"writes": writes, "lost": lost, "status": status, "seconds": round(time.perf_counter() - began, 1)}


async def _type_for_ever() -> None:
    """Prints after each key how many were typed, and the time."""
    typist = Typist(250, plainly=True)
    while True:
        typist.key()
        print(typist.keys, time.time(), flush=True)
        await anyio.sleep(0.02)


def _killed(chance: random.Random) -> dict[str, Any]:
    """Kills a process that counts. Returns how many of its keys are on the disk."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        process = _part(folder, "--part", "type")
        assert process.stdout is not None
        lines = [process.stdout.readline()]
        end = time.monotonic() + chance.uniform(*_KILL_AFTER)
        while time.monotonic() < end:
            lines.append(process.stdout.readline())
        process.kill()
        killed = time.time()
        lines += process.stdout.read().splitlines()
        process.wait()
        typed = [(int(keys), float(at)) for keys, at in (line.split() for line in lines if line.count(" ") == 1)]
        os.environ["XDG_STATE_HOME"] = name
        counted = sum(counts["keys"] for counts in store.read().counts.values())
        lost = [at for keys, at in typed if keys > counted]
        return {
            "typed": len(typed),
            "lost": len(lost),
            "lost_seconds": round(killed - min(lost, default=killed), 2),
            "lost_older_than_5_s": sum(at < killed - _PROMISED_SECONDS for at in lost),
        }
