"""A generation under way: how sure the model is of what is shown of it, and of what is left of that."""

from __future__ import annotations

import itertools
import math

import pytest

from lsp_server.core.hole import find_hole, refined
from lsp_server.core.insertion import Insertion
from lsp_server.core.prompt import FimPrompt
from lsp_server.core.prompt_book import PromptChoice
from lsp_server.core.reuse import Typed
from lsp_server.core.stopping import stop_rule
from lsp_server.engine.request import Finished, FinishReason, TextDelta, Usage
from lsp_server.features.generation import RunningGeneration
from tests.support.cursor import parse_cursor


async def written(*pieces: tuple[str, float, int], source: str = "return $0\n") -> RunningGeneration:
    """A generation that has ended. pieces: their text, their tokens' probability, and how many these are."""
    document, cursor = parse_cursor(source)
    hole = refined(document, find_hole(document, cursor))
    generation = RunningGeneration(document, hole, stop_rule(document, hole, 8), FimPrompt("", ()))
    tokens = 0
    for text, probability, count in pieces:
        tokens += count
        generation.on_text(TextDelta(1, text, math.log(probability), Usage(decoded_tokens=tokens)))
    text = "".join(text for text, _, _ in pieces)
    await generation.finish(Finished(1, text, FinishReason.STOP, Usage(decoded_tokens=tokens)))
    return generation


async def test_all_its_times_are_of_one_clock() -> None:
    times = itertools.count(1000.0)
    document, cursor = parse_cursor("return $0\n")
    hole = refined(document, find_hole(document, cursor))
    rule, prompts = stop_rule(document, hole, 8), PromptChoice(FimPrompt("", ()))
    generation = RunningGeneration(document, hole, rule, prompts, clock=lambda: next(times))
    generation.submitted(1, next(times))
    generation.on_text(TextDelta(1, "width", 0.0, Usage(decoded_tokens=1)))
    await generation.finish(Finished(1, "width\n", FinishReason.STOP, Usage(decoded_tokens=1)))
    spans = list(generation.spans())
    assert {"waiting", "shaping", "checks"} <= {span.part for span in spans}
    assert all(1000 <= span.began <= span.ended <= next(times) for span in spans)


PIECES = (("width", 0.3, 1), (" *", 0.9, 1), (" height", 0.25, 2), ("\n", 0.01, 1))


async def test_the_least_probable_token_that_is_shown_decides() -> None:
    generation = await written(*PIECES)
    assert generation.shown.text == "width * height"
    assert generation.confidence() == pytest.approx(0.3)


async def test_behind_what_has_been_typed_only_the_rest_counts() -> None:
    generation = await written(*PIECES)
    start = generation.place.cursor
    assert generation.confidence(start + len("width")) == pytest.approx(0.5), "two tokens at once count by their mean"
    assert generation.confidence(start + len("wi")) == pytest.approx(0.3)
    assert generation.confidence(start) == generation.confidence()


async def test_a_bracket_that_the_editor_closed_hides_no_doubt() -> None:
    generation = await written(("(", 0.9, 1), ("a", 0.05, 1), (", b", 0.9, 1), (")", 0.9, 1), source="x = foo$0\n")
    now, cursor = parse_cursor("x = foo($0)\n")
    typed = generation.place.typed_since(now, cursor)
    assert typed is not None
    assert generation.visible(typed) == Insertion("a, b")
    assert generation.confidence(cursor) == pytest.approx(0.05)
    assert generation.confidence(cursor + 1) == pytest.approx(0.9)


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("indent", ["    ", "\t"])
async def test_the_documents_line_ends_and_indentation_are_not_the_models(newline: str, indent: str) -> None:
    source = "def f(x):\n\ty = 0\n\t$0\n\n\ndef g():\n\tif y:\n\t\treturn 1\n\ty = 1\n"
    lines = [("if x:", 0.9, 1), ("\n        a = 1", 0.9, 1), ("\n", 0.3, 1), ("        b = ", 0.9, 1), ("zzz", 0.2, 1)]
    source = source.replace("\t", indent).replace("\n", newline)
    generation = await written(*lines, ("\n\n\n", 0.01, 1), ("def", 0.01, 1), source=source)
    shown = generation.shown.text
    assert shown == f"if x:\n{2 * indent}a = 1\n{2 * indent}b = zzz".replace("\n", newline)
    assert generation.confidence() == pytest.approx(0.2)
    start, end = generation.place.cursor, generation.place.cursor + len(shown)
    assert generation.confidence(end - 1) == pytest.approx(0.2)
    assert generation.confidence(end) == 1.0
    certain = await written(*lines[:-1], ("c", 0.9, 1), ("\n\n\n", 0.01, 1), source=source)
    behind = shown.index("1") + 1
    assert certain.confidence(start + behind) == pytest.approx(0.3), "whether there is a line more"
    assert certain.confidence(start + behind + len(newline)) == pytest.approx(0.9)


async def test_what_is_on_the_screen_does_not_grow_by_what_is_doubtful() -> None:
    document, cursor = parse_cursor("return $0\n")
    hole = refined(document, find_hole(document, cursor))
    generation = RunningGeneration(document, hole, stop_rule(document, hole, 8), FimPrompt("", ()))
    text = ""
    for number, (piece, probability) in enumerate(
        (("width * ", 0.8), ("height ", 0.5), ("+ q ", 0.1), ("+ 1", 0.9)), 1
    ):
        text += piece
        generation.on_text(TextDelta(1, piece, math.log(probability), Usage(decoded_tokens=number)))
        await generation.wait(Typed(b""), 0)
        if number == 1:
            assert generation.shown.text == "width"
            generation.require_confidence(0.15)
        else:
            assert generation.shown.text == "width * height"
    await generation.finish(Finished(1, text + "\n", FinishReason.STOP, Usage(decoded_tokens=5)))
    assert generation.shown.text == "width * height"
    assert generation.confidence() == pytest.approx(0.5)


async def test_what_is_cut_off_in_front_of_another_part_does_not_count() -> None:
    generation = await written(("a = 1\n", 0.9, 1), ("b = 2\nxx", 0.5, 1), ("y = 3\n", 0.01, 1))
    generation.next_part("a = 1\nb = 2\n")
    generation.on_text(TextDelta(1, "c = 3", math.log(0.7), Usage(decoded_tokens=1)))
    ends = [end for end, _ in generation.token_confidence().tokens]
    assert ends == [6 - 2, 12 - 4, 17 - 6]
    assert [round(math.exp(logprob), 2) for _, logprob in generation.token_confidence().tokens] == [0.9, 0.5, 0.7]


async def test_a_text_without_a_token_is_not_unsure() -> None:
    assert (await written()).confidence() == 1.0
