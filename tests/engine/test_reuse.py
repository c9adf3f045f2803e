"""The proof of reuse: whatever came before, a request's text is the one a cold engine gives.

The scripted backend's logits are a hash of what its KV cells hold, so a single wrong cell changes the text.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import pytest

from lsp_server.backends.scripted import ScriptedBackend
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.formats import find_format
from lsp_server.core.hole import find_hole
from lsp_server.core.prompt import PromptBudget, build_prompt
from lsp_server.core.stopping import stop_rule
from lsp_server.engine.request import Cancel, Finished, FinishReason, Generate, Priority
from tests.engine.harness import EngineHarness, Forgetful, PartlyFailing, Recurrent, cold

SOURCE = b"".join(
    b"def function_%d(first, second):\n    total = first * %d\n    return total + second\n\n\n" % (i, i)
    for i in range(12)
)
PIECES = [*(bytes((letter,)) for letter in b"acdefx(=. "), "é".encode(), "😀".encode(), b"\n", b"\n    "]


def editing(rng: random.Random, form: str, steps: int, pieces: Sequence[bytes] = tuple(PIECES)) -> Iterator[Generate]:
    """Requests as an editor would send them while somebody types, deletes, jumps about and comes back."""
    found = find_format(form)
    assert found is not None
    document = DocumentSnapshot.of("file:///m.py", SOURCE, path="m.py", language_id="python")
    cursor = len(SOURCE) // 2
    places = [cursor]
    for id in range(steps):
        event = rng.random()
        if event < 0.7:
            piece = rng.choice(pieces)
            document = document.edited(cursor, cursor, piece)
            cursor += len(piece)
        elif event < 0.85:
            start = cursor - 1
            while start > 0 and document.source[start] & 0xC0 == 0x80:
                start -= 1
            document = document.edited(start, cursor, b"")
            cursor = start
        else:
            places = [*places, cursor][-4:]
            cursor = rng.choice(places) if rng.random() < 0.6 else rng.randrange(len(document.source))
            cursor = document.line_end(document.line_at(min(cursor, len(document.source))))
        hole = find_hole(document, cursor)
        prompt = build_prompt(document, hole, found, PromptBudget(before=500, after=100))
        rule = stop_rule(document, hole, 4)
        yield Generate(id, prompt, rule, rng.choice([0, 1, 6, 16]), rng.choice(list(Priority)))


def play(harness: EngineHarness, session: Iterator[Generate], rng: random.Random) -> dict[int, Generate]:
    """Runs a session, some of its requests cancelled on the way, some overtaken by the next. Returns them."""
    requests = {}
    for request in session:
        requests[request.id] = request
        harness.send(request)
        if rng.random() < 0.3:
            for _ in range(rng.randrange(6)):
                harness.step()
            harness.engine.send(Cancel(request.id))
            harness.receive()
        if rng.random() < 0.7:
            harness.drain()  # else the next request comes while this one is under way
    harness.drain()
    return requests


def check_equals_cold(
    request: Generate, finished: Finished, words: tuple[bytes, ...] = (), texts: tuple[bytes, ...] = ()
) -> None:
    """A whole answer equals the cold one; what was cut short is its beginning."""
    truth = cold(request.prompt, request.stop, request.max_tokens, 256, texts, words, request.rank)
    if finished.reason in (FinishReason.CANCELLED, FinishReason.FAILED, FinishReason.DEADLINE):
        assert truth.text.startswith(finished.text)
        return
    assert (finished.text, finished.reason) == (truth.text, truth.reason)
    assert finished.logprob == truth.logprob
    assert finished.usage.prompt_tokens == truth.usage.prompt_tokens
    assert finished.usage.cut_tokens == truth.usage.cut_tokens


@pytest.mark.parametrize("sequences", [1, 2, 4])
@pytest.mark.parametrize("form", ["qwen", "codestral", "prefix-only"])
def test_editing_sessions_equal_cold_runs(form: str, sequences: int) -> None:
    rng = random.Random(f"{form} {sequences}")
    harness = EngineHarness()
    harness.load(sequences=sequences, form=form, context_tokens=256)
    requests = play(harness, editing(rng, form, 160), rng)
    ended = {id: harness.finished(id) for id in requests}
    for id, request in requests.items():
        check_equals_cold(request, ended[id])
    assert sum(finished.usage.reused_tokens > 200 for finished in ended.values()) > 50, "hardly anything was reused"
    cache = harness.engine.cache()
    assert cache.forks > 0 or sequences == 1
    assert cache.evictions > 0 or sequences == 1


@pytest.mark.parametrize("backend", [Recurrent, Forgetful])
def test_backends_that_cannot_truncate_equal_cold_runs(backend: type[ScriptedBackend]) -> None:
    harness = EngineHarness(backend)
    harness.load(sequences=2, context_tokens=256)
    for request in editing(random.Random(5), "qwen", 60):
        check_equals_cold(request, harness.run(request))


def test_a_backend_that_fails_now_and_then_equals_cold_runs() -> None:
    rng = random.Random(6)
    harness = EngineHarness(PartlyFailing)
    harness.load(sequences=2, context_tokens=256)
    backend = harness.backend
    assert isinstance(backend, PartlyFailing)
    failures = 0
    for request in editing(rng, "qwen", 120):
        harness.send(request)
        for _ in range(rng.randrange(8)):
            harness.step()
        backend.fail_next = rng.random() < 0.3
        harness.drain()
        backend.fail_next = False
        finished = harness.finished(request.id)
        failures += finished.reason is FinishReason.FAILED
        check_equals_cold(request, finished)
    assert failures > 10


def test_the_proof_would_notice_one_wrong_cell() -> None:
    """A backend that keeps one cell too many after each cut, and hides it, is found out."""

    class OffByOne(ScriptedBackend):
        def truncate(self, sequence: int, length: int) -> int:
            cells = self._cells[sequence]
            if 0 < length < len(cells):
                cells[length - 1] = cells[length]
            return super().truncate(sequence, length)

    harness = EngineHarness(OffByOne)
    harness.load(sequences=2, context_tokens=256)
    with pytest.raises(AssertionError):
        for request in editing(random.Random(5), "qwen", 60):
            check_equals_cold(request, harness.run(request))


def test_coming_back_to_an_earlier_place_costs_nothing() -> None:
    found = find_format("qwen")
    assert found is not None
    document = DocumentSnapshot.of("file:///m.py", SOURCE, path="m.py", language_id="python")
    harness = EngineHarness()
    harness.load(sequences=4)
    ends = [document.line_end(line) for line in (2, 22, 42)]
    evaluated = []
    for id, cursor in enumerate([*ends, *ends]):
        hole = find_hole(document, cursor)
        prompt = build_prompt(document, hole, found, PromptBudget(2000, 500))
        evaluated.append(harness.run(Generate(id, prompt, stop_rule(document, hole, 4), 8)).usage.evaluated_tokens)
    assert evaluated[3:] == [0, 0, 0]
    assert min(evaluated[:3]) > 1
