"""Runs the project's own formatter on an edit, and keeps only its changes in the edited lines.

The formatter runs over the whole text in a process of its own with a time limit. Its changes outside the edited lines
are dropped.
"""

from __future__ import annotations

import difflib
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lsp_server import children
from lsp_server.children import programs
from lsp_server.core.edits import common_ends
from lsp_server.core.languages import Language
from lsp_server.features.untrusted_files import read_text

_SECONDS = 10.0
_LIMITS = children.Limits(cpu_seconds=60, data_bytes=4 << 30, file_bytes=64 << 20)
_MOST_BYTES = 1_000_000
_MOST_LINES = 3000
_MOST_SETTINGS_BYTES = 200_000
_PRETTIER = (
    ".prettierrc",
    ".prettierrc.json",
    ".prettierrc.yml",
    ".prettierrc.yaml",
    ".prettierrc.js",
    ".prettierrc.toml",
    ".prettierrc.mjs",
    ".prettierrc.cjs",
    "prettier.config.js",
    "prettier.config.mjs",
)


@dataclass(frozen=True, slots=True)
class Formatter:
    """A command that reads a file from stdin and writes it formatted to stdout. folders: folders of the workspace, from
    which the command must not run anything."""

    name: str
    command: tuple[str, ...]
    folders: tuple[Path, ...] = ()


def find_formatter(
    file: Path, root: Path, language: Language, *, prettier: bool = False, roots: Sequence[Path] = ()
) -> Formatter | None:
    """The formatter that a project uses for `file`: the one that its files configure, if it is installed; for Go and
    Rust the language's own. None if there is none. prettier: whether prettier may run, which runs code in a project's
    configuration. Reads files.

    No program below `root` or another of the workspace's `roots` is run, because opening a folder is no consent to run
    the programs in it.
    """
    closed = tuple(dict.fromkeys((root, *roots)))
    if language.name == "Python":
        settings = _text(root / "pyproject.toml")
        ruff = "[tool.ruff" in settings or any((root / name).exists() for name in ("ruff.toml", ".ruff.toml"))
        if ruff and (found := programs.find("ruff", closed)):
            return Formatter("ruff", (found, "format", "--no-cache", "--stdin-filename", str(file), "-"), closed)
        if "[tool.black" in settings and (found := programs.find("black", closed)):
            return Formatter("black", (found, "-q", "--stdin-filename", str(file), "-"), closed)
    elif prettier and language.name in {"JavaScript", "TypeScript", "TSX"}:
        folders = [folder for folder in file.parents if folder.is_relative_to(root)]
        configured = any((folder / name).exists() for folder in folders for name in _PRETTIER)
        configured = configured or any('"prettier"' in _text(folder / "package.json") for folder in folders)
        if configured and (found := programs.find("prettier", closed)):
            return Formatter("prettier", (found, "--stdin-filepath", str(file)), closed)
    elif language.name == "Go" and (found := programs.find("gofmt", closed)):
        return Formatter("gofmt", (found,), closed)
    elif language.name == "Rust" and (found := programs.find("rustfmt", closed)):
        edition = re.search(r'edition\s*=\s*"(\d{4})"', _text(root / "Cargo.toml"))
        command: tuple[str, ...] = (
            found,
            "--emit",
            "stdout",
            "--edition",
            edition[1] if edition else "2021",
            "--quiet",
        )
        named = (folder / name for folder in file.parents for name in ("rustfmt.toml", ".rustfmt.toml"))
        chosen = next((path for path in named if path.is_relative_to(root) and path.is_file()), None)
        command = (*command, "--config-path", str(chosen)) if chosen else command
        return Formatter("rustfmt", command, closed)
    return None


def _text(path: Path) -> str:
    return read_text(path, _MOST_SETTINGS_BYTES)


def formatted(formatter: Formatter, text: bytes) -> bytes | None:
    """The whole text formatted; None if the formatter fails or takes too long."""
    if len(text) > _MOST_BYTES:
        return None
    # Not run in the project, where rustup would take the toolchain, which is a program, from rust-toolchain.toml.
    folder = Path(formatter.command[0]).parent
    try:
        done = children.run(
            formatter.command,
            _LIMITS,
            seconds=_SECONDS,
            text=text,
            cwd=folder if folder.is_dir() else None,
            env=programs.environment(formatter.folders),
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 and done.stdout.strip() else None


def only_within(before: bytes, after: bytes, ranges: Sequence[tuple[int, int]]) -> bytes:
    """`before` with those changes of `after` that are within the line ranges (first, behind the last) of `before`.

    A change that reaches beyond a range, for example over blank lines around it, is dropped. All changes are dropped if
    the differing part has so many lines that a comparison would take seconds.
    """
    start, tail = common_ends(before, after)
    start = before.rfind(b"\n", 0, start) + 1
    end = before.find(b"\n", len(before) - tail) + 1 or len(before)
    tail = len(before) - end
    skipped = len(before[:start].splitlines())
    old = before[start:end].splitlines(keepends=True)
    new = after[start : len(after) - tail].splitlines(keepends=True)
    if len(old) + len(new) > _MOST_LINES:
        return before
    kept: list[bytes] = [before[:start]]
    for tag, a, b, c, d in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        within = any(first <= skipped + a and skipped + b <= last for first, last in ranges)
        kept += new[c:d] if tag == "equal" or within else old[a:b]
    return b"".join((*kept, before[end:]))
