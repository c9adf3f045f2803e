"""Code actions in real Neovim: edits applied and undone in one step, explanations that float, instructions."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.editors.support import (
    EXPLANATION,
    FUNCTION,
    INSTRUCTED,
    INSTRUCTION,
    NEOVIM_VERSIONS,
    PLAIN_INDENT,
    SIMPLIFIED,
    Neovim,
    chat_model,
    scripted,
)

# The status line has the last message of a progress.
PROGRESS = """
vim.g.progress = ''
vim.o.statusline = vim.o.statusline .. ' %{g:progress}'
vim.api.nvim_create_autocmd('LspProgress', { callback = function(event)
  vim.g.progress = event.data.params.value.message or ''
  vim.cmd.redrawstatus()
end })
"""
BEFORE, AFTER = '"""A shop."""\n\n\n', "\n\nprint(add(1, 2))\n"


@pytest.fixture
def editor(lasting: Neovim) -> Iterator[Neovim]:
    """One editor for all tests of a version; in front is a file with a function, the cursor in its second line."""
    lasting.edit(BEFORE + FUNCTION + AFTER)
    lasting.wait_ready()
    lasting.terminal.type("5G")
    yield lasting
    lasting.command("messages clear")


def text(editor: Neovim) -> str:
    return editor.buffer() + "\n"


def wait_text(editor: Neovim, expected: str) -> None:
    """Waits until the screen shows the text, and looks whether the buffer is that to the letter."""
    lines = expected.splitlines()
    editor.terminal.wait(lambda: editor.terminal.lines[: len(lines)] == lines, f"the text {expected!r}")
    assert text(editor) == expected


def test_an_edit_is_applied_and_undone_in_one_step(editor: Neovim) -> None:
    editor.command("Fimble action simplify")
    wait_text(editor, BEFORE + SIMPLIFIED + AFTER)
    editor.terminal.type("u")
    wait_text(editor, BEFORE + FUNCTION + AFTER)
    editor.terminal.type("\x12")  # Ctrl-R
    wait_text(editor, BEFORE + SIMPLIFIED + AFTER)
    editor.command("undo 0")
    wait_text(editor, BEFORE + FUNCTION + AFTER)
    assert not any("rror" in line for line in editor.messages().splitlines())


def test_all_actions_are_in_the_menu(editor: Neovim) -> None:
    editor.command("Fimble action")
    editor.terminal.wait_for("Simplify `add`")
    menu = [line for line in editor.terminal.lines if ": fimble: " in line]
    assert len(menu) > 4
    (number,) = [line.split(":")[0].strip() for line in menu if "Simplify" in line]
    editor.terminal.type(f"{number}\r")
    wait_text(editor, BEFORE + SIMPLIFIED + AFTER)


def test_an_explanation_is_shown_in_a_floating_window(editor: Neovim) -> None:
    editor.command("Fimble action explain")
    editor.terminal.wait_for("two numbers.")
    assert editor.lua("vim.api.nvim_win_get_config(0).relative") != ""
    assert EXPLANATION in editor.buffer()
    editor.terminal.type("q")
    editor.terminal.wait_gone("two numbers.")
    assert text(editor) == BEFORE + FUNCTION + AFTER


def test_an_edit_by_an_instruction_in_a_comment(editor: Neovim) -> None:
    editor.edit(f"{BEFORE}# fimble: {INSTRUCTION}\n{FUNCTION}{AFTER}")
    editor.wait_ready()
    editor.terminal.type("6G")
    editor.command("Fimble action as the comment says")
    wait_text(editor, f"{BEFORE}# fimble: {INSTRUCTION}\n{INSTRUCTED}{AFTER}")
    editor.terminal.type("u")
    wait_text(editor, f"{BEFORE}# fimble: {INSTRUCTION}\n{FUNCTION}{AFTER}")


@pytest.mark.parametrize("version", NEOVIM_VERSIONS)
def test_typing_goes_on_beside_an_action(version: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The answer takes three seconds. What is typed above stays, and the edit comes to where the function then is."""
    home = tmp_path_factory.mktemp("home")
    chat_model(home)
    program = scripted(home, answer_seconds=3)
    editor = Neovim(version, home, program=program, init=PLAIN_INDENT + PROGRESS, text=BEFORE + FUNCTION + AFTER)
    try:
        editor.wait_ready()
        editor.terminal.type("5G")
        editor.command("Fimble action simplify")
        editor.terminal.wait_for("writing: ")
        editor.terminal.type_paced("ggO# typed meanwhile", 20)
        editor.terminal.wait_for("# typed meanwhile")
        assert "result = first + second" in editor.terminal.text, "the answer is still to come"
        editor.terminal.type("\x1b")
        wait_text(editor, "# typed meanwhile\n" + BEFORE + SIMPLIFIED + AFTER)
        editor.terminal.type("u")
        wait_text(editor, "# typed meanwhile\n" + BEFORE + FUNCTION + AFTER)
    finally:
        editor.close()


def test_an_action_that_is_not_offered_does_nothing(editor: Neovim) -> None:
    editor.command("Fimble action juggle")
    editor.terminal.wait_for("No code actions available")
    assert text(editor) == BEFORE + FUNCTION + AFTER
