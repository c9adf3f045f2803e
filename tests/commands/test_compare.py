"""`fimble compare`: a trial is begun, shown and ended, and its settings are in force in the server."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

import pytest

from lsp_server.cli import run
from lsp_server.lsp import client_settings
from lsp_server.settings import comparison, sources
from lsp_server.stats import store
from lsp_server.stats.counts import Key, Tally


@pytest.fixture
def files(place: Path) -> list[str]:
    (place / "A.toml").write_text("max_lines = 3\n")
    (place / "B.toml").write_text('max_lines = 9\nmodel = "large.gguf"\n')
    return ["A.toml", "B.toml"]


def live(days: int) -> None:
    going = comparison.current()
    assert going is not None
    found = Tally()
    for number in range(days):
        day = date.fromisoformat(going.began) - timedelta(days=number)
        turn = going.turn(day)
        key = Key(day.isoformat(), "Python", "a model", "memory", going.arms[turn])
        found.add(key, keys=1000, kept_300=400 + 100 * turn + number % 3)
        found.took(key, 20 + 40 * turn)
    store.add(found, date.today())


async def test_a_trial_from_its_beginning_to_its_end(
    files: list[str], place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["compare", *files]) == 0
    assert "A.toml and B.toml are tried from today" in capsys.readouterr().out
    assert comparison.state_path().stat().st_mode & 0o777 == 0o600
    assert run(["compare"]) == 0
    assert "no difference to tell yet: 8 and 8 days more" in capsys.readouterr().out
    going = comparison.current()
    assert going is not None
    editors = sources.Source("the editor", {"max_lines": 5})
    command_line = sources.Source("the command line", {"answer_ms": 7})
    found, arm = await client_settings.read([], [editors, command_line])
    turn = going.turn(date.today())
    assert arm == going.arms[turn]
    assert found.settings.max_lines == (3, 9)[turn]
    assert found.settings.answer_ms == 7
    assert found.settings.model == ("", str(place / "large.gguf"))[turn]
    live(30)
    assert run(["compare"]) == 0
    shown = capsys.readouterr().out
    assert "B.toml is better for you" in shown
    assert "B.toml against A.toml: +2" in shown
    assert run(["compare", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["result"] == "B"
    assert run(["compare", "--stop"]) == 0
    assert "B.toml is better for you" in capsys.readouterr().out
    found, arm = await client_settings.read([], [editors, command_line])
    assert (found.settings.max_lines, arm) == (5, "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "there is no trial"),
        (["--stop"], "there is no trial"),
        (["A.toml"], "give two files"),
        (["A.toml", "A.toml"], "set the same"),
        (["A.toml", "none.toml"], "there is no none.toml"),
        (["A.toml", "wrong.toml"], "unknown setting `max_linse` in wrong.toml; did you mean `max_lines`?"),
        (["A.toml", "broken.toml"], "is not valid TOML"),
        (["A.toml", "silent.toml"], "`stats` is off in silent.toml"),
    ],
)
def test_what_cannot_be_tried_is_said_in_a_line(
    files: list[str], place: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "wrong.toml").write_text("max_linse = 3\n")
    (place / "broken.toml").write_text("max_lines = \n")
    (place / "silent.toml").write_text("stats = false\n")
    assert run(["compare", *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert comparison.current() is None


def test_one_trial_at_a_time(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compare", *files]) == 0
    began = comparison.state_path().read_bytes()
    assert run(["compare", *reversed(files)]) == 2
    assert "being tried already; `fimble compare --stop` ends that" in capsys.readouterr().err
    assert comparison.state_path().read_bytes() == began


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"id": "../x", "began": "2026-01-01"}', "\x00" * 9, "[" * 90000])
def test_a_damaged_file_of_a_trial_is_none(content: str) -> None:
    comparison.state_path().parent.mkdir(parents=True)
    comparison.state_path().write_text(content)
    assert comparison.current() is None
