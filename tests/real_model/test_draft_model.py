"""A small model that drafts for a large one, through llama.cpp: tiny F32 models, which are exact in every mode."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lsp_server.backends import devices, llama, llama_library
from lsp_server.backends.base import ModelSpec
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.hole import HoleKind, find_hole
from lsp_server.core.prompt import PromptBudget
from lsp_server.core.stopping import StopRule
from lsp_server.engine.request import Generate, ModelReady, Priority
from lsp_server.models import estimate
from lsp_server.models.gguf_parts import read_model
from tests.engine.harness import CHEAP_BATCHES
from tests.real_model.session import Session
from tests.real_model.test_tiny_model import PIECES, SOURCE, evaluate
from tests.support.prompts import build_prompt
from tests.support.tiny_gguf import MARKERS, write_tiny_gguf

RULE = StopRule(HoleKind.BLOCK, max_lines=100)


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> ModelSpec:
    """Of a model and one that writes the same, mostly."""
    folder = tmp_path_factory.mktemp("models")
    main = write_tiny_gguf(folder / "main.gguf")
    small = write_tiny_gguf(folder / "small.gguf", noise=0.01, name="small")
    return ModelSpec(str(main), context_tokens=512, sequences=3, draft=str(small), threads=1)


def ready(session: Session) -> ModelReady:
    return next(event for event in session.events if isinstance(event, ModelReady))


@pytest.mark.parametrize("sequences", [1, 3])
def test_an_editing_session_gives_what_the_model_gives_alone(spec: ModelSpec, sequences: int) -> None:
    chance = random.Random(sequences)
    session = Session(replace(spec, sequences=sequences), CHEAP_BATCHES)
    assert session.info.draft == "small"
    small = session.engine.models["completion"].draft
    assert small is not None
    source, cursor = SOURCE, SOURCE.index(b"yield")
    drafted = accepted = 0
    for step in range(60):
        what = chance.random()
        if what < 0.6:
            typed = chance.choice(PIECES)
            source, cursor = source[:cursor] + typed + source[cursor:], cursor + len(typed)
        elif what < 0.9:
            cursor = chance.choice([0, source.index(b"self.root = "), source.rindex(b"return"), len(source)])
        document = DocumentSnapshot.of("file:///w.py", source, path="w.py", language_id="python")
        prompt = build_prompt(document, find_hole(document, cursor), session.info.format, PromptBudget.of_tokens(300))
        tokens = chance.choice([0, 12])
        request = Generate(step, prompt, RULE, tokens, Priority.INLINE if tokens else Priority.WARMING)
        finished = session.run(request, cancel_after=chance.choice([None, None, 2, 5, 9]))
        for part in (session.engine.models["completion"], small):
            part.cache.check(part.backend.length)
        if finished.usage.decoded_tokens == 12:
            cold = Session(replace(spec, draft="", sequences=1)).run(request)
            assert finished.text == cold.text
            assert finished.logprob == pytest.approx(cold.logprob, abs=0.005)
        drafted += finished.usage.drafted_tokens
        accepted += finished.usage.accepted_tokens
    assert 20 < accepted < drafted, (accepted, drafted)
    check_cells(small.backend, [list(sequence.tokens) for sequence in small.cache], spec)


def check_cells(backend: llama.LlamaBackend, held: list[list[int]], spec: ModelSpec) -> None:
    """What a cache holds after all that gives the logits of a cold run."""
    cold = llama.load(spec.of_draft(), lambda _: True)
    for sequence, tokens in enumerate(held):
        if tokens:
            backend.truncate(sequence, len(tokens) - 1)
            warm = evaluate(backend, sequence, tokens[-1:], len(tokens) - 1)
            assert np.abs(warm - evaluate(cold, sequence, tokens, 0)).max() < 0.005
    cold.close()


def test_another_vocabulary_is_told(spec: ModelSpec, tmp_path: Path) -> None:
    other = write_tiny_gguf(tmp_path / "other.gguf", markers=("<|endoftext|>", *reversed(MARKERS[1:])), name="other")
    session = Session(replace(spec, draft=str(other)), CHEAP_BATCHES)
    notice = ready(session).notice
    assert session.info.draft == ""
    assert f"`draft_model` {other} is not used: its vocabulary is not that of tiny" in notice
    assert "\n" not in notice


@pytest.mark.parametrize("content", [None, b"hello"])
def test_a_bad_file_is_told(spec: ModelSpec, tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "bad.gguf"
    if content is not None:
        path.write_bytes(content)
    session = Session(replace(spec, draft=str(path)), CHEAP_BATCHES)
    assert "is not used" in ready(session).notice
    assert ready(session).notice.count(str(path)) <= 2


def test_both_models_count_in_one_budget(spec: ModelSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    """The small model is left out where there is room for the large one alone."""
    spec = replace(spec, gpu_layers=0)
    monkeypatch.setattr(estimate, "READ_IN_BYTES", 0)  # mapped, as large models are
    need = estimate.estimate(read_model(Path(spec.path)), spec)
    monkeypatch.setattr(llama, "_mapped", llama_library.MappedBytes())
    monkeypatch.setattr(devices, "room", lambda _: estimate.Room(need.host + need.weights // 2))
    session = Session(spec, CHEAP_BATCHES)
    assert session.info.draft == ""
    assert "MB are free" in ready(session).notice
