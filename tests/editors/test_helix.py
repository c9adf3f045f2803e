"""Real Helix: its menu, the preview, and what is accepted."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.editors.support import Helix

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


def test_typing_goes_on_while_the_menu_is_open(editor: Helix) -> None:
    editor.terminal.type_paced("        surface = area_of(self.wi", KEY_MS)
    editor.wait_menu("width, self.height)")
    editor.terminal.type_paced("dth)", KEY_MS)
    assert editor.saved().startswith("class Volume:\n    def total(self):\n        surface = area_of(self.width)")
