"""A file that is opened again in a new server: its prompt is read and not evaluated."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.stdio import StdioClient, needs_own_engine

URI = "file:///w/a.py"
LINES = [f"def f{number}(first, second):\n    return first * {number} + second\n" for number in range(12)]
TEXT = "\n".join(LINES) + "\n\ndef last(first):\n    return "

Start = Callable[..., StdioClient]


def session(start: Start, **settings: Any) -> tuple[str, int]:
    """What is suggested at the file's end by a new server, and how many tokens it has evaluated."""
    server = start()
    server.initialize(initializationOptions=settings)
    server.open(URI, TEXT)
    items = server.inline(URI, TEXT.count("\n"), len("    return "))
    evaluated = server.status()["totals"]["evaluatedTokens"]
    assert server.finish() == 0
    return items[0]["insertText"], evaluated


@needs_own_engine
def test_a_file_opened_again_is_not_evaluated_again(start: Start, home: Path) -> None:
    cold_text, cold = session(start)
    warm_text, warm = session(start)
    assert cold > 300
    assert warm <= 12
    assert warm_text == cold_text
    folder = home / "cache" / "fimble" / "prompts"
    assert list(folder.iterdir())


@needs_own_engine
def test_turned_off_it_is(start: Start, home: Path) -> None:
    costs = [session(start, saved_prompts_mb=0)[1] for _ in range(2)]
    assert min(costs) > 300
    assert not (home / "cache" / "fimble" / "prompts").exists()
