"""What is ready to be sent to the editors' collections says the same as the server and its own plug-ins."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from lsp_server import __version__
from lsp_server.cli import parser
from tests.editors.support import EDITORS, neovim_binary, scripted, with_path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

UPSTREAM = EDITORS / "upstream"
# Opens files of two projects, and says whom Neovim has started when it has answered requests about both.
ASKS = """
vim.opt.rtp:prepend('rtp')
vim.lsp.enable('fimble')
local function client() return vim.lsp.get_clients({ name = 'fimble' })[1] end
assert(not vim.wait(100, client, 20), 'a server for nothing')
for _, name in ipairs({ 'shop', 'mill' }) do
  vim.cmd.edit(name .. '/first.py')
  local function attached() return client() and client().initialized and client().attached_buffers[vim.fn.bufnr()] end
  assert(vim.wait(20000, attached, 20), 'no server')
end
local status
vim.wait(20000, function()
  status = client():request_sync('fimble/status', {}, 20000, 0).result
  return status.settings.max_lines == 4
end, 50)
print(vim.json.encode({ #vim.lsp.get_clients(), status.version, status.settings.max_lines, status.documents }))
vim.cmd('qall!')
"""


def test_neovim_starts_one_server_by_the_entry_for_nvim_lspconfig(tmp_path: Path) -> None:
    (tmp_path / "rtp/lsp").mkdir(parents=True)
    (tmp_path / "rtp/lsp/fimble.lua").write_bytes((UPSTREAM / "nvim-lspconfig/fimble.lua").read_bytes())
    for lines, name in enumerate(("shop", "mill"), 3):
        (tmp_path / name).mkdir()
        (tmp_path / name / "fimble.toml").write_text(f"max_lines = {lines}\n")
        (tmp_path / name / "first.py").write_text("total = 1\n")
    (tmp_path / "ask.lua").write_text(ASKS)
    done = subprocess.run(
        [neovim_binary("0.11")[0], "--clean", "-l", "ask.lua"],
        cwd=tmp_path,
        env=with_path(tmp_path, scripted(tmp_path)),
        capture_output=True,
        text=True,
        check=False,
    )
    # The settings of the project that came second, and the documents of both.
    assert json.loads(done.stderr.strip().splitlines()[-1]) == [1, __version__, 4, 2], done.stderr


def test_the_entry_for_mason_names_the_package_of_this_version() -> None:
    text = (UPSTREAM / "mason/package.yaml").read_text("utf-8")
    assert f"id: pkg:pypi/fimble@{__version__}\n" in text
    assert "fimble: pypi:fimble\n" in text


def test_the_entry_for_helix_is_that_of_its_page() -> None:
    entry, page = (
        tomllib.loads((EDITORS / name).read_text("utf-8"))["language-server"]["fimble"]
        for name in ("upstream/helix/languages.toml", "helix/languages.toml")
    )
    assert entry == page
    parser().parse_args(entry["args"])


def test_the_client_for_lsp_mode_is_that_of_the_package() -> None:
    entry = (UPSTREAM / "lsp-mode/lsp-fimble.el").read_text("utf-8")
    package = (EDITORS / "emacs/fimble.el").read_text("utf-8")
    for line in (":add-on? t", ":priority -2", ":server-id 'fimble", '\'("fimble" "serve")'):
        assert line in entry
        assert line in package
    code = re.sub(r'"(?:\\.|[^"\\])*"|;.*', "", entry)
    assert code.count("(") == code.count(")")
