"""Names that are defined nowhere are not suggested: through the completer, with the scripted backend."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lsp_server.core.hole import find_hole, refined
from lsp_server.core.insertion import Insertion
from lsp_server.core.prompt import FimPrompt
from lsp_server.core.prompt_book import PromptChoice
from lsp_server.core.reuse import Typed
from lsp_server.core.stopping import stop_rule
from lsp_server.engine.request import Finished, FinishReason, Generate, TextDelta, Usage
from lsp_server.features.answering import outcome_of
from lsp_server.features.generation import RunningGeneration
from lsp_server.features.name_check_counts import Checks
from lsp_server.features.options import InlineOptions
from lsp_server.features.outcome import Trigger
from lsp_server.features.reasons import kind_of, reason_without_code
from lsp_server.features.written_parts import Part, first_part, rewritten
from tests.features.harness import PATIENT, Opener, knowing
from tests.support.cursor import parse_cursor

CHECKED = replace(PATIENT, check_names=True)
SOURCE = "def area(width, height):\n    return width$0\n"
CALL = "def area(width, height, *, scale=1):\n    return width * height * scale\n\n\nlarge = 2\nlarge = area(2, 3$0)\n"
CUT = "def area(width, height):\n    if width > 0:$0\n"


def known(source: str, *texts: str) -> Any:
    return knowing(*(source.replace("$0", text).encode() for text in texts))


async def test_what_uses_an_undefined_name_is_withheld_and_that_is_remembered(bench: Opener) -> None:
    async with bench(known(SOURCE, " * depth")) as b:
        b.options = CHECKED
        await b.ready()
        for source in ("model", "memory"):
            outcome = await b.complete(SOURCE)
            assert (outcome.suggestion, outcome.source) == (None, source)
            assert outcome.reason.startswith(
                "the model used a name that is not defined, `depth` (setting `check_names`)"
            )
            assert kind_of(outcome) == "withheld"
        assert b.completer.checks.summary() == {"names": {"checked": 1, "cut": 0, "withheld": 1}}


async def test_an_argument_that_does_not_exist_is_withheld_and_the_reason_says_of_what(bench: Opener) -> None:
    async with bench(known(CALL, ", zoom=3")) as b:
        b.options = CHECKED
        await b.ready()
        outcome = await b.complete(CALL)
        assert outcome.suggestion is None
        assert outcome.reason.startswith(
            "the model used a parameter that does not exist, `zoom` of `area` (setting `check_names`)"
        )
        assert kind_of(outcome) == "withheld"
        assert "zoom" not in reason_without_code(outcome)
        assert "`check_names`" in reason_without_code(outcome)
        assert b.completer.checks.summary() == {"names": {"checked": 1, "cut": 0, "withheld": 1}}


async def test_how_often_names_are_written_anew_is_bounded(bench: Opener) -> None:
    """Six names of a text are; the seventh stays."""
    good = ["ann", "bob", "cat", "dan", "eve", "fox", "gus"]
    source = f"def area(width, {', '.join(good)}):\n    return width$0\n"
    texts = [" * " + " + ".join([*good[:number], f"z{number}"]) for number in range(len(good))]
    async with bench(known(source, *texts, f" * {' + '.join(good)}")) as b:
        b.options = CHECKED
        await b.ready()
        outcome = await b.complete(source)
        assert (outcome.suggestion, outcome.written) == (None, f" * {' + '.join(good[:6])} + z6\n")
        # `zip` is tried first each time.
        assert b.generates() == 1 + 6 * 2


@pytest.mark.parametrize("trigger", [Trigger.AUTOMATIC, Trigger.INVOKED])
@pytest.mark.parametrize(
    ("source", "texts", "shown"),
    [
        (SOURCE, (" * depth", " * height"), " * height"),
        # What goes on with `d` is no name, though `dir` is one: another name is looked for.
        (SOURCE, (" * d - 1", " * height - 2"), " * height - 2"),
        (SOURCE, (" * depth + deep", " * height + deep", " * height + width"), " * height + width"),
        # Each has its own tries: `print`, `property` and `pow` are names that there are, and none is likely.
        (SOURCE, (" * price + prior", " * height + prior", " * height + width"), " * height + width"),
        (CALL, (", zoom=3", ", scale=3"), ", scale=3"),
        (CALL, (", zoom=3", ", scale)", ", scale=3"), ", scale=3"),
        (CALL.replace("3$0", "3, sc$0"), ("anner=3", "ale=3"), "ale=3"),
        (CALL, (", zoom=zeta", ", scale=zeta", ", scale=large"), ", scale=large"),
        ("def area(width, height):\n    return width * de$0\n", ("pth", "lattr"), "lattr"),
        (CUT, ("\n        return depth + 1\n", "\n        return height + 1\n"), "\n        return height + 1"),
    ],
)
async def test_a_name_that_is_defined_is_written_in_its_place(
    bench: Opener, source: str, texts: tuple[str, ...], shown: str, trigger: Trigger
) -> None:
    async with bench(known(source, *texts)) as b:
        b.options = CHECKED
        await b.ready()
        outcome = await b.complete(source, trigger)
        assert outcome.suggestion is not None, outcome.reason
        assert outcome.suggestion.text == shown
        assert b.completer.checks.summary() == {"names": {"checked": 1, "cut": 0, "withheld": 0}}


async def test_what_is_written_anew_evaluates_hardly_anything(bench: Opener) -> None:
    async with bench(known(SOURCE, " * depth", " * height")) as b:
        b.options = CHECKED
        await b.ready()
        cost = (await b.complete(SOURCE)).usage
        first, *others = (message for message in b.sent if isinstance(message, Generate))
        assert (first.written, {other.written for other in others}) == ("", {" * "})
        assert {other.prompt for other in others} == {first.prompt}
        assert cost.evaluated_tokens <= 5
        assert cost.prompt_tokens > 40


async def test_what_stood_there_counts_where_writing_anew_fails() -> None:
    """Also where the name begins in front of the cursor, so that nothing of the text stands already."""
    source = "def area(width, height):\n    return width * de$0\n"
    found = generation(source)
    part = first_part(found, 20)
    ended = Finished(1, "pth\n", FinishReason.STOP, Usage())
    found.on_text(TextDelta(1, "pth\n", -0.1, Usage(decoded_tokens=1)))
    again = await rewritten(found, part, ended)
    assert isinstance(again, Part)
    assert again.written == ""
    for reason in (FinishReason.REJECTED, FinishReason.FAILED):
        assert (await rewritten(found, again, Finished(2, "", reason, Usage()))) == ended
    assert found.text == "pth\n"


@pytest.mark.parametrize("trigger", [Trigger.AUTOMATIC, Trigger.INVOKED])
async def test_what_stands_in_front_of_one_is_shown(bench: Opener, trigger: Trigger) -> None:
    text = "\n        side = width\n        return sides * height\n"
    async with bench(known(CUT, text)) as b:
        b.options = CHECKED
        await b.ready()
        outcome = await b.complete(CUT, trigger)
        assert outcome.suggestion is not None
        assert outcome.suggestion.text == "\n        side = width"
        assert "sides" in outcome.written
        assert b.completer.checks.summary() == {"names": {"checked": 1, "cut": 1, "withheld": 0}}


async def test_a_change_of_the_switch_makes_the_model_write_anew(bench: Opener) -> None:
    async with bench(known(SOURCE, " * depth")) as b:
        await b.ready()
        found = []
        for checks in (False, True, False):
            b.options = replace(PATIENT, check_names=checks)
            outcome = await b.complete(SOURCE)
            found.append((outcome.source, outcome.suggestion.text if outcome.suggestion else None))
        assert found == [("model", " * depth"), ("model", None), ("model", " * depth")]
        assert b.completer.checks.summary()["names"]["checked"] == 1


def test_it_is_on_unless_it_is_switched_off() -> None:
    assert InlineOptions().check_names


def generation(source: str, checks: Checks | None = None) -> RunningGeneration:
    document, cursor = parse_cursor(source)
    hole = refined(document, find_hole(document, cursor))
    rule = stop_rule(document, hole, 8)
    return RunningGeneration(document, hole, rule, PromptChoice(FimPrompt("", ())), checks=checks or Checks())


async def test_nothing_that_is_shown_of_a_text_under_way_is_taken_back() -> None:
    text = " * height\n    depth = width\n    return depths * depth\n"
    found = generation("def area(width, height):\n    if width:\n        width = width$0\n")
    shown = [""]
    for end in range(0, len(text), 2):
        found.on_text(TextDelta(1, text[end : end + 2], 0.0, Usage(decoded_tokens=end)))
        await found.update_shown()
        assert found.shown.text.startswith(shown[-1])
        assert "depths" not in found.shown.text
        shown.append(found.shown.text)
    await found.finish(Finished(1, text, FinishReason.END, Usage()))
    assert found.shown.text.startswith(shown[-1])
    assert "depths" not in found.shown.text
    assert found.shown.text.startswith(" * height")


async def test_a_name_that_is_not_whole_is_not_judged() -> None:
    found = generation(SOURCE)
    found.on_text(TextDelta(1, " * hei", 0.0, Usage(decoded_tokens=1)))
    await found.update_shown()
    assert found.undefined == ""
    found.on_text(TextDelta(1, "ght\n", 0.0, Usage(decoded_tokens=2)))
    await found.finish(Finished(1, " * height\n", FinishReason.STOP, Usage()))
    assert (found.shown, found.undefined) == (Insertion(" * height"), "")


async def test_another_candidate_takes_its_place() -> None:
    first, *others = (generation(SOURCE) for _ in range(3))
    for each, text in zip((first, *others), (" * depth", " * height", " + wrong"), strict=True):
        await each.finish(Finished(1, text, FinishReason.END, Usage()))
    outcome = outcome_of(first, first.hole, Typed(b""), None, others)
    assert outcome.suggestion is not None
    assert (outcome.suggestion.text, outcome.alternatives, outcome.reason) == (" * height", (), "")


async def test_a_beginning_that_is_on_the_screen_goes_when_the_whole_is_withheld() -> None:
    """It may be half a call, and nothing follows that would make it whole."""
    found = generation("def area(width, height):\n    return $0\n")
    found.on_text(TextDelta(0, "max(width, ", -0.1, Usage(decoded_tokens=1)))
    await found.update_shown()
    assert found.shown.text == "max"
    text = "max(width, depth)\n"
    found.on_text(TextDelta(0, text.removeprefix("max(width, "), -0.1, Usage(decoded_tokens=2)))
    await found.finish(Finished(0, text, FinishReason.STOP, Usage(decoded_tokens=2)))
    assert found.visible(Typed(b"")) is None
    assert "`depth`" in found.why_nothing(Typed(b""))
