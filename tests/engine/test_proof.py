"""The long proof of reuse: everything at once, against cold runs.

Sessions of random editing steps with aborts, overtaking, forks, evictions, healing, candidates, expected texts and
speculation, with and without a model that drafts.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

import pytest

from lsp_server.backends.base import ModelSpec
from lsp_server.backends.scripted import ScriptedBackend
from lsp_server.engine.request import Generate
from tests.engine.harness import CHEAP_BATCHES, QUICK, UNEVEN_ROWS, EngineHarness, Progress, Recurrent
from tests.engine.sessions import MANY_WORDS, PARTS, SOURCE, check_equals_cold, editing, play
from tests.support.effort import scaled

STEPS = scaled(900)
FORMS = ("qwen", "codestral", "prefix-only")
SEQUENCES = (1, 2, 4)
# What the model that drafts has read: it is often right, and often wrong.
NEARLY = SOURCE.replace(b"total + second", b"total - first").replace(b"def function_3(", b"def function_4(")


def with_candidates(session: Iterator[Generate], rng: random.Random) -> Iterator[Generate]:
    """Every fourth request comes with two more for the same place, that begin with other tokens. A third of all is
    expected to be like some part of a text, which is often right there and often not."""
    for number, edited in enumerate(session):
        start = rng.randrange(3 * len(NEARLY))
        request = replace(edited, id=4 * number, draft=NEARLY[start:].decode())
        yield request
        if rng.random() < 0.25:
            yield from (replace(request, id=4 * number + rank, rank=rank) for rank in (1, 2))


@pytest.mark.parametrize(
    ("backend", "draft"),
    [(ScriptedBackend, ""), (ScriptedBackend, "draft"), (Recurrent, "")],
    ids=["cells", "draft", "state"],
)
@pytest.mark.parametrize("sequences", SEQUENCES)
@pytest.mark.parametrize("form", FORMS)
def test_everything_at_once_equals_cold_runs(
    form: str, sequences: int, backend: type[ScriptedBackend], draft: str
) -> None:
    rng = random.Random(f"proof {form} {sequences} {backend.__name__} {draft}")
    texts = (SOURCE,)

    def load(spec: ModelSpec, progress: Progress) -> ScriptedBackend:
        if spec.path == "draft":
            spec = replace(spec, path="")
            return ScriptedBackend(spec, progress, words=MANY_WORDS, texts=[NEARLY], costs=QUICK)
        return backend(spec, progress, words=MANY_WORDS, texts=texts, costs=CHEAP_BATCHES if draft else UNEVEN_ROWS)

    harness = EngineHarness(load)
    ready = harness.load(sequences=sequences, form=form, context_tokens=256, draft=draft)
    assert bool(ready.info.draft) == bool(draft)
    pieces = (*PARTS, *PARTS, b"    total = ", b"def function_", b"    return ")
    steps = -(-STEPS // (len(FORMS) * len(SEQUENCES) * 3))
    requests = play(harness, with_candidates(editing(rng, form, steps, pieces), rng), rng)
    ended = {id: harness.finished(id) for id in requests}
    for id, request in requests.items():
        check_equals_cold(request, ended[id], MANY_WORDS, texts)
    assert any(request.rank for request in requests.values())
    drafted = sum(finished.usage.drafted_tokens for finished in ended.values())
    assert (drafted > 0) != (backend is Recurrent)
    if ready.info.draft:
        small = harness.engine.models["completion"].draft
        assert small is not None and not small.failure
        assert isinstance(small.backend, ScriptedBackend)
        assert small.backend.evaluated_tokens > 500
