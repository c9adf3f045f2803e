"""Finds where a warm answer differs from a cold one on a real model, and how close the two best tokens were.

Quantised models give slightly different logits for different batch sizes. So a greedy text can differ where two tokens
are almost equally probable. The cache is not wrong then: the tests prove reuse on exact backends. This bench reports
how often it happens.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench import keystrokes, machine
from bench.arms.arm import quantile
from bench.progress import progress_bar
from bench.report import write_json
from bench.sessions.counting import Anchored, Rules
from lsp_server.backends import llama
from lsp_server.backends.base import Backend, ModelError, ModelSpec
from lsp_server.core.prompt import FimPrompt
from lsp_server.engine.core import EngineCore
from lsp_server.engine.request import Event, Finished, Generate, Load, ModelReady, TextDelta
from lsp_server.engine.spawn import at_once


def arguments(parser: argparse.ArgumentParser) -> None:
    keystrokes.source_arguments(parser)
    parser.add_argument("--limit", type=int, default=60, metavar="N", help="keys of each session (default: 60)")
    parser.add_argument("--tokens", type=int, default=12, metavar="N", help="tokens of each answer (default: 12)")
    parser.add_argument("--model", type=Path, metavar="FILE", help="a GGUF file instead of the starter model")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every departure and the summary")


def run(options: argparse.Namespace) -> int:
    console = Console(highlight=False)
    found = machine.facts()
    console.print(Text(machine.describe(found), style="dim"))
    summaries: list[dict[str, Any]] = []
    try:
        spec = ModelSpec(str(options.model or ""))
        warm, cold = Arm(spec), Arm(ModelSpec(spec.path, sequences=1))
        policy = Anchored(warm.backend.info.format, Rules(spec.context_tokens, spec.sequences))
        for session in keystrokes.sessions_of(options):
            changes = keystrokes.part(session, options.limit, deep=True)
            with progress_bar(console) as progress:
                task = progress.add_task(session.name, total=len(changes))
                gaps: list[float] = []
                keys = 0
                for change in changes:
                    progress.advance(task)
                    if not change.types:
                        continue
                    prompt = policy.key(change)
                    cold.forget()
                    gap = departure(warm.answer(prompt, options.tokens), cold.answer(prompt, options.tokens), cold.gaps)
                    keys += 1
                    gaps += [] if gap is None else [gap]
            summaries.append({"session": session.name, "keys": keys, "departed": len(gaps), "gaps": gaps})
    except (ModelError, ValueError, OSError) as error:
        console.print(Text(f"bench: {error}", style="red"))
        return 2
    table = Table("session", "keys", "departed", "gap there, p50", "p95", "worst")
    for summary in summaries:
        gaps = summary["gaps"]
        share = f"{len(gaps)} ({100 * len(gaps) / max(1, summary['keys']):.0f}%)"
        figures = (median(gaps), quantile(gaps, 95), max(gaps)) if gaps else (0.0, 0.0, 0.0)
        table.add_row(summary["session"], str(summary["keys"]), share, *(f"{figure:.2f}" for figure in figures))
    console.print(table)
    result: dict[str, Any] = {"machine": found, "model": warm.backend.info.name, "tokens": options.tokens}
    write_json(options.json, {**result, "summary": summaries})
    return 0


class Arm:
    """An engine that is driven step by step. gaps: for each token of the last answer, the difference of the two best
    logits."""

    def __init__(self, spec: ModelSpec) -> None:
        self._events: list[Event] = []
        self._engine = EngineCore(llama.load, self._events.append, spawn=at_once)
        self._engine.send(Load(spec))
        self._engine.receive()
        ready = self._events[-1]
        if not isinstance(ready, ModelReady):
            raise ModelError(getattr(ready, "message", "the model cannot be loaded"))
        self.gaps: list[float] = []
        self._watch(self.backend)

    @property
    def backend(self) -> Backend:
        return self._engine.models["completion"].backend

    def answer(self, prompt: FimPrompt, tokens: int) -> list[str]:
        """The text that the model generates, token by token."""
        self._events.clear()
        self.gaps.clear()
        self._engine.send(Generate(1, prompt, None, tokens))
        self._engine.receive()
        while self._engine.step():
            pass
        last = next((event for event in reversed(self._events) if isinstance(event, Finished)), None)
        if last is not None and last.message:
            raise ModelError(last.message)
        return [event.text for event in self._events if isinstance(event, TextDelta)]

    def forget(self) -> None:
        """Empties the KV cache."""
        model = self._engine.models["completion"]
        for sequence in model.cache:
            model.cache.truncate(sequence.id, model.backend.truncate(sequence.id, 0))

    def _watch(self, backend: Any) -> None:
        evaluate = backend.evaluate

        def watched(sequence: int, position: int, tokens: Sequence[int], *, logits: int) -> Any:
            rows = evaluate(sequence, position, tokens, logits=logits)
            if rows:
                best = np.partition(rows[-1], -2)[-2:]
                gap = abs(float(best[1] - best[0]))
                if len(tokens) > 1:
                    self.gaps.clear()  # this is still the prompt; only its last token is followed by the answer
                self.gaps.append(gap)
            return rows

        backend.evaluate = watched


def departure(warm: Sequence[str], cold: Sequence[str], gaps: Sequence[float]) -> float | None:
    """The gap of the cold run at the first token where the warm text differs; None if the texts are equal."""
    for index, (one, other) in enumerate(zip(warm, cold, strict=False)):
        if one != other:
            return gaps[min(index, len(gaps) - 1)]
    if len(warm) != len(cold):
        return gaps[min(len(warm), len(cold), len(gaps) - 1)]
    return None
