"""`bench http`, with a scripted model, and the window that Zed sends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import bench.__main__ as bench
from bench import over_http
from bench.zed import window
from tests.conftest import ROOT

TEXT = "".join(f"line number {n} of the text\n" for n in range(200))


def test_zeds_window_is_of_whole_lines_around_the_cursor() -> None:
    cursor = TEXT.index("of", TEXT.index("number 100"))
    before, after = window(TEXT, cursor)
    assert TEXT[cursor - len(before) :].startswith(before + after)
    assert before.startswith("line number ")
    assert after.endswith("of the text")
    assert abs(before.count("\n") - after.count("\n")) <= 1
    assert 1100 < len(before + after) < 1800


@pytest.mark.parametrize("cursor", [0, len(TEXT), 3])
def test_zeds_window_at_an_end(cursor: int) -> None:
    before, after = window(TEXT, cursor)
    assert TEXT[cursor - len(before) : cursor] == before
    assert TEXT[cursor:].startswith(after)


def test_keys_over_http(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(over_http, "BACKEND", "scripted")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    out = tmp_path / "http.json"
    typed = str(ROOT / "lsp_server/core/brackets.py")
    assert bench.main(["http", "--repetitive", typed, "--limit", "40", "--json", str(out)]) == 0
    assert "llama.vscode" in capsys.readouterr().out
    passes = json.loads(out.read_text())["passes"]
    assert [one["client"] for one in passes] == ["llama.vim", "llama.vscode", "Zed"]
    for one in passes:
        assert one["by_model"] > 0
        assert one["evaluated_p50"] <= 2
