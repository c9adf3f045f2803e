"""Code actions through the server, for clients with the capabilities of the recorded ones."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types

from lsp_server.lsp.malformed import shared_converter
from tests.features.actions.cases import CASES, Case
from tests.support.editor import Editor
from tests.support.effort import scaled
from tests.support.stdio import StdioClient, needs_own_engine

Start = Callable[..., StdioClient]
RECORDED = [
    "coc_0_0_82_vim9",
    "code_server_1_139_vlc11",
    "eglot_emacs30_2",
    "helix_25_07_git20260723",
    "lsp_mode_10_0_0",
    "nvim_0_11_4",
    "nvim_0_12_4",
]
BY_ID = {case.id: case for case in CASES}
PYTHON = BY_ID["python_function"]


def fenced(text: str) -> str:
    return f"Here it is:\n```\n{text}\n```\nDone."


def editor_of(start: Start, tmp_path: Path, *replies: tuple[str, str], **options: Any) -> Editor:
    folder = tmp_path / "w"
    folder.mkdir(exist_ok=True)
    return Editor(start, folder, list(replies), **options)


def open_case(editor: Editor, case: Case) -> tuple[str, int]:
    """The document's URI and an offset, in characters, inside the function."""
    document, offset = case.document()
    text = document.source.decode()
    return editor.open(case.path, text, case.language), len(document.source[:offset].decode())


TEST_ANSWER = fenced("from shop import total\n\ndef test_total():\n    assert total([1], 0) == 1")
TEST_FILE = "from shop import total\n\n\ndef test_total():\n    assert total([1], 0) == 1\n"


@pytest.mark.parametrize("client", RECORDED)
def test_every_client_gets_what_it_can_take(start: Start, tmp_path: Path, client: str) -> None:
    """A rewriting, an explanation with its hover, and tests in a new file, with one client's capabilities."""
    case = BY_ID["typescript_method"]
    replies = [("in stack.ts", fenced(case.new)), ("unit tests", TEST_ANSWER), ("Explain", "It **adds** the prices.")]
    editor = editor_of(start, tmp_path, *replies, client=client)
    uri, offset = open_case(editor, case)
    assert editor.choose(uri, "simplify", offset)["result"] is None
    assert editor.finished() == "edited"
    assert editor.buffers[uri].text == case.expected()

    uri, offset = open_case(editor, PYTHON)
    editor.choose(uri, "explain", offset)
    assert editor.finished(2) == "explained"
    assert "It **adds** the prices." in editor.shown[0]
    params = {"textDocument": {"uri": uri}, "position": editor.where(uri, offset + 30)["start"]}
    assert "adds" in editor.server.call("textDocument/hover", params)["result"]["contents"]["value"]
    elsewhere = {"textDocument": {"uri": uri}, "position": {"line": 0, "character": 0}}
    assert editor.server.call("textDocument/hover", elsewhere)["result"] is None
    editor.type(uri, offset + 40, offset + 40, "x")
    assert editor.server.call("textDocument/hover", params)["result"] is None

    editor.choose(uri, "tests", offset)
    message = editor.finished(3)
    assert message == "created test_shop.py (test_total)"
    assert editor.files == {(tmp_path / "w" / "tests" / "test_shop.py").as_uri(): TEST_FILE}
    editor.server.wait(lambda: editor.requests, "the offer to run the tests")
    asked = [each["edit"].get("changeAnnotations", {}) for each in editor.edits]
    needed = [[each["needsConfirmation"] for each in annotations.values()] for annotations in asked]
    assert needed in ([[], []], [[False], [True]])  # a new file is asked about, what one sees at the cursor is not
    assert not editor.refused
    assert editor.server.finish() == 0


def test_every_language(start: Start, tmp_path: Path) -> None:
    replies = [(f"in {case.path}:", fenced(case.new)) for case in CASES]
    editor = editor_of(start, tmp_path, *replies, formatEdits=False)
    for number, case in enumerate(CASES, 1):
        uri, offset = open_case(editor, case)
        editor.choose(uri, "simplify", offset)
        assert editor.finished(number) == "edited"
        assert editor.buffers[uri].text == case.expected()
        annotations = editor.edits[-1]["edit"]["changeAnnotations"]
        assert [each["needsConfirmation"] for each in annotations.values()] == [False]


def test_a_fix_that_belongs_elsewhere_moves_along_with_what_is_typed_meanwhile(start: Start, tmp_path: Path) -> None:
    """The diagnostic stands at an import; the answer is the function below it, above which a line is typed."""
    editor = editor_of(start, tmp_path, ("", fenced(PYTHON.new)), formatEdits=False)
    uri, _ = open_case(editor, PYTHON)
    at = PYTHON.source.index("import math")
    problem = {"range": editor.where(uri, at, at + 11), "message": "prices may be empty"}
    editor.choose(uri, "fix", at, at + 11, diagnostics=[problem])
    editor.type(uri, at + 12, at + 12, "import os\n")
    assert editor.finished() == "edited"
    assert editor.buffers[uri].text == PYTHON.expected().replace("import math\n", "import math\nimport os\n")


@pytest.mark.parametrize(("client", "tags"), [("code_server_1_139_vlc11", [1]), ("nvim_0_12_4", None)])
def test_actions_are_marked_as_a_models_work_where_the_client_shows_it(
    start: Start, tmp_path: Path, client: str, tags: list[int] | None
) -> None:
    """And a cursor that comes to a blank line by itself lights no bulb."""
    editor = editor_of(start, tmp_path, client=client)
    uri = editor.open("a.py", "def f(a):\n    b = a + 1\n\n    return b\n")
    blank = len("def f(a):\n    b = a + 1\n")
    found = [each for each in editor.offered(uri, blank) if "Check" not in each["title"]]
    assert {tuple(each.get("tags") or ()) for each in found} == {tuple(tags or ())}
    assert all(("tags" in each) == bool(tags) for each in found)
    assert all("tags" not in each for each in editor.offered(uri, blank) if each not in found), "that asks no model"
    assert editor.offered(uri, blank, triggerKind=1) == editor.offered(uri, blank)
    assert editor.offered(uri, blank, triggerKind=2) == []
    assert editor.offered(uri, 0, triggerKind=2) == editor.offered(uri, 0)


def test_a_client_without_documents_gets_a_message(start: Start, tmp_path: Path) -> None:
    editor = editor_of(start, tmp_path, ("", "It adds."))
    editor.server.answers["window/showDocument"] = lambda params: {"success": False}
    uri, offset = open_case(editor, PYTHON)
    editor.choose(uri, "explain", offset)
    editor.finished()
    assert "It adds." in editor.server.notifications("window/showMessage")[-1]["message"]


def test_edits_interleaved_with_typing_never_land_at_a_wrong_place(start: Start, tmp_path: Path) -> None:
    """Random changes while actions run, about eight for each. A change in the function ends its action without an
    edit; others move it along. What stands around the function is what was typed, to the letter."""
    rng = random.Random(5)
    case = PYTHON
    editor = editor_of(start, tmp_path, ("", fenced(case.new)), formatEdits=False)
    texts = {"head": "", "tail": "", "function": case.old}
    head, tail = case.source.split("@@")
    wrong: list[str] = []
    apply = editor.server.answers["workspace/applyEdit"]

    def applying(params: Any) -> Any:
        with editor.lock:
            answer = apply(params)
            if answer["applied"]:
                texts["function"], was = case.new, texts["function"]
                if was != case.old or editor.buffers[uri].text != texts["head"] + case.new + texts["tail"]:
                    wrong.append(editor.buffers[uri].text)
            return answer

    editor.server.answers["workspace/applyEdit"] = applying
    edited, rounds = 0, scaled(18)
    for round in range(rounds):
        texts |= {"head": head, "tail": tail, "function": case.old}
        uri = editor.open(f"shop{round}.py", head + case.old + tail)
        editor.choose(uri, "simplify", len(head) + 2)
        for _ in range(rng.randrange(4, 14)):
            with editor.lock:
                part = rng.choice(["head"] * 6 + ["tail"] * 6 + ["function"])
                before = texts["head"] if part != "head" else ""
                before += texts["function"] if part == "tail" else ""
                starts = [match.start() for match in re.finditer("(?m)^(?=.)", texts[part])]
                at = rng.choice(starts[1:]) if part == "function" else rng.choice(starts)
                texts[part] = texts[part][:at] + "# é😀\n" + texts[part][at:]
                editor.type(uri, len(before) + at, len(before) + at, "# é😀\n")
        edited += editor.finished(round + 1) == "edited"
        assert editor.buffers[uri].text == texts["head"] + texts["function"] + texts["tail"]
    assert not wrong
    assert rounds // 12 <= edited < rounds  # both ends of the matter were seen


def test_tests_are_added_to_an_open_file(start: Start, tmp_path: Path) -> None:
    answer = fenced("import math\n\ndef test_total():\n    assert total([1], 0) == math.floor(1)")
    editor = editor_of(start, tmp_path, ("", answer))
    folder = tmp_path / "w" / "tests"
    folder.mkdir()
    (folder / "test_shop.py").write_text("on the disk")
    uri, offset = open_case(editor, PYTHON)
    existing = "from shop import total\n\n\ndef test_total():\n    assert total([]) == 0\n"
    tests = editor.open("tests/test_shop.py", existing)
    editor.choose(uri, "tests", offset)
    assert editor.finished() == "added (test_total_2)"
    assert editor.buffers[tests].text == (
        "from shop import total\nimport math\n\n\ndef test_total():\n    assert total([]) == 0\n\n\n"
        "def test_total_2():\n    assert total([1], 0) == math.floor(1)\n"
    )
    assert (folder / "test_shop.py").read_text() == "on the disk"


def test_tests_run_when_the_user_says_so(start: Start, tmp_path: Path) -> None:
    answer = fenced("from shop import total\n\ndef test_total():\n    assert total([1], 0) == 1")
    editor = editor_of(start, tmp_path, ("", answer))
    editor.server.answers["window/showMessageRequest"] = lambda params: params["actions"][0]
    uri, offset = open_case(editor, PYTHON)
    (tmp_path / "w" / "shop.py").write_text(editor.buffers[uri].text)

    target = tmp_path / "w" / "tests" / "test_shop.py"
    target.parent.mkdir()

    def save() -> None:  # an editor that saves what it creates
        target.write_text("def test_total():\n    assert True\n")

    editor.before_edit = save
    (tmp_path / "w" / "conftest.py").write_text("import sys; sys.path.insert(0, '.')\n")
    editor.choose(uri, "tests", offset)
    editor.finished()
    editor.server.wait(lambda: editor.shown, "the result")
    assert "1 passed" in editor.shown[0]


def test_tests_in_cpp_for_which_no_command_is_known(start: Start, tmp_path: Path) -> None:
    """The first answer calls nothing of the code. The file is not built until the user has added it."""
    good = fenced("TEST(ShopTest, Adds) {\n  EXPECT_EQ(total(1), 1);\n}")
    bad = fenced("TEST(ShopTest, Adds) {\n  EXPECT_EQ(1, 1);\n}")
    editor = editor_of(start, tmp_path, ("no test in the answer checks `total`", good), ("TEST(ShopTest, Name)", bad))
    folder = tmp_path / "w"
    (folder / "CMakeLists.txt").write_text("find_package(GTest)\nadd_executable(other_test other_test.cpp)\n")
    (folder / "shop.h").write_text("int total(int a);\n")
    text = '#include "shop.h"\n\nint total(int a) {\n  return a;\n}\n'
    uri = editor.open("shop.cpp", text, "cpp")
    editor.choose(uri, "tests", text.index("total"))
    assert editor.finished() == "created shop_test.cpp (ShopTest.Adds); add it to CMakeLists.txt"
    made = '#include <gtest/gtest.h>\n\n#include "../shop.h"\n\nTEST(ShopTest, Adds) {\n  EXPECT_EQ(total(1), 1);\n}\n'
    assert editor.files == {(folder / "tests" / "shop_test.cpp").as_uri(): made}
    said = "fimble: created 1 tests in shop_test.cpp; add it to CMakeLists.txt"
    assert said in [each["message"] for each in editor.server.notifications("window/showMessage")]
    assert not editor.requests
    editor.server.call("workspace/executeCommand", {"command": "fimble.runTests", "arguments": []})
    assert editor.finished(2) == "how the project builds shop_test.cpp is not known; run it as its other tests"


def test_a_formatter_of_another_folder_of_the_workspace_does_not_run(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its environment comes first on the path, as in an editor that was started from its terminal."""
    other, elsewhere = tmp_path / "other", tmp_path / "elsewhere"
    for place in (other / ".venv" / "bin", elsewhere):
        place.mkdir(parents=True)
        (place / "ruff").write_text(f'#!/bin/sh\ntouch "{tmp_path}/ran-{place.name}"\ncat\n')
        (place / "ruff").chmod(0o755)
    path = [str(other / ".venv" / "bin"), str(elsewhere), os.environ["PATH"]]
    monkeypatch.setenv("PATH", os.pathsep.join(path))
    editor = editor_of(start, tmp_path, ("", fenced(PYTHON.new)))
    (tmp_path / "w" / "pyproject.toml").write_text("[tool.ruff]\n")
    event = {"added": [{"uri": other.as_uri(), "name": "other"}], "removed": []}
    editor.server.notify("workspace/didChangeWorkspaceFolders", {"event": event})
    uri, offset = open_case(editor, PYTHON)
    editor.choose(uri, "simplify", offset)
    assert editor.finished() == "edited"
    assert [each.name for each in tmp_path.glob("ran-*")] == ["ran-elsewhere"]


def test_a_fix_takes_the_diagnostics_the_client_sends(start: Start, tmp_path: Path) -> None:
    case = PYTHON
    editor = editor_of(start, tmp_path, ("too slow", fenced(case.new)), ("", "wrong question"))
    uri, offset = open_case(editor, case)
    diagnostics = [
        {"range": editor.where(uri, offset + 40, offset + 44), "message": "this is too slow", "source": "lint"},
        {"range": editor.where(uri, offset + 50, offset + 52), "message": "and ugly", "code": 7},
    ]
    found = editor.offered(uri, offset, diagnostics=diagnostics, only=["quickfix"])
    assert [each["title"] for each in found] == ["fimble: Fix these 2 problems"]
    assert found[0]["diagnostics"] == diagnostics
    editor.choose(uri, "fix", offset, diagnostics=diagnostics)
    assert editor.finished() == "edited"
    assert editor.buffers[uri].text == case.expected()


def test_of_many_diagnostics_the_first_are_read_and_sent_back(start: Start, tmp_path: Path) -> None:
    """A client sends all of a selection: of a large file, thousands."""
    editor = editor_of(start, tmp_path)
    uri, offset = open_case(editor, PYTHON)
    where = editor.where(uri, offset + 40, offset + 44)
    diagnostics = [{"range": where, "message": f"problem {number}"} for number in range(2000)]
    found = editor.offered(uri, offset, diagnostics=diagnostics, only=["quickfix"])
    assert found[0]["diagnostics"] == diagnostics[:20]
    params = {"textDocument": {"uri": uri}, "range": where, "context": {"diagnostics": diagnostics}}
    assert len(shared_converter().structure(params, types.CodeActionParams).context.diagnostics) == 20


def test_an_instruction_from_a_comment_and_from_an_argument(start: Start, tmp_path: Path) -> None:
    case = PYTHON
    editor = editor_of(start, tmp_path, ("use sum", fenced(case.new)))
    document, _ = case.document()
    text = document.source.decode().replace("def total", "# fimble: use sum\ndef total", 1)
    uri = editor.open("shop.py", text)
    offset = text.index("def total") + 2
    editor.choose(uri, "edit", offset)
    assert editor.finished() == "edited"
    assert editor.buffers[uri].text == case.expected().replace("def total", "# fimble: use sum\ndef total", 1)
    other = editor.open("other.py", document.source.decode())
    where = editor.where(other, document.source.decode().index("def total"))
    argument = {"action": "edit", "uri": other, "range": where, "instruction": "use sum"}
    editor.server.call("workspace/executeCommand", {"command": "fimble.action", "arguments": [argument]})
    assert editor.finished(2) == "edited"
    assert editor.buffers[other].text == case.expected()


@needs_own_engine
def test_a_bad_answer_is_asked_for_again_and_then_given_up(start: Start, tmp_path: Path) -> None:
    case = PYTHON
    again = ("cannot be used", fenced(case.new))
    editor = editor_of(start, tmp_path, again, ("", fenced("def total(:")))
    uri, offset = open_case(editor, case)
    editor.choose(uri, "simplify", offset)
    assert editor.finished() == "edited"
    other = editor_of(start, tmp_path, ("", "I would rather not."))
    uri, offset = open_case(other, case)
    other.choose(uri, "simplify", offset)
    assert other.finished().startswith("no edit: ")
    assert not other.edits
    assert other.buffers[uri].text == case.document()[0].source.decode()
    assert "no edit" in other.server.notifications("window/showMessage")[-1]["message"]


def test_unknown_names_are_listed(start: Start, tmp_path: Path) -> None:
    new = PYTHON.new.replace("sum(", "add_all(")
    editor = editor_of(start, tmp_path, ("", fenced(new)))
    uri, offset = open_case(editor, PYTHON)
    editor.choose(uri, "simplify", offset)
    assert editor.finished() == "edited; unknown names: add_all"
    (annotation,) = editor.edits[0]["edit"]["changeAnnotations"].values()
    assert annotation["description"] == "unknown names: add_all"
    assert annotation["needsConfirmation"]


def test_resolve_answers_at_once_and_tolerates_anything(start: Start, tmp_path: Path) -> None:
    editor = editor_of(start, tmp_path)
    uri, offset = open_case(editor, PYTHON)
    action = editor.offered(uri, offset)[0]
    assert editor.server.call("codeAction/resolve", action)["result"] == action
    bare = {"title": "somebody else's"}
    assert editor.server.call("codeAction/resolve", bare)["result"] == bare


@pytest.mark.parametrize("client", ["helix_25_07_git20260723", "nvim_0_12_4"])
def test_a_cursor_that_is_a_character_wide(start: Start, tmp_path: Path, client: str) -> None:
    """Helix has no empty ranges: what is under its cursor, be it a space or the line's end, is no selection."""
    editor = editor_of(start, tmp_path, ("", fenced(PYTHON.new)), client=client, formatEdits=False)
    uri, offset = open_case(editor, PYTHON)
    text = editor.buffers[uri].text
    for place in (offset, text.index("    result"), text.index("\n", offset)):
        titles = [each["title"] for each in editor.offered(uri, place, place + 1)]
        assert ("fimble: Simplify `total`" in titles) == client.startswith("helix"), place
        assert "fimble: Simplify `total`" in [each["title"] for each in editor.offered(uri, place)]
    if client.startswith("helix"):
        editor.choose(uri, "simplify", offset, offset + 1)
        assert editor.finished() == "edited"
        assert editor.buffers[uri].text == PYTHON.expected()
    word = text.index("result")
    assert "fimble: Simplify the selection" in [each["title"] for each in editor.offered(uri, word, word + 2)]
    assert editor.server.finish() == 0


def test_offers_ask_no_model(start: Start, tmp_path: Path) -> None:
    editor = editor_of(start, tmp_path, ("", "x"))
    uri, offset = open_case(editor, PYTHON)
    for _ in range(20):
        assert editor.offered(uri, offset)
    assert editor.server.status()["totals"]["decodedTokens"] == 0
    assert not editor.edits
    assert editor.offered(uri, offset, only=["source.organizeImports"]) == []
    assert sorted(editor.announced["executeCommandProvider"]["commands"]) == [
        "fimble.acceptNextEdit",
        "fimble.accepted",
        "fimble.action",
        "fimble.askAgain",
        "fimble.cancel",
        "fimble.jumpToNextEdit",
        "fimble.nextEdit",
        "fimble.rejectNextEdit",
        "fimble.runTests",
        "fimble.snooze",
        "fimble.wake",
        "fimble.why",
    ]


def test_a_command_that_makes_no_sense_is_an_error(start: Start, tmp_path: Path) -> None:
    editor = editor_of(start, tmp_path)
    uri, offset = open_case(editor, PYTHON)
    where = editor.where(uri, offset)
    beyond = {"start": {"line": 999, "character": 0}, "end": {"line": 999, "character": 0}}
    arguments: list[list[Any]] = [
        [],
        [None],
        [{}],
        [{"action": "no such", "uri": uri, "range": where}],
        [{"action": "doc", "uri": 7}],
        [{"action": "doc", "uri": uri, "range": beyond}],
        [{"action": "doc", "uri": "file:///closed.py", "range": where}],
    ]
    for each in arguments:
        params = {"command": "fimble.action", "arguments": each}
        assert editor.server.call("workspace/executeCommand", params)["error"]["code"] == -32602, each
    assert editor.offered(uri, offset)


def test_a_command_for_a_place_that_it_is_not_for_says_so(start: Start, tmp_path: Path) -> None:
    """Which takes a parse, so the command has been answered by then."""
    editor = editor_of(start, tmp_path)
    uri, offset = open_case(editor, PYTHON)
    arguments = [{"action": "fix", "uri": uri, "range": editor.where(uri, offset)}]
    answer = editor.server.call("workspace/executeCommand", {"command": "fimble.action", "arguments": arguments})
    assert answer["result"] is None
    editor.server.wait(lambda: editor.server.notifications("window/showMessage"), "the message")
    (message,) = editor.server.notifications("window/showMessage")
    assert message["message"] == "fimble: the action 'fix' is not for this place"
    assert editor.offered(uri, offset)


def test_a_model_that_only_continues_says_which_setting_to_change(start: Start, tmp_path: Path) -> None:
    missing = editor_of(start, tmp_path, chatModel=str(tmp_path / "missing"))
    uri, offset = open_case(missing, PYTHON)
    missing.choose(uri, "explain", offset)
    assert "missing" in missing.finished()
    assert missing.server.inline(uri, 0, 0) is not None


def test_the_users_own_actions(start: Start, tmp_path: Path) -> None:
    own = {
        "log": {"title": "Add logging to {target}", "prompt": "Add logs.", "result": "insert_before"},
        "notes": {"title": "Notes", "prompt": "Write notes.", "result": "new_file", "file": "{stem}_notes.md"},
        "escape": {"title": "Escape", "prompt": "Write.", "result": "new_file", "file": "../../{stem}.md"},
        "broken": {"title": "No prompt"},
    }
    editor = editor_of(start, tmp_path, ("Add logs", fenced("LOG = 1")), ("", "Some notes."), actions=own)
    shown = [each["message"] for each in editor.server.notifications("window/showMessage")]
    assert shown == ["fimble: action `broken` has no `prompt`"]
    uri, offset = open_case(editor, PYTHON)
    assert "fimble: Add logging to `total`" in [each["title"] for each in editor.offered(uri, offset)]
    editor.choose(uri, "log", offset)
    assert editor.finished() == "edited"
    assert "LOG = 1\ndef total" in editor.buffers[uri].text
    editor.choose(uri, "notes", editor.buffers[uri].text.index("def total"))
    assert editor.finished(2) == "created shop_notes.md"
    assert list(editor.files.values()) == ["Some notes.\n"]
    editor.choose(uri, "escape", editor.buffers[uri].text.index("def total"))
    assert "outside the workspace" in editor.finished(3)
    assert len(editor.files) == 1


GO_DOC = ("", "```go\n// Total adds.\n```")
GO = "package a\n\nfunc Total(xs []int) int {\n\treturn len(xs)\n}\n"


@pytest.mark.parametrize("typed", ["", "// typed\n"])
def test_an_edit_that_was_applied_and_denied_is_not_sent_again(start: Start, tmp_path: Path, typed: str) -> None:
    """The insertion stands in front of the function, whose own text is as it was."""
    editor = editor_of(start, tmp_path, GO_DOC, formatEdits=False)
    apply = editor.server.answers["workspace/applyEdit"]
    uri = editor.open("a.go", GO, "go")

    def applying(params: Any) -> Any:
        apply(params)
        if typed:
            editor.type(uri, 0, 0, typed)
        return {"applied": False}

    editor.server.answers["workspace/applyEdit"] = applying
    editor.choose(uri, "doc", GO.index("Total"))
    message = editor.finished()
    assert editor.buffers[uri].text == typed + GO.replace("func", "// Total adds.\nfunc", 1)
    assert len(editor.edits) == 1
    assert (message == "edited") == (not typed)
    assert "nothing was edited" not in message


@pytest.mark.parametrize(("reason", "sent"), [(None, 2), ("the user said no", 1)])
def test_an_edit_is_sent_once_more_if_the_document_was_another(
    start: Start, tmp_path: Path, reason: str | None, sent: int
) -> None:
    editor = editor_of(start, tmp_path, ("", fenced(PYTHON.new)), formatEdits=False)
    uri, offset = open_case(editor, PYTHON)
    asked: list[Any] = []

    def refusing(params: Any) -> Any:
        asked.append(params)
        editor.type(uri, 0, 0, "# x\n")
        return {"applied": False, **({"failureReason": reason} if reason else {})}

    editor.server.answers["workspace/applyEdit"] = refusing
    editor.choose(uri, "simplify", offset)
    assert editor.finished() == f"not edited: {reason or 'it was not accepted'}"
    assert len(asked) == sent


@pytest.mark.parametrize("answer", [None, {}, 7, {"applied": "perhaps"}])
def test_an_answer_that_makes_no_sense_ends_the_action(start: Start, tmp_path: Path, answer: Any) -> None:
    editor = editor_of(start, tmp_path, ("", fenced(PYTHON.new)), formatEdits=False)
    editor.server.answers["workspace/applyEdit"] = lambda params: answer
    uri, offset = open_case(editor, PYTHON)
    editor.choose(uri, "simplify", offset)
    assert editor.finished().startswith(
        "edited" if answer == {"applied": "perhaps"} else "not edited: the editor's answer"
    )


def test_a_diagnostic_in_markdown(start: Start, tmp_path: Path) -> None:
    editor = editor_of(start, tmp_path)
    uri, offset = open_case(editor, PYTHON)
    message = {"kind": "markdown", "value": "too **slow**"}
    problem = {"range": editor.where(uri, offset + 40, offset + 44), "message": message}
    found = editor.offered(uri, offset, diagnostics=[problem], only=["quickfix"])
    assert [each["title"] for each in found] == ["fimble: Fix: too **slow**"]
