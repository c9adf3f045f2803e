"""The proof of reuse: whatever came before, a request's text is the one a cold engine gives.

The scripted backend's logits are a hash of what its KV cells hold, so a single wrong cell changes the text.
"""

from __future__ import annotations

import random

import pytest

from lsp_server.backends.scripted import ScriptedBackend
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.hole import find_hole
from lsp_server.core.prompt import PromptBudget
from lsp_server.core.stopping import stop_rule
from lsp_server.engine.request import FinishReason, Generate
from tests.engine.harness import EngineHarness, Forgetful, PartlyFailing, Recurrent
from tests.engine.sessions import SOURCE, check_equals_cold, editing, play
from tests.support.formats import format_named
from tests.support.prompts import build_prompt


@pytest.mark.parametrize(("form", "sequences"), [("prefix-only", 1), ("codestral", 2), ("qwen", 4)])
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
    found = format_named("qwen")
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
