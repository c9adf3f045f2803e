"""The bench of counting, which is the test of what a key costs: by calls, which no busy machine changes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from bench import stats
from bench.__main__ import main


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


async def calls(lines: int) -> list[int]:
    """How many functions of Python's each of 200 keys and its answer call."""
    typist, found = stats.Typist(lines), []

    def count(frame: Any, event: str, argument: Any) -> None:
        found[-1] += event == "call"

    changed, answered = typist.counting.changed, typist.counting.answered

    def traced(function: Any, *given: Any) -> Any:
        sys.setprofile(count)
        try:
            return function(*given)
        finally:
            sys.setprofile(None)

    typist.counting.changed = lambda *given: traced(changed, *given)  # type: ignore[method-assign]
    typist.counting.answered = lambda *given: traced(answered, *given)  # type: ignore[method-assign]
    for _ in range(200):
        found.append(0)
        typist.key()
    return found


async def test_what_counting_does_for_a_key_is_little_and_does_not_grow_with_the_file() -> None:
    """The 0.3 ms that it may take are those of `python -m bench stats`."""
    small, large = await calls(50), await calls(5000)
    assert sorted(small)[190] < 100
    assert sorted(large)[190] < 1.1 * sorted(small)[190]


def test_it_reports_time_room_and_losses(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stats, "_two_writers", lambda writes, folder: {"writes": writes, "lost": 0})
    assert main(["stats", "--keys", "50", "--events", "2500", "--kills", "0"]) == 0
    found: dict[str, Any] = {}
    for line in capsys.readouterr().out.splitlines():
        found |= json.loads(line)
    assert found["a key in 10 KB"]["p50_ms"] > 0
    assert found["file"]["events"] == 2500
    assert found["file"]["bytes"] > 10_000
    monkeypatch.setattr(stats, "_two_writers", lambda writes, folder: {"writes": writes, "lost": 1})
    assert main(["stats", "--keys", "5", "--events", "250", "--kills", "0"]) == 1
