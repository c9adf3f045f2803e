"""The setting `endpoints_denied`: folders whose text is never sent to endpoints on other machines."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from glob import escape
from pathlib import Path

from lsp_server.system.user_folders import expanded

_WILD = frozenset("*?[")


class DeniedFolders:
    """Folders with everything in them, named by patterns: absolute paths, whose parts may have wildcards. Upper and
    lower case are the same. problems: mistakes in the patterns, a line each; if there are any, all folders count as
    denied."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self.problems: list[str] = []
        self._denied: list[tuple[str, ...]] = []
        for pattern in patterns:
            parts = _parts(pattern)
            if parts is None:
                self.problems.append(
                    f"setting `endpoints_denied`: {pattern!r} is no folder from `/` or `~`, or has `**` elsewhere than "
                    "at its end; until it is corrected no endpoint on another machine is asked"
                )
            else:
                self._denied += _spellings(*parts)

    def __bool__(self) -> bool:
        return bool(self._denied or self.problems)

    def contain(self, path: Path) -> bool:
        """Whether a path lies in a denied folder, with its symbolic links followed or not. Reads the disk."""
        if self.problems:
            return True
        return any(_begins(parts, denied) for parts in _both_paths(path) for denied in self._denied)

    def overlap(self, folder: Path) -> bool:
        """Whether a folder lies in a denied folder, or, by its path, may contain one. Reads the disk."""
        if self.problems:
            return True
        return any(_begins(parts, denied[: len(parts)]) for parts in _both_paths(folder) for denied in self._denied)


def _parts(pattern: str) -> tuple[str, tuple[str, ...]] | None:
    """A pattern's path in front of the first wildcard, and the parts from there on; None if the pattern is invalid."""
    try:
        path = str(expanded(pattern))
    except (OSError, RuntimeError, ValueError):
        return None
    if not os.path.isabs(path) or "\0" in path:  # noqa: PTH117 - a pattern, no path
        return None
    names = path.replace(os.sep, "/").split("/")
    while len(names) > 1 and names[-1] in ("", ".", "**"):
        del names[-1]
    first = next((number for number, name in enumerate(names) if _WILD & set(name)), len(names))
    wild = tuple(name for name in names[first:] if name not in ("", "."))
    if any("**" in name or name == ".." for name in wild):
        return None
    return "/".join(names[:first]) or "/", wild


def _spellings(beginning: str, wild: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The parts of a pattern: as it is written, and with the symbolic links in front of the first wildcard followed. If
    it has wildcards, also as the name of a folder that has these characters, such as `[id]`."""
    for parts in _both_paths(Path(beginning)):
        yield (*map(escape, parts), *map(_folded, wild))
    if wild:
        for parts in _both_paths(Path(beginning, *wild)):
            yield tuple(map(escape, parts))


def _both_paths(path: Path) -> set[tuple[str, ...]]:
    """The parts of a path as it is written, and of the path with its symbolic links followed."""
    spelt = os.path.abspath(path)  # noqa: PTH100 - takes `..` by name, too
    try:
        real = os.path.realpath(path)
    except (OSError, ValueError):
        real = spelt
    return {tuple(map(_folded, Path(each).parts)) for each in (spelt, real)}


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _begins(parts: Sequence[str], denied: Sequence[str]) -> bool:
    """Whether the first parts of a path match a pattern."""
    return len(parts) >= len(denied) and all(map(fnmatchcase, parts, denied))
