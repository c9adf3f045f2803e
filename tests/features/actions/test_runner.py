"""Actions against a scripted chat model: cancelled at any moment, beside completions, and asked once more."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from lsp_server.backends.base import Backend, ModelSpec
from lsp_server.backends.scripted import ScriptedBackend
from lsp_server.core.edits import applied
from lsp_server.core.hidden_characters import without_hidden
from lsp_server.engine.api import ModelState
from lsp_server.engine.client import in_this_process
from lsp_server.engine.request import Role
from lsp_server.features.actions.asking import ActionFailedError, ActionOptions, Progress
from lsp_server.features.actions.catalogue import catalogue
from lsp_server.features.actions.offers import Offer, subject_at
from lsp_server.features.actions.runner import ActionRunner
from lsp_server.features.inline import InlineCompleter
from lsp_server.features.options import InlineOptions
from lsp_server.features.outcome import Trigger
from tests.core.test_hidden_characters import HOSTILE
from tests.features.actions.cases import CASES
from tests.support.cursor import parse_cursor
from tests.support.effort import scaled

ACTIONS, _ = catalogue({})
CASE = CASES[0]
ANSWER = f"```\n{CASE.new}\n```"
PATIENT = InlineOptions(answer_ms=20_000, deadline_ms=20_000, check_names=False)


class Bench:
    """An engine with a model for each role, and how many models were loaded."""

    def __init__(self, script: Path) -> None:
        self.loads: list[ModelSpec] = []
        self.options = ActionOptions(ModelSpec(str(script), sequences=1, chat=True), format=False)
        self.engine = in_this_process(self._factory, self._changed)
        self.runner = ActionRunner(self.engine, lambda: self.options)
        self.make: Callable[..., Backend] = ScriptedBackend

    def _factory(self, spec: ModelSpec, progress: Callable[[float], bool]) -> Backend:
        self.loads.append(spec)
        return self.make(spec, progress)

    def _changed(self, role: Role, state: ModelState) -> None:
        self.runner.model_changed()

    async def act(self, id: str = "simplify", report: Callable[[Progress], None] = lambda _: None) -> str:
        """The document afterwards."""
        document, offset = CASE.document()
        subject = subject_at(document, offset, offset)
        assert subject is not None
        outcome = await self.runner.run(document, Offer(ACTIONS[id], subject, id), report)
        return outcome.document or applied(document.source, outcome.edits).decode()


@asynccontextmanager
async def opened(folder: Path, *replies: tuple[str, str]) -> AsyncIterator[Bench]:
    script = folder / "replies.json"
    script.write_text(json.dumps(replies))
    bench = Bench(script)
    bench.engine.start()
    try:
        with anyio.fail_after(60):
            yield bench
    finally:
        await bench.engine.stop()


async def test_the_model_is_loaded_by_the_first_action_only(tmp_path: Path) -> None:
    async with opened(tmp_path, ("", ANSWER)) as bench:
        assert not bench.loads
        assert await bench.act() == CASE.expected()
        assert await bench.act() == CASE.expected()
        assert [spec.chat for spec in bench.loads] == [True]


async def test_progress_tells_what_is_happening(tmp_path: Path) -> None:
    async with opened(tmp_path, ("", f"<think>Let me think.</think>{ANSWER}")) as bench:
        seen: list[Progress] = []
        await bench.act(report=seen.append)
        phases = list(dict.fromkeys(state.phase.split(" (")[0] for state in seen))
        assert phases == [
            "starting",
            "loading the chat model",
            "reading the project",
            "reading the code",
            "thinking",
            "writing",
        ]
        assert seen[-1].tokens > 10


@pytest.mark.parametrize("answer", ["Let me see.\n</think>\nIt adds.", "It adds.\n<think>\nor so", "a[/THINK]It adds."])
async def test_an_explanation_shows_no_thinking(tmp_path: Path, answer: str) -> None:
    async with opened(tmp_path, ("", answer)) as bench:
        assert await bench.act("explain") == "It adds."


@pytest.mark.parametrize("id", ["simplify", "doc", "explain"])
async def test_an_answer_hides_nothing_in_an_edit_a_comment_or_an_explanation(tmp_path: Path, id: str) -> None:
    names = ("right-to-left override", "isolates", "colours", "a terminal's title", "a bell", "zero width", "tags")
    hostile = " ".join(HOSTILE[name] for name in names)
    words = f"Adds up the prices, {hostile} and the tax."
    answer = {"simplify": f"```\n{CASE.new}  # {words}\n```", "explain": words, "doc": words}[id]
    async with opened(tmp_path, ("", answer)) as bench:
        seen: list[Progress] = []
        text = await bench.act(id, seen.append)
        assert "prices, if access" in text
        assert without_hidden(text) == text
        assert all(without_hidden(state.tail) == state.tail for state in seen)


async def test_what_a_user_has_written_is_not_cleaned_in_passing(tmp_path: Path) -> None:
    mark = "    mark = '\u200f'\n"
    document, offset = parse_cursor(f"def area(width, height):\n{mark}    $0return (width * height)\n", path="m.py")
    answer = document.source.decode().replace("(width * height)", "width * height").replace("\u200f", "")
    async with opened(tmp_path, ("", f"```\n{answer}\n```")) as bench:
        subject = subject_at(document, offset, offset)
        assert subject is not None
        outcome = await bench.runner.run(document, Offer(ACTIONS["simplify"], subject, ""), lambda _: None)
        after = applied(document.source, outcome.edits).decode()
        assert after == f"def area(width, height):\n{mark}    return width * height\n"


@pytest.mark.parametrize(
    ("replies", "expected"),
    [
        ([("cannot be used", ANSWER), ("", "no")], ""),
        ([("", "no code here")], "no edit: `total` is missing in the answer"),
        ([("", "")], "no edit: the model wrote nothing"),
        ([("", f"```\n{CASE.old}\n```")], "no edit: the answer is the code as it was"),
    ],
)
async def test_one_more_try_and_then_a_message(tmp_path: Path, replies: list[tuple[str, str]], expected: str) -> None:
    async with opened(tmp_path, *replies) as bench:
        try:
            assert await bench.act() == CASE.expected()
            message = ""
        except ActionFailedError as error:
            message = str(error)
        assert message == expected


LEAD = f"```python\n{CASE.new.partition(':')[0]}:"


class Stubborn(ScriptedBackend):
    """A small model that gives the same answer to every question. Another one is the next likely. They differ behind
    the indentation."""

    answers = (f"{LEAD}\n   \treturn (\n```".encode(), f"```python\n{CASE.new}\n```".encode())

    def __init__(self, spec: ModelSpec, progress: Callable[[float], bool]) -> None:
        super().__init__(spec, progress)
        self.info = replace(self.info, parameters=135_000_000)

    def _logits(self, cells: list[int]) -> Any:
        row = super()._logits(cells)
        said = bytes(token for token in cells if token < 256).rpartition(b"<assistant>\n")[2]
        likely = [answer for answer in self.answers if answer.startswith(said) and answer != said]
        for height, answer in zip((80, 70), likely, strict=False):
            row[answer[len(said)]] = max(height, row[answer[len(said)]])
        return row


async def test_a_small_model_that_is_asked_again_begins_otherwise(tmp_path: Path) -> None:
    async with opened(tmp_path, ("", "")) as bench:
        bench.make = Stubborn
        seen: list[Progress] = []
        assert await bench.act(report=seen.append) == CASE.expected()
        assert "asking again" in [state.phase for state in seen]


async def test_cancelled_at_random_moments_it_leaves_nothing(tmp_path: Path) -> None:
    rng = random.Random(3)
    async with opened(tmp_path, ("", ANSWER)) as bench:
        assert await bench.act() == CASE.expected()
        cancelled, times = 0, scaled(70)
        for _ in range(times):
            left = rng.randrange(120)
            with anyio.CancelScope() as scope:

                def report(_: Progress, scope: anyio.CancelScope = scope) -> None:
                    nonlocal left
                    left -= 1
                    if left <= 0:
                        scope.cancel()

                await bench.act(report=report)
            cancelled += scope.cancel_called
            while bench.engine.running:  # what was cancelled ends within a step
                await anyio.sleep(0)
        assert cancelled > times / 2
        assert await bench.act() == CASE.expected()
        assert len(bench.loads) == 1


async def test_completions_go_first(tmp_path: Path) -> None:
    """A completion asked for while an action writes is answered before the action goes on, and it does go on."""
    written = threading.Event()

    class Holding(ScriptedBackend):
        """Stops at the first token it is to write until the completion has been asked for."""

        def evaluate(self, sequence: int, position: int, tokens: Sequence[int], *, logits: int) -> Any:
            if self.info.chat_template and len(tokens) == 1:
                assert written.wait(20)
            return super().evaluate(sequence, position, tokens, logits=logits)

    async with opened(tmp_path, ("", ANSWER)) as bench:
        bench.make = Holding
        bench.engine.load(ModelSpec("", sequences=2))
        while bench.engine.model.kind != "ready":
            await anyio.sleep(0)
        completer = InlineCompleter(bench.engine, lambda: PATIENT)
        order: list[str] = []
        document, offset = parse_cursor("value = $0")

        async def complete() -> None:
            while not any(state.phase == "reading the code" for state in seen) or not bench.engine.running:
                await anyio.sleep(0)
            async with anyio.create_task_group() as inner:
                inner.start_soon(ask)
                while bench.engine.running < 2:
                    await anyio.sleep(0)
                written.set()

        async def ask() -> None:
            assert (await completer.complete(document, offset, Trigger.INVOKED)).suggestion is not None
            order.append("completion")

        seen: list[Progress] = []
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(complete)
            assert await bench.act(report=seen.append) == CASE.expected()
            order.append("action")
        assert order == ["completion", "action"]


async def test_a_model_that_cannot_chat_names_the_setting(tmp_path: Path) -> None:
    async with opened(tmp_path, ("", ANSWER)) as bench:
        bench.options = ActionOptions(ModelSpec("", sequences=1))
        with pytest.raises(ActionFailedError, match="set `chat_model` to a GGUF file"):
            await bench.act()
        bench.options = ActionOptions(ModelSpec(str(tmp_path / "missing"), chat=True))
        with pytest.raises(ActionFailedError, match="missing"):
            await bench.act()


async def test_code_that_is_larger_than_the_window_is_refused(tmp_path: Path) -> None:
    async with opened(tmp_path, ("", ANSWER)) as bench:
        bench.options = ActionOptions(ModelSpec(str(tmp_path / "replies.json"), context_tokens=50, chat=True))
        with pytest.raises(ActionFailedError, match="chat_context_tokens"):
            await bench.act()


async def test_models_that_were_not_used_come_back_at_the_next_use(tmp_path: Path) -> None:
    async with opened(tmp_path, ("", ANSWER)) as bench:
        engine = bench.engine

        async def until(role: Role, kind: str) -> None:
            while engine.models[role].kind != kind:
                await anyio.sleep(0)

        engine.load(ModelSpec("", sequences=2))
        await until("completion", "ready")
        completer = InlineCompleter(engine, lambda: PATIENT)
        document, offset = parse_cursor("value = $0")
        first = await completer.complete(document, offset, Trigger.INVOKED)
        assert await bench.act() == CASE.expected()
        engine.keep({"completion": 1e-6, "chat": 1e-6})
        await until("completion", "idle")
        await until("chat", "idle")
        engine.keep({})
        assert (await completer.complete(document, offset, Trigger.INVOKED)).reason.startswith("the model is loading")
        await until("completion", "ready")
        again = await completer.complete(document, offset, Trigger.INVOKED)
        assert again.suggestion == first.suggestion is not None
        assert await bench.act() == CASE.expected()
        assert [spec.chat for spec in bench.loads] == [False, True, False, True]


async def test_switched_off_completions_do_not_wake_the_model(tmp_path: Path) -> None:
    async with opened(tmp_path, ("", ANSWER)) as bench:
        bench.engine.load(ModelSpec("", sequences=2))
        bench.engine.keep({"completion": 1e-6})
        while bench.engine.model.kind != "idle":
            await anyio.sleep(0)
        document, offset = parse_cursor("value = $0")
        off = InlineCompleter(bench.engine, lambda: InlineOptions(enabled=False))
        await off.warm(document, offset)
        assert "`enabled`" in (await off.complete(document, offset)).reason
        assert bench.engine.model.kind == "idle"
        await InlineCompleter(bench.engine, lambda: PATIENT).warm(document, offset)
        assert bench.engine.model.kind == "loading"
