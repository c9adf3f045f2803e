"""What the commands print cannot move a terminal's cursor or hide anything, wherever it comes from."""

from __future__ import annotations

import io
import json
import logging
import sys
from pathlib import Path

import pytest

from lsp_server.cli import run
from lsp_server.commands.output import loading_bar
from lsp_server.commands.terminal import escaping

HOSTILE = "x\x1b[2J\x1b]0;title\x07\u202e\u2066\u200b"
SPELT = r"x\x1b[2J\x1b]0;title\x07\u202e\u2066\u200b"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_it_is_spelt_out(stream: str, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, pipe = Terminal(), io.StringIO()
    for target in (terminal, pipe):
        monkeypatch.setattr(sys, stream, target)
        with escaping():
            print(HOSTILE, file=getattr(sys, stream))
            getattr(sys, stream).writelines(["\x1b[32mgreen\x1b[0m\n"])
        assert getattr(sys, stream) is target
    assert terminal.getvalue() == f"{SPELT}\n\x1b[32mgreen\x1b[0m\n"
    assert pipe.getvalue() == f"{SPELT}\n\\x1b[32mgreen\\x1b[0m\n"


def test_a_bar_redraws_its_line_and_its_name_is_spelt_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    with escaping(), loading_bar(HOSTILE) as show:
        for done in range(3):
            show(done, 3)
    drawn = terminal.getvalue()
    assert "\x1b[2K" in drawn
    assert "\\x1b[2K" not in drawn
    assert SPELT[:12] in drawn
    assert "\x07" not in drawn


def test_tables_and_logs_too(monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.table import Table

    from lsp_server.commands.output import console

    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(sys, "stderr", terminal)
    with escaping():
        table = Table("name")
        table.add_row(f"model{HOSTILE}")
        console().print(table)
        handler = logging.StreamHandler(sys.stderr)
        handler.emit(logging.LogRecord("x", logging.ERROR, "", 0, HOSTILE, None, None))
    assert "\x1b[2J" not in terminal.getvalue()
    assert "\x07" not in terminal.getvalue()
    assert "\u202e" not in terminal.getvalue()
    assert "title" in terminal.getvalue()


def test_a_completion_and_a_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "known.txt").write_text(f"the first line\nthe second line {HOSTILE}\n", "utf-8")
    (tmp_path / "new.txt").write_text("the first line\nthe second l", "utf-8")
    command = ["complete", "--backend", "scripted", "--model", "known.txt", "new.txt:2"]
    for more in ([], ["--explain"], ["--json"]):
        assert run([*command, *more]) == 0
        out, err = capsys.readouterr()
        assert not set(out + err) & set("\x1b\x07\u202e\u2066\u200b")
        assert "ine x" in out
    assert json.loads(out)["text"] == "ine x"
    assert run(["complete", "--backend", "scripted", f"{HOSTILE}.py:1"]) == 2
    assert SPELT in capsys.readouterr().err
