"""Switching between models while requests arrive: every request is answered once, and memory stays as it is."""

from __future__ import annotations

import random
import statistics
from collections import Counter
from pathlib import Path

import anyio
import psutil
import pytest

from lsp_server.backends import devices, llama
from lsp_server.backends.base import ModelSpec, NoRoomError
from lsp_server.engine.client import in_this_process
from lsp_server.engine.request import Finished, FinishReason, Priority, TextDelta
from lsp_server.models import estimate
from lsp_server.models.gguf_parts import read_model
from tests.engine.harness import BLOCK, make_prompt
from tests.support.effort import scaled
from tests.support.tiny_gguf import write_tiny_gguf

SWITCHES = scaled(30)
DONE = (FinishReason.LENGTH, FinishReason.STOP, FinishReason.END)
SETTLED = 20  # switches after which memory may not grow any more


async def test_switching_under_load(tmp_path: Path) -> None:
    paths = [write_tiny_gguf(tmp_path / f"{seed}.gguf", seed=seed) for seed in (1, 2)]
    specs = [ModelSpec(str(path), context_tokens=512, sequences=3, gpu_layers=0, threads=1) for path in paths]
    engine = in_this_process(llama.load)
    engine.start()
    rng = random.Random(4)
    answers: Counter[int] = Counter()
    reasons: Counter[FinishReason] = Counter()
    texts: list[set[str]] = [set(), set()]
    asked: list[int] = []
    process, sizes = psutil.Process(), []

    def ask(model: int | None = None) -> None:
        def on_event(event: TextDelta | Finished) -> None:
            if isinstance(event, Finished):
                answers[event.id] += 1
                reasons[event.reason] += 1
                if model is not None and event.reason in DONE:
                    texts[model].add(event.text)

        text = "x = 1\n" * rng.choice([1, 30, 60]) if model is None else "def area(width"
        asked.append(
            engine.submit(
                make_prompt(text, ""), BLOCK, 8 if model is not None else 20, on_event, priority=rng.choice([*Priority])
            )
        )

    async def until_ready() -> None:
        while engine.model.kind == "loading":
            await anyio.sleep(0.001)
        assert engine.model.kind == "ready", engine.model.message

    try:
        with anyio.fail_after(60 + SWITCHES):
            for number in range(SWITCHES):
                engine.load(specs[number % 2])
                for _ in range(rng.randrange(4)):
                    ask()
                if rng.random() < 0.2:
                    continue  # the next switch comes while this model still loads
                await until_ready()
                if number >= SETTLED:
                    sizes.append(process.memory_info().rss)
                for _ in range(rng.randrange(6)):
                    ask()
                ask(number % 2)
                left = rng.choice([0, 1, 99])  # how many of these requests still run when the next switch comes
                while engine.running > left:
                    await anyio.sleep(0.001)
            await until_ready()
            while engine.running:
                await anyio.sleep(0.001)
    finally:
        await engine.stop()
    assert sorted(answers) == sorted(asked)
    assert set(answers.values()) == {1}
    assert sum(reasons[reason] for reason in DONE) > SWITCHES / 4 and reasons[FinishReason.CANCELLED] > 0, reasons
    assert FinishReason.FAILED not in reasons
    assert all(len(found) == 1 for found in texts) and texts[0] != texts[1]
    usual = statistics.median(sizes)
    assert 0.95 * usual < min(sizes) <= max(sizes) < 1.05 * usual, [size >> 20 for size in sizes]


def test_both_models_count_in_one_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is mapped from a file counts as free memory; the second model may not count on it."""
    path = write_tiny_gguf(tmp_path / "tiny.gguf")
    spec = ModelSpec(str(path), context_tokens=256, sequences=1, gpu_layers=0)
    monkeypatch.setattr(estimate, "READ_IN_BYTES", 0)  # mapped, as large models are
    need = estimate.estimate(read_model(path), spec)
    host = need.host + need.weights // 2
    monkeypatch.setattr(devices, "room", lambda _: estimate.Room(host))
    first = llama.load(spec, lambda _: True)
    with pytest.raises(NoRoomError, match="MB are free"):
        llama.load(spec, lambda _: True)
    first.close()
    llama.load(spec, lambda _: True).close()
