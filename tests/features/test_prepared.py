"""What is prepared behind a suggestion that is shown, candidates of an explicit request, and the delay."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import anyio
import anyio.lowlevel
import pytest

from lsp_server.backends.base import Backend, ModelSpec
from lsp_server.core.shape import Suggestion
from lsp_server.engine.request import Cancel, Generate, Priority
from lsp_server.features import answering
from lsp_server.features.outcome import Outcome, Trigger
from lsp_server.features.prepared import after_acceptance
from tests.features.harness import PATIENT, SOURCE, Bench, Gate, Opener, holding, knowing
from tests.support.cursor import parse_cursor

KNOWN = """\
def area(width, height):
    first = width * height
    second = first + width
    return first + second
"""
SHOWN = KNOWN[: KNOWN.index(" * height")] + "$0\n"
PREPARING = replace(PATIENT, prepare_next=True)


def priorities(bench: Bench) -> list[Priority]:
    return [message.priority for message in bench.sent if isinstance(message, Generate)]


@pytest.mark.parametrize(
    ("source", "text", "expected"),
    [
        ("    a = $0\n", "1", "    a = 1\n    $0\n"),
        ("\ta = $0\n", "1", "\ta = 1\n\t$0\n"),
        ("    a = $0\r\n", "1", "    a = 1\r\n    $0\r\n"),
        ("    a = f($0)\n", "1", "    a = f(1$0)\n"),
        ("if$0\n", " a:", "if a:$0\n"),
        ("$0", "a = 1\nb = 2", "a = 1\nb = 2\n$0"),
    ],
)
def test_the_place_after_acceptance(source: str, text: str, expected: str) -> None:
    document, cursor = parse_cursor(source)
    accepted, place = after_acceptance(document, Suggestion(text, cursor, cursor))
    shown = accepted.source[:place] + b"$0" + accepted.source[place:]
    assert shown.decode() == expected


def test_the_place_after_what_replaces_a_bracket() -> None:
    document, cursor = parse_cursor("    a = f($0)\n")
    accepted, place = after_acceptance(document, Suggestion("1).real", cursor, cursor + 1))
    assert (accepted.source[:place], accepted.source[place:]) == (b"    a = f(1).real\n    ", b"\n")


async def test_the_line_after_an_accepted_one_is_there_at_once(bench: Opener) -> None:
    async with bench(knowing(KNOWN.encode())) as b:
        b.options = PREPARING
        await b.ready()
        outcome = await b.complete(SHOWN)
        assert outcome.suggestion is not None
        assert outcome.suggestion.text == " * height"
        await b.idle()
        assert priorities(b) == [Priority.INLINE, Priority.PREPARED]
        after = await b.complete(SHOWN.replace("$0", " * height\n    $0"))
        assert (after.source, after.written.split("\n")[0]) == ("memory", "second = first + width")


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
async def test_typing_into_the_shown_suggestion_keeps_what_is_prepared(bench: Opener, newline: str) -> None:
    gate = Gate()
    async with bench(holding_second(gate)) as b:
        b.options = PREPARING
        await b.ready()
        outcome = await b.complete(SHOWN.replace("\n", newline))
        assert outcome.suggestion is not None
        assert outcome.suggestion.text == " * height"
        await gate.reached.wait()
        for typed in (" ", " *", " * height", " * height\n", " * height\n  ", " * height\n    "):
            document, cursor = parse_cursor(SHOWN.replace("$0", typed + "$0").replace("\n", newline))
            document = replace(document, edit_end=cursor)
            b.completer.document_changed(document)
        gate.open()
        await b.idle()
        assert not [message for message in b.sent if isinstance(message, Cancel)]


async def test_a_key_that_disagrees_gives_it_up(bench: Opener) -> None:
    gate = Gate()
    async with bench(holding_second(gate)) as b:
        b.options = PREPARING
        await b.ready()
        await b.complete(SHOWN)
        await gate.reached.wait()
        document, cursor = parse_cursor(SHOWN.replace("$0", "x$0"))
        b.completer.document_changed(replace(document, edit_end=cursor))
        gate.open()
        await b.idle()
        assert [message for message in b.sent if isinstance(message, Cancel)]
        assert (await b.complete(SHOWN.replace("$0", " * height\n    $0"))).source == "model"


def holding_second(gate: Gate) -> Callable[[ModelSpec, Callable[[float], bool]], Backend]:
    """A model that writes one suggestion, and stops at the next evaluation until the gate opens."""
    return holding(gate, lambda cells: b"* height\n    " in cells.replace(b"\r\n", b"\n"), KNOWN.encode())


async def test_what_is_prepared_is_adopted_when_its_place_is_reached(bench: Opener) -> None:
    gate = Gate()
    async with bench(holding_second(gate)) as b:
        b.options = PREPARING
        await b.ready()
        await b.complete(SHOWN)
        await gate.reached.wait()
        outcomes: list[Outcome] = []

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(b.complete_into, outcomes, SHOWN.replace("$0", " * height\n    $0"))
            await anyio.lowlevel.checkpoint()
            gate.open()
        assert outcomes[0].source == "model"
        assert priorities(b).count(Priority.INLINE) == 1, "it was not asked a second time"


async def test_nothing_is_prepared_where_the_user_does_not_want_it(bench: Opener) -> None:
    async with bench(knowing(KNOWN.encode())) as b:
        await b.ready()
        await b.complete(SHOWN)
        assert priorities(b) == [Priority.INLINE]


async def test_a_closed_document_gives_up_what_was_prepared(bench: Opener) -> None:
    gate = Gate()
    async with bench(holding_second(gate)) as b:
        b.options = PREPARING
        await b.ready()
        await b.complete(SHOWN)
        await gate.reached.wait()
        b.completer.document_closed(parse_cursor(SHOWN, path="main.py")[0].uri)
        gate.open()
        await b.idle()
        assert [message for message in b.sent if isinstance(message, Cancel)]


async def test_an_explicit_request_gets_different_suggestions(bench: Opener) -> None:
    async with bench() as b:
        b.options = replace(PATIENT, candidates=3)
        await b.ready()
        outcome = await b.complete("value = unknown_name_$0\n", Trigger.INVOKED)
        assert outcome.suggestion is not None
        texts = [outcome.suggestion.text, *(other.text for other in outcome.alternatives)]
        assert len(set(texts)) == len(texts) == 3
        picked = texts[2]
        typed = await b.complete(f"value = unknown_name_{picked[:1]}$0\n")
        assert typed.source == "memory"
        assert typed.suggestion is not None
        assert picked[:1] + typed.suggestion.text == picked
        again = await b.complete("value = unknown_name_$0\n", Trigger.INVOKED)
        assert again.source == "model", "who asks again wants to know what the model says now"


async def test_an_automatic_request_gets_one(bench: Opener) -> None:
    async with bench() as b:
        b.options = replace(PATIENT, candidates=3)
        await b.ready()
        assert (await b.complete("value = unknown_name_$0\n")).alternatives == ()
        assert b.generates() == 1


async def test_cancelling_an_explicit_request_ends_its_other_candidates(bench: Opener) -> None:
    """The likeliest goes on: many editors cancel a request when the user presses the key again."""
    gate = Gate()
    async with bench(holding(gate)) as b:
        b.options = replace(PATIENT, candidates=3)
        await b.ready()
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(b.complete, "value = $0\n", Trigger.INVOKED)
                await gate.reached.wait()
                scope.cancel()
        gate.open()
        await b.idle()
        assert b.client.running == 0
        ranks = {message.id: message.rank for message in b.sent if isinstance(message, Generate)}
        assert [ranks[message.id] for message in b.sent if isinstance(message, Cancel)] == [1, 2]


@pytest.mark.parametrize("cancelled", [False, True])
async def test_pressing_the_key_again_waits_on_for_what_has_been_begun(bench: Opener, cancelled: bool) -> None:
    """Where editors cancel the request before, and where they do not."""
    gate, outcomes = Gate(), list[Outcome]()

    async def ask() -> None:
        outcomes.append(await b.complete("value = $0\n", Trigger.INVOKED))

    async with bench(holding(gate)) as b:
        b.options = replace(PATIENT, candidates=3)
        await b.ready()
        async with anyio.create_task_group() as tasks:
            with anyio.CancelScope() as scope:
                if cancelled:
                    async with anyio.create_task_group() as first:
                        first.start_soon(ask)
                        await gate.reached.wait()
                        scope.cancel()
            if not cancelled:
                tasks.start_soon(ask)
                await gate.reached.wait()
            tasks.start_soon(ask)
            await anyio.lowlevel.checkpoint()
            gate.open()
        asked = [message.rank for message in b.sent if isinstance(message, Generate)]
        assert asked == ([0, 1, 2, 1, 2] if cancelled else [0, 1, 2])
        last = outcomes[-1]
        assert last.suggestion is not None
        assert all(outcome.suggestion == last.suggestion for outcome in outcomes)
        again = await b.complete("value = $0\n", Trigger.INVOKED)
        assert again.suggestion == last.suggestion
        assert len(again.alternatives) == 2
        assert b.generates() == len(asked), "nothing was restarted"


async def test_an_explicit_request_takes_over_what_an_automatic_one_has_begun(bench: Opener) -> None:
    gate, outcomes = Gate(), list[Outcome]()
    async with bench(holding(gate)) as b:
        b.options = replace(PATIENT, candidates=3)
        await b.ready()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(b.complete_into, outcomes, "value = $0\n")
            await gate.reached.wait()
            tasks.start_soon(b.complete, "value = $0\n", Trigger.INVOKED)
            await anyio.lowlevel.checkpoint()
            gate.open()
        assert [message.rank for message in b.sent if isinstance(message, Generate)] == [0, 1, 2]
        assert outcomes[0].suggestion is not None


async def test_the_first_candidate_does_not_wait_for_the_others(bench: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    """They can be had by pressing the key again."""
    gate = Gate()
    monkeypatch.setattr(answering, "_OTHERS_SECONDS", 0.01)
    longer = holding(gate, lambda cells: len(cells.partition(b"return width")[2]) > len(" * height\n"))
    async with bench(longer) as b:
        b.options = replace(PATIENT, candidates=2)
        await b.ready()
        first = await b.complete(SOURCE, Trigger.INVOKED)
        assert first.suggestion is not None
        assert (first.suggestion.text, first.alternatives) == (" * height", ())
        gate.open()
        await b.idle()
        again = await b.complete(SOURCE, Trigger.INVOKED)
        assert (again.suggestion, len(again.alternatives)) == (first.suggestion, 1)
        assert b.generates() == 2


async def test_a_fast_typists_key_waits_before_it_is_decoded(bench: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    now = 0.0
    async with bench() as b:
        b.options = replace(PATIENT, debounce=True)
        await b.ready()
        b.clock = lambda: now
        monkeypatch.setattr(anyio, "sleep", sleep)
        for count in range(1, 9):
            now += 0.05
            document, cursor = parse_cursor(f"x = {'abcdefgh'[:count]}$0\n")
            b.completer.document_changed(replace(document, edit_end=cursor))
        await b.complete("x = abcdefgh$0\n")
        await b.complete("x = abcdefgh($0\n")
        assert slept == [pytest.approx(0.05), 0]
