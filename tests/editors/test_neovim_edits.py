"""Next edits in real Neovim: shown where they would be made, gone to, made, put away and undone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.editors.support import Neovim

SOURCE = "def area(width, height):\n    size = width * 2\n    return size\n"
SHOWN = "luaeval('require(\"fimble.edits\").current() ~= nil')"


@pytest.fixture
def editor(lasting: Neovim) -> Iterator[Neovim]:
    """One editor for all tests of a version."""
    lasting.edit("x = 1\n")
    lasting.wait_ready()
    yield lasting
    lasting.command("messages clear")


def wait_shown(editor: Neovim, shown: bool = True) -> None:
    editor.terminal.wait(lambda: editor.expression(SHOWN) is shown, f"an edit is shown: {shown}")


def test_an_edit_is_seen_gone_to_made_and_undone_in_one_step(editor: Neovim) -> None:
    editor.edit(SOURCE + "\n" * 80)
    editor.terminal.type("gg")
    editor.command("1s/width/breadth/")
    wait_shown(editor)
    editor.terminal.wait_for("size = widthbreadth * 2")  # what goes, and behind it what comes
    editor.terminal.type("]e")
    editor.terminal.wait(lambda: editor.expression("line('.')") == 2, "the cursor at the edit")
    assert "size = width * 2" in editor.buffer()
    editor.terminal.type("]e")
    editor.terminal.wait(lambda: "size = breadth * 2" in editor.buffer(), "the edit")
    editor.command("silent undo")
    editor.terminal.wait(lambda: "size = width * 2" in editor.buffer(), "the edit undone")
    assert "def area(breadth, height)" in editor.buffer()
    wait_shown(editor, False)
    assert not editor.messages()


def test_an_edit_off_the_screen_is_told_of_and_what_is_put_away_stays_away(editor: Neovim) -> None:
    editor.edit("def area(width):\n" + "    pass\n" * 80 + "    return width\n")
    editor.terminal.type("gg")
    editor.command("1s/width/breadth/")
    wait_shown(editor)
    editor.terminal.wait_for("next edit: line 82 (]e)")
    editor.terminal.type("[e")
    wait_shown(editor, False)
    editor.command("2s/pass/pass  # x/")
    editor.command("2s/  # x//")
    wait_shown(editor, False)
    assert "return width" in editor.buffer()
    assert not editor.messages()


def test_lines_that_come_are_shown_between_the_others(editor: Neovim) -> None:
    editor.edit("def a(client):\n    pass\n\n\ndef b(client):\n    pass\n\n\ndef c(client):\n    pass\n")
    editor.command("1put! ='@cached'")
    editor.command("6put! ='@cached'")
    wait_shown(editor)
    editor.terminal.type("]e]e")
    editor.terminal.wait(lambda: editor.buffer().count("@cached\ndef") == 3, "the third decorator")
    assert not editor.messages()


def test_typing_hides_an_edit_and_keys_do_what_they_did_without_one(editor: Neovim) -> None:
    editor.edit(SOURCE)
    editor.command("1s/width/breadth/")
    wait_shown(editor)
    editor.command("2s/width/breadth/")
    wait_shown(editor, False)
    editor.terminal.type("]e")
    assert editor.buffer() == SOURCE.replace("width", "breadth").rstrip("\n")
    assert not editor.messages()
