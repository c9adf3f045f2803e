"""What counts as a first suggestion, and what is kept of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lsp_server.backends.base import ModelInfo
from lsp_server.core.fim_formats import FORMATS
from lsp_server.core.shape import Suggestion
from lsp_server.engine.request import Usage
from lsp_server.features import first_suggestions
from lsp_server.features.first_suggestions import measured
from lsp_server.features.outcome import Outcome

INFO = ModelInfo("Tiny", "/m/tiny.gguf", "llama", 1, 1, 1, 1, 1, 1, FORMATS[0], "CPU")
COLD = Usage(prompt_tokens=200, evaluated_tokens=180, prefill_ms=400.0, total_ms=700.0, quick=True)
SHOWN = Outcome(Suggestion("x", 0, 0), source="model", usage=COLD, total_ms=650.0)


def test_a_cold_place_counts_from_the_request_that_began() -> None:
    found = measured(SHOWN, INFO)
    assert found is not None
    assert (found.model, found.ms, found.late, found.quick) == ("/m/tiny.gguf", 700.0, False, True)
    assert (found.prompt_tokens, found.evaluated_tokens, found.prefill_ms) == (200, 180, 400.0)


def test_time_that_was_up_with_nothing_counts_too() -> None:
    found = measured(replace(SHOWN, suggestion=None, late=True, total_ms=8000.0), INFO)
    assert found is not None
    assert (found.ms, found.late) == (8000.0, True)


@pytest.mark.parametrize(
    "outcome",
    [
        replace(SHOWN, source="memory"),
        replace(SHOWN, suggestion=None),
        replace(SHOWN, usage=replace(COLD, evaluated_tokens=20)),
        replace(SHOWN, usage=replace(COLD, prompt_tokens=2000)),
    ],
    ids=["from memory", "nothing to show", "a few new tokens", "most of the prompt was there"],
)
def test_nothing_else_counts(outcome: Outcome) -> None:
    assert measured(outcome, INFO) is None


def test_the_latest_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for number in range(60):
        first_suggestions.remember(first_suggestions.FirstSuggestion("m", number, False, False, 1, 1, 1.0, 0.0))
    kept = first_suggestions.remembered()
    assert [one.ms for one in kept] == list(range(20, 60))
