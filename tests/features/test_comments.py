"""Comments and docstrings are completed as the setting says, as far as the model is sure of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from lsp_server.backends.base import Backend, ModelSpec
from lsp_server.backends.scripted import ScriptedBackend
from lsp_server.core.hole import find_hole, refined
from lsp_server.features.options import Comments
from lsp_server.features.outcome import Trigger
from lsp_server.features.rhythm import Rhythm
from tests.features.harness import PATIENT, Opener
from tests.support.cursor import parse_cursor

if TYPE_CHECKING:
    from lsp_server.backends.base import Logits

TEXT = b'''# The area of a shape is what it covers.
def area(width, height):
    """Return what the rectangle has inside."""
    return width * height
'''
COMMENT = "# The area of a$0\ndef area(width, height):\n    return width * height\n"
DOCSTRING = 'def area(width, height):\n    """Return what$0"""\n    return width * height\n'
UNKNOWN = "# Nobody knows what follows$0\nx = 1\n"


class Unsure(ScriptedBackend):
    """Holds all that may follow for equally likely where it does not know the text."""

    def _logits(self, cells: list[int]) -> Logits:
        logits = super()._logits(cells)
        if logits.max() < 50:
            logits[97:123] = 30.0
        return logits


def knows(spec: ModelSpec, progress: Callable[[float], bool]) -> Backend:
    return Unsure(spec, progress, texts=[TEXT])


@pytest.mark.parametrize(
    ("comments", "source", "shown"),
    [
        ("on", COMMENT, " shape is what it covers."),
        ("on", DOCSTRING, " the rectangle has inside."),
        ("docstrings", COMMENT, None),
        ("docstrings", DOCSTRING, " the rectangle has inside."),
        ("off", COMMENT, None),
        ("off", DOCSTRING, None),
    ],
)
async def test_where_comments_are_completed(bench: Opener, comments: Comments, source: str, shown: str | None) -> None:
    async with bench(knows) as b:
        await b.ready()
        b.options = replace(PATIENT, comments=comments)
        outcome = await b.complete(source)
        assert (outcome.suggestion and outcome.suggestion.text) == shown
        assert b.generates() == (shown is not None)
        assert ("(setting `comments`)" in outcome.reason) == (shown is None)
        asked = await b.complete(source, Trigger.INVOKED)
        assert asked.suggestion is not None


async def test_typing_into_a_comment_that_is_shown_asks_for_nothing(bench: Opener) -> None:
    async with bench(knows) as b:
        await b.ready()
        shown = (await b.complete(COMMENT)).suggestion
        assert shown is not None
        for count in range(1, len(shown.text)):
            outcome = await b.complete(COMMENT.replace("$0", shown.text[:count] + "$0"))
            assert (outcome.source, outcome.suggestion.text) == ("memory", shown.text[count:])
        assert b.generates() == 1


async def test_what_was_shown_in_a_comment_is_not_once_that_is_off(bench: Opener) -> None:
    async with bench(knows) as b:
        await b.ready()
        assert (await b.complete(COMMENT)).suggestion is not None
        b.options = replace(PATIENT, comments="off")
        outcome = await b.complete(COMMENT)
        assert (outcome.suggestion, b.generates()) == (None, 1)
        assert "(setting `comments`)" in outcome.reason


async def test_nothing_is_written_where_the_model_is_not_sure_of_the_next_word(bench: Opener) -> None:
    async with bench(knows) as b:
        await b.ready()
        outcome = await b.complete(UNKNOWN)
        assert (outcome.suggestion, outcome.usage.decoded_tokens) == (None, 0)
        assert "not sure of the next word" in outcome.reason
        asked = await b.complete(UNKNOWN, Trigger.INVOKED)
        assert asked.suggestion is not None


def test_decoding_waits_for_less_in_a_comment_than_in_code() -> None:
    rhythm = Rhythm()
    for count in range(10):
        rhythm.key(0.05 * count)

    def delay(source: str) -> float:
        document, offset = parse_cursor(source)
        return rhythm.delay_ms(document, refined(document, find_hole(document, offset)))

    assert delay("total = width$0\n") == pytest.approx(50)
    assert delay("# total of width$0\n") == 0


async def test_nothing_is_prepared_below_words_that_may_go_on_in_their_line(bench: Opener) -> None:
    async with bench(knows) as b:
        await b.ready()
        b.options = replace(PATIENT, prepare_next=True)
        for source in ("model", "memory"):
            assert (await b.complete(COMMENT)).source == source
            await b.idle()
            assert b.generates() == 1
