"""The state that a client is shown: idle, loading, measuring, reading, writing, waiting, off or failed."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lsp_server.backends.scripted import ScriptedBackend
from tests.support.inprocess import served
from tests.support.stdio import Message, StdioClient

if TYPE_CHECKING:
    from lsp_server.backends.base import Logits, ModelSpec

Start = Callable[..., StdioClient]
URI = "file:///w/a.py"
OURS = {"experimental": {"fimble": {"notifications": ["state"]}}}
PROGRESS = {"window": {"workDoneProgress": True}}


def states(client: StdioClient) -> list[str]:
    return [told["state"] for told in client.notifications("fimble/state")]


def wait_state(client: StdioClient, state: str, text: str = "") -> Message:
    """Waits for the last state told to be this one."""

    def told() -> Message | None:
        last = client.notifications("fimble/state")[-1:]
        return last[0] if last and last[0]["state"] == state and text in last[0]["text"] else None

    found: Message = client.wait(told, f"the state {state}")
    return found


class Held(ScriptedBackend):
    """Holds its work before the step that a test names, until the test lets it go."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.gates: dict[str, threading.Event] = {}
        self.rests = 0

    def evaluate(self, sequence: int, position: int, tokens: Sequence[int], *, logits: int) -> list[Logits]:
        self._pass("reading" if len(tokens) > 1 else "writing")
        return super().evaluate(sequence, position, tokens, logits=logits)

    def rest(self) -> bool:
        if "measuring" in self.gates:
            self.rests += 1
            return self.rests < 2 or not self.gates["measuring"].wait(0.05)
        return False

    def _pass(self, step: str) -> None:
        if (gate := self.gates.get(step)) is not None:
            gate.wait(30)


class HeldServer:
    """A server in this process whose model waits where a test wants it."""

    def __init__(self, capabilities: Message, *held: str, **settings: Any) -> None:
        self.gates = {name: threading.Event() for name in held}

        def factory(spec: ModelSpec, progress: Callable[[float], bool]) -> Held:
            backend = Held(spec, progress)
            backend.gates = self.gates
            return backend

        self.client, _ = served(factory, **settings)
        self.client.initialize(capabilities)

    def close(self) -> None:
        for gate in self.gates.values():
            gate.set()
        assert self.client.finish() == 0
        self.client.kill()


@pytest.fixture
def held() -> Any:
    servers: list[HeldServer] = []

    def start(capabilities: Message, *names: str, **settings: Any) -> HeldServer:
        servers.append(HeldServer(capabilities, *names, **settings))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def test_loading_idle_and_off(start: Start, tmp_path: Path) -> None:
    pipe = tmp_path / "model"
    os.mkfifo(pipe)
    server = start("serve", "--backend", "scripted", "--model", str(pipe))
    server.initialize(OURS, ready=False)
    wait_state(server, "loading", "loading the model")
    pipe.write_text("known text")
    wait_state(server, "idle")
    assert server.status()["state"] == {"state": "idle", "what": "completion", "percent": None, "text": ""}
    server.notify("workspace/didChangeConfiguration", {"settings": {"fimble": {"enabled": False}}})
    wait_state(server, "off", "`enabled`")
    assert states(server) == ["loading", "idle", "off"]
    assert server.finish() == 0


def test_a_model_that_cannot_be_loaded(start: Start, tmp_path: Path) -> None:
    server = start("serve", "--backend", "scripted", "--model", str(tmp_path / "missing"))
    server.initialize(OURS, ready=False)
    assert "missing" in wait_state(server, "failed")["text"]
    assert server.finish() == 0


@pytest.mark.parametrize("work", ["reading", "writing"])
def test_reading_and_writing(held: Callable[..., HeldServer], work: str) -> None:
    server = held(OURS, work)
    server.client.open(URI, "first = 1\n" * 40 + "x = ")
    asked = server.client.ask("textDocument/inlineCompletion", _params(40, 4))
    told = wait_state(server.client, work)
    assert told["what"] == "completion"
    assert (told["percent"] is not None) == (work == "reading")
    server.gates[work].set()
    server.client.response(asked)
    wait_state(server.client, "idle")


def test_measuring_gives_way_to_work(held: Callable[..., HeldServer], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lsp_server.engine.core.IDLE_SECONDS", 0.01)
    server = held(OURS, "measuring")
    wait_state(server.client, "measuring")
    server.client.open(URI, "x = ")
    assert server.client.call("textDocument/inlineCompletion", _params(0, 4))["result"]["items"]
    server.gates["measuring"].set()
    wait_state(server.client, "idle")


def test_an_action_is_told_as_one(held: Callable[..., HeldServer], tmp_path: Path) -> None:
    script = tmp_path / "replies.json"
    script.write_text(json.dumps([["Explain", "It **adds**."]]))
    server = held(OURS, "writing", chat_model=str(script))
    server.client.open(URI, "def add(a, b):\n    return a + b\n")
    where = {"start": {"line": 1, "character": 4}, "end": {"line": 1, "character": 4}}
    command = {"action": "explain", "uri": URI, "range": where}
    server.client.call("workspace/executeCommand", {"command": "fimble.action", "arguments": [command]})
    assert wait_state(server.client, "writing")["what"] == "action"
    server.gates["writing"].set()
    wait_state(server.client, "idle")


def test_what_is_done_between_two_keys_is_not_told(start: Start) -> None:
    """Idle is told once, when the model is there, and nothing for work that takes no time."""
    server = start()
    server.initialize(OURS)
    server.open(URI, "x = ")
    for version in range(2, 30):
        server.change(URI, version, "x = " + "a" * version)
        server.inline(URI, 0, 4 + version)
    wait_state(server, "idle")
    assert server.finish() == 0
    assert [state for state in states(server) if state in ("reading", "writing")] == []


def test_a_client_without_the_notification_is_shown_a_progress(held: Callable[..., HeldServer]) -> None:
    server = held(PROGRESS, "reading")
    server.client.open(URI, "first = 1\n" * 40 + "x = ")
    shown = server.client.wait(
        lambda: [v for v in _values(server.client) if "reading the file" in v.get("message", "")], "the progress"
    )
    assert shown[0]["kind"] == "begin"
    server.gates["reading"].set()
    server.client.wait(lambda: _values(server.client)[-1]["kind"] == "end", "its end")
    assert not server.client.notifications("fimble/state")


def _values(client: StdioClient) -> list[Message]:
    return [params["value"] for params in client.notifications("$/progress")]


def _params(line: int, character: int) -> Message:
    position = {"line": line, "character": character}
    return {"textDocument": {"uri": URI}, "position": position, "context": {"triggerKind": 2}}
