"""The editors that fimble can be set up in: how to find them, and the configuration that starts it there."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

_MOST_FILES, _MOST_BYTES = 400, 1 << 20


@dataclass(frozen=True, slots=True)
class Editor:
    """name: as `fimble init` takes it. programs: any of them on the path means that it is installed. files: where
    its set-up can be, patterns below the home folder. target: the file that `--write` makes, empty where that
    takes more than a file. settings: the text of the set-up. after: what remains to be done by hand.
    """

    name: str
    programs: tuple[str, ...]
    files: tuple[str, ...]
    target: str
    settings: str
    after: str = ""

    @property
    def installed(self) -> bool:
        return any(shutil.which(program) for program in self.programs)

    def target_path(self) -> Path | None:
        return _place(self.target) if self.target else None

    def set_up_in(self) -> Path | None:
        """The file that mentions fimble in this editor's configuration, if one does."""
        seen = 0
        for pattern in self.files:
            base, _, rest = pattern.partition("*")
            folder = _place(base.rsplit("/", 1)[0]) if rest else _place(pattern).parent
            name = pattern[len(base.rsplit("/", 1)[0]) + 1 :] if rest else Path(pattern).name
            try:
                for path in folder.glob(name):
                    seen += 1
                    if seen > _MOST_FILES:
                        return None
                    if "fimble" in path.name or (path.is_file() and _mentions(path)):
                        return path
            except OSError:
                continue
        return None


def _place(path: str) -> Path:
    """A path below the home folder, with `.config` wherever the user keeps that."""
    config = os.environ.get("XDG_CONFIG_HOME")
    if config and path.startswith(".config/"):
        return Path(config) / path.removeprefix(".config/")
    return Path.home() / path


def _mentions(path: Path) -> bool:
    try:
        return path.stat().st_size <= _MOST_BYTES and b"fimble" in path.read_bytes()
    except OSError:
        return False


_NEOVIM = """\
vim.lsp.config('fimble', { cmd = { 'fimble', 'serve' }, root_markers = { '.git' } })
vim.lsp.enable('fimble')
vim.lsp.inline_completion.enable(true)
vim.keymap.set('i', '<Tab>', function()
  if not vim.lsp.inline_completion.get() then return '<Tab>' end
end, { expr = true })
"""

_HELIX = """\
[language-server.fimble]
command = "fimble"
args = ["serve"]

[[language]]
name = "python"
language-servers = ["pylsp", "fimble"]
"""

_ZED = """\
{
  "lsp": { "fimble": { "binary": { "path": "fimble", "arguments": ["serve"] } } }
}
"""

_EMACS = """\
(with-eval-after-load 'eglot
  (add-to-list 'eglot-server-programs '(prog-mode . ("fimble" "serve"))))
"""

_SUBLIME = """\
{
  "clients": {
    "fimble": { "enabled": true, "command": ["fimble", "serve"], "selector": "source" }
  }
}
"""

_KAKOUNE = """\
hook -group lsp-filetype-fimble global BufSetOption filetype=(?:python|go|rust|javascript|typescript|c|cpp|java) %{
    set-option -add buffer lsp_servers %{
        [fimble]
        root_globs = [".git", ".hg"]
        command = "fimble"
        args = ["serve"]
    }
}
"""

_VIM = """\
{
  "languageserver": {
    "fimble": { "command": "fimble", "args": ["serve"], "filetypes": ["*"] }
  }
}
"""

_SUPPORT = "Library/Application Support" if sys.platform == "darwin" else ".config"

EDITORS: tuple[Editor, ...] = (
    Editor(
        "neovim",
        ("nvim",),
        (".config/nvim/*.lua", ".config/nvim/*.vim", ".config/nvim/**/*.lua"),
        ".config/nvim/plugin/fimble.lua",
        _NEOVIM,
        "Neovim 0.12 or newer; Tab takes the suggestion",
    ),
    Editor(
        "helix",
        ("hx", "helix"),
        (".config/helix/languages.toml",),
        ".config/helix/languages.toml",
        _HELIX,
        "name fimble in `language-servers` of each language; suggestions come in Helix's menu",
    ),
    Editor(
        "vscode",
        ("code", "codium", "code-insiders"),
        (".vscode/extensions/*fimble*", ".vscode-oss/extensions/*fimble*"),
        "",
        "code --install-extension fimble.vsix\n",
        "the extension lies in editors/vscode",
    ),
    Editor("zed", ("zed", "zeditor"), (".config/zed/settings.json",), "", _ZED, "merge it into Zed's settings.json"),
    Editor(
        "emacs", ("emacs",), (".emacs", ".emacs.d/*.el", ".config/emacs/*.el"), "", _EMACS, "add it to your init.el"
    ),
    Editor(
        "sublime",
        ("subl", "sublime_text"),
        (f"{_SUPPORT}/sublime-text/Packages/User/LSP.sublime-settings",),
        f"{_SUPPORT}/sublime-text/Packages/User/LSP.sublime-settings",
        _SUBLIME,
        "needs the package LSP",
    ),
    Editor("kakoune", ("kak",), (".config/kak/kakrc", ".config/kak/**/*.kak"), "", _KAKOUNE, "needs kakoune-lsp"),
    Editor(
        "vim",
        ("vim",),
        (".vim/coc-settings.json", ".vimrc", ".vim/vimrc"),
        ".vim/coc-settings.json",
        _VIM,
        "needs coc.nvim",
    ),
    Editor(
        "jetbrains",
        ("idea", "pycharm", "webstorm", "goland", "clion", "rider", "rustrover"),
        (),
        "",
        "fimble serve\n",
        "install the plugin from editors/jetbrains, or LSP4IJ with this command as a new language server",
    ),
)


def find(name: str) -> Editor | None:
    return next((editor for editor in EDITORS if editor.name == name.lower()), None)
