"""Entries of a completion menu: how long each client's menu waits, what an entry is called, and what opens it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import pytest

from lsp_server.backends.scripted import ScriptedBackend
from tests.support.editor import recorded
from tests.support.inprocess import served
from tests.support.stdio import Message

if TYPE_CHECKING:
    from lsp_server.backends.base import Logits, ModelSpec

URI = "file:///w/a.py"


@pytest.mark.parametrize(
    ("client", "waits"), [("helix_25_07_git20260723", True), ("eglot_emacs30_2", False)], ids=["helix", "eglot"]
)
def test_a_menu_that_adds_late_answers_waits_for_the_whole(client: str, waits: bool) -> None:
    """The model goes on when the half second of the other menus is over."""
    gate = threading.Event()

    class Held(ScriptedBackend):
        def evaluate(self, sequence: int, position: int, tokens: Sequence[int], *, logits: int) -> list[Logits]:
            gate.wait(30)
            return super().evaluate(sequence, position, tokens, logits=logits)

    def factory(spec: ModelSpec, progress: Callable[[float], bool]) -> ScriptedBackend:
        return Held(spec, progress, texts=[b"first = largest_of_all(second)\n"])

    server, _ = served(factory)
    announced = server.initialize(**recorded(client) | {"processId": None})
    assert ("triggerCharacters" in announced["completionProvider"]) == waits
    server.open(URI, "first = largest_")
    params = {"textDocument": {"uri": URI}, "position": {"line": 0, "character": 16}}
    asked = server.ask("textDocument/completion", params)
    if not waits:
        answer: Message = server.response(asked)["result"]
        assert answer == {"isIncomplete": True, "items": []}
        assert "this menu does not wait longer" in server.status()["requests"]["whyLastEmpty"]
        gate.set()
    else:
        threading.Timer(0.7, gate.set).start()
        (item,) = server.response(asked)["result"]["items"]
        assert item["label"] == "largest_of_all(second) · fimble"
        assert item["filterText"] == item["textEdit"]["newText"] == "largest_of_all(second)"
    assert server.finish() == 0
    server.kill()
