"""Compares copies of a model in other quantisations with the original, in turns: their speed and agreement."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench import machine
from bench.report import write_json
from lsp_server.backends import llama, requantise
from lsp_server.backends.base import ModelError, ModelSpec
from lsp_server.engine.model import ACTION_STEP_MS
from lsp_server.models import starter
from lsp_server.models.gguf import read_header

_TYPES = ("Q4_0", "IQ4_NL", "Q4_K_S", "Q8_0")
_CHUNKS = (8, 16, 32)
_DEPTH = 512  # tokens before the measured ones


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="source files, read up to the window")
    parser.add_argument("--model", type=Path, help="a GGUF file instead of the starter model")
    parser.add_argument("--types", nargs="+", default=list(_TYPES), help="of the copies, beside the original")
    parser.add_argument("--turns", type=int, default=20, help="how often each is measured (default: 20)")
    parser.add_argument("--tokens", type=int, default=600, help="tokens of each file to agree on (default: 600)")
    parser.add_argument("--threads", type=int, default=0, help="of the model (default: as many as pay)")
    parser.add_argument("--json", type=Path, metavar="FILE")


@dataclass
class Arm:
    """One copy. chunks: the times of the chunks in ms, by size. steps: the time of each single token in ms. best: the
    most probable next token after each measured one."""

    name: str
    backend: Any
    size: int
    chunks: dict[int, list[float]] = field(default_factory=lambda: {size: [] for size in _CHUNKS})
    steps: list[float] = field(default_factory=list)
    best: list[int] = field(default_factory=list)

    def evaluate(self, position: int, tokens: list[int], logits: int) -> tuple[float, Any]:
        began = time.perf_counter()
        rows = self.backend.evaluate(0, position, tokens, logits=logits)
        return 1000 * (time.perf_counter() - began), rows

    def figures(self, original: Arm) -> dict[str, Any]:
        agreed = sum(map(int.__eq__, self.best, original.best))
        return {
            "type": self.name,
            "mib": round(self.size / 2**20, 1),
            "agreement": round(agreed / max(1, len(self.best)), 4),
            "chunk_ms": {size: _two(times) for size, times in self.chunks.items()},
            "step_ms": _two(self.steps),
        }


def _two(times: list[float]) -> tuple[float, float]:
    """The minimum, which is the time on a machine at rest, and the median."""
    return round(min(times), 2), round(median(times), 2)


def run(options: argparse.Namespace) -> int:
    console = Console(highlight=False)
    with tempfile.TemporaryDirectory() as folder:
        try:
            arms = _arms(options, Path(folder), console)
        except (ModelError, OSError) as error:
            console.print(Text(f"bench: {error}", style="red"))
            return 2
        texts = [path.read_bytes() for path in options.data]
        for text in texts:
            for arm in arms:
                tokens = arm.backend.tokenize(text)[: options.tokens]
                for start in range(0, len(tokens), _CHUNKS[-1]):
                    chunk = tokens[start : start + _CHUNKS[-1]]
                    arm.best += [int(row.argmax()) for row in arm.evaluate(start, chunk, len(chunk))[1]]
                arm.backend.truncate(0, 0)
        _measure(arms, arms[0].backend.tokenize(b"\n".join(texts)), options.turns)
        found = [arm.figures(arms[0]) for arm in arms]
        for arm in arms:
            arm.backend.close()
    table = Table("copy", "MiB", "agrees", *(f"{size} tokens, ms" for size in _CHUNKS), "1 token, ms")
    for row in found:
        times = [f"{fastest:.1f} / {usual:.1f}" for fastest, usual in (*row["chunk_ms"].values(), row["step_ms"])]
        table.add_row(row["type"], f"{row['mib']:.0f}", f"{row['agreement']:.1%}", *times)
    console.print(table)
    console.print(
        f"The fastest / the median of {options.turns} turns. A step of an action may take {ACTION_STEP_MS:g} ms."
    )
    write_json(options.json, {"machine": machine.facts(), "copies": found}, indent=1)
    return 0


def _arms(options: argparse.Namespace, folder: Path, console: Console) -> list[Arm]:
    model = options.model or starter.model_file()
    header = read_header(model)
    paths = [("original", model)]
    for name in options.types:
        target = folder / f"{name}.gguf"
        requantise.quantise(header, target, {}, name)
        paths.append((name, target))
    arms = []
    for name, path in paths:
        spec = ModelSpec(str(path), context_tokens=1024, sequences=1, threads=options.threads, chunk_tokens=_CHUNKS[-1])
        counts = Counter(tensor.type_name for tensor in read_header(path).tensors)
        console.print(Text(f"{name}: {', '.join(f'{n} {kind}' for kind, n in counts.most_common(4))}", style="dim"))
        backend = llama.open_file(spec, lambda _: True)
        arms.append(Arm(name, backend, backend.info.bytes))
    return arms


def _measure(arms: list[Arm], tokens: list[int], turns: int) -> None:
    """Measures the arms in turns, in alternating order, so that other work on the machine affects all of them."""
    tokens = (tokens * (1 + 2 * _DEPTH // max(1, len(tokens))))[: 2 * _DEPTH]
    for arm in arms:
        for start in range(0, _DEPTH, _CHUNKS[-1]):
            arm.evaluate(start, tokens[start : start + _CHUNKS[-1]], 0)
    for turn in range(turns):
        for arm in arms if turn % 2 else reversed(arms):
            for size in _CHUNKS:
                ms, _ = arm.evaluate(_DEPTH, tokens[_DEPTH : _DEPTH + size], 0)
                arm.chunks[size].append(ms)
                arm.backend.truncate(0, _DEPTH)
            arm.steps.append(arm.evaluate(_DEPTH, tokens[_DEPTH : _DEPTH + 1], 1)[0])
            arm.backend.truncate(0, _DEPTH)
