"""A client that asks again is told when more of what it shows is ready: once for each answer, and never too late."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lsp_server.backends.scripted import ScriptedBackend
from tests.support.inprocess import served
from tests.support.stdio import Message, StdioClient

if TYPE_CHECKING:
    from lsp_server.backends.base import Logits, ModelSpec

URI = "file:///w/a.py"
OURS = {"experimental": {"fimble": {"notifications": ["suggestionGrew"]}}}
FIRST, SECOND, THIRD = "    total = first + second", "    doubled = 2 * total", "    return doubled"
KNOWN = f"def add(first, second):\n{FIRST}\n{SECOND}\n{THIRD}\n"


class Stepwise(ScriptedBackend):
    """Writes on behind each of these texts when the test has let it."""

    gates: dict[bytes, threading.Event]

    def evaluate(self, sequence: int, position: int, tokens: Sequence[int], *, logits: int) -> list[Logits]:
        if len(tokens) == 1:
            held = b"".join(map(self.piece, [*self.tokens(sequence), *tokens]))
            for text, gate in self.gates.items():
                if held.endswith(text):
                    gate.wait(30)
        return super().evaluate(sequence, position, tokens, logits=logits)


class Session:
    """A client of a server whose model writes three lines, and stops in the midst of the first and of the second."""

    def __init__(self, capabilities: Message) -> None:
        self.gates = {b"total = fir": threading.Event(), b"doubled = 2": threading.Event()}

        def factory(spec: ModelSpec, progress: Callable[[float], bool]) -> Stepwise:
            backend = Stepwise(spec, progress, texts=[KNOWN.encode()])
            backend.gates = self.gates
            return backend

        self.client, _ = served(factory, answer_ms=20, prepare_next=False, max_tokens=200)
        self.client.initialize(capabilities)
        self.client.open(URI, "def add(first, second):\n")

    def shown(self) -> str:
        (item,) = self.client.inline(URI, 1, 0)
        text: str = item["insertText"]
        return text

    def grown(self) -> list[Message]:
        return self.client.notifications("fimble/suggestionGrew")

    def told(self, count: int) -> bool:
        return len(self.grown()) == count

    def go_on(self) -> None:
        next(gate for gate in self.gates.values() if not gate.is_set()).set()

    def close(self) -> None:
        for gate in self.gates.values():
            gate.set()
        assert self.client.finish() == 0
        self.client.kill()


@pytest.fixture
def start_session() -> Iterator[Callable[..., Session]]:
    sessions: list[Session] = []

    def start(capabilities: Message = OURS) -> Session:
        sessions.append(Session(capabilities))
        return sessions[-1]

    yield start
    for session in sessions:
        session.close()


def test_a_line_more_is_told_and_then_the_whole(start_session: Callable[..., Session]) -> None:
    session = start_session()
    assert FIRST.startswith(session.shown())
    session.go_on()
    session.client.wait(session.grown, "the first notification")
    assert session.grown() == [{"uri": URI, "version": 1, "position": {"line": 1, "character": 0}}]
    asked, shown = 1, session.shown()
    assert shown.startswith(FIRST)
    session.go_on()
    while shown != f"{FIRST}\n{SECOND}\n{THIRD}":
        asked += 1
        session.client.wait(partial(session.told, asked), "another notification")
        shown = session.shown()
    assert session.client.finish() == 0
    assert len(session.grown()) == asked, "nothing is told behind the whole"
    assert asked <= 4, "a line at a time, and the end"


def test_nothing_is_told_of_a_text_that_has_changed(start_session: Callable[..., Session]) -> None:
    session = start_session()
    assert FIRST.startswith(session.shown())
    session.client.change(URI, 2, "x = 1\n")
    for gate in session.gates.values():
        gate.set()
    session.client.inline(URI, 0, 5)
    assert session.client.finish() == 0
    assert [told["version"] for told in session.grown() if told["version"] == 1] == []


@pytest.mark.parametrize("experimental", [{}, {"fimble": None}, {"fimble": {"notifications": "all"}}, [], None])
def test_other_clients_are_told_nothing(start_session: Callable[..., Session], experimental: Any) -> None:
    session = start_session({"experimental": experimental})
    assert FIRST.startswith(session.shown())
    for gate in session.gates.values():
        gate.set()
    session.client.wait(lambda: session.shown() == f"{FIRST}\n{SECOND}\n{THIRD}", "the whole")
    assert session.client.finish() == 0
    assert not session.grown()


def test_what_was_asked_while_the_model_was_loading(start: Callable[..., StdioClient], tmp_path: Path) -> None:
    pipe = tmp_path / "model"
    os.mkfifo(pipe)
    server = start("serve", "--backend", "scripted", "--model", str(pipe))
    server.initialize(OURS, ready=False)
    server.open(URI, "x = ")
    assert server.inline(URI, 0, 4) == []
    pipe.write_text("known text")
    server.wait(lambda: server.notifications("fimble/suggestionGrew"), "the notification")
    assert len(server.inline(URI, 0, 4)) == 1
    assert server.finish() == 0
