"""Departures: where a text takes another turn, and on the exact tiny model never."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from bench import abort, departures
from bench.departures import departure
from tests.support.tiny_gguf import write_tiny_gguf


@pytest.mark.parametrize(
    ("warm", "cold", "expected"),
    [
        (["a", "b"], ["a", "b"], None),
        (["a", "x"], ["a", "b"], 0.2),
        (["x"], ["a", "b"], 0.1),
        (["a"], ["a", "b"], 0.2),
        (["a", "b", "c"], ["a", "b"], 0.2),
        ([], [], None),
    ],
)
def test_the_gap_where_it_departs(warm: list[str], cold: list[str], expected: float | None) -> None:
    assert departure(warm, cold, [0.1, 0.2]) == expected


def parsed(module: object, *arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    module.arguments(parser)  # type: ignore[attr-defined]
    return parser.parse_args(arguments)


def test_an_exact_model_never_departs(tmp_path: Path) -> None:
    model = write_tiny_gguf(tmp_path / "tiny.gguf")
    source = tmp_path / "source.py"
    source.write_text("def area(width, height):\n    return width * height\n" * 8)
    out = tmp_path / "out.json"
    options = ("--repetitive", str(source), "--limit", "12", "--model", str(model), "--json", str(out))
    assert departures.run(parsed(departures, *options)) == 0
    (summary,) = json.loads(out.read_text())["summary"]
    assert summary["keys"] == 12
    assert summary["departed"] == 0


def test_aborts_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    model = write_tiny_gguf(tmp_path / "tiny.gguf", context=4096)
    out = tmp_path / "out.json"
    monkeypatch.setattr(abort, "_PROMPT_BYTES", 1800)
    assert abort.run(parsed(abort, "--limit", "10", "--model", str(model), "--json", str(out))) == 0
    result = json.loads(out.read_text())
    assert result["p50_ms"] <= result["p95_ms"] <= result["worst_ms"]
    assert 1 <= len(result["aborts"]) <= 10
    assert all(0 < entry["depth"] <= 1900 for entry in result["aborts"])


def test_a_missing_model_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert abort.run(parsed(abort, "--model", "/no/such.gguf")) == 2
    assert "does not exist" in capsys.readouterr().out
