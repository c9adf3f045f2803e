"""LSP4IJ, the client in JetBrains IDEs, emulated as its sources and documents describe it: no IDE ran here.

It asks 300 ms after a key, always as Automatic; it inserts an item's text as it is and runs no command of it; it
never answers a `window/showDocument` without a selection. The pauses are virtual: nothing here waits.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.support.editor import Editor
from tests.support.stdio import SERVE, Message, StdioClient, inline_params

Start = Callable[..., StdioClient]
DEBOUNCE_MS = 300
KINDS = [
    "quickfix",
    "refactor",
    "refactor.extract",
    "refactor.inline",
    "refactor.rewrite",
    "source",
    "source.organizeImports",
]
# What ClientCapabilitiesFactory in its sources declares of what concerns fimble, and inline completion, from 0.20 on.
CAPABILITIES: Message = {
    "general": {"positionEncodings": ["utf-16"]},
    "window": {"workDoneProgress": True, "showDocument": {"support": True}},
    "workspace": {
        "applyEdit": True,
        "configuration": True,
        "workspaceFolders": True,
        "didChangeConfiguration": {"dynamicRegistration": True},
        "workspaceEdit": {"documentChanges": True, "resourceOperations": ["create", "delete", "rename"]},
    },
    "textDocument": {
        "inlineCompletion": {"dynamicRegistration": True},
        "completion": {"completionItem": {"snippetSupport": True}},
        "codeAction": {
            "codeActionLiteralSupport": {"codeActionKind": {"valueSet": KINDS}},
            "resolveSupport": {"properties": ["edit"]},
            "dataSupport": True,
        },
        "hover": {"contentFormat": ["markdown", "plaintext"]},
    },
}
KNOWN = """\
def area_of(width, height):
    product = width * height
    return abs(product)


TOTAL = area_of(3, 4)
"""
TEMPLATE = ROOT / "editors" / "jetbrains"
FUNCTION = "def add(first, second):\n    result = first + second\n    return result\n"
SIMPLIFIED = "def add(first, second):\n    return first + second\n"


class Lsp4ij(Editor):
    """One file in an IDE. asked: the requests for inline completions. silent: `showDocument` that it did not answer."""

    def __init__(self, start: Start, tmp_path: Path, text: str = "") -> None:
        folder, script = tmp_path / "w", tmp_path / "known.py"
        folder.mkdir()
        script.write_text(KNOWN)
        given = {
            "clientInfo": {"name": "IntelliJ IDEA", "version": "2026.1"},
            "capabilities": CAPABILITIES,
            "trace": "off",
        }
        replies = [("shorter and easier", f"```\n{SIMPLIFIED}```"), ("Explain", "It **adds**.")]
        options = json.loads((TEMPLATE / "initializationOptions.json").read_text("utf-8"))
        settings = json.loads((TEMPLATE / "settings.json").read_text("utf-8"))
        self.asked_settings: list[str] = []

        def configuration(params: Message) -> list[Message | None]:
            sections = [item["section"] for item in params["items"]]
            self.asked_settings += sections
            return [settings.get(section) for section in sections]

        def started(**options: Any) -> StdioClient:
            server = start(*SERVE, "--model", str(script), **options)
            server.answers["workspace/configuration"] = configuration
            return server

        super().__init__(started, folder, replies, initialize=given, **options)
        self.silent: list[Message] = []
        self.asked: list[int] = []
        self.item: Message | None = None
        self._now_ms = self._due_ms = 0.0
        self.uri = self.open("first.py", text)
        self.server.answers["window/showDocument"] = self._show_with_selection

    def _show_with_selection(self, params: Message) -> Message:
        if "selection" not in params:
            self.silent.append(params)
        return self._show(params)  # raises where there is no selection

    def key(self, text: str, gap_ms: float) -> None:
        """Types at the end, so long after the last key. What was shown is gone, and asked for when the time is up."""
        self.pause(gap_ms)
        end = len(self.buffers[self.uri].text)
        self.type(self.uri, end, end, text)
        self.item = None
        self._due_ms = self._now_ms + DEBOUNCE_MS

    def pause(self, gap_ms: float) -> None:
        """Lets time pass. If that is long enough after a key, it asks and shows the answer."""
        self._now_ms += gap_ms
        if not self._due_ms or self._now_ms < self._due_ms:
            return
        self._due_ms = 0
        line, character = self.buffers[self.uri].position(len(self.buffers[self.uri].text))
        id = self.server.ask("textDocument/inlineCompletion", inline_params(self.uri, line, character))
        self.asked.append(id)
        answer = self.server.response(id)["result"]
        items = answer["items"] if isinstance(answer, dict) else answer or []
        self.item = items[0] if items else None

    def accept(self) -> str:
        """Puts the suggestion into the text as it stands in the item, and does not run the item's command."""
        assert self.item is not None, "nothing is shown"
        text: str = self.item["insertText"]
        where = self.item["range"]
        self.type(self.uri, self.offset(self.uri, where["start"]), self.offset(self.uri, where["end"]), text)
        self.item = None
        self._due_ms = self._now_ms + DEBOUNCE_MS
        return text


@pytest.fixture
def editor(start: Start, tmp_path: Path) -> Lsp4ij:
    return Lsp4ij(start, tmp_path)


def test_it_gets_inline_completions_and_no_menu(editor: Lsp4ij) -> None:
    assert "inlineCompletionProvider" in editor.announced
    assert "completionProvider" not in editor.announced
    assert editor.announced["positionEncoding"] == "utf-16"
    editor.server.status()
    assert editor.asked_settings == ["fimble"]
    assert editor.server.finish() == 0
    assert not editor.server.notifications("window/showMessage"), "the template's settings are good"


def test_one_request_for_each_pause_and_one_answer_for_each_request(editor: Lsp4ij) -> None:
    typed = "def area_of(width, height):\n    product = "
    for number, character in enumerate(typed):
        editor.key(character, 400 if number % 7 == 0 else 60)
    editor.pause(DEBOUNCE_MS)
    pauses = len([number for number in range(1, len(typed)) if number % 7 == 0]) + 1
    assert len(editor.asked) == pauses
    assert editor.item is not None
    assert editor.item["insertText"].startswith("width * height")
    assert "insertTextFormat" not in editor.item
    responses = editor.server.responses()
    assert all(len(responses[id]) == 1 and "error" not in responses[id][0] for id in editor.asked)
    assert editor.server.finish() == 0


def test_what_is_accepted_without_a_command_is_followed(editor: Lsp4ij) -> None:
    """The server learns of it from the text alone. Suggestions go on until the text that the model knows is there."""
    editor.key(KNOWN[:16], 0)
    for _ in range(20):
        editor.pause(DEBOUNCE_MS)
        if editor.item is None:
            if editor.buffers[editor.uri].text == KNOWN.rstrip("\n"):
                break
            editor.key(KNOWN[len(editor.buffers[editor.uri].text)], 0)
            continue
        editor.accept()
        assert KNOWN.startswith(editor.buffers[editor.uri].text)
    assert editor.buffers[editor.uri].text.startswith(KNOWN[: KNOWN.index("\n\n")])
    assert editor.server.status()["requests"]["counts"]["empty"] < len(editor.asked)
    assert editor.server.finish() == 0


def test_characters_beyond_the_first_plane_count_two(start: Start, tmp_path: Path) -> None:
    editor = Lsp4ij(start, tmp_path, "# 😀😀 é\n")
    editor.key("name = '😀'; def area_of(width, hei", 0)
    editor.pause(DEBOUNCE_MS)
    assert editor.item is not None
    assert editor.accept().startswith("ght):")
    assert "😀'; def area_of(width, height):" in editor.buffers[editor.uri].text


def test_actions_come_as_edits_and_explanations_with_a_selection(start: Start, tmp_path: Path) -> None:
    editor = Lsp4ij(start, tmp_path, FUNCTION)
    editor.choose(editor.uri, "explain", 6)
    assert editor.finished() == "explained"
    assert "It **adds**." in editor.shown[0]
    assert not editor.silent, "without a selection LSP4IJ would never answer"
    editor.choose(editor.uri, "simplify", 6)
    assert editor.finished(2) == "edited"
    assert editor.buffers[editor.uri].text == SIMPLIFIED
    assert not editor.refused
    assert editor.server.finish() == 0
