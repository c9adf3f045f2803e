"""Edits of real projects: commits in which one change was made at three places or more, from git repositories.

Two hunks count as the same change if their removed and added lines have the same tokens, except for identifiers and
literals. This code does not use the code that proposes next edits.
"""

from __future__ import annotations

import re
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from lsp_server.core.languages import find_language
from lsp_server.core.parsing import keywords

_MOST_FILES, _MOST_HUNKS, _MOST_LINES = 60, 400, 30
_HEADER = re.compile(rb"^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_TOKEN = re.compile(rb"\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'|`[^`\n]*`|\d[\w.]*|[A-Za-z_]\w*|\S")


@dataclass(frozen=True, slots=True)
class GitHunk:
    """first: the number of the first removed line, from 0; for a pure insertion, the number of the line below it."""

    path: str
    first: int
    removed: tuple[bytes, ...]
    added: tuple[bytes, ...]


@dataclass(slots=True)
class Commit:
    repository: Path
    hash: str
    subject: str
    hunks: list[GitHunk] = field(default_factory=list)

    def before(self, path: str) -> bytes:
        """The file as it was before the commit."""
        command = ["git", "-C", str(self.repository), "show", f"{self.hash}^:{path}"]
        return subprocess.run(command, capture_output=True, check=True).stdout


def commits(repository: Path, patterns: list[str], most: int) -> Iterator[Commit]:
    """The commits with one parent that change files of the patterns, the newest first."""
    command = [
        "git",
        "-C",
        str(repository),
        "log",
        "--no-merges",
        f"-{most}",
        "-p",
        "-U0",
        "--no-color",
        "--no-ext-diff",
    ]
    command += ["--no-renames", "--diff-filter=M", "--format=%x01%H%x02%s", "--", *patterns]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield from _commits(repository, (line.rstrip(b"\n") for line in process.stdout))


def _commits(repository: Path, lines: Iterable[bytes]) -> Iterator[Commit]:
    """The commits in git's output."""
    commit, path = Commit(repository, "", ""), ""
    hunk: GitHunk | None = None
    for line in lines:
        if line.startswith((b"\x01", b"diff --git", b"@@ ")) and hunk is not None:
            commit.hunks.append(hunk)
            hunk = None
        if line.startswith(b"\x01"):
            if commit.hash:
                yield commit
            hash, _, subject = line[1:].partition(b"\x02")
            commit = Commit(repository, hash.decode(), subject.decode("utf-8", "replace"))
        elif header := _HEADER.match(line):
            hunk = GitHunk(path, int(header[1]) - (header[2] != b"0"), (), ())
        elif hunk is None:
            path = line[6:].decode("utf-8", "replace") if line.startswith(b"+++ b/") else path
        elif line[:1] == b"-":
            hunk = replace(hunk, removed=(*hunk.removed, line[1:]))
        elif line[:1] == b"+":
            hunk = replace(hunk, added=(*hunk.added, line[1:]))
    if hunk is not None:
        commit.hunks.append(hunk)
    if commit.hash:
        yield commit


def groups(commit: Commit) -> list[list[GitHunk]]:
    """The hunks of a commit that are the same change, three or more each, in the order of the diff."""
    files = {hunk.path for hunk in commit.hunks}
    if len(files) > _MOST_FILES or len(commit.hunks) > _MOST_HUNKS:
        return []
    found: dict[object, list[GitHunk]] = defaultdict(list)
    for hunk in commit.hunks:
        if max(len(hunk.removed), len(hunk.added)) > _MOST_LINES:
            continue
        shape = tuple(_shape(lines, hunk.path) for lines in (hunk.removed, hunk.added))
        if any(shape) and _texts(hunk.removed) != _texts(hunk.added):
            found[hunk.path.rpartition(".")[2], shape].append(hunk)
    return [group for group in found.values() if len(group) >= 3]


def _texts(lines: tuple[bytes, ...]) -> list[bytes]:
    return _TOKEN.findall(b"\n".join(lines))


def _shape(lines: tuple[bytes, ...], path: str) -> tuple[bytes, ...]:
    known = keywords(find_language("", path))
    shape = []
    for token in _texts(lines):
        if token[:1].isdigit() or (token[:1] in (b'"', b"'", b"`") and len(token) > 1):
            shape.append(b"1")
        elif re.match(rb"[A-Za-z_]", token) and token not in known:
            shape.append(b"a")
        else:
            shape.append(token)
    return tuple(shape)
