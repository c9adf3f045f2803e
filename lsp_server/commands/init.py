"""`fimble init EDITOR`: an editor's configuration, printed or written, and nothing that is there overwritten."""

from __future__ import annotations

import argparse
from typing import Any

from lsp_server.backends.base import ModelError


def add_arguments(commands: Any, common: argparse.ArgumentParser) -> None:
    """The arguments of `fimble init`."""
    parser = commands.add_parser("init", parents=[common], help="print or write an editor's configuration")
    parser.add_argument("editor", metavar="EDITOR", help="neovim, helix, vscode, zed, emacs, sublime, kakoune, vim, …")
    parser.add_argument("--write", action="store_true", help="write it, where there is no such file yet")


def run(options: argparse.Namespace) -> int:
    """Raises ModelError, one line, for an editor that is not known or a file that is in the way."""
    from lsp_server.commands import editors

    editor = editors.find(options.editor)
    if editor is None:
        known = ", ".join(entry.name for entry in editors.EDITORS)
        raise ModelError(f"there is no editor called {options.editor!r}; known are {known}")
    target = editor.target_path()
    if not options.write:
        if target is not None:
            _tell(f"# {target}")
        _tell(editor.settings)
        if editor.after:
            _tell(f"# {editor.after}")
        return 0
    there = editor.set_up_in()
    if there is not None:
        _tell(f"{editor.name} is set up already, in {there}; nothing was changed")
        return 0
    if target is None:
        raise ModelError(
            f"{editor.name} keeps its configuration in a file of yours; "
            f"`fimble init {editor.name}` prints what to add to it"
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("x", encoding="utf-8") as file:
            file.write(editor.settings)
    except FileExistsError:
        raise ModelError(
            f"{target} is there already and is not changed; add to it what `fimble init {editor.name}` prints"
        ) from None
    except OSError as error:
        raise ModelError(f"{target} cannot be written: {error.strerror}") from None
    _tell(f"wrote {target}; {editor.after}" if editor.after else f"wrote {target}")
    return 0


def _tell(line: str) -> None:
    print(line)  # noqa: T201 - the command line's own output
