"""`fimble index`: what is known of a folder, what a place would get of it and why, and its end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lsp_server.cli import run
from lsp_server.features.index.store import database_path
from lsp_server.settings import sources

SHAPES = 'class Circle:\n    """Something round."""\n\n    def area(self) -> float:\n        return 3\n'
KEY = "AWS_KEY = 'AKIAQ3EGRJ5JBCSYZ7PL'\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setattr(sources, "user_config_path", lambda _: tmp_path)
    (tmp_path / "fimble.toml").write_text("project_index = true\n")
    (work / "shapes.py").write_text(SHAPES)
    (work / "keys.py").write_text(KEY)
    (work / "main.py").write_text("import os\nfrom shapes import Circle\n\nx = Circle(\n")
    return work


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run(["index", *arguments]) == 0
    return capsys.readouterr().out


def as_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    return json.loads(said(capsys, *arguments, "--json"))


def test_what_is_in_it_is_shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = as_json(capsys, "--files")
    assert (found["files"], found["leftOut"], found["definitions"], found["languages"]) == (2, 1, 1, {"Python": 2})
    assert found["database"] == str(database_path(folder))
    told = said(capsys, "--files")
    assert "shapes.py:1: class Circle:  # Something round." in told
    assert "1 files are left out" in told
    assert "AKIA" not in told


def test_a_place_is_explained(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (found,) = as_json(capsys, "main.py:4")
    assert (found["path"], found["defines"], found["shown"]) == ("shapes.py", ["Circle"], True)
    assert found["reason"] == "defines Circle, which is imported"
    told = said(capsys, "main.py:4")
    assert f"{found['score']}  shown" in told and "class Circle:" in told
    assert said(capsys, "shapes.py:5") == "nothing of other files would be shown here\n"


def test_what_has_changed_since_is_seen(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    as_json(capsys)
    (folder / "shapes.py").write_text("class Circle:\n    size = 3\n")
    (found,) = as_json(capsys, "main.py:4")
    assert "size = 3" in found["text"]
    (folder / "shapes.py").unlink()
    assert as_json(capsys, "main.py:4") == []


def test_it_is_removed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    as_json(capsys)
    assert f"the index of {folder} is removed" in said(capsys, "clear")
    assert not list(database_path(folder).parent.iterdir())
    assert "is removed" in said(capsys, "clear")


def test_complete_says_which_parts_it_shows_and_why(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "fimble.toml").write_text("buffers_tokens = 200\n")
    as_json(capsys)
    scripted = ["complete", "--backend", "scripted", "--model", "shapes.py"]
    assert run([*scripted, "--json", "main.py:4"]) == 0
    segments = json.loads(capsys.readouterr().out)["segments"]
    (shown,) = [segment for segment in segments if "reason" in segment]
    assert "class Circle" in shown["text"]
    assert shown["reason"] == "defines Circle, which is imported"
    assert run([*scripted, "--explain", "main.py:4"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert f"({shown['score']:g})" in told
    (folder / "fimble.toml").write_text("buffers_tokens = 200\nproject_index = false\n")
    assert run([*scripted, "--json", "main.py:4"]) == 0
    assert not any("reason" in segment for segment in json.loads(capsys.readouterr().out)["segments"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["shapes.py"], "is not of the form FILE:LINE[:COL]"),
        (["shapes.py:99"], "line 99 is outside shapes.py"),
        (["../elsewhere.py:1"], "lies outside"),
    ],
)
def test_mistakes_are_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    (folder.parent / "elsewhere.py").write_text("x = 1\n")
    assert run(["index", *arguments]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1


def test_where_there_is_none_it_says_why(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = folder.parent / "fimble.toml"
    for off in ("", "project_index = false\n"):
        own.write_text(off)
        assert run(["index"]) == 2
        assert "`project_index` is off" in capsys.readouterr().err
    own.write_text("project_index = true\n")
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("USERPROFILE", str(folder))
    assert run(["index"]) == 2
    assert "home folder" in capsys.readouterr().err
