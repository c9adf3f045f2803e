"""What is shown to the user as a document: where it is kept, who may read it, and that it is text and code only."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lsp_server.lsp.explanations import write_document
from tests.support.editor import Editor
from tests.support.stdio import StdioClient

Start = Callable[..., StdioClient]


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "fimble"


@pytest.fixture(params=[0o000, 0o022, 0o077, 0o377], ids=oct)
def mask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.mark.usefixtures("mask")
def test_explanations_are_for_the_user_alone_whatever_the_umask_is(state: Path) -> None:
    path = write_document("Explain `f`", "It adds.")
    assert path is not None
    assert path.read_text() == "# Explain `f`\n\nIt adds.\n"
    assert [mode(each) for each in (path, path.parent, state)] == [0o600, 0o700, 0o700]
    assert list(path.parent.iterdir()) == [path]


def test_what_an_older_version_has_written_is_closed_to_others_too(state: Path, tmp_path: Path) -> None:
    folder = state / "explanations"
    folder.mkdir(parents=True)
    old, other = folder / "old.md", tmp_path / "mine.md"
    old.write_text("old")
    other.write_text("elsewhere")
    for each, bits in ((old, 0o644), (other, 0o644), (folder, 0o755), (state, 0o755)):
        each.chmod(bits)
    (folder / "link.md").symlink_to(other)
    write_document("New", "new")
    assert [mode(each) for each in (old, folder, state)] == [0o600, 0o700, 0o700]
    assert (mode(other), other.read_text()) == (0o644, "elsewhere")


def test_a_link_in_place_of_an_explanation_is_replaced_not_followed(state: Path, tmp_path: Path) -> None:
    path = write_document("Explain", "It adds.")
    assert path is not None
    path.unlink()
    path.symlink_to(tmp_path / "victim")
    assert write_document("Explain", "It adds.") == path
    assert not path.is_symlink()
    assert not (tmp_path / "victim").exists()


def test_the_last_fifty_are_kept(state: Path) -> None:
    for number in range(53):
        write_document(f"Number {number}", "x")
    names = [path.name for path in (state / "explanations").iterdir()]
    assert len(names) == 50
    assert any(name.startswith("number-52-") for name in names)


def test_an_explanation_has_no_links_images_or_html_in_the_document_or_the_hover(start: Start, tmp_path: Path) -> None:
    folder = tmp_path / "w"
    folder.mkdir()
    text = "It [adds](command:x).\n\n![p](http://a.b/c.png?code=1)<img src=x>\n\n```html\n<b>x</b>\n```\n"
    editor = Editor(start, folder, [("", text)])
    uri = editor.open("a.py", "def f(a):\n    return a\n")
    editor.choose(uri, "explain", 5)
    assert editor.finished() == "explained"
    expected = "It adds.\n\np \n\n```html\n<b>x</b>\n```"
    assert editor.shown == [f"# Explain `f`\n\n{expected}\n"]
    params = {"textDocument": {"uri": uri}, "position": {"line": 0, "character": 5}}
    assert editor.server.call("textDocument/hover", params)["result"]["contents"]["value"] == expected


def test_a_diagnostic_is_no_markup_in_the_title(start: Start, tmp_path: Path) -> None:
    folder = tmp_path / "w"
    folder.mkdir()
    editor = Editor(start, folder, [("", "It adds.")])
    uri = editor.open("a.py", "def f(a):\n    return a\n")
    problem = {"range": editor.where(uri, 4, 5), "message": "bad <img src=x> [here](command:x)"}
    choices = editor.offered(uri, 4, 5, diagnostics=[problem])
    chosen = next(each for each in choices if "bad" in each["title"] and each["title"].startswith("fimble: Explain"))
    command = chosen["command"]
    editor.server.call("workspace/executeCommand", {"command": command["command"], "arguments": command["arguments"]})
    editor.finished()
    assert editor.shown[0].split("\n")[0] == "# Explain bad   here"
