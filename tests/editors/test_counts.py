"""What `fimble stats` tells of a session in real Neovim and VS Code is what the user did."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Literal, Protocol

import pytest

from lsp_server.stats import store
from tests.conftest import environment
from tests.editors.support import NEOVIM_VERSIONS, PLAIN_INDENT, Neovim, scripted
from tests.editors.vscode.editor import Window, server_program, wait_for
from tests.editors.vscode.support import in_editor

KEY_MS = 50
METHOD = "class Volume:\n    def total(self):\n        "
SURFACE, LARGEST = "ce = area_of(self.width, self.height)", "est = max(self.depth, self.limit)"
ROUNDED = "ded = round(largest / 7, 2).hex()"
FUNCTION = "    product = width * height\n    return abs(product)"
# What is exact where the editor tells what is accepted.
EXACT = (
    *("accepted", "accepted_whole", "accepted_words", "accepted_lines", "accepted_characters"),
    *("undone", "typed_through", "due_save", "kept_save"),
)

Way = Literal["whole", "words", "lines"]


class Hands(Protocol):
    """What somebody does in one editor. words: the first two words of LARGEST, as this editor divides it."""

    words: tuple[str, str]

    def opens(self, text: str) -> None:
        """Opens a new file with this text, the cursor at its end."""

    def types(self, text: str) -> None: ...

    def deletes(self, characters: int) -> None: ...

    def sees(self, ghost: str) -> None:
        """Waits until this is suggested; nothing, if it is empty."""

    def accepts(self, way: Way) -> None: ...

    def takes_back(self, text: str) -> None:
        """Undoes the last step, which has put in this text."""

    def turns_down(self) -> None: ...

    def saves(self) -> None: ...

    def closes(self) -> None:
        """Closes all files."""


class Person:
    """Somebody with an editor, and a list of what was done."""

    def __init__(self, hands: Hands) -> None:
        self.hands = hands
        self.did: Counter[str] = Counter()

    def accepts(self, ghost: str, way: Way, text: str, *, first: bool = True) -> None:
        """Accepts this text of a suggestion. first: whether it is the first of it that is accepted."""
        self.hands.sees(ghost)
        self.hands.accepts(way)
        left = ghost.removeprefix(text)
        self.hands.sees(left)
        part = way if left else "whole"
        self.did.update({f"accepted_{part}": 1, "accepted": int(first), "accepted_characters": len(text)})

    def saves(self, due: int, kept: int) -> None:
        """Saves: of the accepted text that is looked at for the first time, so much is left."""
        self.hands.saves()
        self.did.update({"due_save": due, "kept_save": kept})

    def works(self) -> None:
        """A session with all that is counted."""
        hands = self.hands
        # Accepted whole; two characters of it are deleted.
        hands.opens(METHOD)
        hands.types("surfa")
        self.accepts(SURFACE, "whole", SURFACE)
        hands.deletes(2)
        self.saves(len(SURFACE), len(SURFACE) - 2)
        # Two words, and the rest typed.
        hands.opens(METHOD)
        hands.types("larg")
        one, other = hands.words
        self.accepts(LARGEST, "words", one)
        self.accepts(LARGEST.removeprefix(one), "words", other, first=False)
        hands.types(LARGEST.removeprefix(one + other))
        self.saves(len(one + other), len(one + other))
        # A line, and the line that is left.
        hands.opens("def area_of(width, height):")
        hands.types("\n")
        line, _, last = FUNCTION.partition("\n")
        self.accepts(FUNCTION, "lines", f"{line}\n")
        self.accepts(last, "lines", last, first=False)
        self.saves(len(FUNCTION), len(FUNCTION))
        # Accepted and taken back.
        hands.opens(METHOD)
        hands.types("roun")
        self.accepts(ROUNDED, "whole", ROUNDED)
        hands.takes_back(ROUNDED)
        self.did["undone"] += 1
        self.saves(len(ROUNDED), 0)
        # Typed to its end.
        hands.opens(METHOD)
        hands.types("surfa")
        hands.sees(SURFACE)
        hands.types(SURFACE)
        self.did["typed_through"] += 1
        self.saves(0, 0)
        # Turned down.
        hands.opens(METHOD)
        hands.types("larg")
        hands.sees(LARGEST)
        hands.turns_down()
        hands.sees("")
        hands.types("x")
        self.saves(0, 0)
        hands.closes()


class InNeovim:
    words = "est", " ="

    def __init__(self, editor: Neovim) -> None:
        self.editor, self.terminal = editor, editor.terminal
        self.inserting = False

    def opens(self, text: str) -> None:
        self.editor.edit(text)
        self.editor.wait_ready()

    def types(self, text: str) -> None:
        self._insert()
        self.terminal.type_paced(text.replace("\n", "\r"), KEY_MS)

    def deletes(self, characters: int) -> None:
        self.terminal.type_paced("\x7f" * characters, KEY_MS)

    def sees(self, ghost: str) -> None:
        self.editor.wait_ghost(ghost)

    def accepts(self, way: Way) -> None:
        self.terminal.type({"whole": "\t", "words": "\x1bw", "lines": "\x1bl"}[way])

    def takes_back(self, text: str) -> None:
        self._leave()
        self.terminal.type("u")
        self.terminal.wait_gone(text)

    def turns_down(self) -> None:
        self.terminal.type("\x1d")

    def saves(self) -> None:
        self._leave()
        self.editor.command("write")

    def closes(self) -> None:
        self.editor.command("%bwipeout!")

    def _insert(self) -> None:
        self.terminal.type("" if self.inserting else "a")
        self.inserting = True

    def _leave(self) -> None:
        self.terminal.type("\x1b")
        self.terminal.wait(lambda: self.editor.expression("mode()") == "n", "normal mode")
        self.inserting = False


class InVSCode:
    words = "est", " "

    def __init__(self, window: Window, folder: Path) -> None:
        self.window, self.folder = window, folder
        self.files = 0

    def opens(self, text: str) -> None:
        self.files += 1
        self.file = self.folder / f"file{self.files}.py"
        self.file.write_text(text)
        # Not by its name: VS Code would look for it in what it knew when the palette was opened.
        self.window.page.locator(".explorer-folders-view .monaco-list-row", has_text=self.file.name).click()
        wait_for("the file's tab", lambda: self.file.name in self.window.page.title())
        self.window.to_end()

    def types(self, text: str) -> None:
        self.window.type(text, KEY_MS)

    def deletes(self, characters: int) -> None:
        for _ in range(characters):
            self.window.press("Backspace")
            self.window.page.wait_for_timeout(KEY_MS)

    def sees(self, ghost: str) -> None:
        wait_for(f"the suggestion {ghost!r}", lambda: self.window.ghost() == ghost)

    def accepts(self, way: Way) -> None:
        self.window.press({"whole": "Tab", "words": "Control+ArrowRight", "lines": "Control+Alt+l"}[way])

    def takes_back(self, text: str) -> None:
        self.window.press("Control+z")
        wait_for("the text to go", lambda: text not in self.window.visible())

    def turns_down(self) -> None:
        self.window.press("Escape")

    def saves(self) -> None:
        self.window.saved(self.file)

    def closes(self) -> None:
        self.window.command_palette("View: Close All Editors")


@pytest.mark.parametrize("version", NEOVIM_VERSIONS)
def test_in_neovim(
    version: str, start_neovim: Callable[..., Neovim], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    editor = start_neovim(version, tmp_path, init=PLAIN_INDENT)
    editor.wait_ready()
    person = Person(InNeovim(editor))
    person.works()
    found = counted(person, tmp_path, monkeypatch)
    assert {name: found[name] for name in EXACT} == {name: person.did[name] for name in EXACT}
    assert found["shown_guessed"] == 0
    assert found["dismissed"] >= 1


@in_editor
def test_in_vscode(open_window: Callable[..., Window], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = tmp_path / "work"
    workspace.mkdir()
    (workspace / "first.py").write_text("")
    window = open_window(
        workspace,
        workspace / "first.py",
        **{"fimble.path": str(in_home(tmp_path))},
    )
    window.wait_until_ready("scripted")
    person = Person(InVSCode(window, workspace))
    person.works()
    found = counted(person, tmp_path, monkeypatch)
    assert {name: found[name] for name in EXACT} == {name: person.did[name] for name in EXACT}
    assert found["dismissed"] >= 1


def counted(person: Person, home: Path, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """What the command tells of the state folder, once all that was done is written there."""
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "state"))

    def written() -> bool:
        found: Counter[str] = Counter()
        for counts in store.read().counts.values():
            found.update(counts)
        shown = found["shown_told"] + found["shown_guessed"]
        ended = found["accepted"] + found["typed_through"] + found["dismissed"]
        return found["due_save"] >= person.did["due_save"] and shown == ended

    wait_for("the counts", written, 20)
    done = subprocess.run(
        [sys.executable, "-m", "lsp_server", "stats", "--json"],
        capture_output=True,
        text=True,
        check=True,
        env=environment(home),
    )
    return Counter(json.loads(done.stdout)["week"]["counts"])


def in_home(home: Path) -> Path:
    """A `fimble` whose user folders lie in this home, and whose model knows SCRIPT by heart."""
    scripted(home)
    folders = {name: value for name, value in environment(home).items() if name.startswith("XDG_")}
    arguments = ("--backend", "scripted", "--model", str(home / "script.py"))
    return server_program(home / "apart" / "fimble", *arguments, environment=folders)
