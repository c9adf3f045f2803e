"""What `fimble stats` tells of a session in real Neovim is what the user did."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from lsp_server.stats import store
from tests.conftest import environment
from tests.editors.support import NEOVIM_VERSIONS, PLAIN_INDENT, Neovim
from tests.editors.vscode.editor import wait_for

KEY_MS = 50
ACCEPT, WORD, LINE, ESCAPE, BACKSPACE = "\t", "\x1bw", "\x1bl", "\x1b", "\x7f"
METHOD = "class Volume:\n    def total(self):\n        "
SURFACE, LARGEST = "ce = area_of(self.width, self.height)", "est = max(self.depth, self.limit)"
ROUNDED = "ded = round(largest / 7, 2).hex()"
FUNCTION = "    product = width * height\n    return abs(product)"
# What is exact where the editor tells what it shows and what is accepted.
EXACT = (
    *("accepted", "accepted_whole", "accepted_words", "accepted_lines", "accepted_characters"),
    *("undone", "typed_through", "due_save", "kept_save", "shown_guessed"),
)


def told(home: Path) -> Counter[str]:
    """The counts of the state folder, as the command tells them."""
    done = subprocess.run(
        [sys.executable, "-m", "lsp_server", "stats", "--json"],
        capture_output=True,
        text=True,
        check=True,
        env=environment(home),
    )
    return Counter(json.loads(done.stdout)["week"]["counts"])


class Person:
    """Somebody in Neovim, with a list of what was done."""

    def __init__(self, editor: Neovim) -> None:
        self.editor = editor
        self.did: Counter[str] = Counter()

    def opens(self, text: str) -> Path:
        path = self.editor.edit(text)
        self.editor.wait_ready()
        return path

    def types(self, text: str, *, first: bool = True) -> None:
        """Types, in insert mode; first: it has to be entered."""
        self.editor.terminal.type("a" if first else "")
        self.editor.terminal.type_paced(text, KEY_MS)

    def accepts(self, ghost: str, key: str, text: str, *, first: bool = True) -> None:
        """Accepts a suggestion, or a part of it. first: whether it is the first of it."""
        self.editor.wait_ghost(ghost)
        self.editor.terminal.type(key)
        left = ghost.removeprefix(text)
        self.editor.wait_ghost(left.removeprefix("\n"))
        part = "whole" if not left else {WORD: "words", LINE: "lines"}[key]
        self.did.update({f"accepted_{part}": 1, "accepted": int(first), "accepted_characters": len(text)})

    def saves(self, due: int, kept: int) -> None:
        """Leaves insert mode and saves: of the accepted text that is looked at for the first time, so much is left."""
        self.editor.terminal.type(ESCAPE)
        self.editor.command("write")
        self.did.update({"due_save": due, "kept_save": kept})


@pytest.mark.parametrize("version", NEOVIM_VERSIONS)
def test_in_neovim(
    version: str, start_neovim: Callable[..., Neovim], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    editor = start_neovim(version, tmp_path, init=PLAIN_INDENT)
    editor.wait_ready()
    person = Person(editor)
    # Accepted whole; two characters of it are deleted.
    person.opens(METHOD)
    person.types("surfa")
    person.accepts(SURFACE, ACCEPT, SURFACE)
    editor.terminal.type_paced(BACKSPACE * 2, KEY_MS)
    person.saves(len(SURFACE), len(SURFACE) - 2)
    # Two words, and the rest typed.
    person.opens(METHOD)
    person.types("larg")
    person.accepts(LARGEST, WORD, "est")
    person.accepts(LARGEST[3:], WORD, " =", first=False)
    person.types(LARGEST[5:], first=False)
    person.saves(5, 5)
    # A line, and the line that is left.
    person.opens("def area_of(width, height):")
    person.types("\r")
    first, _, second = FUNCTION.partition("\n")
    person.accepts(FUNCTION, LINE, f"{first}\n")
    person.accepts(second, LINE, second, first=False)
    person.saves(len(FUNCTION), len(FUNCTION))
    # Accepted and taken back.
    person.opens(METHOD)
    person.types("roun")
    person.accepts(ROUNDED, ACCEPT, ROUNDED)
    editor.terminal.type(ESCAPE)
    editor.terminal.wait(lambda: editor.expression("mode()") == "n", "normal mode")
    editor.terminal.type("u")
    editor.terminal.wait_gone(ROUNDED)
    person.did["undone"] += 1
    person.saves(len(ROUNDED), 0)
    # Typed to its end.
    person.opens(METHOD)
    person.types("surfa")
    editor.wait_ghost(SURFACE)
    person.types(SURFACE, first=False)
    person.did["typed_through"] += 1
    person.saves(0, 0)
    # Turned down.
    person.opens(METHOD)
    person.types("larg")
    editor.wait_ghost(LARGEST)
    editor.terminal.type("\x1d")
    editor.wait_ghost("")
    person.types("x", first=False)
    person.saves(0, 0)

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))

    def written() -> bool:
        found: Counter[str] = Counter()
        for counts in store.read().counts.values():
            found.update(counts)
        ended = found["accepted"] + found["typed_through"] + found["dismissed"]
        return found["due_save"] >= person.did["due_save"] and found["shown_told"] == ended

    wait_for("the counts", written, 20)
    found = told(tmp_path)
    assert {name: found[name] for name in EXACT} == {name: person.did[name] for name in EXACT}
    assert found["dismissed"] >= 1
