"""`fimble trust`: a folder is trusted, and the answer is kept where no workspace can write."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lsp_server.cli import run
from lsp_server.settings import sources, trust


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    folder = tmp_path / "a folder"
    folder.mkdir()
    (folder / "fimble.toml").write_text('model = "x.gguf"\n')
    monkeypatch.chdir(folder)
    return folder


def test_a_folder_is_trusted_and_no_longer(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = sources.load([folder])[1][0].rsplit("`", 2)[1]
    assert command == f"fimble trust '{folder}'"
    assert run(["trust", str(folder)]) == 0
    assert sources.load([folder])[0].model == str(folder / "x.gguf")
    assert run(["trust", "--list"]) == 0
    assert str(folder) in capsys.readouterr().out
    assert run(["trust", "--remove", "."]) == 0
    assert sources.load([folder])[0].model == ""
    assert json.loads(trust.state_path().read_text())["folders"] == {}


def test_what_is_no_folder_and_a_state_that_cannot_be_kept(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(["trust", str(folder / "fimble.toml")]) == 2
    assert "is not a folder" in capsys.readouterr().err
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / "fimble.toml"))
    assert run(["trust", str(folder)]) == 2
    assert "cannot be written" in capsys.readouterr().err
