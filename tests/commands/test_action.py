"""`fimble action`: a diff, a text or JSON on stdout, `--apply`, and one clear line for every mistake."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lsp_server.cli import run
from lsp_server.commands import action as command
from tests.features.actions.cases import CASES

CASE = CASES[0]
TESTS = "from shop import total\n\ndef test_total():\n    assert total([1], 0) == 1\n"
REPLIES = [
    ("unit tests", f"```\n{TESTS}```"),
    ("Explain", "It adds the prices."),
    ("in words", f"```\n{CASE.new}\n```"),
    ("in shop.py", f"```\n{CASE.new}\n```"),
    ("", "no"),
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "replies.json").write_text(json.dumps(REPLIES))
    document, _ = CASE.document()
    (tmp_path / "shop.py").write_bytes(document.source)
    return tmp_path


def action(*arguments: str) -> int:
    return run(["action", *arguments, "--backend", "scripted", "--chat-model", "replies.json"])


LINE = str(CASE.document()[0].source.decode().split("\n").index(CASE.old.split("\n")[0]) + 1)


def test_a_diff_is_printed_and_nothing_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (folder / "shop.py").read_text()
    assert action("simplify", f"shop.py:{LINE}") == 0
    out = capsys.readouterr().out
    assert out.startswith("--- a/shop.py\n+++ b/shop.py\n@@")
    assert "+    return math.floor(sum(price * (1 + tax) for price in prices))\n" in out
    assert (folder / "shop.py").read_text() == before


@pytest.mark.parametrize("place", [f"shop.py:{LINE}", f"shop.py:{LINE}:5", f"shop.py:{LINE}-{int(LINE) + 4}"])
def test_apply_writes_it(folder: Path, place: str) -> None:
    assert action("simplify", place, "--apply") == 0
    assert (folder / "shop.py").read_text() == CASE.expected()


def test_a_problem_that_is_named_at_an_import_is_fixed_in_the_function_that_is_answered(folder: Path) -> None:
    assert action("fix", "shop.py:2", "--problem", "prices may be empty", "--apply") == 0
    assert (folder / "shop.py").read_text() == CASE.expected()


def test_a_text_a_new_file_and_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert action("explain", f"shop.py:{LINE}") == 0
    assert capsys.readouterr().out == "It adds the prices.\n"
    assert action("tests", f"shop.py:{LINE}", "--apply", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["new"], answer["applied"], answer["file"]) == (True, True, str(folder / "tests" / "test_shop.py"))
    assert answer["diff"].startswith("--- /dev/null\n+++ b/tests/test_shop.py\n")
    assert (folder / "tests" / "test_shop.py").read_text() == TESTS.replace("total\n\ndef", "total\n\n\ndef")


def test_tests_of_another_project_stay_there(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The current folder is not around a file above it."""
    (folder / "setup.py").write_text("")
    (folder / "other").mkdir()
    (folder / "other" / "replies.json").write_text(json.dumps(REPLIES))
    monkeypatch.chdir(folder / "other")
    assert action("tests", f"../shop.py:{LINE}", "--json") == 0
    assert json.loads(capsys.readouterr().out)["file"] == str(folder / "tests" / "test_shop.py")


def test_a_diff_has_the_lines_of_the_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A form feed ends none."""
    text = (folder / "shop.py").read_text()
    (folder / "shop.py").write_text(text.replace("\n\n\ndef total", "\n\f\n\ndef total"))
    assert action("simplify", f"shop.py:{LINE}") == 0
    assert "\n \f\n \n def total" in capsys.readouterr().out


def test_tests_that_no_build_file_lists_say_so(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "shop.c").write_text("int total(int a) {\n    return a;\n}\n")
    (folder / "shop.h").write_text("int total(int a);\n")
    (folder / "meson.build").write_text("dependency('cmocka')\n")
    test = "static void test_total(void **state) {\n    assert_int_equal(total(1), 1);\n}\n"
    (folder / "replies.json").write_text(json.dumps([["", test]]))
    assert action("tests", "shop.c:1", "--apply") == 0
    assert capsys.readouterr().err == "fimble: add it to meson.build\n"
    file = folder / "tests" / "test_shop.c"
    assert "        cmocka_unit_test(test_total),\n" in file.read_text()
    (folder / "replies.json").write_text(json.dumps([["", test.replace("(1)", "(0 + 1)")]]))
    assert action("tests", "shop.c:1", "--apply") == 0
    assert capsys.readouterr().err == ""
    assert "        cmocka_unit_test(test_total),\n        cmocka_unit_test(test_total_2),\n" in file.read_text()


def test_an_instruction(folder: Path) -> None:
    assert action("edit", f"shop.py:{LINE}", "--instruction", "say it in words", "--apply") == 0
    assert (folder / "shop.py").read_text() == CASE.expected()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing", "shop.py:1"], "there is no action 'nothing'"),
        (["explain", "shop.py"], "is not of the form FILE:LINE"),
        (["explain", "missing.py:1"], "missing.py cannot be read"),
        (["explain", "a\0b:1"], "cannot be read"),
        (["explain", "x" * 300 + ":1"], "cannot be read"),
        (["explain", "shop.py/a.py:1"], "cannot be read"),
        (["explain", "loop.py:1"], "cannot be read"),
        (["explain", "zero.py:1"], "is not a file"),
        (["explain", "shop.py:999"], "line 999 is outside"),
        (["explain", "shop.py:3-2"], "line 2 is not behind line 3"),
        (["explain", "shop.py:2"], "not for this place"),
        (["edit", f"shop.py:{LINE}"], "--instruction"),
        (["fix", f"shop.py:{LINE}"], "--problem"),
    ],
)
def test_a_mistake_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    (folder / "loop.py").symlink_to("loop.py")
    (folder / "zero.py").symlink_to("/dev/zero")
    assert action(*arguments) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert not captured.out


def test_no_edit_is_status_1(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "other.py").write_text("def other(a):\n    return a + 0\n")
    assert action("simplify", "other.py:1") == 1
    assert capsys.readouterr().err == "fimble: no edit: `other` is missing in the answer\n"
    assert (folder / "other.py").read_text() == "def other(a):\n    return a + 0\n"


@pytest.mark.parametrize(("name", "before"), [("simplify", True), ("tests", False), ("tests", True)])
def test_what_is_typed_meanwhile_is_not_overwritten(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, before: bool
) -> None:
    file = folder / "shop.py" if name == "simplify" else folder / "tests" / "test_shop.py"
    file.parent.mkdir(exist_ok=True)
    if name == "tests" and before:
        file.write_text("import os\n")
    change = command._change

    def typed(*arguments: Any) -> Any:
        found = change(*arguments)
        file.write_text("typed\n")
        return found

    monkeypatch.setattr(command, "_change", typed)
    assert action(name, f"shop.py:{LINE}", "--apply", "--json") == 1
    assert file.read_text() == "typed\n"
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert "so nothing was written" in captured.err
    assert "so nothing was written" in json.loads(captured.out)["error"]
    assert [each.name for each in file.parent.iterdir() if "tmp" in each.name] == []


def test_apply_keeps_the_mode_and_a_link(folder: Path) -> None:
    real = (folder / "shop.py").rename(folder / "real.py")
    real.chmod(0o750)
    (folder / "shop.py").symlink_to("real.py")
    assert action("simplify", f"shop.py:{LINE}", "--apply") == 0
    assert (folder / "shop.py").is_symlink()
    assert real.read_text() == CASE.expected()
    assert real.stat().st_mode & 0o777 == 0o750


def test_a_test_file_that_cannot_be_written_is_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "tests").write_text("a file in place of the folder")
    (folder / "test_shop.py").symlink_to("test_shop.py")
    assert action("tests", f"shop.py:{LINE}", "--apply") == 1
    assert capsys.readouterr().err.count("\n") == 1
