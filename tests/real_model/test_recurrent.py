"""Recurrent and hybrid models through llama.cpp: tiny ones of random weights, whose state is saved and put back."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lsp_server.backends import llama
from lsp_server.backends.base import ModelSpec
from lsp_server.core.hole import HoleKind
from lsp_server.core.prompt import FimPrompt, Segment
from lsp_server.core.stopping import StopRule
from lsp_server.engine.request import Generate
from tests.engine.harness import make_prompt
from tests.real_model.session import Session
from tests.support.tiny_gguf import write_tiny_hybrid, write_tiny_mamba

BEFORE = "def area(width, height):\n    return width * height\n\n\n" * 6
RULE = StopRule(HoleKind.BLOCK, max_lines=100)


@pytest.fixture(scope="module", params=[write_tiny_mamba, write_tiny_hybrid], ids=["mamba", "hybrid"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    write: Callable[[Path], Path] = request.param
    return write(tmp_path_factory.mktemp("models") / "tiny.gguf")


def spec(model: Path, sequences: int) -> ModelSpec:
    return ModelSpec(path=str(model), context_tokens=1024, sequences=sequences, threads=1)


def test_a_state_is_put_back_as_it_was(model: Path) -> None:
    backend = llama.load(spec(model, 2), lambda _: True)
    assert backend.info.recurrent
    tokens = backend.tokenize(BEFORE.encode())[:48]

    def logits(sequence: int, start: int, some: list[int]) -> np.ndarray:
        (row,) = backend.evaluate(sequence, start, some, logits=1)
        return row.copy()

    for start in (0, 16):
        backend.evaluate(0, start, tokens[start : start + 16], logits=0)
    backend.checkpoint(0)
    cold = logits(0, 32, tokens[32:40])
    assert backend.truncate(0, 36) == 32, "it goes back to the checkpoint, and no further"
    other = logits(0, 32, tokens[40:48])
    assert np.abs(other - cold).max() > 0.04, "a wrong state would not be noticed"
    backend.copy(0, 1)
    assert backend.truncate(1, 32) == 32
    assert np.abs(logits(1, 32, tokens[32:40]) - cold).max() < 0.005
    assert backend.truncate(0, 31) == 0, "nothing was remembered that far back"
    backend.close()


@pytest.mark.parametrize("sequences", [1, 3])
def test_a_key_costs_what_was_typed(model: Path, sequences: int) -> None:
    """And the text is that of a cold run."""
    session = Session(spec(model, sequences))
    chance = random.Random(sequences)
    typed, first = "r", True
    for step in range(40):
        typed = chance.choice([typed + chance.choice("etunslf =("), typed[:-1], typed + "re"])[:24]
        request = Generate(step, make_prompt(BEFORE, typed), RULE, 6)
        finished = session.run(request)
        assert finished.text == Session(spec(model, 1)).run(request).text
        if not first:
            assert finished.usage.evaluated_tokens <= len(typed)
        first = False


def test_the_prefix_alone_is_enough_for_a_model_without_a_middle(model: Path) -> None:
    """Codestral Mamba's order: the suffix first, and what was typed follows the text before it."""
    session = Session(spec(model, 2))
    costs = []
    for step, typed in enumerate(("t", "to", "tot", "to", "total", "total =")):
        segments = (
            Segment("after", b"# later\n"),
            Segment("before", BEFORE.encode()),
            Segment("typed", typed.encode()),
        )
        finished = session.run(Generate(step, FimPrompt("prefix-only", segments), RULE, 4))
        costs.append(finished.usage.evaluated_tokens)
    assert costs[0] > 100
    assert max(costs[1:]) <= len("total =")
