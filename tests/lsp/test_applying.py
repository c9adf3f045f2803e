"""What an action meets when it is delivered: a document that changes meanwhile, test files in any state, a user who
cancels. The server runs in process, so that a test can hold it at any step."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from lsp_server.backends.scripted import ScriptedBackend
from lsp_server.features.actions import runner
from lsp_server.lsp import actions, applying
from tests.features.actions.cases import CASES
from tests.support.buffer import Buffer
from tests.support.editor import Editor
from tests.support.inprocess import ServerThread, served
from tests.support.stdio import SECONDS, StdioClient

CASE = CASES[0]
PYTHON_TESTS = "def test_total():\n    assert total([1], 0) == 1"
RUST = "pub fn total(a: &[i32]) -> usize {\n    a.len()\n}\n"
RUST_TESTS = "#[test]\nfn counts() {\n    assert_eq!(total(&[1]), 1);\n}"
TYPED = "// é😀 typed\n"
Make = Callable[[str], Editor]


@pytest.fixture
def threads() -> list[ServerThread]:
    return []


@pytest.fixture
def make(tmp_path: Path, threads: list[ServerThread], monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """An editor in a folder `w`, whose model answers one thing."""
    clients: list[StdioClient] = []

    def start(waits: Mapping[str, float]) -> StdioClient:
        for constant, seconds in waits.items():
            monkeypatch.setattr(constant, seconds)
        client, thread = served(ScriptedBackend)
        clients.append(client)
        threads.append(thread)
        return client

    def made(answer: str) -> Editor:
        (tmp_path / "w" / "tests").mkdir(parents=True)
        return Editor(start, tmp_path / "w", [("", f"```\n{answer}\n```")], formatEdits=False)

    yield made
    for client in clients:
        client.kill()


def typing_in_first_call(
    monkeypatch: pytest.MonkeyPatch, module: Any, name: str, editor: Editor, uri: Callable[[], str], text: str
) -> list[int]:
    """Has the user type at a document's beginning while `module.name` works for the first time, which it does on a
    worker thread. Returns what will hold an entry for each call."""
    calls: list[int] = []
    work = getattr(module, name)

    def typing(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            editor.type(uri(), 0, 0, text)
            editor.server.status()  # the server has read it
        return work(*arguments)

    monkeypatch.setattr(module, name, typing)
    return calls


def opened(editor: Editor, uri: str, text: str, language: str) -> str:
    """Opens a document under this very URI, and returns it."""
    editor.buffers[uri] = Buffer(uri, text, editor.encoding)
    editor.server.open(uri, text, language)
    return uri


def open_case(editor: Editor) -> tuple[str, int]:
    document, offset = CASE.document()
    return editor.open(CASE.path, document.source.decode(), "python"), offset


# A document that changes ----------------------------------------------------------------------------------


def test_an_edit_that_was_checked_for_another_text_is_not_sent(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    editor = make(CASE.new)
    uri, offset = open_case(editor)
    calls = typing_in_first_call(monkeypatch, applying, "syntax_objection", editor, lambda: uri, "# é\n")
    editor.choose(uri, "simplify", offset)
    assert editor.finished() == "edited"
    assert editor.buffers[uri].text == "# é\n" + CASE.expected()
    assert len(calls) == 2
    assert len(editor.edits) == 1
    assert not editor.refused


@pytest.mark.parametrize(("module", "calls"), [(runner, 1), (applying, 2)])
def test_tests_in_the_file_under_test_leave_alone_what_was_typed(
    make: Make, monkeypatch: pytest.MonkeyPatch, module: Any, calls: int
) -> None:
    """While the answer is read, and while the file is put together, which is then done once more. The editor spells its
    URI in a way of its own."""
    editor = make(RUST_TESTS)
    uri = opened(editor, (editor.folder / "shop.rs").as_uri().replace("shop", "%73hop"), RUST, "rust")
    made = typing_in_first_call(monkeypatch, module, "new_tests", editor, lambda: uri, TYPED)
    editor.choose(uri, "tests", RUST.index("total"))
    assert editor.finished() == "added (counts)"
    assert editor.buffers[uri].text.startswith(f"{TYPED}{RUST}\n#[cfg(test)]\nmod tests {{\n")
    assert len(made) == calls
    assert len(editor.edits) == 1
    assert not editor.refused


# Test files -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spelling", ["plain", "escaped", "host"])
@pytest.mark.parametrize("language", ["python", "rust"])
def test_an_open_file_is_itself_however_its_uri_is_spelt(
    make: Make, tmp_path: Path, language: str, spelling: str
) -> None:
    """Of the test file, and of the file under test where the tests go into that."""
    editor = make(PYTHON_TESTS if language == "python" else RUST_TESTS)
    name, text = ("tests/test_shop.py", "import os\n") if language == "python" else ("shop.rs", RUST)
    uri = (tmp_path / "w" / name).as_uri()
    uri = {"plain": uri, "escaped": uri.replace("shop", "%73hop"), "host": uri.replace("///", "//localhost/")}[spelling]
    (tmp_path / "w" / name).write_text("# on the disk\n")
    opened(editor, uri, text, language)
    source, offset = open_case(editor) if language == "python" else (uri, RUST.index("total"))
    editor.choose(source, "tests", offset)
    assert editor.finished().startswith("added (")
    assert editor.buffers[uri].text.startswith(text.rstrip())
    assert editor.buffers[uri].text != text
    assert not editor.files
    assert (tmp_path / "w" / name).read_text() == "# on the disk\n"


def test_a_file_that_is_not_in_utf_8_is_left_alone(make: Make, tmp_path: Path) -> None:
    editor = make(PYTHON_TESTS)
    file = tmp_path / "w" / "tests" / "test_shop.py"
    file.write_bytes("# Größe\n".encode("latin-1"))
    uri, offset = open_case(editor)
    editor.choose(uri, "tests", offset)
    assert editor.finished() == "test_shop.py is not in UTF-8"
    assert not editor.edits
    assert file.read_bytes() == b"# Gr\xf6\xdfe\n"


def test_places_in_a_file_with_a_mark_are_those_that_an_editor_shows(make: Make, tmp_path: Path) -> None:
    editor = make(PYTHON_TESTS)
    (tmp_path / "w" / "tests" / "test_shop.py").write_bytes(b"\xef\xbb\xbfimport os")
    uri, offset = open_case(editor)
    editor.choose(uri, "tests", offset)
    assert editor.finished().startswith("added (")
    (change,) = editor.edits[0]["edit"]["documentChanges"]
    assert change["edits"][0]["range"]["start"] == {"line": 0, "character": len("import os")}


# What looks for offers ------------------------------------------------------------------------------------


class Held:
    """A function of `actions` whose calls wait until they are let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        self.entered = threading.Semaphore(0)
        self.go_on = threading.Event()
        self.calls = 0
        self._work = getattr(actions, name)
        monkeypatch.setattr(actions, name, self._held)

    def _held(self, *arguments: Any) -> Any:
        self.calls += 1
        self.entered.release()
        assert self.go_on.wait(2 * SECONDS)
        return self._work(*arguments)


def test_an_action_that_is_cancelled_before_it_is_found_never_begins(
    make: Make, threads: list[ServerThread], monkeypatch: pytest.MonkeyPatch
) -> None:
    editor = make(CASE.new)
    uri, offset = open_case(editor)
    held = Held(monkeypatch, "offer_at")
    try:
        editor.choose(uri, "simplify", offset)
        assert held.entered.acquire(timeout=SECONDS)
        editor.server.call("workspace/executeCommand", {"command": "fimble.cancel", "arguments": []})
        finding = threads[0].server.actions._finding
        editor.server.wait(lambda: editor.server.ask("fimble/status") and not finding, "the end of it")
    finally:
        held.go_on.set()
    editor.choose(uri, "simplify", offset)
    assert editor.finished() == "edited"
    assert editor.buffers[uri].text == CASE.expected()
    assert len(editor.edits) == 1
    assert not editor.server.notifications("window/showMessage")


def test_offers_take_two_threads_however_often_a_client_asks(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """And gives up: a thread cannot be ended, but what waits for one is not begun."""
    editor = make(CASE.new)
    uri, offset = open_case(editor)
    held = Held(monkeypatch, "offers")
    params = {"textDocument": {"uri": uri}, "range": editor.where(uri, offset), "context": {"diagnostics": []}}
    try:
        asked = [editor.server.ask("textDocument/codeAction", params) for _ in range(6)]
        for _ in range(2):
            assert held.entered.acquire(timeout=SECONDS)
        for id in asked:
            editor.server.notify("$/cancelRequest", {"id": id})
        assert {editor.server.response(id)["error"]["code"] for id in asked} == {-32800}
        last = editor.server.ask("textDocument/codeAction", params)
        for _ in range(5):
            editor.server.status()
        assert held.calls == 2
    finally:
        held.go_on.set()
    assert editor.server.response(last)["result"]
    assert held.calls == 3
