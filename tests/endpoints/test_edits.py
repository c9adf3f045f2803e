"""Next edits of models that other programs serve: what each kind is sent, and what its answer makes of the window."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from lsp_server.backends.base import ModelSpec
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.next_edits.proposal import NextEdit
from lsp_server.endpoints.home import RemoteHome
from lsp_server.engine.api import ModelState
from lsp_server.engine.client import EngineClient
from lsp_server.engine.endpoint import Kind
from lsp_server.features.actions.template import ChatTemplates
from lsp_server.features.model_edit import EditOptions, ModelEditor
from lsp_server.features.next_edit import NextEditor
from tests.core.next_edits.test_edit_prompts import MERCURY, SWEEP, ZETA_2
from tests.endpoints.server import MODELS, Server, response, serving
from tests.support.edited import Edited

SECONDS = 20
TEMPLATES = ChatTemplates()  # rendered once for all tests, each time in a process of its own
SOURCE = "import os\n\n\ndef area([-width-][+breadth+]):\n    size = width * 2\n    return size\n\n\nprint(area(3))\n"
WINDOW = SOURCE.replace("[-width-][+breadth+]", "breadth").replace("size = width", "size = breadth")
# What the formats with smaller windows have of it.
FROM_DEF = "\n\n" + WINDOW.partition("\n\n\n")[2]
REGION = "\n" + WINDOW.partition("\n\n\n")[2]


@asynccontextmanager
async def asking(server: Server, disabled_files: tuple[str, ...] = (), **more: Any) -> AsyncIterator[ModelEditor]:
    endpoint = server.endpoint(**more)
    engine = EngineClient({"in-process": lambda: RemoteHome("team", endpoint, environ={})})
    options = EditOptions(ModelSpec(endpoint.url), is_set=True, disabled_files=disabled_files)
    editor = ModelEditor(engine, lambda: options)
    editor._templates = TEMPLATES
    engine.on_model = lambda *_: editor.changed()
    engine.start()
    try:
        yield editor
    finally:
        await engine.stop()


async def proposed(server: Server, source: str = SOURCE, **more: Any) -> tuple[NextEdit | None, str, ModelState]:
    """What comes of one question; what the editor has to tell, and the state of the model."""
    async with asking(server, **more) as editor:
        with anyio.fail_after(SECONDS):
            edit = await editor.propose(Edited(source, "geo.py").situation())
            return edit, editor.problem, editor._engine.models["edit"]


def pieces(text: str) -> list[str]:
    return [text[at : at + 7] for at in range(0, len(text), 7)]


@pytest.mark.parametrize(
    ("kind", "form", "answer", "sent"),
    [
        ("llama-server", "sweep", FROM_DEF + "<|file_sep|>more", SWEEP),
        ("openai", "sweep", FROM_DEF + "<|file_sep|>", SWEEP),
        ("ollama", "zeta-2", WINDOW + ">>>>>>> UPDATED\n", ZETA_2),
        ("chat", "instruct", f"```python\n{WINDOW}```\nThat is all.", "The part:\n```\nimport os"),
        ("chat", "", f"Here is the updated part:\n```python\n{WINDOW}```", "The part:\n```\nimport os"),
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
        assert edit.certainty == (1 if kind == "llama-server" else 2)  # the others tell no probability
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
    ("name", "sent"), [("sweep-next-edit", "The part:\n```"), ("instinct", "<|editable_region_start|>")]
)
async def test_a_chat_is_asked_in_messages_whatever_its_model_is_called(name: str, sent: str) -> None:
    named = {"data": [{"id": name}]}
    async with serving("chat", pieces=["x"], probe=response(200, named)) as server:
        await proposed(server, model="")
        (body,) = server.completions
        assert sent in body["messages"][1]["content"]


@pytest.mark.parametrize("form", ["sweep", "zeta-2"])
async def test_a_chat_cannot_be_asked_in_a_format_of_tokens(form: str) -> None:
    async with serving("chat") as server:
        edit, _, state = await proposed(server, edit_format=form)
        assert edit is None
        assert f"takes chat messages, in which `{form}` cannot be asked" in state.message
        assert "`edit_format` to one of instinct, mercury, instruct" in state.message
        assert server.completions == []


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


HERE = "def area(width, height):\n    scale = [-1-][+2+]\n    return width * height\n"


@pytest.mark.parametrize(
    ("path", "folder", "old", "shown"),
    [
        ("geo.py", "file:///w", "limit = 100", True),
        (".env", "file:///w", "LIMIT=100", False),
        ("my_secrets.py", "file:///w", "limit = 100", False),
        ("geo.py", "", "limit = 100", False),
        ("private/geo.py", "file:///w", "limit = 100", False),
        ("geo.py", "file:///w", "password = 'hunter2xyz'\nlimit = 100", False),
    ],
)
async def test_edits_of_other_files_are_shown_by_the_rules_for_parts_of_them(
    path: str, folder: str, old: str, shown: bool
) -> None:
    edited, uri = Edited(HERE), f"file:///w/{path}"
    other = DocumentSnapshot.of(uri, f"{old}\n".encode(), path=path, folder=folder)
    changed = other.edited(len(other.source) - 1, len(other.source) - 1, b"7")
    (here,) = edited.history.hunks()
    edited.history.changed(other, changed, 0.0)
    edited.history._hunks.reverse()  # the document's own is the latest
    async with (
        serving("mercury", pieces=[edited.document.source.decode()]) as server,
        asking(server, disabled_files=("private/*",)) as model,
    ):
        editor = NextEditor(lambda: "low", lambda: [changed], model=model)
        editor.history = edited.history
        with anyio.fail_after(SECONDS):
            assert await editor.propose(edited.document, edited.cursor, asked=True) is None
        editor.close()
        (body,) = server.completions
        given = body["messages"][0]["content"]
        assert here.new.decode() in given
        assert ("1007" in given) == (path in given) == shown


async def test_a_failure_is_one_clear_line() -> None:
    async with serving("mercury", answer=response(500, {"error": "oops"})) as server:
        edit, problem, _ = await proposed(server)
        assert edit is None
        assert problem.startswith("no next edit from mercury-edit-2 at team: endpoint `team` (127.0.0.1)")
        assert "500" in problem
