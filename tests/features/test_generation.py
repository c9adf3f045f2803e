"""A generation under way: how sure the model is of what is shown of it, and of what is left of that."""

from __future__ import annotations

import math

import pytest

from lsp_server.core.hole import find_hole
from lsp_server.core.prompt import FimPrompt
from lsp_server.core.stopping import stop_rule
from lsp_server.engine.request import Finished, FinishReason, TextDelta, Usage
from lsp_server.features.generation import RunningGeneration
from tests.support.cursor import parse_cursor


def written(*pieces: tuple[str, float, int]) -> RunningGeneration:
    """A generation that has ended. pieces: their text, their tokens' probability, and how many these are."""
    document, cursor = parse_cursor("return $0\n")
    hole = find_hole(document, cursor)
    generation = RunningGeneration(document, hole, stop_rule(document, hole, 8), FimPrompt("", ()))
    tokens = 0
    for text, probability, count in pieces:
        tokens += count
        generation.on_event(TextDelta(1, text, math.log(probability), Usage(decoded_tokens=tokens)))
    text = "".join(text for text, _, _ in pieces)
    generation.on_event(Finished(1, text, FinishReason.STOP, Usage(decoded_tokens=tokens)))
    return generation


PIECES = (("width", 0.3, 1), (" *", 0.9, 1), (" height", 0.25, 2), ("\n", 0.01, 1))


def test_the_least_probable_token_that_is_shown_decides() -> None:
    generation = written(*PIECES)
    assert generation.shown().text == "width * height"
    assert generation.sureness() == pytest.approx(0.3)


def test_behind_what_has_been_typed_only_the_rest_counts() -> None:
    generation = written(*PIECES)
    assert generation.sureness(" * height") == pytest.approx(0.5), "two tokens at once count by their mean"
    assert generation.sureness("dth * height") == pytest.approx(0.3)


def test_a_text_without_a_token_is_not_unsure() -> None:
    assert written().sureness() == 1.0
