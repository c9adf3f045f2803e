"""Real Neovim under fast typing: two at once, a key every 45 ms, and a server that dies in the middle."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.editors.support import NEOVIM_VERSIONS, PLAIN_INDENT, Neovim, scripted
from tests.support.effort import scaled

KEYS, KEY_MS = scaled(150), 45  # for each of two editors
ACCEPTED = KEYS // 50  # accepting keys that must bring something in each, at least
ACCEPT, WORD, LINE, BACKSPACE, ESCAPE = "\t", "\x1bw", "\x1bl", "\x7f", "\x1b"

# What an accepting key did: the text it brought, or an empty one if nothing was shown. And at each event the ghost
# text, if there is any, must stand at the cursor.
JOURNAL = (
    PLAIN_INDENT
    + """
vim.o.backspace, vim.o.smarttab = 'indent,eol,start', false
_G.journal, _G.astray = {}, 0
vim.api.nvim_create_autocmd('User', { pattern = 'FimbleAccepted', callback = function(event)
  table.insert(_G.journal, event.data.text)
end })
for _, key in ipairs({ '<Tab>', '<M-w>', '<M-l>' }) do
  vim.keymap.set('i', key, function() table.insert(_G.journal, '') end)
end
vim.api.nvim_create_autocmd('VimEnter', { callback = function()
  vim.api.nvim_create_autocmd({ 'TextChangedI', 'CursorMovedI' }, { callback = function()
    local cursor = vim.api.nvim_win_get_cursor(0)
    for _, mark in ipairs(vim.api.nvim_buf_get_extmarks(0, -1, 0, -1, { details = true })) do
      if mark[4].virt_text and (mark[2] ~= cursor[1] - 1 or mark[3] ~= cursor[2]) then
        _G.astray = _G.astray + 1
      end
    end
  end })
end })
"""
)
MARKS = "#vim.api.nvim_buf_get_extmarks(0, -1, 0, -1, { type = 'virt_text' })"


def session(seed: int) -> list[str]:
    """Keys of somebody who types, errs, takes back, starts new lines, and accepts what is there."""
    chance = random.Random(seed)
    keys: list[str] = []
    while len(keys) < KEYS:
        kind = chance.random()
        if kind < 0.55:
            keys += chance.choice(("def area_of(width, ", "class Volume:", "surface = ", "x", "größe ", "foo(", ") "))
        elif kind < 0.65:
            keys += [BACKSPACE] * chance.randrange(1, 4)
        elif kind < 0.75:
            keys += ["\r", *" " * chance.choice((0, 4, 8))]
        else:
            keys.append(chance.choice((ACCEPT, ACCEPT, WORD, WORD, LINE)))
    return keys[:KEYS]


def replayed(keys: list[str], journal: list[str]) -> str:
    """The buffer that `keys` make, with what the accepting ones brought."""
    text, brought = "", iter(journal)
    for key in keys:
        if key in (ACCEPT, WORD, LINE):
            text += next(brought)
        elif key == BACKSPACE:
            text = text[:-1]
        else:
            text += key.replace("\r", "\n")
    return text


@pytest.mark.parametrize("version", NEOVIM_VERSIONS)
def test_two_editors_at_once_and_a_key_every_45_ms(version: str, start_neovim: Callable[..., Neovim]) -> None:
    first = start_neovim(version, init=JOURNAL, file="one.py")
    second = start_neovim(version, first.home, init=JOURNAL, file="two.py", options="{ builtin = false }")
    typed = {first: session(1), second: session(2)}
    for editor in typed:
        editor.wait_ready()
        editor.terminal.type("a")
    rests = dict.fromkeys(typed, 0)
    for one, two in zip(*typed.values(), strict=True):
        # Neovim 0.12 asks 200 ms after a key and not before, and a busy machine answers late: without a rest there is
        # nothing to accept.
        for editor, key in ((first, one), (second, two)):
            if key in (ACCEPT, WORD, LINE) and rests[editor] < ACCEPTED + 2:
                rests[editor] += editor.terminal.comes(editor.ghost, 1.0)  # there is no suggestion everywhere
        first.terminal.type_paced([one], KEY_MS)
        second.terminal.type(two)
    for editor, keys in typed.items():
        editor.terminal.type(ESCAPE)
        editor.terminal.wait(lambda editor=editor: editor.expression("mode()") == "n", "normal mode")
        journal = editor.lua("_G.journal")
        assert editor.buffer() == replayed(keys, journal)
        ours = version != "0.12" or editor is second
        assert sum(map(bool, journal)) >= (ACCEPTED if ours else 1), "too little was accepted for this to say anything"
        assert not ours or editor.lua("_G.astray") == 0
        assert editor.lua(MARKS) == 0
        assert not editor.ghost()
        assert not editor.messages()
        assert not editor.expression("v:errmsg")


@pytest.mark.parametrize("version", NEOVIM_VERSIONS)
def test_a_server_that_dies_is_started_again_and_no_key_is_lost(
    version: str, start_neovim: Callable[..., Neovim], tmp_path: Path
) -> None:
    editor = start_neovim(version, tmp_path, program=scripted(tmp_path, anew=True), init=PLAIN_INDENT)
    editor.wait_ready()
    client = "vim.lsp.get_clients({ name = 'fimble' })[1].id"
    before = editor.lua(client)
    servers = editor.lua("vim.api.nvim_get_proc_children(vim.fn.getpid())")
    servers = [pid for pid in servers if b"lsp_server" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    assert len(servers) == 1
    text = "class Volume:\r    def total(self):\r        surfa"
    editor.insert(text[:20], KEY_MS)
    os.kill(servers[0], signal.SIGKILL)
    editor.terminal.type_paced(text[20:], KEY_MS)
    editor.terminal.wait(
        lambda: editor.terminal.text.count("[fimble]") and editor.lua(f"({client} or 0)") != before, "a new server"
    )
    editor.terminal.type_paced("ce", KEY_MS)
    editor.wait_ghost(" = area_of(self.width, self.height)")
    editor.terminal.type(ESCAPE)
    assert editor.buffer() == text.replace("\r", "\n") + "ce"
    assert editor.messages() == "fimble: the server died and is started again; see :Fimble log"
