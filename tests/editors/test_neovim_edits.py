"""Next edits in real Neovim: shown where they would be made, gone to, made, put away and undone."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from tests.editors.support import Neovim
from tests.support.effort import scaled

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


def test_random_edits_are_made_where_they_are_shown_and_undone_in_one_step(editor: Neovim) -> None:
    """Renames and repeated changes, with edits that are made or typed past: what is made is what the server sent, at
    the place and in the version that it was sent for."""
    rng = random.Random(4)
    lines = ["def area(width, é):", "    log.info(width)", "    log.info(é)", "    return width * 2", ""]
    editor.edit("\n".join(lines * 6))
    made = 0
    for _ in range(scaled(6)):
        if rng.random() < 0.7:  # a parameter is renamed, which its uses follow
            line = 5 * rng.randrange(6) + 1
            old, new = (
                ("width", "breadth") if "width" in editor.buffer().split("\n")[line - 1] else ("breadth", "width")
            )
        else:
            line = rng.randrange(30) + 1
            old, new = rng.choice([("width", "breadth"), ("log", "logger"), ("breadth", "width"), ("$", "  # x")])
        what = "$" if old == "$" else f"\\<{old}\\>"
        editor.expression(f"execute('silent! {line}s/{what}/{new}/')")  # and it is done when this returns
        before = editor.buffer()
        shown: Any = False
        for _ in range(18 if made else 60):  # the first one may be late on a slow machine
            shown = shown or editor.lua("vim.wait(100) or (require('fimble.edits').current() or {}).edit or false")
        if not shown or rng.random() < 0.2:
            continue
        text = before.split("\n")
        first, last = shown["range"]["start"], shown["range"]["end"]
        head = text[first["line"]].encode()[: first["character"]].decode()
        tail = text[last["line"]].encode()[last["character"] :].decode()
        expected = text[: first["line"]] + (head + shown["text"] + tail).split("\n") + text[last["line"] + 1 :]
        row = first["line"] + 1
        editor.lua(f"vim.api.nvim_win_set_cursor(0, {{ {row}, 0 }}) or require('fimble.edits').accept()")
        assert editor.buffer().split("\n") == expected
        editor.command("silent undo")
        editor.terminal.wait(lambda before=before: editor.buffer() == before, "one step undone")
        made += 1
    assert made
    assert not editor.messages()
