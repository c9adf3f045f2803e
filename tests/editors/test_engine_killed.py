"""The engine's process dies at random moments of typing, in real Neovim and VS Code: no key is lost, no box comes."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.editors.support import NEOVIM_VERSIONS, PLAIN_INDENT, SCRIPT, Neovim, fimble_program, scripted
from tests.editors.vscode.editor import CodeServer, Window, wait_for
from tests.editors.vscode.support import STATEMENTS, file_of, in_editor
from tests.support.effort import scaled

KEY_MS = 45
SIGNALS = (signal.SIGKILL, signal.SIGSEGV)
# Typed one after another, each killed at one of its keys; then the rest of a line that the model knows is suggested.
TYPED, REST = "\n    def total(self):\n        surfa", "ce = area_of(self.width, self.height)"


def engines(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    found = []
    for process in processes:
        with suppress(psutil.Error):
            if process.cmdline()[2:4] == ["lsp_server", "engine"] and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def below(*processes: psutil.Process) -> list[psutil.Process]:
    found = []
    for process in processes:
        with suppress(psutil.Error):
            found += process.children(recursive=True)
    return found


@pytest.mark.parametrize("version", NEOVIM_VERSIONS)
def test_in_neovim(version: str, start_neovim: Callable[..., Neovim], tmp_path: Path) -> None:
    chance = random.Random(f"neovim {version}")
    scripted(tmp_path)
    (tmp_path / "script.py").write_text(SCRIPT)
    arguments = ("--backend", "scripted", "--engine", "process", "--model", str(tmp_path / "script.py"))
    program = fimble_program(tmp_path / "apart", *arguments)
    editor = start_neovim(version, tmp_path, program=program, init=PLAIN_INDENT)
    editor.wait_ready()
    editor.terminal.type("a")
    editing = psutil.Process(editor.terminal.process.pid)
    text = ""
    for number in range(scaled(3)):
        typed = f"{chr(10) if number else ''}class Volume:{TYPED}"
        at = chance.randrange(len(typed))
        for position, key in enumerate(typed):
            editor.terminal.type_paced(key.replace("\n", "\r"), KEY_MS)
            if position == at:
                engine = wait_for("an engine", lambda: engines(below(editing)))[0]
                os.kill(engine.pid, chance.choice(SIGNALS))
        text += typed
        editor.wait_ghost(REST)
    editor.terminal.type("\x1b")
    editor.terminal.wait(lambda: editor.expression("mode()") == "n", "normal mode")
    assert editor.buffer() == text
    assert not editor.messages()


@in_editor
def test_in_vscode(open_window: Callable[..., Window], code: CodeServer, tmp_path: Path) -> None:
    chance = random.Random("vscode")
    window = open_window(**{"fimble.engine": "process"})
    window.wait_until_ready("scripted")
    window.to_end()
    text = ""
    for _ in range(scaled(6)):
        typed = STATEMENTS[len(text) : len(text) + chance.randint(40, 60)]
        at = chance.randrange(len(typed))
        window.type(typed[:at], KEY_MS)
        engine = wait_for("an engine", lambda: engines(below(*code.language_servers())))[0]
        os.kill(engine.pid, chance.choice(SIGNALS))
        window.type(typed[at:], KEY_MS)
        text += typed
        ghost = window.wait_for_ghost()
        # A suggestion that begins with a line break is drawn below the cursor's line.
        assert STATEMENTS[len(text) :].removeprefix("\n").startswith(ghost.split("\n")[0])
    window.press("Escape")
    window.wait_for_no_ghost()
    assert window.saved(file_of(tmp_path)) == text
    assert window.notifications() == []
    window.screenshot("engine-killed")
    wait_for("the model", lambda: "scripted" in window.bar_text())
