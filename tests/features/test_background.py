"""What may parse happens on a thread of its own: in order, one at a time, and what has changed meanwhile is noticed."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from lsp_server.backends.base import Backend, ModelSpec
from lsp_server.backends.scripted import ScriptedBackend
from lsp_server.engine.request import Cancel, Generate, Priority
from lsp_server.features import generation, prompts, written_parts
from lsp_server.features.background import Background
from lsp_server.features.outcome import Outcome
from tests.features.harness import KNOWN, PATIENT, SOURCE, Bench, Gate, Opener, holding, knowing
from tests.support.cursor import parse_cursor

LONG = "def all_of_the_values():$0\n"
LONG_TEXT = LONG.replace("$0", "\n" + "".join(f"    aa{number} = bb{number}\n" for number in range(40))).encode()
URI = "file:///main.py"
OTHER = SOURCE.replace("width$0", "w$0")


def held(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, gate: Gate, calls: int = 1) -> list[int]:
    """Stops that call of a function at the gate; returns the threads of all calls."""
    function: Callable[..., Any] = getattr(module, name)
    threads: list[int] = []

    def holding(*arguments: Any, **keywords: Any) -> Any:
        threads.append(threading.get_ident())
        if len(threads) == calls:
            gate.hold()
        return function(*arguments, **keywords)

    monkeypatch.setattr(module, name, holding)
    return threads


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await anyio.lowlevel.checkpoint()


async def test_parses_are_in_order_and_one_at_a_time() -> None:
    background, order, running = Background(), [], []

    def parse(number: int) -> int:
        running.append(number)
        assert running == [number]
        running.clear()
        order.append(number)
        return number

    async def ask(number: int) -> None:
        assert await background.parse(parse, number) == number

    async with anyio.create_task_group() as tasks:
        for number in range(50):
            tasks.start_soon(ask, number)
    assert order == list(range(50))


async def test_a_parse_that_nobody_waits_for_keeps_the_thread() -> None:
    """A client's `$/cancelRequest` ends the task at once, whatever it waits for."""
    background, gate, begun = Background(), Gate(), []

    def parse(number: int) -> None:
        begun.append(number)
        if number == 0:
            gate.hold()

    first, second, third = (asyncio.ensure_future(background.parse(parse, number)) for number in range(3))
    await gate.reached.wait()
    first.cancel()
    second.cancel()
    await asyncio.wait({first, second})
    assert begun == [0]
    gate.open()
    await third
    assert begun == [0, 2]


async def test_who_was_cancelled_during_a_parse_does_not_go_on() -> None:
    background, gate, passed = Background(), Gate(), []

    async def ask() -> None:
        await background.parse(gate.hold)
        passed.append(True)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        await gate.reached.wait()
        tasks.cancel_scope.cancel()
        gate.open()
    assert not passed


async def test_what_goes_wrong_in_a_task_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    background = Background()

    async def broken() -> None:
        raise ValueError("no such thing")

    with caplog.at_level(logging.ERROR):
        background.start(broken)
        await until(lambda: not background.running)
    assert "no such thing" in caplog.text


async def test_nothing_of_a_request_parses_on_the_loop(bench: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate()
    gate.open()
    threads = [held(monkeypatch, prompts, "refined", gate), held(monkeypatch, generation, "shape", gate)]
    async with bench() as b:
        await b.ready()
        assert (await b.complete(SOURCE)).suggestion is not None
    assert all(threads)
    assert threading.get_ident() not in {thread for found in threads for thread in found}


async def test_a_stale_request_ends_nothing_of_the_newer_one(bench: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was looking at its place when the document changed."""
    gate = Gate()
    held(monkeypatch, prompts, "refined", gate)
    outcomes: list[Outcome] = []
    async with bench() as b:
        await b.ready()
        scope = anyio.CancelScope()

        async def stale() -> None:
            with scope:
                await b.complete(OTHER)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stale)
            await gate.reached.wait()
            scope.cancel()
            tasks.start_soon(b.complete_into, outcomes, SOURCE)
            await anyio.lowlevel.checkpoint()
            gate.open()
        assert outcomes[0].suggestion is not None
        assert b.generates() == 1
        assert not [message for message in b.sent if isinstance(message, Cancel)]


async def test_two_requests_at_once_share_a_generation(bench: Opener) -> None:
    """As those for a menu and for an inline completion, which look at the place at the same time."""
    outcomes: list[Outcome] = []
    async with bench() as b:
        await b.ready()
        async with anyio.create_task_group() as tasks:
            for _ in range(2):
                tasks.start_soon(b.complete_into, outcomes, SOURCE)
        assert [outcome.suggestion is not None for outcome in outcomes] == [True, True]
        assert b.generates() == 1


async def test_a_long_text_does_not_go_on_when_the_user_has_typed_something_else(
    bench: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    held(monkeypatch, written_parts, "next_part", gate)
    outcomes: list[Outcome] = []
    async with bench(knowing(LONG_TEXT)) as b:
        await b.ready()
        b.options = replace(PATIENT, max_lines=40, max_tokens=1000)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(b.complete_into, outcomes, LONG)
            await gate.reached.wait()
            document, cursor = parse_cursor(LONG.replace("$0", "  # none$0"))
            b.completer.document_changed(replace(document, edit_end=cursor))
            gate.open()
        await b.idle()
        assert b.generates() == 1
        assert (await b.complete(LONG)).source == "model", "a part of it was remembered as the whole"


async def test_a_long_text_that_cannot_be_written_on_is_answered(
    bench: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: Any) -> None:
        raise ValueError("what a part")

    monkeypatch.setattr(written_parts, "next_part", broken)
    async with bench(knowing(LONG_TEXT)) as b:
        await b.ready()
        b.options = replace(PATIENT, max_lines=40, max_tokens=1000)
        outcome = await b.complete(LONG)
        assert outcome.suggestion is not None
        assert outcome.suggestion.text.count("\n") == 30
        assert b.completer.generations.of(URI) is None


async def test_another_model_does_not_write_on(bench: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate()
    held(monkeypatch, written_parts, "next_part", gate)
    async with bench(knowing(LONG_TEXT)) as b:
        await b.ready()
        b.options = replace(PATIENT, max_lines=40, max_tokens=1000)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(b.complete, LONG)
            await gate.reached.wait()
            b.client.load(ModelSpec("", sequences=3, fim_format="codellama"))
            await b.model("ready")
            gate.open()
        assert b.generates() == 1


async def test_what_another_model_wrote_is_not_remembered(bench: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate()
    held(monkeypatch, generation, "shape", gate)
    async with bench() as b:
        await b.ready()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(b.complete, SOURCE)
            await gate.reached.wait()
            b.client.load(ModelSpec("", sequences=3))
            await b.model("ready")
            tasks.start_soon(b.completer.warm, *parse_cursor(OTHER))
            await anyio.lowlevel.checkpoint()
            gate.open()
        await b.idle()
        assert (await b.complete(SOURCE)).source == "model"


async def test_what_has_ended_is_adopted_while_it_is_being_shaped(
    bench: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    held(monkeypatch, generation, "shape", gate)
    outcomes: list[Outcome] = []
    async with bench() as b:
        await b.ready()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(b.complete_into, outcomes, SOURCE)
            await gate.reached.wait()
            tasks.start_soon(b.complete_into, outcomes, SOURCE.replace("$0", " *$0"))
            await anyio.lowlevel.checkpoint()
            gate.open()
        assert {outcome.suggestion.text for outcome in outcomes if outcome.suggestion} == {" * height", " height"}
        assert b.generates() == 1
        assert (await b.complete(SOURCE)).source == "memory"


async def test_what_was_found_out_for_a_cancelled_request_is_kept(
    bench: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, engine = Gate(), Gate()
    held(monkeypatch, generation, "shape", gate)
    async with bench(holding(engine, lambda cells: cells.endswith(b"width * "))) as b:
        await b.ready()
        b.options = replace(PATIENT, answer_ms=0)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(b.complete, SOURCE)
            await gate.reached.wait()
            running = b.completer.generations.of(URI)
            assert running is not None
            tasks.cancel_scope.cancel()
        gate.open()
        await until(lambda: running._shaped[0])
        engine.open()


async def test_the_documents_indentation_agrees_with_what_has_not_been_shaped(bench: Opener) -> None:
    """The model writes four spaces, and the editor a tab at Enter, before anybody has asked what is shown."""
    engine = Gate()
    source = "def old(x):\n\tif x:\n\t\treturn 1\n\n\ndef area(width, height):$0\n"
    known = source.replace("$0", "\n    total = width * height\n    return total\n").encode()
    async with bench(holding(engine, lambda cells: cells.endswith(b"total = "), known)) as b:
        await b.ready()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(b.complete, source)
            await engine.reached.wait()
            running = b.completer.generations.of(URI)
            assert running is not None
            await until(lambda: "total =" in running.text)
            document, cursor = parse_cursor(source.replace("$0", "\n\t$0"))
            b.completer.document_changed(replace(document, edit_end=cursor))
            engine.open()
        await b.idle()
        assert not [message for message in b.sent if isinstance(message, Cancel)]
        shown = (await b.complete(source.replace("$0", "\n\t$0"))).suggestion
        assert shown is not None
        assert shown.text == "total = width * height\n\treturn total"


async def test_a_request_is_answered_even_if_its_text_cannot_be_shaped(
    bench: Opener, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*arguments: Any, **keywords: Any) -> None:
        raise ValueError("what a text")

    async with bench() as b:
        await b.ready()
        with monkeypatch.context() as patch:
            patch.setattr(generation, "shape", broken)
            outcome = await b.complete(SOURCE)
            await b.idle()
        assert "what a text" in caplog.text
        assert (outcome.suggestion, bool(outcome.reason)) == (None, True)
        assert (await b.complete(SOURCE)).suggestion is not None


async def test_a_prompt_for_a_model_that_is_gone_is_not_asked(bench: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, loading = Gate(), Gate()
    threads = held(monkeypatch, prompts, "refined", gate)
    outcomes: list[Outcome] = []

    def factory(spec: ModelSpec, progress: Callable[[float], bool]) -> Backend:
        if spec.sequences == 3:
            loading.hold()
        return ScriptedBackend(spec, progress, texts=[KNOWN])

    async with bench(factory) as b:
        await b.ready()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(b.complete_into, outcomes, SOURCE)
            await gate.reached.wait()
            b.client.load(ModelSpec("", sequences=3))
            gate.open()
        loading.open()
        assert "loading" in outcomes[0].reason
        assert (b.generates(), len(threads)) == (0, 1)


async def test_of_prompts_to_be_evaluated_ahead_only_the_last_waits(
    bench: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys that come faster than a prompt is made do not queue up."""
    gate = Gate()
    made = held(monkeypatch, prompts.PromptBook, "choose", gate)
    async with bench() as b:
        await b.ready()
        async with anyio.create_task_group() as tasks:
            for count in range(20):
                document, cursor = parse_cursor(f"x = {'a' * count}$0\n")
                tasks.start_soon(b.completer.warm, document, cursor)
                await (anyio.lowlevel.checkpoint() if count else gate.reached.wait())
            for _ in range(10):  # until those that are cancelled have left the queue
                await anyio.lowlevel.checkpoint()
            gate.open()
        warmed = [m for m in b.sent if isinstance(m, Generate) and m.priority is Priority.WARMING]
        assert (len(made), len(warmed)) == (2, 1)


async def test_a_rest_that_comes_to_nothing_keeps_the_warming(bench: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate()
    held(monkeypatch, prompts.PromptBook, "choose", gate)
    async with bench() as b:
        await b.ready()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(b.completer.warm, *parse_cursor(SOURCE))
            await gate.reached.wait()
            tasks.start_soon(b.completer.rest, *parse_cursor(SOURCE))
            await anyio.lowlevel.checkpoint()
            gate.open()
        await b.idle()
        assert [m.priority for m in b.sent if isinstance(m, Generate)] == [Priority.WARMING]


@pytest.mark.parametrize(
    ("source", "path"),
    [
        ("echo 1\n# a remark$0 on it\necho 2\n", "run.sh"),
        ("x = 1  # what $0 it is\n", "main.py"),
        ("say('some words$0 of a text')\n", "main.py"),
        ("value = comp$0ute(1)\n", "main.py"),
    ],
)
async def test_where_nothing_is_wanted_no_prompt_is_evaluated(bench: Opener, source: str, path: str) -> None:
    """Neither at a key nor at a rest; and what was being evaluated for the key before is given up."""
    gate = Gate()
    async with bench(holding(gate)) as b:
        await b.ready()
        await b.completer.warm(*parse_cursor("echo 1\n$0\n", path=path))
        await gate.reached.wait()
        document, cursor = parse_cursor(source, path=path)
        b.completer.document_changed(replace(document, edit_end=cursor))
        await b.completer.warm(document, cursor)
        await b.completer.rest(document, cursor)
        gate.open()
        await b.idle()
        assert sum(isinstance(m, Generate) for m in b.sent) == 1
        assert sum(isinstance(m, Cancel) for m in b.sent) >= 1
        assert (await b.complete(source, path=path)).suggestion is None


async def test_typing_towards_what_is_being_prepared_keeps_it(bench: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate()
    looks = held(monkeypatch, prompts, "refined", gate, calls=2)
    async with bench() as b:
        b.options = replace(PATIENT, prepare_next=True)
        await b.ready()
        await b.complete(SOURCE)
        await gate.reached.wait()
        for typed in (" ", " *", " * ", " * h"):
            document, cursor = parse_cursor(SOURCE.replace("$0", f"{typed}$0"))
            b.completer.document_changed(replace(document, edit_end=cursor))
            assert (await b.completer.complete(document, cursor)).source == "memory"
        b.completer.document_closed("file:///w/other.py")
        gate.open()
        await b.idle()
        assert (_prepared(b), len(looks)) == (1, 2)


@pytest.mark.parametrize("change", ["a key", "a closed document"])
async def test_what_is_being_prepared_is_given_up(bench: Opener, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    gate = Gate()
    held(monkeypatch, prompts, "refined", gate, calls=2)
    async with bench() as b:
        b.options = replace(PATIENT, prepare_next=True)
        await b.ready()
        await b.complete(SOURCE)
        await gate.reached.wait()
        document, cursor = parse_cursor(OTHER)
        if change == "a key":
            b.completer.document_changed(replace(document, edit_end=cursor))
        else:
            b.completer.document_closed(document.uri)
        gate.open()
        await b.idle()
        assert _prepared(b) == 0
        await b.complete(SOURCE)
        await b.idle()
        assert _prepared(b) == 1, "the next answer prepares it again"


def _prepared(bench: Bench) -> int:
    return sum(isinstance(m, Generate) and m.priority is Priority.PREPARED for m in bench.sent)
