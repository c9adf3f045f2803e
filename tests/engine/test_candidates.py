"""Candidates: several texts for one place, decoded together over one prompt."""

from __future__ import annotations

import pytest

from lsp_server.backends.scripted import ScriptedBackend
from lsp_server.engine.request import Cancel, FinishReason
from tests.engine.harness import DEAR_ROWS, LINE, EngineHarness, PartlyFailing, Recurrent, ask, cold, make_prompt

BEFORE = "value = compute(first, second)\n" * 8
PROMPT = make_prompt(BEFORE, "result = ")


class Batches(ScriptedBackend):
    """Notes how many sequences each batch had."""

    def __init__(self, *args, **kwargs) -> None:  # type: ignore[no-untyped-def]
        super().__init__(*args, **kwargs)
        self.batches: list[int] = []

    def evaluate_each(self, steps):  # type: ignore[no-untyped-def]
        self.batches.append(len(steps))
        return super().evaluate_each(steps)


def three(harness: EngineHarness) -> list[str]:
    harness.send(*(ask(id, PROMPT, rank=id) for id in range(3)))
    harness.drain()
    return [harness.finished(id).text for id in range(3)]


@pytest.mark.parametrize("sequences", [1, 2, 3, 5])
@pytest.mark.parametrize("backend", [ScriptedBackend, Recurrent])
def test_each_candidate_is_what_it_would_be_alone(backend: type[ScriptedBackend], sequences: int) -> None:
    harness = EngineHarness(backend)
    harness.load(sequences=sequences)
    texts = three(harness)
    assert texts == [cold(PROMPT, LINE, 12, rank=rank).text for rank in range(3)]
    assert len({text[:1] for text in texts}) == 3


def test_the_prompt_is_evaluated_once_and_the_rest_together() -> None:
    harness = EngineHarness(Batches)
    harness.load(sequences=3)
    three(harness)
    assert isinstance(harness.backend, Batches)
    usages = [harness.finished(id).usage for id in range(3)]
    assert usages[0].evaluated_tokens == usages[0].prompt_tokens
    assert [usage.evaluated_tokens for usage in usages[1:]] == [0, 0]
    assert harness.backend.batches.count(3) >= 10


def test_they_take_turns_where_a_batch_of_theirs_is_dear() -> None:
    harness = EngineHarness(lambda spec, progress: Batches(spec, progress, costs=DEAR_ROWS))
    harness.load(sequences=3)
    assert three(harness) == [cold(PROMPT, LINE, 12, rank=rank).text for rank in range(3)]
    assert isinstance(harness.backend, Batches)
    assert harness.backend.batches == []
    assert [harness.finished(id).usage.evaluated_tokens for id in (1, 2)] == [0, 0]


def test_another_place_is_not_decoded_with_it() -> None:
    harness = EngineHarness(Batches)
    harness.load(sequences=3)
    harness.send(ask(1, PROMPT), ask(2, make_prompt(BEFORE, "other = ")))
    harness.drain()
    assert isinstance(harness.backend, Batches)
    assert harness.backend.batches == []


def test_a_candidate_that_is_cancelled_leaves_the_others() -> None:
    harness = EngineHarness()
    harness.load(sequences=3)
    harness.send(*(ask(id, PROMPT, rank=id) for id in range(3)))
    while not harness.deltas(2):
        harness.step()
    harness.engine.send(Cancel(1))
    harness.receive()
    harness.drain()
    assert harness.finished(1).reason is FinishReason.CANCELLED
    for rank in (0, 2):
        assert harness.finished(rank).text == cold(PROMPT, LINE, 12, rank=rank).text


def test_a_failing_batch_ends_its_candidates_and_no_more() -> None:
    harness = EngineHarness(PartlyFailing)
    harness.load(sequences=3)
    harness.send(*(ask(id, PROMPT, rank=id) for id in range(3)))
    while not harness.deltas(2):
        harness.step()
    assert isinstance(harness.backend, PartlyFailing)
    harness.backend.fail_next = True
    harness.drain()
    assert {harness.finished(id).reason for id in range(3)} == {FinishReason.FAILED}
    assert harness.run(ask(7, PROMPT)).text == cold(PROMPT, LINE, 12).text
