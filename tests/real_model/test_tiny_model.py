"""llama.cpp itself, with a tiny F32 model that is exact in every mode: what is reused equals a cold run."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from lsp_server.backends import llama
from lsp_server.backends.base import ModelError, ModelSpec
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.hole import HoleKind, find_hole
from lsp_server.core.prompt import PromptBudget
from lsp_server.core.stopping import StopRule, stop_rule
from lsp_server.engine.core import EngineCore
from lsp_server.engine.request import Event, Finished, FinishReason, Generate, Load, ModelFailed
from lsp_server.engine.spawn import at_once
from tests.engine.harness import CHEAP_BATCHES, make_prompt
from tests.real_model.session import Session
from tests.support.healing import record_healing
from tests.support.prompts import build_prompt
from tests.support.tiny_gguf import MARKERS, write_tiny_gguf

SOURCE = b'''import os


def walk(path):
    for name in os.listdir(path):
        yield os.path.join(path, name)


class Walker:
    """Remembers where it was. \xf0\x9f\x98\x80"""

    def __init__(self, root):
        self.root = root

    def walk(self):
        return list(walk(self.root))
'''


# What is typed at a time: whole words, and parts of those that are one token (tests/support/tiny_gguf.py).
PIECES = [
    b"self.",
    b"x",
    b" ",
    b"\n    ",
    b"return ",
    "é".encode(),
    b" re",
    b"retu",
    b"r",
    b"n",
    b" s",
    b"el",
    b"d",
    b"i",
]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_gguf(tmp_path_factory.mktemp("models") / "tiny.gguf")


@pytest.fixture
def backend(tiny: Path) -> Iterator[llama.LlamaBackend]:
    backend = llama.load(ModelSpec(path=str(tiny), context_tokens=512, sequences=3, threads=1), lambda _: True)
    yield backend
    backend.close()


def evaluate(backend: llama.LlamaBackend, sequence: int, tokens: list[int], position: int) -> np.ndarray:
    """The logits behind the last of `tokens`, evaluated in the chunks that the backend takes."""
    chunk = backend.info.chunk_tokens
    rows = []
    for start in range(0, len(tokens), chunk):
        part = tokens[start : start + chunk]
        rows = backend.evaluate(sequence, position + start, part, logits=int(start + chunk >= len(tokens)))
    (row,) = rows
    return row.copy()


def test_the_format_is_found_by_the_tokens(backend: llama.LlamaBackend) -> None:
    assert backend.info.format.name == "qwen"
    assert all(backend.marker(spelling) is not None for spelling in MARKERS)
    assert backend.marker("<|no_such_token|>") is None


def test_tokens_of_text_are_its_bytes_and_no_special_ones(backend: llama.LlamaBackend) -> None:
    text = "return self é😀\t<|fim_middle|>\r\n".encode()
    tokens = backend.tokenize(text)
    assert b"".join(map(backend.piece, tokens)) == text
    assert not {backend.marker(spelling) for spelling in MARKERS} & set(tokens)
    assert not any(map(backend.ends, tokens))


def test_control_tokens_end_a_text_and_are_never_shown(backend: llama.LlamaBackend) -> None:
    for spelling in MARKERS:
        token = backend.marker(spelling)
        assert token is not None
        assert backend.ends(token)
        assert backend.piece(token) == b""


def test_markers_end_a_text_where_a_file_has_them_as_added_tokens_and_what_is_text_does_not(tmp_path: Path) -> None:
    path = write_tiny_gguf(tmp_path / "added.gguf", added=("<file_sep>", "<fim_prefix>", "<think>"))
    added = llama.load(ModelSpec(str(path), sequences=1, context_tokens=64), lambda _: True)
    try:
        for spelling, special in (("<file_sep>", True), ("<fim_prefix>", True), ("<think>", False)):
            (token,) = added.tokenize(spelling.encode(), special=True)
            assert (added.special(token), added.ends(token)) == ((spelling, True) if special else ("", False))
        assert {added.special(token) for token in range(256)} == {""}
    finally:
        added.close()


def test_cut_back_and_evaluated_again_gives_the_same_logits(backend: llama.LlamaBackend) -> None:
    tokens = backend.tokenize(SOURCE)[:200]
    cold = evaluate(backend, 0, tokens, 0)
    for keep in (199, 150, 64, 1):
        assert backend.truncate(0, keep) == keep
        warm = evaluate(backend, 0, tokens[keep:], keep)
        assert np.abs(warm - cold).max() < 0.005


@pytest.mark.parametrize("count", [0, 1, 2, 5, 16])
def test_the_rows_of_a_chunk_are_those_of_its_last_tokens(backend: llama.LlamaBackend, count: int) -> None:
    """Healing reads the rows of the prompt's last tokens: row for row, they are what one token at a time gives."""
    tokens = backend.tokenize(SOURCE)[:16]
    assert len(tokens) <= backend.info.chunk_tokens
    single = [backend.evaluate(0, index, [token], logits=1)[0].copy() for index, token in enumerate(tokens)]
    together = [row.copy() for row in backend.evaluate(1, 0, tokens, logits=count)]
    assert len(together) == count
    for row, alone in zip(together, single[len(single) - count :], strict=True):
        assert np.abs(row - alone).max() < 0.005
    assert np.abs(single[-1] - single[-2]).max() > 0.04, "neighbours do not differ, so the order is not tested"


def test_a_copy_is_a_sequence_of_its_own(backend: llama.LlamaBackend) -> None:
    tokens = backend.tokenize(SOURCE)[:120]
    cold = evaluate(backend, 0, tokens, 0)
    backend.copy(0, 1)
    assert backend.truncate(1, 60) == 60
    other = evaluate(backend, 1, list(reversed(tokens[60:])), 60)
    assert np.abs(other - cold).max() > 0.04
    assert backend.length(0) == len(tokens)
    backend.truncate(0, len(tokens) - 1)
    assert np.abs(evaluate(backend, 0, tokens[-1:], len(tokens) - 1) - cold).max() < 0.005


def test_one_wrong_token_in_the_cache_shows(backend: llama.LlamaBackend) -> None:
    """The test above would mean nothing if a wrong cache gave the same logits."""
    tokens = backend.tokenize(SOURCE)[:100]
    cold = evaluate(backend, 0, tokens, 0)
    wrong = [*tokens[:50], tokens[50] + 1, *tokens[51:]]
    assert np.abs(evaluate(backend, 1, wrong, 0) - cold).max() > 0.04


@pytest.mark.parametrize("sequences", [1, 3])
def test_an_editing_session_gives_what_cold_runs_give(
    tiny: Path, sequences: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The keys split the words that are one token (return, self, def), so that healing joins them again."""
    healed = record_healing(monkeypatch)
    chance = random.Random(sequences)
    spec = ModelSpec(path=str(tiny), context_tokens=512, sequences=sequences, threads=1)
    warm = Session(spec)
    assert "completion" in warm.engine.models
    reused = 0
    source, cursor = SOURCE, SOURCE.index(b"yield")
    for step in range(80):
        what = chance.random()
        if what < 0.5:
            typed = chance.choice(PIECES)
            source, cursor = source[:cursor] + typed + source[cursor:], cursor + len(typed)
        elif what < 0.65 and cursor > 3 and source[cursor - 2 : cursor].isascii():
            less = chance.choice([1, 2])
            source, cursor = source[: cursor - less] + source[cursor:], cursor - less
        elif what < 0.9:
            cursor = chance.choice([0, source.index(b"self.root = "), source.rindex(b"return"), len(source)])
        document = DocumentSnapshot.of("file:///w.py", source, path="w.py", language_id="python")
        hole = find_hole(document, cursor)
        prompt = build_prompt(document, hole, warm.info.format, PromptBudget.of_tokens(300))
        request = Generate(step, prompt, stop_rule(document, hole, 4), max_tokens=8)
        if chance.random() < 0.3:
            warm.run(request, cancel_after=chance.randrange(1, 6))
            warm.engine.cache().check(warm.engine.models["completion"].backend.length)
            continue
        finished = warm.run(request)
        warm.engine.cache().check(warm.engine.models["completion"].backend.length)
        reused += finished.usage.reused_tokens
        cold = Session(ModelSpec(path=str(tiny), context_tokens=512, sequences=1, threads=1)).run(request)
        assert finished.text == cold.text
        assert finished.logprob == pytest.approx(cold.logprob, abs=0.005)
    assert reused > 1000
    assert len(healed) > 20
    assert len({written for written, _ in healed}) > 5


def test_drafts_change_the_steps_and_not_the_text(tiny: Path) -> None:
    spec = ModelSpec(path=str(tiny), context_tokens=1024, sequences=2, threads=1)
    drafting, plain = Session(spec, CHEAP_BATCHES), Session(spec)
    drafted = accepted = 0
    for id, word in enumerate(("alpha", "beta", "alpha", "return self", "beta", "return self")):
        prompt = make_prompt(f"{word} = {word}\n" * 20, f"{word} = ")
        request = Generate(id, prompt, StopRule(HoleKind.BLOCK, max_lines=100), max_tokens=48)
        finished, truth = drafting.run(request), plain.run(request)
        assert finished.text == truth.text
        assert finished.logprob == pytest.approx(truth.logprob, abs=0.005)
        drafted += finished.usage.drafted_tokens
        accepted += finished.usage.accepted_tokens
        drafting.engine.cache().check(drafting.engine.models["completion"].backend.length)
    assert accepted > 20
    assert accepted < drafted, "no draft was ever wrong"


def test_candidates_in_one_batch_are_what_each_is_alone(tiny: Path) -> None:
    spec = ModelSpec(path=str(tiny), context_tokens=512, sequences=3, threads=1)
    requests = [
        Generate(rank, make_prompt(SOURCE.decode(), "ret"), StopRule(HoleKind.LINE, 1), 12, rank=rank)
        for rank in range(3)
    ]
    session = Session(spec)
    for request in requests:
        session.engine.send(request)
    session.engine.receive()
    while session.engine.step():
        pass
    ended = {event.id: event for event in session.events if isinstance(event, Finished)}
    for request in requests:
        alone = Session(spec).run(request)
        assert ended[request.id].text == alone.text
        assert ended[request.id].logprob == pytest.approx(alone.logprob, abs=0.005)
    assert [ended[rank].usage.evaluated_tokens for rank in (1, 2)] == [0, 0]


def test_text_that_does_not_fit_the_window_is_cut(tiny: Path) -> None:
    session = Session(ModelSpec(path=str(tiny), context_tokens=256, sequences=1))
    document = DocumentSnapshot.of("file:///w.py", "数据".encode() * 900 + b"\n" + SOURCE, path="w.py")
    hole = find_hole(document, len(document.source))
    prompt = build_prompt(document, hole, session.info.format, PromptBudget(9000, 3000))
    finished = session.run(Generate(1, prompt, stop_rule(document, hole, 4), max_tokens=8))
    assert finished.reason is not FinishReason.FAILED
    assert finished.usage.cut_tokens > 0
    assert finished.usage.prompt_tokens <= 256 - 8


def check_failure(path: Path, *words: str) -> None:
    """Loading `path` fails with one line that has `words` in it, and the engine lives on."""
    events: list[Event] = []
    engine = EngineCore(llama.load, events.append, spawn=at_once)
    engine.send(Load(ModelSpec(path=str(path))))
    engine.receive()
    failed = events[-1]
    assert isinstance(failed, ModelFailed)
    assert "\n" not in failed.message
    for word in (str(path), *words):
        assert word in failed.message
    assert engine.step() is False


def test_bad_files_are_refused_with_their_reason(tiny: Path, tmp_path: Path) -> None:
    check_failure(tmp_path / "missing.gguf", "does not exist")
    check_failure(tmp_path, "folder")
    text = tmp_path / "text.gguf"
    text.write_text("hello")
    check_failure(text, "not a GGUF file")
    whole = tiny.read_bytes()
    for length in (5, 30, 3000, len(whole) // 2, len(whole) - 100):
        cut = tmp_path / f"cut-{length}.gguf"
        cut.write_bytes(whole[:length])
        check_failure(cut, "incomplete")
    check_failure(write_tiny_gguf(tmp_path / "unknown.gguf", architecture="unheard"), "unheard")


def test_a_format_that_the_model_lacks_is_refused(tiny: Path) -> None:
    with pytest.raises(ModelError, match="starcoder"):
        llama.load(ModelSpec(path=str(tiny), fim_format="starcoder"), lambda _: True)


def test_a_load_that_is_given_up_leaves_nothing(tiny: Path) -> None:
    with pytest.raises(ModelError, match="given up"):
        llama.load(ModelSpec(path=str(tiny)), lambda _: False)
