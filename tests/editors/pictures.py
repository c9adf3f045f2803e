"""Makes the pictures in the editors' pages: `python -m tests.editors.pictures [neovim] [helix] [vscode]`.

Real editors, in their own colours, with the real default model. What is on a terminal's screen is drawn by Chromium.
Needs what `python -m tests.editors.install` installs; for Helix also a C compiler, for its grammar; and Debian's
fonts-jetbrains-mono, else another font is taken. They are kept in screenshots/ beside this file, too.
"""

from __future__ import annotations

import argparse
import html
import itertools
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.conftest import environment
from tests.editors import install
from tests.editors.support import EDITORS, fimble_program, neovim_binary, with_path
from tests.editors.terminal import Terminal
from tests.editors.vscode import editor as vscode
from tests.editors.vscode import install as vscode_install
from tests.support import starter

if TYPE_CHECKING:
    from playwright.sync_api import Browser

KEY_MS, SLOW_KEY_MS = 90, 1000
SECONDS = 120.0  # how long to wait for the model
SCALE = 2  # pixels of the picture in a pixel of the page
COLOURS = 256  # so many are enough for text, and a picture has a third of its bytes
SCREENSHOTS = vscode.SCREENSHOTS.parent

VECTOR = '''\
"""Vectors in the plane."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Vector:
    x: float
    y: float

    def __add__(self, other: "Vector") -> "Vector":
        return Vector(self.x + other.x, self.y + other.y)

    def __sub__(self, other: "Vector") -> "Vector":
        '''

QUEUE = """\
export class Queue<T> {
  private readonly items: T[] = [];

  enqueue(item: T): void {
    this.items.push(item);
  }

  dequeue(): T | undefined {
    return this.items.shift();
  }

  get size(): number {
    return this.items.length;
  }

  isEmpty(): boolean {
  }
}
"""

CIRCLE = '''\
"""Shapes in the plane."""

import math
from dataclasses import dataclass


@dataclass
class Circle:
    radius: float

    def area(self) -> float:
        return math.pi * self.radius**2

    def circumference(self) -> float:
        '''


# A terminal's screen as a page ------------------------------------------------------------------------------

# The colours that have names; those of programs that know of 24 bits come as they are.
NAMED = {
    "black": "#14161b", "red": "#e06c75", "green": "#98c379", "brown": "#e5c07b", "blue": "#61afef",
    "magenta": "#c678dd", "cyan": "#56b6c2", "white": "#dcdfe4",
}  # fmt: skip
FOREGROUND, BACKGROUND = "#e0e2ea", "#14161b"

STYLE = """
body { margin: 0 }
main { display: inline-block; padding: 10px 0; border-radius: 8px; overflow: hidden;
  font: 14px/20px "JetBrains Mono", "DejaVu Sans Mono", monospace; font-variant-ligatures: none }
div { position: relative; height: 20px; padding: 0 14px; white-space: pre }
span { display: inline-block; height: 20px }
i { position: absolute; width: 2px; height: 20px }
"""


def _colours(cell: Any) -> tuple[str, str]:
    """Foreground and background of a cell, as CSS has them."""
    foreground, background = (
        default if name == "default" else NAMED.get(name.removeprefix("bright"), f"#{name}")
        for name, default in ((cell.fg, FOREGROUND), (cell.bg, BACKGROUND))
    )
    return (background, foreground) if cell.reverse else (foreground, background)


def _style(cell: Any) -> str:
    foreground, background = _colours(cell)
    more = {
        "font-weight:bold": cell.bold,
        "font-style:italic": cell.italics,
        "text-decoration:underline": cell.underscore,
    }
    return ";".join([f"color:{foreground}", f"background:{background}", *(css for css, holds in more.items() if holds)])


def page(terminal: Terminal) -> str:
    """The screen as HTML; a cursor that the terminal draws is a bar, as it is while text is typed."""
    rows, cursor = terminal.cells()
    lines = []
    for number, row in enumerate(rows):
        spans = "".join(
            f'<span style="{style}">{html.escape("".join(cell.data for cell in cells))}</span>'
            for style, cells in itertools.groupby(row, _style)
        )
        bar = ""
        if cursor is not None and cursor[0] == number:
            bar = f'<i style="left:calc(14px + {cursor[1]}ch);background:{FOREGROUND}"></i>'
        lines.append(f'<div style="background:{_colours(row[-1])[1]}">{bar}{spans}</div>')
    edge = _colours(rows[0][-1])[1]
    return f'<!doctype html><style>{STYLE}</style><main style="background:{edge}">{"".join(lines)}</main>'


def _draw(browser: Browser, terminal: Terminal, target: Path) -> None:
    tab = browser.new_page(viewport={"width": 1200, "height": 800}, device_scale_factor=SCALE)
    tab.set_content(page(terminal))
    tab.locator("main").screenshot(path=target, omit_background=True)
    tab.close()


# The editors ------------------------------------------------------------------------------------------------


def neovim(browser: Browser, home: Path, target: Path) -> None:
    """Neovim 0.12 with its own colours, and a whole expression as ghost text."""
    binary, variables = neovim_binary("0.12")
    config = home / "init.lua"
    config.write_text(
        f"vim.opt.rtp:prepend('{EDITORS / 'neovim'}')\n"
        "vim.o.termguicolors, vim.o.number, vim.o.swapfile, vim.o.showcmd = true, true, false, false\n"
        "vim.opt.shortmess:append('IF')\n"
        "vim.o.statusline = \" %f %m%=%{v:lua.require'fimble'.statusline()}  %l:%c \"\n"
    )
    (home / "vector.py").write_text(VECTOR)
    env = {**with_path(home, fimble_program(home / "bin")), **variables}
    command = [binary, "-u", config, "-i", "NONE", "vector.py"]
    terminal = Terminal(command, home, env, rows=18, columns=80, true_colour=True)
    try:
        terminal.wait(lambda: " fimble  " in terminal.text, "the model is loaded", SECONDS)
        terminal.type("GA")
        terminal.type_paced("return ", KEY_MS)
        terminal.wait_for("Vector(self.x - other.x, self.y - other.y)", SECONDS)
        _draw(browser, terminal, target)
    finally:
        terminal.close()


def helix(browser: Browser, home: Path, target: Path) -> None:
    """Helix with its own colours: the menu, with an entry chosen, and its preview in the text."""
    program = install.find("helix")
    if program is None:
        sys.exit("Helix is not installed: python -m tests.editors.install helix")
    config = home / "config" / "helix"
    config.mkdir(parents=True)
    shutil.copy(EDITORS / "helix" / "languages.toml", config)
    (config / "config.toml").write_text("[editor.lsp]\ndisplay-progress-messages = true\n")
    _typescript_grammar(home / "grammar", config / "runtime" / "grammars")
    (home / "queue.ts").write_text(QUEUE)
    env = {**with_path(home, fimble_program(home / "bin")), **program.variables()}
    # Wide enough for what Helix shows beside the menu.
    terminal = Terminal([program.path, "queue.ts"], home, env, rows=22, columns=88, true_colour=True)
    try:
        terminal.wait_for("⋅ Qwen", SECONDS)  # the last message about the loading of the model
        terminal.type("16ggo")
        terminal.type_paced("return this.items", KEY_MS)
        for _ in range(10):  # on a slow machine the first menu has a part of it, or nothing
            if "items.length === 0" in terminal.text:
                break
            terminal.type_paced(["\x7f", "s"], 1500)
        terminal.type("\t")
        terminal.wait_for("this.items.length === 0")
        _draw(browser, terminal, target)
    finally:
        terminal.close()


def _typescript_grammar(work: Path, target: Path) -> None:
    """Puts the grammar where Helix looks for it, as `hx --grammar build` does: Debian's Helix comes without any."""
    npm = [str(vscode_install.TOOLS / "npm"), "install", "--ignore-scripts", "--prefix", str(work)]
    subprocess.run(
        [*npm, "tree-sitter-typescript@0.23.2"], env=vscode_install.environment(), capture_output=True, check=True
    )
    source = work / "node_modules" / "tree-sitter-typescript" / "typescript" / "src"
    target.mkdir(parents=True)
    compiler = ["cc", "-shared", "-fPIC", "-O1", f"-I{source}", "-o", str(target / "typescript.so")]
    subprocess.run([*compiler, str(source / "parser.c"), str(source / "scanner.c")], check=True)


def code(browser: Browser, home: Path, target: Path) -> None:
    """VS Code with its own colours, ghost text, and the model in the status bar."""
    if missing := vscode_install.missing():
        sys.exit(f"missing {missing}: python -m tests.editors.install vscode")
    workspace = home / "work"
    vscode.server_program(workspace / ".venv" / "bin" / "fimble")
    file = workspace / "geometry.py"
    file.write_text(CIRCLE)
    server = vscode.CodeServer(home, vscode.package(home), environment(home))
    try:
        settings = {"workbench.activityBar.location": "hidden", "editor.scrollBeyondLastLine": False}
        server.set_user_settings({**settings, "editor.fontFamily": "JetBrains Mono"})
        size = {"width": 860, "height": 455}
        tab = browser.new_page(viewport=size, device_scale_factor=SCALE)  # type: ignore[arg-type]
        window = vscode.Window(server, tab, workspace, file)
        window.wait_until_ready("Qwen")
        window.press("Control+b")  # closes the side bar
        window.to_end()
        window.type("return 2 * ", KEY_MS)
        window.wait_for_ghost()
        # A slow machine shows the rest of it with the next keys.
        window.type("math.", SLOW_KEY_MS)
        vscode.wait_for("the whole suggestion", lambda: "self.radius" in window.ghost().replace("\n", ""))
        window.wait_until_ready(r"Qwen.* · ")
        tab.screenshot(path=target, clip={"x": 0, "y": 35, "width": 860, "height": 420})  # without the title bar
        tab.close()
    finally:
        server.close()


PICTURES = {"neovim": neovim, "helix": helix, "vscode": code}


def _shrink(picture: Path) -> None:
    sys.path.append(str(vscode_install.PYTHON_PACKAGES))
    from PIL import Image

    with Image.open(picture) as image:
        smaller = image.quantize(COLOURS, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    smaller.save(picture, optimize=True)


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.editors.pictures", description=__doc__)
    parser.add_argument("name", nargs="*", choices=[*PICTURES, []], help=f"of {', '.join(PICTURES)}; all without one")
    names = parser.parse_args(arguments).name or list(PICTURES)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    file = starter.fetched()
    with vscode.browser() as browser:
        for name in names:
            kept = SCREENSHOTS / f"{name}.png"
            with tempfile.TemporaryDirectory(prefix="fimble-picture-") as home:
                starter.lend(file, Path(home) / "cache")
                PICTURES[name](browser, Path(home), kept)
            _shrink(kept)
            shutil.copy(kept, EDITORS / name / "screenshot.png")
            print(f"{EDITORS / name / 'screenshot.png'}: {kept.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(sys.argv[1:])
