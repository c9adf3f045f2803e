"""The editors in which fimble can be set up: how to find them, and their set-up files.

The files are in the repository's folder `editors`, which a wheel contains inside the package.
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

_MOST_FILES, _MOST_BYTES = 400, 1 << 20


def files_folder() -> Path:
    """The folder with a subfolder for each editor: inside an installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    packed = package / "editors"
    return packed if packed.is_dir() else package.parent / "editors"


@dataclass(frozen=True, slots=True)
class Editor:
    """name: as `fimble init` takes it.
    programs: if one of them is on the PATH, the editor is installed.
    files: where its set-up may be, as patterns below the home folder.
    source: the set-up file in the editor's folder; empty if the whole folder is the set-up.
    target: where `--write` puts it; empty if the user has to merge it by hand.
    after: what the user has to do then, with `{target}` for that place."""

    name: str
    programs: tuple[str, ...]
    files: tuple[str, ...]
    source: str
    target: str
    after: str

    @property
    def installed(self) -> bool:
        return any(shutil.which(program) for program in self.programs)

    @property
    def source_path(self) -> Path:
        return files_folder() / self.name / self.source

    def target_path(self) -> Path | None:
        return _place(self.target) if self.target else None

    @property
    def next_step(self) -> str:
        """What the user has to do after the target was written."""
        return self.after.format(target=self.target_path())

    def set_up_in(self) -> Path | None:
        """The file in this editor's configuration that mentions fimble, if there is one."""
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
    """A path below the home folder; `.config` and `.local/share` are replaced by the user's XDG folders."""
    for usual, variable in ((".config/", "XDG_CONFIG_HOME"), (".local/share/", "XDG_DATA_HOME")):
        folder = os.environ.get(variable)
        if folder and path.startswith(usual):
            return Path(folder) / path.removeprefix(usual)
    return Path.home() / path


def _mentions(path: Path) -> bool:
    try:
        return path.stat().st_size <= _MOST_BYTES and b"fimble" in path.read_bytes()
    except OSError:
        return False


_SUPPORT = "Library/Application Support" if sys.platform == "darwin" else ".config"
_SHARED = ".local/share/fimble/editors"  # files that the editor's configuration points to

EDITORS: tuple[Editor, ...] = (
    Editor(
        "neovim",
        ("nvim",),
        (
            ".config/nvim/*.lua",
            ".config/nvim/*.vim",
            ".config/nvim/**/*.lua",
            ".local/share/nvim/site/pack/*/start/fimble",
            ".local/share/nvim/lazy/fimble",
        ),
        "",
        ".local/share/nvim/site/pack/fimble/start/fimble",
        "start Neovim; Tab takes a suggestion",
    ),
    Editor(
        "helix",
        ("hx", "helix"),
        (".config/helix/languages.toml",),
        "languages.toml",
        ".config/helix/languages.toml",
        "take out the languages that you do not use; suggestions come in Helix's menu",
    ),
    Editor(
        "vscode",
        ("code", "codium", "code-insiders"),
        (".vscode/extensions/*fimble*", ".vscode-oss/extensions/*fimble*"),
        "",
        f"{_SHARED}/vscode",
        "cd {target} && npm ci && npm run package && code --install-extension fimble.vsix",
    ),
    Editor(
        "zed",
        ("zed", "zeditor"),
        (".config/zed/settings.json",),
        "README.md",
        "",
        "wait for an extension: Zed starts no other server",
    ),
    Editor(
        "emacs",
        ("emacs",),
        (".emacs", ".emacs.d/*.el", ".config/emacs/*.el"),
        "fimble.el",
        f"{_SHARED}/emacs/fimble.el",
        'in your init file: (load "{target}")',
    ),
    Editor(
        "sublime",
        ("subl", "sublime_text"),
        (f"{_SUPPORT}/sublime-text/Packages/User/LSP.sublime-settings",),
        "LSP.sublime-settings",
        f"{_SUPPORT}/sublime-text/Packages/User/LSP.sublime-settings",
        "install the package LSP",
    ),
    Editor(
        "kakoune",
        ("kak",),
        (".config/kak/kakrc", ".config/kak/**/*.kak"),
        "README.md",
        "",
        "install kakoune-lsp, and add the block of this page to kakrc",
    ),
    Editor(
        "vim",
        ("vim",),
        (".vim/coc-settings.json", ".vimrc", ".vim/vimrc"),
        "coc-settings.json",
        ".vim/coc-settings.json",
        "install coc.nvim",
    ),
    Editor(
        "jetbrains",
        ("idea", "pycharm", "webstorm", "goland", "clion", "rider", "rustrover"),
        (),
        "",
        f"{_SHARED}/jetbrains",
        "in LSP4IJ, a new language server, Template, Import from custom template: {target}",
    ),
)


def find(name: str) -> Editor | None:
    return next((editor for editor in EDITORS if editor.name == name.lower()), None)
