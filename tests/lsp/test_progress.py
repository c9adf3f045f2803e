"""Progress of the model's loading, for clients that show it; and what is answered meanwhile."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.editor import recorded
from tests.support.stdio import Message, StdioClient

Start = Callable[..., StdioClient]
PROGRESS = {"window": {"workDoneProgress": True}}


def progress(server: StdioClient) -> dict[str, list[str]]:
    """The kinds of the reports, by token, in order; every token must have been created before."""
    created: list[str] = []
    kinds: dict[str, list[str]] = {}
    for message in server.messages:
        if message.get("method") == "window/workDoneProgress/create":
            created.append(message["params"]["token"])
        elif message.get("method") == "$/progress":
            token = message["params"]["token"]
            assert token in created
            kinds.setdefault(token, []).append(message["params"]["value"]["kind"])
    assert len(created) == len(set(created)) == len(kinds)
    return kinds


def assert_whole(kinds: list[str]) -> None:
    assert kinds[0] == "begin"
    assert kinds[-1] == "end"
    assert set(kinds[1:-1]) <= {"report"}


def test_begin_reports_and_end(start: Start) -> None:
    server = start()
    server.initialize(PROGRESS)
    assert server.finish() == 0
    (kinds,) = progress(server).values()
    assert_whole(kinds)
    values = [message["value"] for message in server.notifications("$/progress")]
    assert "fimble" in values[0]["title"]
    assert "scripted" in values[-1]["message"]
    assert not server.stderr


def test_a_progress_for_each_load(start: Start) -> None:
    server = start()
    server.initialize(PROGRESS)
    server.notify("workspace/didChangeConfiguration", {"settings": {"fimble": {"residentPrompts": 2}}})
    server.model_ready(2)
    assert server.finish() == 0
    found = progress(server)
    assert len(found) == 2
    for kinds in found.values():
        assert_whole(kinds)


@pytest.mark.parametrize(
    ("client", "title"),
    [
        ("helix_25_07_git20260723", "loading the model"),  # it writes "fimble: " before it
        ("nvim_0_12_4", "fimble: loading the model"),
        ("code_server_1_139_vlc11", "fimble: loading the model"),
    ],
)
def test_the_title_says_whose_it_is_once(start: Start, client: str, title: str) -> None:
    server = start()
    server.initialize(**recorded(client) | {"processId": None})
    assert server.finish() == 0
    assert [value["title"] for value in map(_value, server.notifications("$/progress")) if "title" in value] == [title]


def _value(params: Message) -> Message:
    value: Message = params["value"]
    return value


def test_it_ends_when_loading_fails_and_the_reason_is_shown(start: Start, tmp_path: Path) -> None:
    server = start("serve", "--backend", "scripted", "--model", str(tmp_path / "missing"))
    server.initialize(PROGRESS, ready=False)
    server.message(lambda m: m.get("method") == "window/showMessage", "the error")
    assert server.finish() == 0
    for kinds in progress(server).values():
        assert_whole(kinds)
    assert [shown["type"] for shown in server.notifications("window/showMessage")] == [1]


@pytest.mark.parametrize("capabilities", [{}, {"window": {}}, {"window": {"workDoneProgress": False}}])
def test_none_for_a_client_without(start: Start, capabilities: Message) -> None:
    server = start()
    server.initialize(capabilities)
    assert server.finish() == 0
    assert not progress(server)


@pytest.mark.parametrize("create", ["refused", "unanswered"])
def test_a_client_that_does_not_create_it_blocks_nothing(start: Start, create: str) -> None:
    server = start()
    del server.answers["window/workDoneProgress/create"]
    if create == "refused":
        server.answers["window/workDoneProgress/create"] = lambda params: 1 / 0
    server.initialize(PROGRESS)
    server.open("file:///w/a.py", "x = ")
    assert len(server.inline("file:///w/a.py", 0, 4)) == 1
    assert server.finish() == 0


def why(server: StdioClient, line: int) -> str:
    """Why nothing appears at a line, as editors ask it."""
    place = {"textDocument": {"uri": "file:///w/a.py"}, "position": {"line": line, "character": 0}}
    reason: str = server.call("fimble/status", place)["result"]["why"]
    return reason


def test_the_reason_is_that_of_the_place_with_its_age(start: Start) -> None:
    server = start()
    server.initialize()
    server.open("file:///w/a.py", "x = 1  # it is why\n\n\ny = \n")
    assert why(server, 0) == "nothing has been asked for in this file yet"
    assert server.inline("file:///w/a.py", 0, 11) == []
    assert len(server.inline("file:///w/a.py", 3, 4)) == 1
    assert re.fullmatch(r"here, (just now|\d+ s ago): the cursor is inside a comment; .+", why(server, 0))
    assert re.fullmatch(r"here, (just now|\d+ s ago): there was a suggestion, after \d+ ms", why(server, 3))
    assert re.fullmatch(r"on line 4, (just now|\d+ s ago): there was a suggestion, after \d+ ms", why(server, 1))
    assert "why" not in server.status()
    assert server.finish() == 0


def test_requests_while_loading_are_answered_at_once(start: Start, tmp_path: Path) -> None:
    """The model's file is a pipe that nobody has written to yet, so that loading lasts until the test lets go."""
    import os

    pipe = tmp_path / "model"
    os.mkfifo(pipe)
    server = start("serve", "--backend", "scripted", "--model", str(pipe))
    server.initialize(PROGRESS, ready=False)
    server.open("file:///w/a.py", "x = ")
    server.message(lambda m: m.get("method") == "$/progress", "the begin")
    assert server.inline("file:///w/a.py", 0, 4) == []
    status = server.status()
    assert status["model"]["state"] == "loading"
    assert "loading" in status["requests"]["whyLastEmpty"]
    assert re.fullmatch(r"the model is loading \(\d+%\)", why(server, 0))
    pipe.write_text("known text")
    server.model_ready()
    assert re.fullmatch(r"here, (just now|\d+ s ago): the model is loading \(\d+%\)", why(server, 0))
    assert len(server.inline("file:///w/a.py", 0, 4)) == 1
    assert re.fullmatch(r"here, just now: there was a suggestion, after \d+ ms", why(server, 0))
    assert server.finish() == 0
