"""Real Emacs: completion and code actions in eglot, ghost text in lsp-mode."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.editors.support import FUNCTION, SIMPLIFIED, Emacs, chat_model, fetched_editor

pytestmark = fetched_editor

KEY_MS = 50
START = "class Volume:\n    def total(self):\n        pass\n"
LINE = "        surface = area_of(self.width, self.height)"
INTO_THIRD_LINE = ["\x1b>", "\x10", "\x01", "\x0b"]  # the buffer's end, a line up, its beginning, and it is cut
COMPLETE, TAB = "\x1b\t", "\t"

# As the page says. A package manager loads a package's autoloads; those of Debian are loaded by hand.
LSP_MODE = """
(load "lsp-mode-autoloads" nil t)
(add-hook 'prog-mode-hook #'lsp-deferred)
(add-hook 'lsp-mode-hook #'lsp-inline-completion-mode)
(setq lsp-inline-completion-idle-delay 0.1 lsp-warn-no-matched-clients nil lsp-auto-guess-root t)
(with-eval-after-load 'lsp-inline-completion
  (keymap-set lsp-inline-completion-active-map "TAB" #'lsp-inline-completion-accept))
"""


@pytest.fixture
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Emacs]]:
    editors: list[Emacs] = []

    def start(text: str, init: str = "") -> Emacs:
        home = tmp_path_factory.mktemp("home")
        chat_model(home)
        editors.append(Emacs(home, init=init, text=text))
        return editors[-1]

    yield start
    for one in editors:
        one.close()


def test_eglot_completes_at_point(opened: Callable[..., Emacs]) -> None:
    emacs = opened(START)
    emacs.command("eglot")
    emacs.terminal.wait_for("[eglot:")
    emacs.terminal.type_paced([*INTO_THIRD_LINE, *"        surfa"], KEY_MS)
    # On a slow machine the first part comes, and each further call continues it.
    for _ in range(5):
        emacs.terminal.type(COMPLETE)
        try:
            emacs.terminal.wait_for(LINE, seconds=4)
            break
        except AssertionError:
            continue
    assert emacs.saved() == START.replace("        pass", LINE)


def test_an_action_in_eglot_is_applied_and_undone_in_one_step(opened: Callable[..., Emacs]) -> None:
    emacs = opened(FUNCTION)
    emacs.command("eglot")
    emacs.terminal.wait_for("[eglot:")
    emacs.terminal.type("\x0e")
    emacs.command("eglot-code-actions")
    emacs.terminal.wait_for("Pick an action")
    emacs.terminal.type_paced([TAB, *"Simp", TAB], KEY_MS)  # a space would complete a word
    emacs.terminal.wait_for("): fimble: Simplify `add`")
    emacs.terminal.type("\r")
    emacs.terminal.wait_for("return first + second")
    assert emacs.saved() == SIMPLIFIED
    emacs.terminal.type("\x1f")
    emacs.terminal.wait_for("result = first + second")
    assert emacs.saved() == FUNCTION


@pytest.mark.parametrize("client", ["eglot", "lsp-mode"])
def test_why_nothing_appeared_is_opened_by_a_command(opened: Callable[..., Emacs], client: str) -> None:
    emacs = opened(START, LSP_MODE if client == "lsp-mode" else "")
    if client == "eglot":
        emacs.command("eglot")
        emacs.terminal.wait_for("[eglot:")
    else:
        emacs.terminal.type_paced(INTO_THIRD_LINE[:1], KEY_MS)
        emacs.terminal.wait_for("LSP[fimble:")
        emacs.terminal.wait_gone("/starting]")
    emacs.command("fimble-why")
    emacs.terminal.wait_for("No completion has been asked for yet.")


def test_lsp_mode_shows_ghost_text(opened: Callable[..., Emacs]) -> None:
    emacs = opened(START, LSP_MODE)
    emacs.terminal.type_paced(INTO_THIRD_LINE[:1], KEY_MS)  # it starts the server once Emacs rests
    emacs.terminal.wait_for("LSP[fimble:")
    emacs.terminal.wait_gone("/starting]")
    emacs.terminal.type_paced([*INTO_THIRD_LINE, *"        surfa"], KEY_MS)
    emacs.terminal.wait_for(LINE)
    emacs.terminal.type(TAB)
    emacs.terminal.wait_gone("Accept:")
    assert emacs.saved() == START.replace("        pass", LINE)
