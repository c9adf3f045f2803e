"""Finds programs on the user's PATH, but none in a workspace: opening a folder is no consent to run its files."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from lsp_server.system.regular_file import open_regular

_SCRIPTS_START = 1024
# Environment variables with lists of folders or files from which programs are loaded, or from which programs load code.
_PLACES = (
    "PATH",
    "PYTHONPATH",
    "NODE_PATH",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "DYLD_LIBRARY_PATH",
    "DYLD_INSERT_LIBRARIES",
    "RUBYLIB",
    "PERL5LIB",
)


def find(name: str, folders: Sequence[Path]) -> str | None:
    """The first program with this name on PATH that runs nothing in `folders`: neither the program nor the target of
    its link is there, nor the interpreter if it is a script."""
    for entry in _outside(os.environ.get("PATH", ""), folders):
        found = shutil.which(os.path.join(entry, name))  # noqa: PTH118 - as it stands on the path
        if found and not _within(found, folders) and not _starts_with(found, folders):
            return found
    return None


def environment(folders: Sequence[Path]) -> dict[str, str]:
    """Our own environment, without entries from which a program would load something in `folders`."""
    found = dict(os.environ)
    for name in _PLACES:
        if name in found:
            found[name] = os.pathsep.join(_outside(found[name], folders))
    return found


def _outside(places: str, folders: Sequence[Path]) -> list[str]:
    """The entries of a list like PATH that are absolute and outside all `folders`."""
    return [each for each in places.split(os.pathsep) if Path(each).is_absolute() and not _within(each, folders)]


def _within(place: str, folders: Sequence[Path]) -> bool:
    try:
        places = (Path(os.path.abspath(place)), Path(place).resolve())  # noqa: PTH100 - without following links
        return any(one.is_relative_to(base) for one in places for each in folders for base in (each, each.resolve()))
    except (OSError, ValueError, RuntimeError):  # circular links
        return True


def _starts_with(program: str, folders: Sequence[Path]) -> bool:
    """Whether the first lines of a script name an interpreter in `folders`."""
    try:
        with open_regular(Path(program)) as file:
            start = file.read(_SCRIPTS_START)
        bases = {str(base) for each in folders for base in (each, each.resolve())}
    except (OSError, ValueError, RuntimeError):
        return True
    return start.startswith(b"#!") and any(os.fsencode(base) + b"/" in start for base in bases)
