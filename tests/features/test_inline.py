"""Inline completions through the engine's thread, with the scripted backend. Waits for events, never for time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from lsp_server.backends.base import Adapter, Backend, ModelError, ModelSpec
from lsp_server.backends.scripted import ScriptedBackend
from lsp_server.core import syntax
from lsp_server.core.reuse import SuggestionMemory
from lsp_server.core.shape import Suggestion
from lsp_server.engine.request import Cancel, Finished, FinishReason, Generate, Usage
from lsp_server.features import inline
from lsp_server.features.options import InlineOptions
from lsp_server.features.outcome import Outcome, Trigger
from lsp_server.features.reasons import why_nothing
from tests.features.harness import PATIENT, SOURCE, Gate, Opener, holding, knowing
from tests.support.cursor import parse_cursor


async def test_the_model_answers_and_then_the_memory(bench: Opener) -> None:
    async with bench() as b:
        await b.ready()
        first = await b.complete(SOURCE)
        offset = SOURCE.index("$0")
        assert first.suggestion == Suggestion(" * height", offset, offset)
        assert (first.source, first.reason, first.written) == ("model", "", " * height\n")
        assert first.usage.decoded_tokens == len(" * height\n")
        asked, evaluated = len(b.sent), b.backends[0].evaluated_tokens
        again = await b.complete(SOURCE)
        assert (again.source, again.suggestion) == ("memory", first.suggestion)
        assert again.usage.prompt_tokens == again.usage.decoded_tokens == 0
        assert (len(b.sent), b.backends[0].evaluated_tokens) == (asked, evaluated)
        assert b.client.running == 0


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (" * height <|fim_middle|>\n", " * height"),
        (" * '<|fim_middle|>'\n", " * '<|fim_middle|>'"),
    ],
)
async def test_only_the_loaded_models_special_tokens_are_cut_where_they_are_spelled_out(
    bench: Opener, written: str, shown: str
) -> None:
    source = "area = width$0\n"
    async with bench(knowing(source.replace("$0", written).encode())) as b:
        await b.ready()
        outcome = await b.complete(source)
        assert outcome.suggestion is not None
        assert outcome.suggestion.text == shown


async def test_what_the_answer_depends_on_is_in_the_memorys_key(bench: Opener) -> None:
    async with bench() as b:
        await b.ready()
        sources = [SOURCE, SOURCE.replace("print", "prints"), SOURCE.replace("area", "size"), SOURCE[:-20]]
        for source in sources:
            assert (await b.complete(source)).source == "model"
        for change in ({"max_lines": 3}, {"max_tokens": 5}):
            b.options = replace(b.options, **change)
            assert (await b.complete(SOURCE)).source == "model"


async def test_a_change_far_above_or_below_makes_the_model_write_anew(bench: Opener) -> None:
    far = "".join(f"name_{number} = {number}\n" for number in range(60))
    source = f"{far}{SOURCE}{far}"
    async with bench() as b:
        await b.ready()
        changed = [f"{far.replace('name_1 ', 'size_1 ')}{SOURCE}{far}", f"{far}{SOURCE}{far[:-20]}"]
        assert [(await b.complete(text)).source for text in (source, *changed)] == ["model"] * 3
        assert [(await b.complete(text)).source for text in (source, *changed)] == ["memory"] * 3


async def test_the_memory_is_bounded_and_forgets_the_oldest(bench: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inline, "SuggestionMemory", lambda: SuggestionMemory(limit=3))
    async with bench() as b:
        await b.ready()
        for number in range(5):
            assert (await b.complete(f"value_{number} = $0")).source == "model"
        sources = [(await b.complete(f"value_{number} = $0")).source for number in (4, 3, 2, 0)]
        assert sources == ["memory", "memory", "memory", "model"]


async def test_an_answer_that_was_cut_short_is_not_remembered(bench: Opener) -> None:
    async with bench() as b:
        await b.ready()
        b.options = replace(b.options, deadline_ms=0)
        late = await b.complete(SOURCE)
        assert (late.suggestion, late.source) == (None, "model")
        assert "deadline_ms" in late.reason
        b.options = PATIENT
        assert (await b.complete(SOURCE)).suggestion is not None


@pytest.mark.parametrize("typed", ["(", "(area", "(area("])
async def test_a_bracket_that_the_editor_closed_is_not_suggested_again(bench: Opener, typed: str) -> None:
    """The editor puts a closing bracket behind each opening one; from memory as from the model, the line comes out
    as it was suggested."""
    lead, line = "total_area = sum", "(area(2, 3))"

    factory = knowing(f"{lead}{line}\n".encode())
    closed = ")" * typed.count("(")
    for remembered in (False, True):
        async with bench(factory) as b:
            await b.ready()
            if remembered:
                first = await b.complete(f"{lead}$0\n")
                assert first.suggestion is not None
                assert first.suggestion.text == line
            outcome = await b.complete(f"{lead}{typed}$0{closed}\n")
            assert outcome.suggestion is not None
            assert f"{typed}{outcome.suggestion.text}{closed}" == line, f"from the {outcome.source}"


REPLACING = "total_area = sum(area(2, 3)).real\n"


async def test_what_goes_on_over_a_closed_bracket_is_typed_through(bench: Opener) -> None:
    async with bench(knowing(REPLACING.encode())) as b:
        await b.ready()
        for typed, left, over in [
            ("$0)", "area(2, 3)).real", 1),
            ("area($0))", "2, 3)).real", 2),  # the inner one has been closed too
            ("area(2, $0)", "3)).real", 1),
            ("area(2, 3$0))", ")).real", 2),
            ("area(2, 3)$0)", ").real", 1),
            ("area(2, 3))$0", ".real", 0),
        ]:
            outcome = await b.complete(f"total_area = sum({typed}\n")
            offset = len("total_area = sum(") + typed.index("$0")
            assert outcome.suggestion == Suggestion(left, offset, offset + over)
        assert b.generates() == 1
        gone = await b.complete("total_area = sum(area(2, 3$0]\n")
        assert gone.source == "model", "what it would replace is not there any more"


async def test_where_nothing_can_be_replaced_it_ends_in_front(bench: Opener) -> None:
    async with bench(knowing(REPLACING.encode())) as b:
        await b.ready()
        b.options = replace(PATIENT, replaces=False)
        outcome = await b.complete("total_area = sum($0)\n")
        offset = len("total_area = sum(")
        assert outcome.suggestion == Suggestion("area(2, 3)", offset, offset)


@pytest.mark.parametrize("typed", ["area(2, 3", "area(2, 3)", "area(2, 3))"])
async def test_typing_over_a_bracket_does_not_end_what_may_replace_it(bench: Opener, typed: str) -> None:
    gate = Gate()
    async with bench(holding(gate, lambda cells: b"2, 3))." in cells, REPLACING.encode())) as b:
        await b.ready()
        outcomes: list[Outcome] = []

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(b.complete_into, outcomes, "total_area = sum($0)\n")
            await gate.reached.wait()
            source = f"total_area = sum({typed}$0{'' if typed.endswith('))') else ')'}\n"
            document, cursor = parse_cursor(source)
            b.completer.document_changed(replace(document, edit_end=cursor))
            assert not [message for message in b.sent if isinstance(message, Cancel)]
            tasks.start_soon(b.complete_into, outcomes, source)
            await anyio.lowlevel.checkpoint()
            gate.open()
        assert b.generates() == 1
        assert outcomes[-1].suggestion is not None
        assert f"{typed}{outcomes[-1].suggestion.text}" == REPLACING.strip().partition("(")[2]


async def test_behind_a_bracket_typed_over_the_model_is_asked_if_nothing_goes_on_there(bench: Opener) -> None:
    gate = Gate()
    known = b"total_area = sum(area)\n"
    async with bench(holding(gate, lambda cells: cells.endswith(b"sum(area)"), known)) as b:
        await b.ready()
        b.options = replace(PATIENT, min_confidence=0.0)
        outcomes: list[Outcome] = []

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(b.complete_into, outcomes, "total_area = sum($0)\n")
            await gate.reached.wait()
            document, cursor = parse_cursor("total_area = sum(area)$0\n")
            b.completer.document_changed(replace(document, edit_end=cursor))
            tasks.start_soon(b.complete_into, outcomes, "total_area = sum(area)$0\n")
            await anyio.lowlevel.checkpoint()
            assert b.generates() == 1
            gate.open()
        assert b.generates() == 2
        (behind,) = [outcome for outcome in outcomes if outcome.hole and outcome.hole.cursor == cursor]
        assert (behind.source, behind.written) == ("model", "\n"), "not that of the place in front"


# Silence has a reason -----------------------------------------------------------------------------------------


async def test_silent_before_a_model_was_asked_for(bench: Opener) -> None:
    async with bench() as b:
        outcome = await b.complete(SOURCE, Trigger.INVOKED)
        assert (outcome.suggestion, outcome.source) == (None, "none")
        assert "no model" in outcome.reason
        assert b.sent == []


async def test_silent_while_the_model_loads(bench: Opener) -> None:
    gate = Gate()

    def slow(spec: ModelSpec, progress: Callable[[float], bool]) -> Backend:
        progress(0.4)
        gate.hold()
        return ScriptedBackend(spec, progress)

    async with bench(slow) as b:
        b.client.load(ModelSpec(""))
        await gate.reached.wait()
        outcome = await b.complete(SOURCE)
        assert outcome.reason == "the model is loading (40%)"
        assert b.generates() == 0
        gate.open()
        await b.model("ready")
        assert (await b.complete(SOURCE)).source == "model"


async def test_silent_after_loading_has_failed(bench: Opener) -> None:
    def broken(spec: ModelSpec, progress: Callable[[float], bool]) -> Backend:
        raise ModelError("x.gguf is damaged; download it again")

    async with bench(broken) as b:
        b.client.load(ModelSpec("x.gguf"))
        await b.model("failed")
        outcome = await b.complete(SOURCE)
        assert (outcome.reason, outcome.source) == ("x.gguf is damaged; download it again", "none")


@pytest.mark.parametrize(
    ("options", "trigger", "word"),
    [
        (replace(PATIENT, enabled=False), Trigger.AUTOMATIC, "`enabled`"),
        (replace(PATIENT, enabled=False), Trigger.INVOKED, "`enabled`"),
        (replace(PATIENT, disabled_languages=frozenset({"python"})), Trigger.AUTOMATIC, "`disabled_languages`"),
        (replace(PATIENT, disabled_languages=frozenset({"Python"})), Trigger.AUTOMATIC, "`disabled_languages`"),
        (replace(PATIENT, disabled_languages=frozenset({"python"})), Trigger.INVOKED, ""),
        (replace(PATIENT, disabled_languages=frozenset({"rust"})), Trigger.AUTOMATIC, ""),
    ],
)
async def test_silent_where_the_user_wants_it(
    bench: Opener, options: InlineOptions, trigger: Trigger, word: str
) -> None:
    async with bench() as b:
        await b.ready()
        b.options = options
        outcome = await b.complete(SOURCE, trigger)
        assert (outcome.suggestion is None) == bool(word)
        assert word in outcome.reason
        assert b.generates() == (0 if word else 1)


@pytest.mark.parametrize("path", [".env", "keys/id_rsa", "infra/prod.tfvars", ".ssh/config"])
async def test_in_a_file_that_is_kept_for_secrets_only_who_asks_gets_something(bench: Opener, path: str) -> None:
    async with bench() as b:
        await b.ready()
        outcome = await b.complete(SOURCE, path=path)
        assert outcome.suggestion is None
        assert "secrets" in outcome.reason
        await b.completer.warm(*parse_cursor(SOURCE, path=path))
        assert not b.generates()
        assert (await b.complete(SOURCE, Trigger.INVOKED, path=path)).suggestion is not None


@pytest.mark.parametrize(
    ("usage", "says"),
    [
        (
            Usage(prompt_tokens=1400, evaluated_tokens=600, prefill_ms=7900, total_ms=8000),
            "600 of the 1400 tokens of the prompt were read, and this machine needs about 18 s for all",
        ),
        (Usage(prompt_tokens=1400, evaluated_tokens=1400, decoded_tokens=12, total_ms=8000), "had written 12 tokens"),
        (Usage(prompt_tokens=1400, total_ms=8000), "other work went first"),
    ],
)
def test_a_late_answers_reason_says_what_the_machine_needs_and_what_to_do(usage: Usage, says: str) -> None:
    reason = why_nothing(Finished(1, "", FinishReason.DEADLINE, usage))
    assert reason.startswith("the model took longer than `deadline_ms` (8.0 s)")
    assert says in reason
    for step in ("ask again", "raise `deadline_ms`", "lower `cold_ms`", "a smaller model (`fimble models list`)"):
        assert step in reason


@pytest.mark.parametrize(
    ("source", "word"),
    [("    return width * height$0", "wrote nothing"), (SOURCE.replace("$0", "$0 * height"), "stands there already")],
)
async def test_an_empty_answer_has_a_reason(bench: Opener, source: str, word: str) -> None:
    async with bench() as b:
        await b.ready()
        outcome = await b.complete(source)
        assert outcome.suggestion is None
        assert word in outcome.reason


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ("na$0me = 1\n", "inside a name; suggestions come at its end"),
        ("x = 1  # what it $0 is for\n", "inside a comment; ask for a suggestion yourself"),
        ("print('some words$0')\n", "inside a string; ask for a suggestion yourself"),
    ],
)
async def test_silent_where_nothing_is_wanted(bench: Opener, source: str, word: str) -> None:
    async with bench() as b:
        await b.ready()
        outcome = await b.complete(source)
        assert (outcome.suggestion, b.generates()) == (None, 0)
        assert word in outcome.reason
        asked = await b.complete(source, Trigger.INVOKED)
        assert (asked.source == "model") == (not word.startswith("inside a name"))


UNKNOWN_SOURCE = "total_of_all = $0\n"


async def test_what_the_model_is_not_sure_of_is_shown_to_who_asks_only(bench: Opener) -> None:
    """The scripted model is sure of the text it knows, and of nothing else."""
    async with bench() as b:
        await b.ready()
        b.options = replace(PATIENT, min_confidence=0.9, max_tokens=12)
        assert (await b.complete(SOURCE)).suggestion is not None
        for source in ("model", "memory"):
            silent = await b.complete(UNKNOWN_SOURCE)
            assert (silent.suggestion, silent.source) == (None, source)
            assert "min_confidence" in silent.reason
        b.options = replace(b.options, min_confidence=0.0)
        assert (await b.complete(UNKNOWN_SOURCE)).suggestion is not None
        b.options = replace(b.options, min_confidence=0.9)
        asked = await b.complete(UNKNOWN_SOURCE, Trigger.INVOKED)
        assert asked.suggestion is not None
        text = asked.suggestion.text
        for count in range(len(text)):  # it stays while it is typed
            typed = await b.complete(UNKNOWN_SOURCE.replace("$0", text[:count] + "$0"))
            assert typed.suggestion is not None
            assert (typed.source, typed.suggestion.text) == ("memory", text[count:])


async def test_what_is_shown_stays_when_the_model_comes_to_doubt(bench: Opener) -> None:
    """It hesitates behind what has been shown: what is on the screen can be typed through all the same."""
    sure, gate = b"return width * height + ", Gate()

    class Doubting(ScriptedBackend):
        def _logits(self, cells: list[int]) -> Any:
            tail = b"".join(self.piece(cell & 0xFFFF) for cell in cells[-40:])
            if tail.endswith(sure):
                gate.hold()
                logits = super()._logits(cells)
                logits[:] = -40.0
                logits[list(b"abcdefghijklmnopq")] = 10.0
                return logits
            return super()._logits(cells)

    known = sure + b"a\n"
    async with bench(lambda spec, progress: Doubting(spec, progress, texts=[known])) as b:
        await b.ready()
        b.options = replace(PATIENT, min_confidence=0.15, answer_ms=0)
        first = await b.complete("return width$0\n")
        await gate.reached.wait()
        assert first.suggestion is not None
        shown = first.suggestion.text
        assert " * height".startswith(shown)
        gate.open()
        await b.idle()
        for count in range(len(shown)):
            again = await b.complete(f"return width{shown[:count]}$0\n")
            assert again.suggestion is not None, again.reason
            assert again.suggestion.text.startswith(shown[count:])


async def test_an_answer_from_memory_costs_no_parse(bench: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    async with bench() as b:
        await b.ready()
        first = await b.complete(SOURCE)
        assert first.suggestion is not None
        monkeypatch.setattr(syntax, "parse", None)  # a parse would raise
        for count in range(len(first.suggestion.text)):
            outcome = await b.complete(SOURCE.replace("$0", first.suggestion.text[:count] + "$0"))
            assert outcome.source == "memory"


async def test_a_long_text_is_written_in_chunks_each_from_its_own_anchor(bench: Opener) -> None:
    body = "".join(f"    aa{number:02} = bb{number:02}\n" for number in range(75))
    known = f"def all_of_the_values():\n{body}    return aa01\n"

    def factory(spec: ModelSpec, progress: Callable[[float], bool]) -> Backend:
        return ScriptedBackend(replace(spec, context_tokens=8192), progress, texts=[known.encode()])

    async with bench(factory) as b:
        await b.ready()
        b.options = replace(PATIENT, max_lines=70, max_tokens=5000)
        outcome = await b.complete("import math\n\ndef all_of_the_values():$0\n")
        assert outcome.suggestion is not None
        assert outcome.suggestion.text == "\n" + "\n".join(body.split("\n")[:70])
        requests = [message for message in b.sent if isinstance(message, Generate)]
        assert [request.stop.max_lines for request in requests] == [30, 30, 10]
        typed = [request.prompt.text("typed") for request in requests]
        assert all(len(text) <= 40 for text in typed), "not anchored anew"
        again = await b.complete("import math\n\ndef all_of_the_values():$0\n")
        assert (again.source, again.suggestion) == ("memory", outcome.suggestion)
        b.options = replace(b.options, max_tokens=100)
        short = await b.complete("import math\n\ndef all_of_the_values():$0\n")
        assert short.suggestion is not None
        assert 5 <= short.suggestion.text.count("\n") <= 7, "the limit in tokens is of the whole"


async def test_a_model_that_fails_says_why(bench: Opener) -> None:
    class Broken(ScriptedBackend):
        def evaluate(self, sequence: int, position: int, tokens: Sequence[int], *, logits: int) -> Any:
            raise ModelError("the device is gone")

    async with bench(Broken) as b:
        await b.ready()
        outcome = await b.complete(SOURCE)
        assert (outcome.suggestion, outcome.reason) == (None, "the device is gone")


# Cancelling ---------------------------------------------------------------------------------------------------


async def test_cancelling_the_caller_cancels_the_request(bench: Opener) -> None:
    gate = Gate()
    async with bench(holding(gate)) as b:
        await b.ready()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(b.complete, SOURCE)
            await gate.reached.wait()
            assert b.client.running == 1
            tasks.cancel_scope.cancel()
        (request,) = [message for message in b.sent if isinstance(message, Generate)]
        assert b.sent[-1] == Cancel(request.id, keep=True)
        gate.open()
        # The engine is free again, and the cancelled answer was not remembered.
        outcome = await b.complete(SOURCE)
        assert (outcome.source, outcome.suggestion is not None) == ("model", True)
        assert outcome.usage.reused_tokens > 0, "what the cancelled request computed is lost"
        assert b.client.running == 0


async def test_a_finished_request_is_not_cancelled(bench: Opener) -> None:
    async with bench() as b:
        await b.ready()
        await b.complete(SOURCE)
        assert not [message for message in b.sent if isinstance(message, Cancel)]


async def test_many_callers_of_whom_most_give_up(bench: Opener) -> None:
    gate = Gate()
    outcomes: dict[int, Outcome] = {}
    async with bench(holding(gate)) as b:
        await b.ready()

        async def caller(number: int, scope: anyio.CancelScope) -> None:
            with scope:
                outcomes[number] = await b.complete(f"value_{number} = $0", path=f"file{number}.py")

        scopes = [anyio.CancelScope() for _ in range(20)]
        async with anyio.create_task_group() as tasks:
            for number, scope in enumerate(scopes):
                tasks.start_soon(caller, number, scope)
            await gate.reached.wait()
            for number, scope in enumerate(scopes):
                if number % 5:
                    scope.cancel()
            gate.open()
        assert sorted(outcomes) == [0, 5, 10, 15]
        assert all(outcome.source == "model" for outcome in outcomes.values())
        assert b.client.running == 0


async def test_a_superseded_request_is_answered_and_says_why(bench: Opener) -> None:
    """Two requests for one document, the second about another text: both are answered, the first with nothing."""
    gate = Gate()
    outcomes: dict[str, Outcome] = {}
    async with bench(holding(gate)) as b:
        await b.ready()

        async def caller(source: str) -> None:
            outcomes[source] = await b.complete(source)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(caller, "first = $0")
            await gate.reached.wait()
            tasks.start_soon(caller, "other = $0")
            while b.generates() < 2:
                await anyio.lowlevel.checkpoint()
            gate.open()
        first, other = outcomes["first = $0"], outcomes["other = $0"]
        assert other.suggestion is not None
        assert first.suggestion is None, "a word broken off, for a text that is no more"
        assert first.reason
        assert "wrote nothing" not in first.reason, "the model was not asked to the end"


async def test_stopping_the_engine_ends_what_waits_for_it(bench: Opener) -> None:
    """Every request gets an answer, also those that are under way when the server stops."""
    gate = Gate()
    async with bench(holding(gate)) as b:
        await b.ready()
        outcomes: list[Outcome] = []

        async def wait() -> None:
            outcomes.append(await b.complete(SOURCE))

        with anyio.move_on_after(1):  # passes at once, or never would
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(wait)
                await gate.reached.wait()
                gate.open()
                await b.client.stop()
        assert len(outcomes) == 1, "the caller still waits for an engine that has stopped"


async def test_what_was_remembered_is_forgotten_with_other_adapters(bench: Opener) -> None:
    async with bench() as b:
        await b.ready()
        assert (await b.complete(SOURCE)).source == "model"
        assert (await b.complete(SOURCE)).source == "memory"
        b.client.load(ModelSpec("", sequences=2, adapters=(Adapter("a.gguf", 0.5),)))
        await b.model("ready")
        assert (await b.complete(SOURCE)).source == "model"
        assert len(b.backends) == 1
