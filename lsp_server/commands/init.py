"""`fimble init EDITOR`: prints or writes an editor's configuration, and never overwrites a file."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from lsp_server.backends.base import ModelError

# The files that building the VS Code extension leaves in a checkout.
_NOT_COPIED = shutil.ignore_patterns("node_modules", "dist", "*.vsix", "__pycache__")


def add_arguments(commands: Any, common: argparse.ArgumentParser) -> None:
    """The arguments of `fimble init`."""
    parser = commands.add_parser("init", parents=[common], help="print or write an editor's configuration")
    parser.add_argument("editor", metavar="EDITOR", help="neovim, helix, vscode, zed, emacs, sublime, kakoune, vim, …")
    parser.add_argument("--write", action="store_true", help="write it, where there is no such file yet")


def run(options: argparse.Namespace) -> int:
    """Prints the file to stdout byte for byte, or the folder's path; messages go to stderr.

    Raises ModelError, one line, for an unknown editor or an existing file.
    """
    from lsp_server.commands import editors

    editor = editors.find(options.editor)
    if editor is None:
        known = ", ".join(entry.name for entry in editors.EDITORS)
        raise ModelError(f"there is no editor called {options.editor!r}; known are {known}")
    source, target = editor.source_path, editor.target_path()
    if not source.exists():
        raise ModelError(f"{source} is missing, so this installation is not whole; install fimble again")
    if not options.write:
        _print(source)
        where = f"--write puts it into {target}; then: " if target is not None else ""
        _say(where + editor.next_step)
        return 0
    there = editor.set_up_in()
    if there is not None:
        _say(f"{editor.name} is set up already, in {there}; nothing was changed")
        return 0
    if target is None:
        raise ModelError(
            f"{editor.name} keeps its configuration in a file of yours; "
            f"`fimble init {editor.name}` prints what to add to it"
        )
    try:
        _write(source, target)
    except FileExistsError:
        raise ModelError(
            f"{target} is there already and is not changed; `fimble init {editor.name}` prints what belongs there"
        ) from None
    except OSError as error:
        raise ModelError(f"{target} cannot be written: {error.strerror or error}") from None
    _say(f"wrote {target}; then: {editor.next_step}")
    return 0


def _write(source: Path, target: Path) -> None:
    """Copies a file or a folder, completely or not at all. Raises FileExistsError instead of overwriting."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_file():
        with target.open("xb") as file:
            file.write(source.read_bytes())
        return
    if target.exists() or target.is_symlink():
        raise FileExistsError(target)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".fimble-") as temporary:
        copy = Path(temporary) / target.name
        shutil.copytree(source, copy, ignore=_NOT_COPIED, copy_function=shutil.copyfile)
        copy.rename(target)


def _print(source: Path) -> None:
    """Prints the bytes unchanged, since the output may be redirected to a file."""
    sys.stdout.flush()
    sys.stdout.buffer.write(source.read_bytes() if source.is_file() else f"{source}\n".encode())
    sys.stdout.flush()


def _say(line: str) -> None:
    print(f"fimble: {line}", file=sys.stderr)  # noqa: T201 - the command line's own output
