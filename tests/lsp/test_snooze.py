"""Snoozing: nothing unasked for a while, or in a file until it is closed; what is asked for still comes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.stdio import Message, StdioClient, inline_params

Start = Callable[..., StdioClient]
ONE, OTHER = "file:///w/one.py", "file:///w/other.py"
OURS = {"experimental": {"fimble": {"notifications": ["state"]}}}


@pytest.fixture
def server(start: Start) -> StdioClient:
    found = start()
    found.initialize(OURS)
    for uri in (ONE, OTHER):
        found.open(uri, "x = ")
    return found


def execute(server: StdioClient, command: str, *arguments: Any) -> Message:
    return server.call("workspace/executeCommand", {"command": command, "arguments": list(arguments)})


def asked(server: StdioClient, uri: str) -> list[Message]:
    """The items that an explicit request gets."""
    items: list[Message] = server.call("textDocument/inlineCompletion", inline_params(uri, 0, 4, 1))["result"]["items"]
    return items


def last_state(server: StdioClient) -> str:
    return next((told["state"] for told in reversed(server.notifications("fimble/state"))), "")


def test_everything_for_a_while_and_on_again(server: StdioClient) -> None:
    assert "snoozed until " in execute(server, "fimble.snooze")["result"]
    assert server.inline(ONE, 0, 4) == []
    assert "snoozed until" in server.status()["requests"]["whyLastEmpty"]
    assert asked(server, ONE)
    server.wait(lambda: last_state(server) == "off", "the state")
    assert execute(server, "fimble.wake", {})["result"] == "completions are on"
    assert server.inline(ONE, 0, 4)
    server.wait(lambda: last_state(server) == "idle", "the state")
    assert server.finish() == 0


def test_one_file_until_it_is_closed(server: StdioClient) -> None:
    execute(server, "fimble.snooze", {"uri": ONE})
    place = {"textDocument": {"uri": ONE}, "position": {"line": 0, "character": 4}}
    assert "snoozed in this file" in server.call("fimble/status", place)["result"]["why"]
    assert server.inline(ONE, 0, 4) == []
    assert asked(server, ONE)
    assert server.inline(OTHER, 0, 4)
    server.notify("textDocument/didClose", {"textDocument": {"uri": ONE}})
    server.open(ONE, "x = ")
    assert server.inline(ONE, 0, 4)
    assert server.finish() == 0


def test_nothing_is_evaluated_ahead_meanwhile(server: StdioClient) -> None:
    server.wait(lambda: server.status()["queue"]["running"] == 0, "what was begun")
    execute(server, "fimble.snooze", {"minutes": 5})
    before = server.status()["totals"]
    for version in range(2, 12):
        server.change(ONE, version, "y = 1\n" * version)
        server.inline(ONE, version, 0)
    assert server.status()["totals"] == before
    assert server.finish() == 0


@pytest.mark.parametrize("wrong", [{"minutes": 0}, {"minutes": 100_000}, {"minutes": "long"}, {"uri": 3}, 7])
def test_a_wrong_argument_is_named_and_changes_nothing(server: StdioClient, wrong: Any) -> None:
    assert "fimble.snooze" in execute(server, "fimble.snooze", wrong)["error"]["message"]
    assert server.inline(ONE, 0, 4)
    assert server.finish() == 0


@pytest.mark.parametrize(
    ("pattern", "is_off"), [("one.py", True), ("*.py", True), ("w/*.py", True), ("two.py", False), ("", False)]
)
def test_files_by_a_setting(start: Start, pattern: str, is_off: bool) -> None:
    server = start()
    server.initialize(rootUri="file:///", initializationOptions={"disabledFiles": [pattern]})
    server.open(ONE, "x = ")
    assert (server.inline(ONE, 0, 4) == []) == is_off
    assert asked(server, ONE)
    if is_off:
        assert "`disabled_files`" in server.status()["requests"]["recent"][0]["reason"]
    assert server.finish() == 0
