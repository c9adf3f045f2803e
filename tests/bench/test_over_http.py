"""`bench http`, with a scripted model, and the window that Zed sends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import bench.__main__ as bench
from bench import over_http
from bench.arms.zed import window
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


LINES = "".join(f"def function_{n}(value):\n    return value + {n}\n\n\n" for n in range(300))
TYPED = "Zq = Xj\n    Yk = Zq"


def test_keys_over_http(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """All text is sent anew at each key."""
    monkeypatch.setattr(over_http, "BACKEND", "scripted")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    start = LINES.index("return value + 150")
    text = LINES.replace("return value + 150", "", 1)
    keys = [{"time": f"2024-01-01T00:00:{n:02}Z", "patches": [[start + n, 0, key]]} for n, key in enumerate(TYPED)]
    (tmp_path / "trace.json").write_text(json.dumps({"startContent": text, "txns": keys}))
    out = tmp_path / "out" / "http.json"
    assert bench.main(["http", "--data", str(tmp_path), "--limit", str(len(keys)), "--json", str(out)]) == 0
    assert "llama.vscode" in capsys.readouterr().out
    passes = json.loads(out.read_text())["passes"]
    assert [one["client"] for one in passes] == ["llama.vim", "llama.vscode", "Zed"]
    for one in passes:
        assert one["keys"] == len(keys) - 1
        assert one["by_model"] > 3
        assert one["prompt_tokens_p50"] > 500
        assert one["evaluated_p95"] <= len(TYPED)  # what has been typed since the model was asked last
