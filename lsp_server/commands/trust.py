"""`fimble trust`: manages the folders that the user trusts; their fimble.toml may name any file as a model."""

from __future__ import annotations

import argparse
from typing import Any

from lsp_server.backends.base import ModelError
from lsp_server.commands.output import tell
from lsp_server.system.user_folders import expanded


def add_arguments(commands: Any, common: argparse.ArgumentParser) -> None:
    """The arguments of `fimble trust`."""
    parser = commands.add_parser(
        "trust",
        parents=[common],
        help="let a folder's fimble.toml name any file as a model",
        description="Lets the fimble.toml of a folder name any file as a model; else it names installed ones only.",
    )
    parser.add_argument("folder", nargs="?", default="", metavar="FOLDER", help="the folder that editors open")
    parser.add_argument("--remove", action="store_true", help="trust it no longer, and forget what was answered")
    parser.add_argument("--list", action="store_true", help="show the folders that have an answer")


def run(options: argparse.Namespace) -> int:
    """Raises ModelError, one line, if the folder does not exist or the answer cannot be stored."""
    from lsp_server.settings import trust

    if options.list or not options.folder:
        for name, trusted in sorted(trust.answers().items()):
            tell(f"{'trusted    ' if trusted else 'not trusted'}  {_printable(name)}")
        if not trust.answers():
            tell(f"no folder has an answer; {trust.state_path()} would have them")
        return 0
    folder = expanded(options.folder)
    if not options.remove and not folder.is_dir():
        raise ModelError(f"{folder} is not a folder")
    try:
        trust.remember(folder, None if options.remove else True)
    except OSError as error:
        raise ModelError(f"{trust.state_path()} cannot be written: {error.strerror}") from None
    said = "is not trusted any more" if options.remove else "is trusted: its fimble.toml may name any file as a model"
    tell(f"{_printable(str(folder.resolve()))} {said}; it counts when an editor starts the server again")
    return 0


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)
