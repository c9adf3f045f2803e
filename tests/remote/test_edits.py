"""Next edits of models that other programs serve: what each kind is sent, and what its answer makes of the window."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from lsp_server.backends.base import ModelSpec
from lsp_server.core.next_edits.proposal import NextEdit
from lsp_server.engine.api import ModelState
from lsp_server.engine.client import EngineClient
from lsp_server.engine.endpoint import Kind
from lsp_server.features.actions.template import ChatTemplates
from lsp_server.features.model_edit import EditOptions, ModelEditor
from lsp_server.remote.home import RemoteHome
from tests.core.next_edits.test_edit_prompts import MERCURY, SWEEP, ZETA_2
from tests.remote.server import MODELS, Server, response, serving
from tests.support.edited import Edited

SECONDS = 20
TEMPLATES = ChatTemplates()  # rendered once for all tests, each time in a process of its own
SOURCE = "import os\n\n\ndef area([-width-][+breadth+]):\n    size = width * 2\n    return size\n\n\nprint(area(3))\n"
WINDOW = SOURCE.replace("[-width-][+breadth+]", "breadth").replace("size = width", "size = breadth")
# What the formats with smaller windows have of it.
FROM_DEF = "\n\n" + WINDOW.partition("\n\n\n")[2]
REGION = "\n" + WINDOW.partition("\n\n\n")[2]


async def proposed(server: Server, source: str = SOURCE, **more: Any) -> tuple[NextEdit | None, str, ModelState]:
    """What comes of one question; what the editor has to tell, and the state of the model."""
    endpoint = server.endpoint(**more)
    engine = EngineClient({"in-process": lambda: RemoteHome("team", endpoint, environ={})})
    options = EditOptions(ModelSpec(endpoint.url), is_set=True)
    editor = ModelEditor(engine, lambda: options)
    editor._templates = TEMPLATES
    engine.on_model = lambda *_: editor.changed()
    engine.start()
    try:
        with anyio.fail_after(SECONDS):
            edit = await editor.propose(Edited(source, "geo.py").situation())
            return edit, editor.problem, engine.models["edit"]
    finally:
        await engine.stop()


def pieces(text: str) -> list[str]:
    return [text[at : at + 7] for at in range(0, len(text), 7)]


@pytest.mark.parametrize(
    ("kind", "form", "answer", "sent"),
    [
        ("llama-server", "sweep", FROM_DEF + "<|file_sep|>more", SWEEP),
        ("openai", "sweep", FROM_DEF + "<|file_sep|>", SWEEP),
        ("ollama", "zeta-2", WINDOW + ">>>>>>> UPDATED\n", ZETA_2),
        ("chat", "instruct", f"```python\n{WINDOW}```\nThat is all.", "The part:\n```\nimport os"),
        ("chat", "instinct", REGION, "<|editable_region_start|>\n\ndef area(breadth<|user_cursor_is_here|>):"),
        ("mercury", "", f"```\n{WINDOW}\n```", MERCURY),
    ],
)
async def test_each_kind_is_asked_in_its_format(kind: Kind, form: str, answer: str, sent: str) -> None:
    async with serving(kind, pieces=pieces(answer)) as server:
        edit, problem, _ = await proposed(server, edit_format=form)
        assert problem == ""
        assert edit is not None
        assert (edit.old, edit.text) == (b"wi", b"brea")
        assert edit.result.decode() == WINDOW
        (body,) = server.completions
        given = body["prompt"] if "prompt" in body else "".join(message["content"] for message in body["messages"])
        assert sent in given
        if kind == "mercury":
            assert [message["role"] for message in body["messages"]] == ["user"]
            assert body["messages"][0]["content"] == MERCURY
            assert body["model"] == MODELS[kind]
            assert "stream" not in body
        elif kind == "chat":
            assert [message["role"] for message in body["messages"]] == ["system", "user"]


async def test_the_format_is_told_by_the_models_name() -> None:
    named = {"data": [{"id": "sweepai/sweep-next-edit-1.5B"}]}
    async with serving("openai", pieces=pieces(FROM_DEF), probe=response(200, named)) as server:
        edit, _, _ = await proposed(server, model="")
        assert edit is not None
        assert edit.result.decode() == WINDOW


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"edit_format": "swep"}, "has an `edit_format` that there is not; there are sweep, zeta-2.1"),
        ({}, "set `edit_format` to one of sweep"),
    ],
)
async def test_a_format_that_is_not_known_is_told_with_the_cure(more: dict[str, Any], words: str) -> None:
    async with serving("openai") as server:
        edit, problem, state = await proposed(server, **more)
        assert edit is None
        assert words in (problem or state.message)
        assert server.completions == []


@pytest.mark.parametrize("secret", ["correct-horse-battery", "$0correct-horse-battery", "correct-$0horse-battery"])
async def test_a_secret_is_not_sent_and_what_stood_in_its_place_is_not_written(secret: str) -> None:
    source = SOURCE.replace("import os", f'PASSWORD = "{secret}"')
    answer = WINDOW.replace("import os", "REDACTED")
    async with serving("mercury", pieces=pieces(answer)) as server:
        edit, _, _ = await proposed(server, source)
        (body,) = server.completions
        assert "horse" not in str(body)
        assert "REDACTED" in str(body)
        assert edit is None


async def test_a_failure_is_one_clear_line() -> None:
    async with serving("mercury", answer=response(500, {"error": "oops"})) as server:
        edit, problem, _ = await proposed(server)
        assert edit is None
        assert problem.startswith("no next edit from mercury-edit-2 at team: endpoint `team` (127.0.0.1)")
        assert "500" in problem
