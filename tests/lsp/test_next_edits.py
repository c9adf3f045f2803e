"""Next edits through the server: Copilot's request, ghost text, the code action and commands."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.lsp.played import Played, point
from tests.support.editor import Editor
from tests.support.effort import scaled
from tests.support.stdio import StdioClient

REQUEST = "textDocument/copilotInlineEdit"
SOURCE = "def area(width, height):\n    size = width * 2\n    return size\n"


def asked(
    played: Played, uri: str, offset: int, trigger: int = 1, version: int | None = None, **more: Any
) -> list[Any]:
    """The edits of the answer to Copilot's request."""
    document = played.documents[uri]
    params = {
        "textDocument": {"uri": uri, "version": version or document.version},
        "position": point(*document.position(offset, "utf-16")),
        "context": {"triggerKind": trigger},
        **more,
    }
    answer = played.client.call(REQUEST, params)
    assert "error" not in answer, answer
    return answer["result"]["edits"]


def renamed(played: Played) -> tuple[str, int]:
    """A document in which a parameter has just been renamed, and the offset behind that."""
    uri = played.open("shapes.py", "python", SOURCE)
    return uri, played.type(uri, 9, 14, "breadth")


def execute(played: Played, command: str, *arguments: str) -> None:
    answer = played.client.call("workspace/executeCommand", {"command": command, "arguments": list(arguments)})
    assert answer["result"] is None


def test_copilots_request_is_answered_as_its_clients_want(played: Played) -> None:
    uri, offset = renamed(played)
    (edit,) = asked(played, uri, offset, trigger=2)
    assert (edit["text"], edit["textDocument"]) == ("breadth", {"uri": uri, "version": 2})
    assert edit["range"] == {"start": {"line": 1, "character": 11}, "end": {"line": 1, "character": 16}}
    command = edit["command"]
    assert command["command"] == "fimble.acceptNextEdit"
    # What sidekick.nvim and copilot-lsp tell besides does no harm.
    played.client.notify("textDocument/didShowInlineEdit", {"item": {"command": command}})
    played.client.notify("textDocument/didFocus", {"textDocument": {"uri": uri}})
    played.client.notify(
        "textDocument/didPartiallyAcceptCompletion", {"item": {"insertText": "x"}, "acceptedLength": 1}
    )
    played.type(uri, 41, 46, "breadth")
    execute(played, command["command"], *command["arguments"])
    assert asked(played, uri, offset, trigger=2) == []
    counts = played.client.status()["nextEdits"]["counts"]
    assert (counts["proposed"], counts["shown"], counts["accepted"]) == (1, 1, 1)


def test_the_answer_is_empty_and_never_null(played: Played) -> None:
    uri = played.open("a.py", "python", SOURCE)
    assert asked(played, uri, 0) == []
    uri, offset = renamed(played)
    assert asked(played, uri, offset, version=1) == []
    for broken in ({"textDocument": {"uri": uri}}, {"textDocument": 1, "position": {"line": 0, "character": 0}}):
        assert played.client.call(REQUEST, broken)["error"]["code"] == -32602


@pytest.mark.parametrize("played", [{"next_edit": "off"}], indirect=True)
def test_nothing_is_proposed_when_it_is_off(played: Played) -> None:
    uri, offset = renamed(played)
    assert asked(played, uri, offset) == []
    assert played.ask(uri, offset, "")["items"] == []


@pytest.mark.parametrize("played", [{}, {"disabled_languages": ["python"]}], indirect=True)
def test_nothing_is_proposed_unasked_where_completions_are_off(played: Played, request: Any) -> None:
    if not request.node.callspec.params["played"]:
        played.client.call("workspace/executeCommand", {"command": "fimble.snooze", "arguments": [{}]})
    uri, offset = renamed(played)
    assert asked(played, uri, offset, trigger=2) == []
    assert asked(played, uri, offset)  # who asks is answered


def test_a_rejected_edit_does_not_come_again_nor_one_that_was_undone(played: Played) -> None:
    uri, offset = renamed(played)
    (edit,) = asked(played, uri, offset)
    execute(played, "fimble.rejectNextEdit", *edit["command"]["arguments"])
    assert asked(played, uri, offset) == []

    uri = played.open("other.py", "python", SOURCE)
    played.type(uri, 9, 14, "breadth")
    (edit,) = asked(played, uri, offset)
    execute(played, "fimble.acceptNextEdit", *edit["command"]["arguments"])
    played.type(uri, 41, 46, "breadth")
    played.type(uri, 41, 48, "width")
    assert asked(played, uri, offset) == []


def test_an_insertion_at_the_cursor_is_ghost_text_where_there_is_no_completion(played: Played) -> None:
    uri = played.open("a.py", "python", "load(a)\n\nload(b)\n\nload(c)\n")
    played.type(uri, 6, 6, ", None")
    offset = played.type(uri, 21, 21, ", None")
    assert played.ask(uri, offset, "")["items"] == []
    cursor = played.documents[uri].source.index(b"(c)") + 2
    (item,) = played.ask(uri, cursor, "")["items"]
    assert item["insertText"] == ", None"
    assert item["range"]["start"] == item["range"]["end"]
    assert item["command"]["command"] == "fimble.acceptNextEdit"


def test_nothing_is_proposed_while_a_completion_is_shown(played: Played) -> None:
    uri, offset = renamed(played)
    assert played.ask(uri, offset, "_x", trigger=1)["items"]
    assert asked(played, uri, offset, trigger=2) == []
    assert asked(played, uri, offset)  # who asks is answered
    # A client that knows says whether the completion is still on the screen.
    assert asked(played, uri, offset, trigger=2, completion=True) == []
    assert asked(played, uri, offset, trigger=2, completion=False)


def test_nothing_is_parsed_on_the_event_loop(played: Played) -> None:
    uri, offset = renamed(played)
    assert asked(played, uri, offset)
    assert played.thread.loop.parses == 0
    assert played.thread.loop.parses_beside > 0


COUNTED = "def count(items):\n    limit = 1\n    return len(items)\n"


@pytest.mark.parametrize("known", [True, False])
def test_a_models_edit_comes_where_none_can_be_computed(tmp_path: Path, known: bool) -> None:
    """By the same requests and commands. known: whether it is known how the model is asked."""
    script = tmp_path / "model.json"
    new = COUNTED.replace("= 1", "= 2").replace("len(items)", "min(limit, len(items))")
    script.write_text(json.dumps([["limit = 2", f"```\n{new}```"]]), "utf-8")
    played = Played(edit_model=str(script), edit_format="instruct" if known else "")
    try:
        uri = played.open("count.py", "python", COUNTED)
        offset = played.type(uri, 30, 31, "2")
        edits = asked(played, uri, offset)
        if not known:
            assert edits == []
            (shown,) = played.client.notifications("window/showMessage")
            assert "set `edit_format`" in shown["message"]
            return
        (edit,) = edits
        assert edit["text"] == "min(limit, len(items)"
        assert edit["range"]["start"] == {"line": 2, "character": 11}
        status = played.client.status()["nextEdits"]
        assert status["kinds"] == {"model": 1}
        assert (status["model"]["state"], status["model"]["asked"]) == ("ready", 1)
        execute(played, "fimble.rejectNextEdit", *edit["command"]["arguments"])
        assert asked(played, uri, offset) == []
    finally:
        played.client.kill()


def action_of(editor: Editor, uri: str, offset: int) -> Any:
    found = [each for each in editor.offered(uri, offset) if "next edit" in each["title"]]
    assert len(found) == 1, found
    return found[0]["command"] if isinstance(found[0]["command"], dict) else found[0]


Start = Callable[..., StdioClient]
CLIENTS = ["code_server_1_139_vlc11", "eglot_emacs30_2", "helix_25_07_git20260723", "nvim_0_12_4"]


@pytest.mark.parametrize(
    "client", ["code_server_1_139_vlc11", "eglot_emacs30_2", "helix_25_07_git20260723", "nvim_0_12_4"]
)
def test_other_editors_have_it_as_a_code_action(start: Start, tmp_path: Path, client: str) -> None:
    folder = tmp_path / "w"
    folder.mkdir()
    editor = Editor(start, folder, [], client=client)
    uri = editor.open("shapes.py", SOURCE)
    assert not [each for each in editor.offered(uri, 9) if "next edit" in each["title"]]
    editor.type(uri, 9, 14, "breadth")
    command = action_of(editor, uri, 9)
    assert "(line 2)" in command["title"]
    assert editor.server.call("workspace/executeCommand", command_of(command))["result"] is None
    editor.server.wait(lambda: editor.edits, "the edit")
    assert editor.buffers[uri].text == SOURCE.replace("width", "breadth")
    # Without an identifier it is the edit that there is now, and there is none; nor for one that is made.
    editor.server.call("workspace/executeCommand", {"command": command["command"], "arguments": []})
    editor.server.wait(lambda: editor.server.notifications("window/showMessage"), "a message")
    editor.server.call("workspace/executeCommand", command_of(command))
    editor.server.wait(lambda: editor.server.notifications("window/showMessage")[1:], "a message")
    assert len(editor.edits) == 1
    assert editor.server.finish() == 0


def command_of(command: Any) -> dict[str, Any]:
    return {"command": command["command"], "arguments": command["arguments"]}


def test_edits_interleaved_with_typing_are_always_for_the_text_as_it_is(played: Played) -> None:
    """Random edits, with proposals that are accepted, rejected or typed past: each is for the version that there is,
    and what its range holds is what it says to replace."""
    rng = random.Random(3)
    lines = ["def area(width, height):", "    log.info(width)", "    log.info(height)", "    return width * height", ""]
    uri = played.open("long.py", "python", "\n".join(lines * 12))
    accepted = 0
    for _ in range(scaled(120)):
        document = played.documents[uri]
        line = rng.randrange(document.line_count)
        start, end = document.line_start(line), document.line_end(line)
        kind = rng.randrange(4)
        if kind == 0 and b"log" in document.line(line):
            start += document.line(line).index(b"log")
            offset = played.type(uri, start, start + 3, "logger")
        elif kind == 1 and b"(width" in document.line(line):
            start += document.line(line).index(b"width")
            offset = played.type(uri, start, start + 5, "breadth")
        elif kind == 2:
            offset = played.type(uri, end, end, rng.choice(["  # é", "\n    x = 1", "("]))
        else:
            offset = played.type(uri, start, end, "")
        for edit in asked(played, uri, offset):
            document = played.documents[uri]
            assert edit["textDocument"] == {"uri": uri, "version": document.version}
            ends = [edit["range"][name] for name in ("start", "end")]
            first, last = (document.offset(each["line"], each["character"], "utf-16") for each in ends)
            assert [point(*document.position(each, "utf-16")) for each in (first, last)] == ends
            assert document.source[first:last] != edit["text"].encode()
            if rng.random() < 0.6:
                played.type(uri, first, last, edit["text"])
                execute(played, "fimble.acceptNextEdit", *edit["command"]["arguments"])
                accepted += 1
            elif rng.random() < 0.5:
                execute(played, "fimble.rejectNextEdit", *edit["command"]["arguments"])
    assert accepted > 3
    assert played.client.status()["nextEdits"]["edits"] <= 32
