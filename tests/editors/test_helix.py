"""Real Helix: its menu, the preview, what is accepted, and code actions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.editors.support import FUNCTION, SIMPLIFIED, Helix, chat_model, fetched_editor, scripted

pytestmark = fetched_editor

KEY_MS = 50
START = "class Volume:\n    def total(self):\n        pass\n"
NEXT, ACCEPT = "\x0e", "\r"


@pytest.fixture
def editor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Helix]:
    helix = Helix(tmp_path_factory.mktemp("home"), text=START)
    try:
        helix.wait_ready()
        helix.terminal.type_paced("ggjjxc", KEY_MS)  # types in place of the third line
        yield helix
    finally:
        helix.close()


def test_the_menu_previews_and_accepts(editor: Helix) -> None:
    editor.terminal.type_paced("        surfa", KEY_MS)
    editor.wait_menu("surface = area_of(self.width, self.height)")
    assert "surface = area_of" not in editor.terminal.lines[2], "nothing is chosen yet"
    editor.terminal.type(NEXT)
    editor.terminal.wait(
        lambda: "surface = area_of(self.width, self.height)" in editor.terminal.lines[2], "the preview in the text"
    )
    editor.terminal.type(ACCEPT)
    editor.terminal.wait(lambda: editor.terminal.text.count("surface = area_of") == 1, "the menu is closed")
    assert editor.saved().startswith(
        "class Volume:\n    def total(self):\n        surface = area_of(self.width, self.height)"
    )


def test_an_entry_says_whose_it_is_and_waits_for_a_slow_model(tmp_path: Path) -> None:
    """Nothing is pressed but the keys of the text, the last no letter; each batch of the prompt takes half a second."""
    program = scripted(tmp_path, reading_seconds=0.5)
    helix = Helix(tmp_path, program=program, text=START)
    try:
        helix.wait_ready()
        helix.terminal.type_paced("ggjjxc", KEY_MS)
        helix.terminal.type_paced("        surface = area_of(", KEY_MS)
        helix.terminal.wait_for("self.width, self.height) · fimble")
        helix.terminal.type(NEXT)
        helix.terminal.wait(lambda: helix.terminal.lines[2].endswith("self.height)"), "the preview in the text")
        helix.terminal.type(ACCEPT)
        assert helix.saved().splitlines()[2] == "        surface = area_of(self.width, self.height)"
    finally:
        helix.close()


def test_a_bracket_that_stands_there_is_replaced(editor: Helix) -> None:
    editor.terminal.type_paced([*"        rounded = round()", "\x1b[D"], KEY_MS)
    editor.wait_menu("largest / 7, 2).hex()")
    editor.terminal.type(NEXT)
    editor.terminal.wait(
        lambda: editor.terminal.lines[2].endswith("rounded = round(largest / 7, 2).hex()"), "the preview in the text"
    )
    editor.terminal.type(ACCEPT)
    assert editor.saved().startswith(
        "class Volume:\n    def total(self):\n        rounded = round(largest / 7, 2).hex()\n"
    )


def test_typing_goes_on_while_the_menu_is_open(editor: Helix) -> None:
    editor.terminal.type_paced("        surface = area_of(self.wi", KEY_MS)
    editor.wait_menu("width, self.height)")
    editor.terminal.type_paced("dth)", KEY_MS)
    assert editor.saved().startswith("class Volume:\n    def total(self):\n        surface = area_of(self.width)")


def test_why_nothing_appeared_is_opened_by_a_command(editor: Helix) -> None:
    editor.terminal.type_paced("        surfa", KEY_MS)
    editor.wait_menu("surface = area_of(self.width, self.height)")
    editor.terminal.type_paced(["\x1b", "\x1b", ":lsp-workspace-command fimble.why\r"], 100)
    editor.terminal.wait_for("# Why nothing appeared")
    editor.terminal.wait_for("s ago, ")


# Code actions ----------------------------------------------------------------------------------------------

ANSWER_SECONDS = 25.0  # Helix gives up on a request after 20


@pytest.fixture
def with_function(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Helix]]:
    """A Helix with a function in front, the cursor in its second line."""
    opened: list[Helix] = []

    def start(answer_seconds: float | None = None) -> Helix:
        home = tmp_path_factory.mktemp("home")
        chat_model(home)
        opened.append(Helix(home, program=scripted(home, answer_seconds), text=FUNCTION))
        opened[-1].wait_ready()
        opened[-1].terminal.type("ggj")
        return opened[-1]

    yield start
    for helix in opened:
        helix.close()


def choose_action(helix: Helix, title: str) -> None:
    """Opens the menu of code actions, in which the first is selected, and chooses one."""
    helix.terminal.type_paced(" a", KEY_MS)
    helix.terminal.wait_for(f"fimble: {title}")
    menu = [line for line in helix.terminal.lines if "fimble: " in line]
    (index,) = [index for index, line in enumerate(menu) if title in line]
    helix.terminal.type_paced([NEXT] * index + [ACCEPT], KEY_MS)


def test_an_action_from_the_menu_is_applied_and_undone_in_one_step(with_function: Callable[..., Helix]) -> None:
    helix = with_function()
    choose_action(helix, "Simplify `add`")
    helix.terminal.wait_for("return first + second")
    assert helix.saved() == SIMPLIFIED
    helix.terminal.type("u")
    helix.terminal.wait_for("result = first + second")
    assert helix.saved() == FUNCTION


def test_an_action_of_25_seconds_does_not_freeze_it(with_function: Callable[..., Helix]) -> None:
    helix = with_function(ANSWER_SECONDS)
    choose_action(helix, "Simplify `add`")
    helix.terminal.wait_for("writing: ")
    helix.terminal.type("ggO# ")
    for number in range(5):
        helix.terminal.type_paced(f"word{number} ", KEY_MS)
        helix.terminal.wait_for(f"word{number}", seconds=2)
        assert "result = first + second" in helix.terminal.text, "the answer is still to come"
    helix.terminal.type("\x1b")
    helix.terminal.wait_for("return first + second", seconds=2 * ANSWER_SECONDS)
    assert helix.saved() == "# word0 word1 word2 word3 word4 \n" + SIMPLIFIED
