"""What Neovim shows of the server's work, and what it says: nothing is silent for long, and nothing asks for a key."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.editors.support import (
    FUNCTION,
    NEOVIM_VERSIONS,
    PLAIN_INDENT,
    SCRIPT,
    Neovim,
    chat_model,
    fimble_program,
    scripted,
)

KEY_MS = 50
ESCAPE = "\x1b"


@pytest.fixture
def editor(lasting: Neovim) -> Iterator[Neovim]:
    """One editor for all tests of a version."""
    lasting.edit("x = 1\n")
    lasting.wait_ready()
    yield lasting
    lasting.command("messages clear")


@pytest.mark.parametrize("version", NEOVIM_VERSIONS)
def test_the_corner_says_that_the_model_loads_and_that_the_file_is_read(
    version: str, start_neovim: Callable[..., Neovim], tmp_path: Path
) -> None:
    """The model's file is a pipe, so that loading lasts until the test lets go; then each batch takes 0.1 s."""
    scripted(tmp_path)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    module = "tests.editors.slow_server 0 0.1 0"
    program = fimble_program(tmp_path / "slow", "--backend", "scripted", "--model", str(pipe), module=module)
    text = SCRIPT * 6
    editor = start_neovim(version, tmp_path, program=program, text=text, init=PLAIN_INDENT)
    editor.terminal.wait_for("fimble: loading the model")
    editor.terminal.wait_for("[fimble loading")
    pipe.write_text(SCRIPT)
    editor.terminal.wait_for("fimble: reading the file (")
    editor.terminal.wait_for("[fimble reading")
    editor.wait_ready()
    assert "fimble: " not in editor.terminal.text, "the line is gone"
    assert not editor.messages()


def test_a_refusal_longer_than_a_row_asks_for_no_key(editor: Neovim) -> None:
    reason = "the answer cannot be used: " + "it leaves out what stands there, " * 8 + "so there is no edit"
    (editor.home / "refuse.lua").write_text(
        "local client = vim.lsp.get_clients({ name = 'fimble' })[1]\n"
        f"local params = {{ type = 2, message = 'fimble: {reason}' }}\n"
        "client.handlers['window/showMessage'](nil, params, { client_id = client.id })\n"
    )
    editor.command("luafile refuse.lua")
    editor.terminal.wait_for("is no edit")
    assert editor.expression("mode()") == "n"
    editor.terminal.type("ione" + ESCAPE)
    editor.terminal.wait_for("one")
    assert editor.buffer() == "x = one1", "no key was taken for an answer"
    editor.command("Fimble messages")
    editor.terminal.wait(lambda: editor.expression("&buftype") == "nofile", "the window")
    assert f"fimble: {reason}" in editor.buffer()
    editor.terminal.type("q")


@pytest.mark.parametrize("version", NEOVIM_VERSIONS)
def test_an_action_says_what_it_does_while_it_lasts(
    version: str, start_neovim: Callable[..., Neovim], tmp_path: Path
) -> None:
    chat_model(tmp_path)
    editor = start_neovim(version, tmp_path, program=scripted(tmp_path, answer_seconds=3), text=FUNCTION)
    editor.wait_ready()
    editor.command("Fimble action explain")
    editor.terminal.wait_for("fimble: Explain")
    editor.terminal.wait_for(": writing: ")
    editor.terminal.wait_for("two numbers.")
    editor.terminal.wait_gone(": writing: ")


@pytest.mark.parametrize("version", NEOVIM_VERSIONS)
def test_the_line_in_the_corner_can_be_switched_off(
    version: str, start_neovim: Callable[..., Neovim], tmp_path: Path
) -> None:
    program = scripted(tmp_path, reading_seconds=0.1)
    editor = start_neovim(version, tmp_path, program=program, text=SCRIPT * 6, options="{ progress = false }")
    editor.terminal.wait_for("[fimble reading")
    assert "fimble: reading" not in editor.terminal.text


def test_snoozed_and_awake_again(editor: Neovim) -> None:
    editor.edit("class Volume:\n    def total(self):\n")
    editor.command("Fimble snooze")
    editor.terminal.wait_for("snoozed until ")
    editor.terminal.wait_for("[fimble off]")
    editor.insert("\r        surfa", KEY_MS)
    editor.terminal.wait_for("surfa")
    assert not editor.ghost()
    editor.terminal.type(ESCAPE)
    editor.command("Fimble wake")
    editor.terminal.wait_for("completions are on")
    editor.wait_ready()
    editor.insert("c", KEY_MS)
    editor.wait_ghost("e = area_of(self.width, self.height)")
    editor.terminal.type(ESCAPE)


def test_snoozed_in_one_file(editor: Neovim) -> None:
    editor.edit("class Volume:\n    def total(self):\n")
    editor.command("Fimble snooze file")
    editor.terminal.wait_for("snoozed in this file")
    before = editor.status("requests.counts.answered")
    editor.insert("\r        surfa", KEY_MS)
    editor.terminal.wait(
        lambda: editor.status("requests.counts.answered") > before,
        "a request, which Neovim 0.12 makes after a pause only",
    )
    editor.terminal.type(ESCAPE)
    editor.command("Fimble status")
    editor.terminal.wait_for("s ago, nothing was suggested")
    editor.terminal.type("q")
    editor.terminal.wait_gone("s ago, nothing was suggested")
    editor.command("Fimble why")
    editor.terminal.wait_for("snoozed in this file")
    editor.edit("class Volume:\n    def total(self):\n")
    editor.insert("\r        surfa", KEY_MS)
    editor.wait_ghost("ce = area_of(self.width, self.height)")
    editor.terminal.type(ESCAPE)
