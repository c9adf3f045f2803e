"""Next edits of a model: when it is asked, what of its answers is shown, and what ends a question."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from lsp_server.backends.base import ModelSpec
from lsp_server.backends.scripted import ScriptedBackend
from lsp_server.engine.client import in_this_process
from lsp_server.features.actions.template import ChatTemplates
from lsp_server.features.model_edit import EditOptions, ModelEditor
from lsp_server.features.next_edit import NextEditor, Proposal
from lsp_server.features.options import Eagerness
from tests.support.edited import Edited

SECONDS = 20
TEMPLATES = ChatTemplates()  # rendered once for all tests, each time in a process of its own
SOURCE = "def area(width, height):\n    scale = [-1-][+2+]\n    return width * height\n\n\nprint(area(1, 2))\n"
NOW = SOURCE.replace("[-1-][+2+]", "2")
SCALED = NOW.replace("width * height", "scale * width * height")


class Editing:
    """A document that has just been edited, and who proposes what comes next in it. seconds: how much time passes
    between any two looks at the clock."""

    def __init__(
        self,
        answer: str,
        folder: Path,
        source: str = SOURCE,
        eagerness: Eagerness = "low",
        form: str = "instruct",
        seconds: float = 5.0,
    ):
        script = folder / "script.json"
        script.write_text(json.dumps([["", answer]]), "utf-8")
        self.spec = ModelSpec(str(script), 1024, 1, chat=True)
        self.engine = in_this_process(self._load)
        self.model = ModelEditor(self.engine, lambda: EditOptions(self.spec, is_set=True, form=form))
        self.model._templates = TEMPLATES
        self.engine.on_model = lambda *_: self.model.changed()
        self.edited = Edited(source)
        clock = itertools.count(0.0, seconds)
        self.editor = NextEditor(lambda: eagerness, list, lambda: next(clock), self.model)
        self.editor.history = self.edited.history
        self.editor.changed(self.edited.document, self.edited.document)  # a key, long ago
        self.held: threading.Event | None = None

    def _load(self, spec: ModelSpec, progress: Callable[[float], bool]) -> ScriptedBackend:
        return _Held(spec, progress, self)

    async def propose(self, *, asked: bool = False) -> Proposal | None:
        return await self.editor.propose(self.edited.document, self.edited.cursor, asked=asked)


class _Held(ScriptedBackend):
    """Evaluates only when it may."""

    def __init__(self, spec: ModelSpec, progress: Callable[[float], bool], editing: Editing) -> None:
        super().__init__(spec, progress)
        self._editing = editing

    def evaluate(self, *arguments: Any, **more: Any) -> Any:
        if self._editing.held is not None:
            assert self._editing.held.wait(SECONDS)
        return super().evaluate(*arguments, **more)


@asynccontextmanager
async def editing(answer: str, folder: Path, *arguments: Any, **more: Any) -> AsyncIterator[Editing]:
    found = Editing(answer, folder, *arguments, **more)
    found.engine.start()
    try:
        yield found
    finally:
        if found.held is not None:
            found.held.set()
        found.editor.close()
        await found.engine.stop()


def fenced(text: str) -> str:
    return f"```\n{text}```"


@pytest.mark.anyio
@pytest.mark.parametrize("asked", [False, True])
async def test_the_models_edit_is_what_it_changes_in_the_window(tmp_path: Path, asked: bool) -> None:
    async with editing(fenced(SCALED), tmp_path) as bench:
        proposal = await bench.propose(asked=asked)
        assert proposal is not None
        edit = proposal.edit
        assert (edit.kind, edit.old, edit.text, edit.result) == ("model", b"", b"scale * ", SCALED.encode())
        assert edit.why == "suggested by scripted"
        assert await bench.propose(asked=asked) == proposal
        assert bench.model.asked == 1  # the same question is not asked again
        assert await bench.editor.at_once(bench.edited.document, 0) == proposal
        assert bench.model.accepted > bench.model.decoded / 2  # what stays was drafted


@pytest.mark.anyio
async def test_what_can_be_computed_comes_first_and_asks_no_model(tmp_path: Path) -> None:
    async with editing(fenced(SCALED), tmp_path, SOURCE.replace("width,", "[-width-][+breadth+],")) as bench:
        proposal = await bench.propose()
        assert proposal is not None
        assert proposal.edit.kind == "rename"
        assert bench.model.asked == 0
        assert bench.engine.models["edit"].kind == "none"


WITHHELD = {
    "unchanged": NOW,
    "undone": NOW.replace("scale = 2", "scale = 1"),
    "white space": NOW.replace("width * height", "width*height"),
    "broken": NOW.replace("width * height", "(width * height"),
    "hidden": NOW.replace("width * height", "width *\u200b height * scale"),
    "dangerous": NOW.replace("    return width * height", "    return eval(input())"),
    "cut": NOW.partition("    return")[0],
    "cut behind a change": NOW.partition("    return")[0].replace("width, height", "width, height, depth"),
    "in other words": NOW.replace("    return width", "    # ... existing code ...\n    return scale * width"),
    "talk": "I am sorry, I cannot do that.",
}


@pytest.mark.anyio
@pytest.mark.parametrize("name", list(WITHHELD))
async def test_an_answer_is_withheld_that_fails_a_gate(tmp_path: Path, name: str) -> None:
    async with editing(fenced(WITHHELD[name]), tmp_path) as bench:
        assert await bench.propose() is None
        assert bench.model.asked == 1
        assert await bench.editor.at_once(bench.edited.document, 0) is None


@pytest.mark.anyio
async def test_what_is_withheld_is_counted(tmp_path: Path) -> None:
    async with editing(fenced(WITHHELD["dangerous"]), tmp_path) as bench:
        assert await bench.propose() is None
        counts = bench.editor.summary()["counts"]
        assert counts == {"proposed": 0, "shown": 0, "accepted": 0, "rejected": 0, "withheld": 1}


@pytest.mark.anyio
async def test_what_was_rejected_does_not_come_again(tmp_path: Path) -> None:
    async with editing(fenced(SCALED), tmp_path) as bench:
        proposal = await bench.propose()
        assert proposal is not None
        bench.editor.rejected(proposal.id)
        assert await bench.propose() is None
        assert await bench.editor.at_once(bench.edited.document, 0) is None


@pytest.mark.anyio
async def test_nothing_is_asked_while_a_completion_is_shown_or_before_any_edit(tmp_path: Path) -> None:
    async with editing(fenced(SCALED), tmp_path) as bench:
        bench.editor.completing(bench.edited.document)
        assert await bench.propose() is None
    async with editing(fenced(SCALED), tmp_path, NOW) as other:
        assert await other.propose(asked=True) is None
    assert bench.model.asked == other.model.asked == 0


@pytest.mark.anyio
async def test_unasked_it_is_asked_only_soon_after_an_edit_and_not_on_battery(tmp_path: Path) -> None:
    async with editing(fenced(SCALED), tmp_path, seconds=1000.0) as late:
        assert await late.propose() is None
        assert late.model.asked == 0
        assert await late.propose(asked=True) is not None
    async with editing(fenced(SCALED), tmp_path) as bench:
        bench.editor.saves_power = lambda: True
        assert await bench.propose() is None
        assert bench.model.asked == 0
        assert await bench.propose(asked=True) is not None


@pytest.mark.anyio
async def test_a_key_ends_the_question(tmp_path: Path) -> None:
    async with editing(fenced(SCALED), tmp_path) as bench:
        bench.held = threading.Event()
        asking = asyncio.create_task(bench.propose(asked=True))
        while not bench.model.asked:
            await asyncio.sleep(0)
        before = bench.edited.document
        bench.editor.changed(before, before.edited(0, 0, b"# x\n"))
        assert await asyncio.wait_for(asking, SECONDS) is None
        bench.held.set()
        while bench.engine.running:
            await asyncio.sleep(0)


@pytest.mark.anyio
async def test_a_completion_that_comes_while_it_is_asked_wins(tmp_path: Path) -> None:
    async with editing(fenced(SCALED), tmp_path) as bench:
        bench.held = threading.Event()
        asking = asyncio.create_task(bench.propose())
        while not bench.model.asked:
            await asyncio.sleep(0)
        bench.editor.completing(bench.edited.document)
        bench.held.set()
        assert await asyncio.wait_for(asking, SECONDS) is None


@pytest.mark.anyio
async def test_a_model_that_nobody_knows_how_to_ask_is_told_of(tmp_path: Path) -> None:
    async with editing(fenced(SCALED), tmp_path, form="") as bench:
        assert await bench.propose() is None
        assert "set `edit_format` to one of sweep, zeta-2" in bench.model.problem
    async with editing(fenced(SCALED), tmp_path, form="sweep") as other:
        assert await other.propose() is None
        assert other.model.problem == ""  # the scripted model has Qwen's tokens
    async with editing(fenced(SCALED), tmp_path, form="zeta-2") as another:
        assert await another.propose() is None
        assert "has no token <[fim-suffix]>" in another.model.problem


@pytest.mark.anyio
async def test_without_a_model_for_edits_none_is_loaded(tmp_path: Path) -> None:
    async with editing(fenced(SCALED), tmp_path) as bench:
        bench.editor._model = ModelEditor(bench.engine, lambda: EditOptions(bench.spec))
        assert await bench.propose() is None
        assert bench.engine.models["edit"].kind == "none"
