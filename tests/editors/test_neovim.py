"""Real Neovim, its screen and its buffer: the plug-in on every version it supports."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lsp_server.stats import store
from tests.editors.support import EDITORS, NEOVIM_VERSIONS, Neovim, fimble_program, neovim_binary
from tests.support import starter

KEY_MS = 50
ACCEPT, WORD, LINE, DISMISS, ESCAPE, BACKSPACE = "\t", "\x1bw", "\x1bl", "\x1d", "\x1b", "\x7f"

# Two suggestions at once, which the server does not make: a server inside Neovim.
SEVERAL = """
local function several(dispatchers)
  local answers = {
    initialize = { capabilities = { inlineCompletionProvider = {}, positionEncoding = 'utf-8' } },
    shutdown = vim.NIL,
  }
  return {
    request = function(method, params, callback)
      local answer = answers[method]
      if method == 'textDocument/inlineCompletion' then
        answer = { items = {} }
        for number, text in ipairs({ 'first', 'second', 'third' }) do
          answer.items[number] = { insertText = text, range = { start = params.position, ['end'] = params.position } }
        end
      end
      callback(nil, answer)
      return true, 1
    end,
    notify = function() end,
    is_closing = function() return false end,
    terminate = function() end,
  }
end
local client = require('fimble.client')
local config = client.config
client.config = function() return vim.tbl_extend('force', config(), { cmd = several }) end
"""


@pytest.fixture
def editor(lasting: Neovim) -> Iterator[Neovim]:
    """One editor for all tests of a version. Each leaves without a word said and without a trace on the screen."""
    lasting.edit("x = 1\n")
    lasting.wait_ready()
    yield lasting
    lasting.command("messages clear")
    lasting.terminal.wait(lambda: not lasting.ghost(), "no leftover ghost text")


@pytest.fixture(scope="module")
def model_home(tmp_path_factory: pytest.TempPathFactory, starter_file: Path) -> Path:
    """One home for all versions, so that the machine is measured once."""
    home = tmp_path_factory.mktemp("home")
    starter.lend(starter_file, home / "cache")
    return home


def test_a_suggestion_is_seen_typed_through_and_accepted_whole(editor: Neovim) -> None:
    editor.edit("class Volume:\n    def total(self):\n")
    editor.insert("\r        surfa", KEY_MS)
    editor.wait_ghost("ce = area_of(self.width, self.height)")
    editor.terminal.type_paced("ce = area", KEY_MS)
    editor.wait_ghost("_of(self.width, self.height)")
    editor.terminal.type(ACCEPT)
    editor.wait_ghost("")  # or what is waited for is the ghost text
    editor.terminal.wait_for("surface = area_of(self.width, self.height)")
    editor.terminal.type(ESCAPE)
    assert "\n        surface = area_of(self.width, self.height)" in editor.buffer()
    assert not editor.messages()


def test_several_lines_are_shown_below_and_accepted_by_line(editor: Neovim) -> None:
    editor.edit("def area_of(width, height):")
    editor.insert("\r", KEY_MS)
    editor.wait_ghost("    product = width * height\n    return abs(product)")
    editor.terminal.type(LINE)
    editor.wait_ghost("    return abs(product)")
    editor.terminal.type(LINE + ESCAPE)
    editor.terminal.wait(lambda: not editor.ghost(), "nothing left")
    assert editor.buffer() == "def area_of(width, height):\n    product = width * height\n    return abs(product)"
    assert not editor.messages()


def test_lines_below_the_window_are_counted(editor: Neovim) -> None:
    """In Neovim 0.12 its own inline completion draws, which does not count them."""
    if editor.lua("require('fimble.builtin').used()"):
        pytest.skip("Neovim's own inline completion draws")
    editor.edit("def area_of(width, height):")
    editor.command("topleft new | resize 19 | wincmd j")  # which leaves two rows
    editor.insert("\r", KEY_MS)
    editor.wait_ghost("    product = width * height")
    assert editor.terminal.lines[21] == "    product = width * height +1 line"
    editor.terminal.type(ESCAPE)
    editor.command("only")
    editor.insert(" " + BACKSPACE, KEY_MS)
    editor.wait_ghost("    product = width * height\n    return abs(product)")
    assert "+1 line" not in editor.terminal.text
    editor.terminal.type(ACCEPT)
    editor.wait_ghost("")
    editor.terminal.type(ESCAPE)
    assert editor.buffer().endswith(":\n    product = width * height\n    return abs(product)")


def test_words_are_accepted_one_by_one_and_the_rest_stays(editor: Neovim) -> None:
    editor.edit("class Volume:\n    def total(self):\n")
    editor.insert("\r        larg", KEY_MS)
    editor.wait_ghost("est = max(self.depth, self.limit)")
    shown = []
    for rest in (" = max(self.depth, self.limit)", " max(self.depth, self.limit)", "(self.depth, self.limit)"):
        editor.terminal.type(WORD)
        editor.wait_ghost(rest)
        shown.append(editor.terminal.text)
    editor.terminal.type(WORD + ACCEPT + ESCAPE)  # typed ahead: nothing has been drawn between the two
    editor.terminal.wait(lambda: not editor.ghost(), "nothing left")
    assert editor.buffer().endswith("        largest = max(self.depth, self.limit)")
    assert not editor.messages()


@pytest.mark.parametrize("version", NEOVIM_VERSIONS)
def test_what_is_shown_and_accepted_is_counted(
    version: str, start_neovim: Callable[..., Neovim], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By word and as a whole, with a key in between: the plug-in tells the server what it was."""
    editor = start_neovim(version, home=tmp_path, text="class Volume:\n    def total(self):\n\n")
    editor.wait_ready()
    editor.terminal.type("G")
    editor.insert("        larg", KEY_MS)
    editor.wait_ghost("est = max(self.depth, self.limit)")
    for key, rest in ((WORD, " = max(self.depth, self.limit)"), (" ", "= max(self.depth, self.limit)")):
        editor.terminal.type(key)
        editor.wait_ghost(rest)
    editor.terminal.type(ACCEPT)
    editor.wait_ghost("")
    editor.terminal.type(ESCAPE)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))

    def counted(*names: str) -> list[int]:
        counts = store.read().counts.values()
        return [sum(each[name] for each in counts) for name in names]

    editor.terminal.wait(lambda: counted("accepted_whole") == [1], "the counts")
    assert counted("accepted", "accepted_words", "accepted_lines", "shown_guessed", "typed_through") == [1, 1, 0, 0, 0]
    assert counted("accepted_characters") == [len("est= max(self.depth, self.limit)")]
    assert counted("shown_told")[0] >= 1


def test_what_is_accepted_is_undone_in_one_step(editor: Neovim) -> None:
    editor.edit("class Volume:\n    def total(self):\n")
    editor.insert("\r        larg", KEY_MS)
    editor.wait_ghost("est = max(self.depth, self.limit)")
    editor.terminal.type(ACCEPT)
    editor.wait_ghost("")
    editor.terminal.wait_for("largest = max(self.depth, self.limit)")
    editor.terminal.type(ESCAPE)
    editor.terminal.type("u")
    editor.terminal.wait_gone("largest")
    assert editor.buffer().endswith("\n        larg")


CLOSED = "class Volume:\n    def total(self):\n        rounded = round()"
ROUNDED = "        rounded = round(largest / 7, 2).hex()"


def test_a_bracket_that_stands_there_is_replaced_in_one_step(editor: Neovim) -> None:
    editor.edit(CLOSED)
    editor.terminal.type("i")
    editor.terminal.type_paced("lar", KEY_MS)
    editor.wait_ghost("gest / 7, 2.hex()")  # the bracket between the two is the one that stands there
    editor.terminal.wait_for(ROUNDED)
    editor.terminal.type(ACCEPT)
    editor.terminal.wait(lambda: not editor.ghost(), "nothing left")
    editor.terminal.type(ESCAPE)
    assert editor.buffer().endswith(f"\n{ROUNDED}")
    editor.terminal.type("u")
    editor.terminal.wait_for("round(lar)")
    assert editor.buffer().endswith("\n        rounded = round(lar)")


@pytest.mark.parametrize("keys", [[WORD] * 5, [*" / 7, 2)"], [*" / 7, 2", "\x1b[C"]], ids=["words", "typed", "moved"])
def test_what_goes_over_a_bracket_is_taken_in_parts(editor: Neovim, keys: list[str]) -> None:
    editor.edit(CLOSED)
    editor.command("inoremap <buffer> <expr> ) getline('.')[col('.')-1] == ')' ? '<Right>' : ')'")
    editor.terminal.type("i")
    editor.terminal.type_paced("largest", KEY_MS)
    editor.wait_ghost(" / 7, 2.hex()")
    for key in keys:
        editor.terminal.type(key)
        editor.terminal.wait(lambda: ROUNDED in editor.terminal.text, "the line with what is left of it")
    editor.terminal.wait(lambda: editor.ghost() in (".hex()", "hex()"), f"the rest, not {editor.ghost()!r}")
    editor.terminal.type(ACCEPT + ESCAPE)
    editor.terminal.wait(lambda: not editor.ghost(), "nothing left")
    assert editor.buffer().endswith(f"\n{ROUNDED}")
    assert not editor.messages()


# Accepted by words: in front of the `é` that stands right of the cursor, a letter that begins with the same byte.
LETTERS = """
local ghost = require('fimble.ghost')
vim.o.virtualedit = 'onemore' -- the cursor goes behind the line's end, as in Insert mode
vim.api.nvim_buf_set_lines(0, 0, -1, false, { 'f(, é)' })
vim.api.nvim_win_set_cursor(0, { 1, 2 })
ghost.show({ { text = 'a, è, é).x', replaces = ', é)' } }, 1)
repeat
  io.write(vim.api.nvim_get_current_line(), '\\n')
until not ghost.accept('word')
"""


@pytest.mark.parametrize("version", NEOVIM_VERSIONS)
def test_a_letter_of_several_bytes_is_replaced_as_a_whole(version: str, tmp_path: Path) -> None:
    program, variables = neovim_binary(version)
    (tmp_path / "letters.lua").write_text(f"vim.opt.rtp:prepend('{EDITORS / 'neovim'}')\n{LETTERS}", encoding="utf-8")
    command = [program, "--clean", "-l", tmp_path / "letters.lua"]
    environment = {**os.environ, **variables, "XDG_STATE_HOME": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, timeout=60, check=True)
    lines = done.stdout.decode("utf-8").splitlines()  # raises where half a letter is left
    assert lines[0] == "f(, é)"
    assert lines[-1] == "f(a, è, é).x"
    assert len(lines) > 4


def test_typing_something_else_takes_it_away_at_once(editor: Neovim) -> None:
    editor.edit("class Volume:\n    def total(self):\n")
    editor.insert("\r        surfa", KEY_MS)
    editor.wait_ghost("ce = area_of(self.width, self.height)")
    # A key and the accepting key in one write: what does not begin the suggestion must not be completed by it.
    editor.terminal.type("x" + ACCEPT + "y")
    editor.terminal.wait_for("surfax")
    editor.terminal.type(ESCAPE)
    assert editor.buffer().endswith("\n        surfax\ty")
    assert not editor.messages()


def test_a_matching_key_typed_just_before_accepting_is_not_doubled(editor: Neovim) -> None:
    editor.edit("class Volume:\n    def total(self):\n")
    editor.insert("\r        surfa", KEY_MS)
    editor.wait_ghost("ce = area_of(self.width, self.height)")
    editor.terminal.type("ce" + ACCEPT + ESCAPE)
    editor.terminal.wait(lambda: not editor.ghost(), "nothing left")
    assert editor.buffer().endswith("\n        surface = area_of(self.width, self.height)")


def test_dismissed_until_the_text_changes(editor: Neovim) -> None:
    editor.edit("class Volume:\n    def total(self):\n")
    editor.insert("\r        surfa", KEY_MS)
    editor.wait_ghost("ce = area_of(self.width, self.height)")
    editor.terminal.type(DISMISS)
    editor.terminal.wait(lambda: not editor.ghost(), "it is gone")
    editor.terminal.type("c")
    editor.wait_ghost("e = area_of(self.width, self.height)")
    editor.terminal.type(ESCAPE)


def test_leaving_insert_mode_leaves_nothing(editor: Neovim) -> None:
    editor.edit("class Volume:\n    def total(self):\n")
    editor.insert("\r        surfa", KEY_MS)
    editor.wait_ghost("ce = area_of(self.width, self.height)")
    editor.terminal.type(ESCAPE)
    editor.terminal.wait(lambda: not editor.ghost(), "it is gone")
    assert editor.buffer().endswith("\n        surfa")


def test_keys_do_what_they_did_when_nothing_is_shown(editor: Neovim) -> None:
    editor.edit("", ".unheard")
    editor.terminal.type("a")
    editor.terminal.type_paced(["x", ACCEPT, WORD, "y"], KEY_MS)
    editor.terminal.wait_for("x       y")
    editor.terminal.type(ESCAPE)
    assert editor.buffer() == "x\ty"


def test_hidden_while_a_menu_is_open(editor: Neovim) -> None:
    editor.edit("surface_of_a_cube = surface_of_a_ball = 1\nclass Volume:\n    def total(self):\n")
    editor.insert("\r        surfa", KEY_MS)
    editor.wait_ghost("ce = area_of(self.width, self.height)")
    editor.terminal.type("\x0e\x10")  # Ctrl-N, keyword completion, and Ctrl-P, back to what was typed
    editor.terminal.wait(lambda: not editor.ghost() and editor.terminal.text.count("surface_of_a_ball") > 1, "a menu")
    editor.terminal.type("\x05")  # Ctrl-E
    editor.wait_ghost("ce = area_of(self.width, self.height)")
    editor.terminal.type(ESCAPE)


def test_off_by_file_type_and_on_again(editor: Neovim) -> None:
    editor.edit("class Volume:\n    def total(self):\n")
    editor.command("Fimble toggle filetype")
    editor.terminal.wait_for("off for python")
    editor.terminal.wait_for("[fimble off]")
    editor.insert("\r        surfa", KEY_MS)
    editor.terminal.wait_for("surfa")
    assert not editor.lua("require('fimble.ghost').text()")
    editor.command("Fimble why")
    editor.terminal.wait_for("off for files python")
    editor.command("Fimble toggle filetype")
    editor.terminal.wait_for("[fimble]")
    editor.insert("c", KEY_MS)
    editor.wait_ghost("e = area_of(self.width, self.height)")
    editor.terminal.type(ESCAPE)
    editor.command("Fimble why")
    editor.terminal.wait_for("there was a suggestion, after")


def test_status_is_shown_in_a_window(editor: Neovim) -> None:
    editor.edit("x = 1\n")
    editor.command("Fimble status")
    editor.terminal.wait_for("scripted, ready")
    editor.terminal.type("q")
    editor.terminal.wait_gone("scripted, ready")
    assert not editor.messages()


def test_what_became_of_the_last_requests_is_shown_in_a_window(editor: Neovim) -> None:
    editor.edit("class Volume:\n    def total(self):\n")
    editor.insert("\r        larg", KEY_MS)
    editor.wait_ghost("est = max(self.depth, self.limit)")
    editor.terminal.type(ESCAPE)
    editor.command("Fimble last")
    editor.terminal.wait_for("Why nothing appeared")
    editor.terminal.wait_for("s ago, ")
    editor.terminal.type("q")
    editor.terminal.wait_gone("s ago, ")
    assert not editor.messages()


def test_what_was_counted_is_shown_in_a_window(editor: Neovim) -> None:
    editor.edit("x = 1\n")
    editor.command("Fimble stats")
    editor.terminal.wait(lambda: editor.expression("&buftype") == "nofile", "the window")
    # The counts of the tests before this one, if it does not come first.
    assert re.search("The week to |Nothing has been counted yet", editor.buffer())
    editor.terminal.type("q")
    assert not editor.messages()


def test_an_explanation_floats(editor: Neovim) -> None:
    editor.edit("x = 1\n")
    explanation = editor.home / "explanations" / "why.md"
    explanation.parent.mkdir(exist_ok=True)
    explanation.write_text("# Why\n\nBecause of **this**.\n")
    editor.lua(
        "vim.lsp.get_clients({ name = 'fimble' })[1].handlers['window/showDocument'](nil, "
        f"{{ uri = 'file://{explanation}', takeFocus = true }}, "
        "{ client_id = vim.lsp.get_clients({ name = 'fimble' })[1].id }).success"
    )
    editor.terminal.wait_for("Because of")
    assert editor.expression("&buftype") == "nofile"
    editor.terminal.type("q")
    editor.terminal.wait_gone("Because of")
    assert editor.expression("&buftype") == ""


def test_health_finds_nothing_wrong(editor: Neovim) -> None:
    editor.edit("x = 1\n")
    editor.command("checkhealth fimble")
    editor.terminal.wait_for("the server runs for")
    report = editor.buffer()
    assert "ERROR" not in report
    assert "WARNING" not in report
    assert "the model scripted is loaded" in report
    editor.command("bwipeout!")


def test_health_names_all_mistakes_in_the_settings(editor: Neovim) -> None:
    editor.edit("x = 1\n")
    tell = (
        "lua local client = vim.lsp.get_clients({ name = 'fimble' })[1]; client.settings = { fimble = %s }; "
        "client.rpc.notify('workspace/didChangeConfiguration', { settings = client.settings })"
    )
    editor.command(tell % "{ max_lines = 'few', answer_ns = 3 }")
    editor.terminal.wait_for("2 mistakes in the settings")
    editor.command("checkhealth fimble")
    editor.terminal.wait_for("the server runs for")
    report = editor.buffer()
    assert "setting `max_lines`" in report
    assert "did you mean `answer_ms`" in report
    editor.command("bwipeout!")
    editor.terminal.wait(lambda: not editor.expression("&buftype"), "the file, whose server is asked below")
    editor.command(tell % "vim.empty_dict()")
    for _ in range(200):  # the server asks for the settings, and reads its files again
        if not editor.status("problems"):
            break
    editor.command("checkhealth fimble")
    editor.terminal.wait_for("the server runs for")
    assert "WARNING" not in editor.buffer()
    editor.command("bwipeout!")


def test_every_subject_of_the_help_is_found(editor: Neovim) -> None:
    editor.command("help fimble-options")
    editor.terminal.wait_for("hide_with_menu")
    editor.command("bwipeout!")


@pytest.mark.parametrize("version", NEOVIM_VERSIONS)
@pytest.mark.parametrize("scheme", ["default", "vim", "habamax"])
def test_ghost_text_looks_unlike_code_without_true_colour(
    version: str, scheme: str, start_neovim: Callable[..., Neovim]
) -> None:
    init = f"vim.o.termguicolors = false\nvim.cmd.colorscheme('{scheme}')\n"
    editor = start_neovim(version, init=init, coloured=False, text="class Volume:\n    def total(self):\n")
    editor.wait_ready()
    editor.terminal.type("G")
    editor.insert("        surfa", KEY_MS)
    editor.terminal.wait_for("surface = area_of(self.width, self.height)")
    row = next(row for row, line in enumerate(editor.terminal.lines) if "surface" in line)
    cells = editor.terminal.cells()[0][row]
    looks = [(cell.fg, cell.bg, cell.bold, cell.italics) for cell in cells]
    assert looks[editor.terminal.lines[row].index("height")] != looks[8], "the typed word looks so"


@pytest.mark.model
@pytest.mark.parametrize("version", NEOVIM_VERSIONS)
def test_the_starter_model_suggests(version: str, model_home: Path) -> None:
    text = "def add(a, b):\n    return a + b\n\n\ndef subtract(a, b):\n    x"
    program = fimble_program(model_home / "bin")
    editor = Neovim(version, model_home, program=program, file=f"{version}.py", text=text)
    try:
        editor.terminal.wait_for("[fimble]", seconds=90)
        editor.terminal.type("GA")
        editor.terminal.type_paced("\x7freturn ", 90)
        editor.terminal.wait(lambda: "a - b" in editor.ghost(), "a suggestion", seconds=60)
        editor.terminal.type(ACCEPT)
        editor.wait_ghost("")
        editor.terminal.wait_for("return a - b")
    finally:
        editor.close()


@pytest.mark.parametrize("version", NEOVIM_VERSIONS)
def test_next_and_previous_where_there_are_several(version: str, start_neovim: Callable[..., Neovim]) -> None:
    editor = start_neovim(version, init=SEVERAL, options="{ cmd = { 'true' } }")
    editor.wait_ready()
    editor.insert("x", KEY_MS)
    editor.wait_ghost("first")
    for key, shown in (("n", "second"), ("n", "third"), ("n", "first"), ("p", "third"), ("p", "second")):
        editor.terminal.type(f"\x1b{key}")
        editor.terminal.wait(lambda shown=shown: editor.ghost().startswith(shown), shown)
    editor.terminal.type(ACCEPT)
    editor.wait_ghost("first")  # of what comes next
    editor.terminal.wait_for("xsecond")
    editor.terminal.type(ESCAPE)
    assert editor.buffer() == "xsecond"


@pytest.mark.parametrize("version", NEOVIM_VERSIONS)
def test_a_folder_that_names_a_model_file_is_asked_about(
    version: str, start_neovim: Callable[..., Neovim], tmp_path: Path
) -> None:
    (tmp_path / "fimble.toml").write_text('lora = ["style.gguf"]\n')
    (tmp_path / ".git").mkdir()
    editor = start_neovim(version, home=tmp_path, text="x = 1\n")
    editor.terminal.wait_for("Trust this folder")
    editor.terminal.wait_for("Do not trust it")
    editor.terminal.type("2\r")
    answers = tmp_path / "state" / "fimble" / "trusted-folders.json"
    editor.terminal.wait(answers.is_file, "the answer")
    assert json.loads(answers.read_text())["folders"] == {str(tmp_path): False}
    editor.wait_ready()


@pytest.mark.parametrize("version", NEOVIM_VERSIONS)
def test_a_missing_program_is_said_once(version: str, start_neovim: Callable[..., Neovim]) -> None:
    editor = start_neovim(version, options="{ cmd = { '/nowhere/fimble' } }", text="x = 1\n")
    editor.terminal.wait_for("which is no program")
    editor.terminal.type("\r")
    editor.edit("y = 2\n")
    assert editor.messages().count("which is no program") == 1


@pytest.mark.parametrize("version", NEOVIM_VERSIONS)
@pytest.mark.parametrize("in_environment", [False, True], ids=["nowhere", "in an environment"])
def test_a_program_that_is_not_on_the_path(
    version: str, in_environment: bool, start_neovim: Callable[..., Neovim], tmp_path: Path
) -> None:
    """It says where it looked, and both ways out, without asking for a key. One in an environment is named, not run."""
    elsewhere = tmp_path / ".venv" / "bin"
    if in_environment:
        elsewhere.mkdir(parents=True)
        (elsewhere / "fimble").write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
        (elsewhere / "fimble").chmod(0o755)
    empty = tmp_path / "empty" / "fimble"
    editor = start_neovim(version, tmp_path, program=empty, init="vim.env.PATH = '/usr/bin:/bin'\n", text="x = 1\n")
    editor.terminal.wait_for("neither on the PATH")
    (said,) = editor.lua("require('fimble.notice').all()")
    assert f"cmd = {{ '{elsewhere if in_environment else '/path/to/.venv/bin'}/fimble', 'serve' }}" in said
    assert "~/.local/bin" in said
    assert "pip install" in said
    editor.terminal.type("oone" + ESCAPE)
    editor.terminal.wait(lambda: editor.buffer() == "x = 1\none", "the line that was typed")
    assert not (tmp_path / "ran").exists()


def test_why_tells_of_this_file_and_when(editor: Neovim) -> None:
    editor.command("Fimble why")
    editor.terminal.wait_for("nothing has been asked for in this file yet")
    editor.edit("class Volume:\n    def total(self):\n")
    editor.insert("\r        surfa", KEY_MS)
    editor.wait_ghost("ce = area_of(self.width, self.height)")
    editor.terminal.type(ESCAPE)
    editor.command("Fimble why")
    editor.terminal.wait_for("there was a suggestion, after ")
    editor.command("Fimble status")
    editor.terminal.wait_for("last request here: ")
    editor.terminal.type("q")
    editor.terminal.wait_gone("last request here: ")


@pytest.mark.parametrize("version", NEOVIM_VERSIONS)
def test_wrong_options_are_named_and_the_others_hold(version: str, start_neovim: Callable[..., Neovim]) -> None:
    options = "{ enabeld = false, hide_with_menu = 3, keys = { accept = '<C-y>', take = 'x' } }"
    editor = start_neovim(version, options=options)
    editor.wait_ready()  # no key is asked for
    said = "".join(editor.lua("require('fimble.notice').all()"))
    assert "unknown option `enabeld`" in said
    assert "option `hide_with_menu`: expected a boolean, found 3" in said
    assert "unknown option `keys.take`" in said
    assert editor.lua("require('fimble.config').options.keys.accept") == "<C-y>"
