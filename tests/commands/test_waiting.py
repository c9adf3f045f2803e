"""The line that says what a command is at, on a terminal and elsewhere."""

from __future__ import annotations

import io
import re

import pytest

from lsp_server.commands.waiting import Waiting


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def told(stream: io.StringIO, clock: Clock) -> Waiting:
    """What a slow call tells."""
    waiting = Waiting(stream, clock)
    for phase, fraction, seconds in [
        ("loading the model", 0.0, 1.0),
        ("loading the model", 0.5, 1.0),
        ("reading", 0.25, 2.0),
        ("reading", 0.75, 2.0),
        ("writing", None, 6.0),
    ]:
        waiting.at(phase, fraction, "12 tokens" if phase == "writing" else "")
        clock.now += seconds
    waiting.at("writing", detail="13 tokens")
    waiting.clear()
    return waiting


def test_a_terminal_has_one_line_that_changes_and_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    stream, clock = Terminal(), Clock()
    told(stream, clock)
    assert "\n" not in stream.getvalue()
    lines = stream.getvalue().split("\r\x1b[K")
    assert lines[0] == lines[-1] == ""
    assert "fimble: reading [###############-----] 75%, 2 s" in lines
    assert "fimble: writing, 13 tokens, 6 s" in lines
    assert all(len(line) < 60 for line in lines)


def test_elsewhere_a_plain_line_comes_now_and_then() -> None:
    stream, clock = io.StringIO(), Clock()
    told(stream, clock)
    assert stream.getvalue().splitlines() == ["fimble: writing, 12 tokens, 0 s", "fimble: writing, 13 tokens, 6 s"]
    assert not re.search(r"[\r\x1b]", stream.getvalue())


def test_each_phase_is_timed() -> None:
    clock = Clock()
    waiting = told(io.StringIO(), clock)
    assert waiting.seconds == {"loading the model": 2.0, "reading": 4.0, "writing": 6.0}
    clock.now += 1
    assert waiting.seconds["writing"] == 7.0


def test_a_short_call_leaves_no_line() -> None:
    stream = io.StringIO()
    waiting = Waiting(stream, Clock())
    waiting.at("reading", 0.5)
    waiting.clear()
    assert stream.getvalue() == ""
