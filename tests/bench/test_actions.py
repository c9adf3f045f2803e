"""`bench actions`: which functions it draws, and what its options take."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from bench import actions


def options(*given: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    actions.arguments(parser)
    return parser.parse_args(given)


def test_a_language_is_known_in_any_case() -> None:
    assert options("--data", "x", "--languages", "python", "TYPESCRIPT").languages == ["Python", "TypeScript"]


def test_an_unknown_language_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        options("--data", "x", "--languages", "klingon")
    assert "there is no language called 'klingon'" in capsys.readouterr().err


def test_languages_and_actions_take_turns(tmp_path: Path) -> None:
    body = "".join(f"    value_{number} = {number}\n" for number in range(4))
    (tmp_path / "a.py").write_text("".join(f"def f{number}():\n{body}\n\n" for number in range(3)))
    (tmp_path / "b.go").write_text("package b\n\nfunc g() int {\n\tx := 1\n\ty := 2\n\treturn x + y\n}\n")
    drawn = options("--data", str(tmp_path), "--languages", "Python", "Go", "--actions", "doc", "simplify")
    tasks = list(actions.drawn_tasks(drawn))
    assert [task.language.name for task in tasks] == ["Python", "Go", "Python", "Python"]
    assert [task.action.id for task in tasks if task.language.name == "Python"] == ["doc", "simplify", "doc"]
