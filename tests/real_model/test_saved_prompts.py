"""Evaluated prompts through llama.cpp that are read by a model loaded anew: tiny ones of random weights, all kinds."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from lsp_server.backends import llama
from lsp_server.backends.base import Adapter, ModelSpec, SequenceState
from lsp_server.core.hole import HoleKind
from lsp_server.core.stopping import StopRule
from lsp_server.engine.request import Generate, Keep, Shutdown
from lsp_server.models import ledger
from tests.engine.harness import make_prompt
from tests.real_model.session import Session
from tests.support.tiny_gguf import (
    write_tiny_gguf,
    write_tiny_hybrid,
    write_tiny_lora,
    write_tiny_mamba,
    write_tiny_sliding,
)

TEXT = "def area(width, height):\n    return width * height\n\n\n" * 6
RULE = StopRule(HoleKind.BLOCK, max_lines=100)
KINDS = {
    "llama": write_tiny_gguf,
    "sliding": write_tiny_sliding,
    "mamba": write_tiny_mamba,
    "hybrid": write_tiny_hybrid,
}


@pytest.fixture(scope="module", params=KINDS)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    write: Callable[[Path], Path] = KINDS[request.param]
    return write(tmp_path_factory.mktemp("models") / "tiny.gguf")


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What came of the trials of models, so that each is tried once."""
    return tmp_path_factory.mktemp("ledger") / "ledger.json"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, verdicts: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = ledger.ledger_path()
    if verdicts.exists():
        path.parent.mkdir(parents=True)
        shutil.copy(verdicts, path)
    yield
    shutil.copy(path, verdicts)


def spec(model: Path, **more: object) -> ModelSpec:
    return ModelSpec(path=str(model), **{"context_tokens": 512, "sequences": 2, "threads": 1, **more})  # type: ignore[arg-type]


def logits(backend: llama.LlamaBackend, sequence: int, start: int, tokens: list[int]) -> np.ndarray:
    (row,) = backend.evaluate(sequence, start, tokens, logits=1)
    return row.copy()


def outlived(state: SequenceState | None) -> SequenceState:
    """The state as it comes back from a file."""
    assert state is not None
    earlier = tuple((length, memoryview(bytearray(kept))) for length, kept in state.checkpoints)
    return SequenceState(state.length, memoryview(bytearray(state.data)), earlier)


@pytest.mark.parametrize("flash", ["on", "off"])
def test_a_restored_state_goes_on_as_the_saved_one(model: Path, flash: str) -> None:
    first = llama.load(spec(model, flash_attention=flash), lambda _: True)
    tokens = first.tokenize(TEXT.encode())[:120]
    first.evaluate(0, 0, tokens[:64], logits=0)
    first.checkpoint(0)
    truth = logits(first, 0, 64, tokens[64:100])
    first.truncate(0, 64)
    first.evaluate(0, 64, tokens[64:96], logits=0)
    state = outlived(first.save(0))
    first.close()

    second = llama.load(spec(model, flash_attention=flash), lambda _: True)
    assert second.info.state_key
    wrong = logits(second, 1, 0, list(reversed(tokens[:100])))
    assert np.abs(wrong - truth).max() > 0.04, "a wrong state would not be noticed"
    assert second.restore(1, state) == 96 == second.length(1)
    assert np.abs(logits(second, 1, 96, tokens[96:100]) - truth).max() < 0.005
    left = second.truncate(1, 64)
    # Of layers with a window of 32 tokens there is nothing that far back, so nothing is left rather than some of it.
    assert left == (0 if second.info.sliding_tokens else 64)
    assert np.abs(logits(second, 1, left, tokens[left:100]) - truth).max() < 0.005
    second.close()


def test_a_copy_of_a_restored_state_is_cut_as_that_is(tmp_path: Path) -> None:
    backend = llama.load(spec(write_tiny_sliding(tmp_path / "tiny.gguf", window=32)), lambda _: True)
    tokens = backend.tokenize(TEXT.encode())[:100]
    truth = logits(backend, 0, 0, tokens)
    assert backend.truncate(0, 80) == 80, "one that was evaluated can be cut anywhere"
    assert backend.restore(1, outlived(backend.save(0))) == 80
    backend.copy(1, 0)
    backend.evaluate(0, 80, tokens[80:90], logits=0)
    assert backend.truncate(0, 80) == 80
    assert np.abs(logits(backend, 0, 80, tokens[80:]) - truth).max() < 0.005
    assert backend.truncate(0, 79) == 0
    assert np.abs(logits(backend, 0, 0, tokens) - truth).max() < 0.005
    assert backend.truncate(0, 79) == 79, "what was evaluated anew is whole"
    assert np.abs(logits(backend, 0, 79, tokens[79:]) - truth).max() < 0.005
    backend.close()


def test_a_state_that_does_not_fit_leaves_nothing(model: Path, tmp_path: Path) -> None:
    backend = llama.load(spec(model), lambda _: True)
    tokens = backend.tokenize(TEXT.encode())[:100]
    backend.evaluate(0, 0, tokens, logits=0)
    state = outlived(backend.save(0))
    short = SequenceState(state.length, state.data[: len(state.data) // 2], state.checkpoints)
    assert backend.restore(1, short) == 0 == backend.length(1)
    assert backend.restore(1, SequenceState(state.length + 1, state.data)) == 0 == backend.length(1)
    assert backend.restore(1, state) == 100
    backend.close()
    small = llama.load(spec(model, context_tokens=64), lambda _: True)
    assert small.info.context_tokens < 512
    assert small.restore(0, SequenceState(small.info.context_tokens + 1, state.data)) == 0 == small.length(0)
    small.close()


def test_a_reopened_place_costs_what_was_typed(model: Path) -> None:
    """And the text is that of a cold run."""
    first = Session(spec(model))
    first.engine.send(Keep({}, 1 << 30))
    request = Generate(1, make_prompt(TEXT, "retu"), RULE, 6)
    cold = first.run(request)
    assert cold.usage.evaluated_tokens > 100
    first.engine.send(Shutdown())
    first.engine.run()
    second = Session(spec(model))
    second.engine.send(Keep({}, 1 << 30))
    for id, typed in enumerate(("retu", "retur", "r"), 2):
        request = Generate(id, make_prompt(TEXT, typed), RULE, 6)
        finished, truth = second.run(request), Session(spec(model)).run(request)
        second.engine.cache().check(second.engine.models["completion"].backend.length)
        assert finished.text == truth.text
        assert finished.logprob == pytest.approx(truth.logprob, abs=0.005)
        assert finished.usage.evaluated_tokens <= 12


def test_a_state_is_for_one_model_and_its_adapters(tmp_path: Path) -> None:
    keys = set()
    for seed in (0, 1):
        backend = llama.load(spec(write_tiny_gguf(tmp_path / f"{seed}.gguf", seed=seed)), lambda _: True)
        keys.add(backend.info.state_key)
        lora = write_tiny_lora(tmp_path / "lora.gguf")
        for scale in (1.0, 0.5):
            backend.adapt([Adapter(str(lora), scale)])
            keys.add(backend.info.state_key)
        backend.adapt([])
        assert backend.info.state_key in keys
        backend.close()
    flash = llama.load(spec(tmp_path / "0.gguf", flash_attention="on"), lambda _: True)
    keys.add(flash.info.state_key)
    flash.close()
    assert len(keys) == 7
