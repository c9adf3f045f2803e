"""Places at which files are opened: drawn by seed from the files of a repository or from recorded sessions."""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from bench.keystrokes import Session, sessions_of
from bench.sessions import repository
from bench.sessions.recordings import Change
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.hole import HoleKind, find_hole, refined

# How many lines of one file are tried before the next file.
_TRIES = 20
# How many times more keys are drawn than needed, because a completion is not wanted at all of them.
_SAMPLED = 5


def drawn(options: argparse.Namespace) -> list[Change]:
    """`options.limit` places in files of at least `options.lines` lines where a completion is wanted, as changes after
    which an editor sends a request. The same for the same `options.seed`. Raises ValueError if there is none."""
    rng = random.Random(options.seed)
    if options.repo is not None:
        found = _of_files(repository.files(options.repo), options.repo, options.lines, options.limit, rng)
    else:
        found = _of_sessions(sessions_of(options), options.lines, options.limit, rng)
    if not found:
        source = options.repo or options.repetitive or options.data
        raise ValueError(f"{source} has no place in a file of at least {options.lines} lines")
    return found


def _of_files(paths: Sequence[Path], root: Path, least_lines: int, limit: int, rng: random.Random) -> list[Change]:
    """One place per file, as long as there are enough files: a line of the file, cut at a random point after its first
    word. The rest of the line is removed."""
    long = [path for path in paths if path.read_bytes().count(b"\n") >= least_lines]
    rng.shuffle(long)
    found: list[Change] = []
    for round_ in range(limit):
        for path in long:
            change = _in_file(path, root, rng) if len(found) < limit else None
            if change is not None:
                found.append(change)
        if len(found) == limit or (round_ and not found):
            break
    return found


def _in_file(path: Path, root: Path, rng: random.Random) -> Change | None:
    try:
        source = path.read_text("utf-8")
    except ValueError:
        return None
    name = path.relative_to(root).as_posix()
    lines = source.splitlines(keepends=True)
    for _ in range(_TRIES):
        number = rng.randrange(len(lines))
        line = lines[number].rstrip("\r\n")
        first = len(line) - len(line.lstrip()) + 1
        if first >= len(line):
            continue
        column = rng.randrange(first, len(line))
        kept = line[:column] + lines[number][len(line) :]
        text = "".join([*lines[:number], kept, *lines[number + 1 :]]).encode()
        document = DocumentSnapshot.of(path.absolute().as_uri(), text, path=name)
        cursor = len("".join([*lines[:number], line[:column]]).encode())
        if _wanted(document, cursor):
            return Change(0.0, document, document, (), cursor, types=True)
    return None


def _of_sessions(sessions: Sequence[Session], least_lines: int, limit: int, rng: random.Random) -> list[Change]:
    """A random sample of the keys in long files, in random order. Only some keys are parsed, because there are tens of
    thousands."""
    kept: list[Change] = []
    most = _SAMPLED * limit
    for index, change in enumerate(_keys(sessions, least_lines)):
        place = rng.randrange(index + 1)
        if len(kept) < most:
            kept.append(change)
        elif place < most:
            kept[place] = change
    rng.shuffle(kept)
    return list(islice((change for change in kept if _wanted(change.document, change.cursor)), limit))


def _keys(sessions: Sequence[Session], least_lines: int) -> Iterator[Change]:
    for session in sessions:
        for change in session.changes():
            if change.types and change.document.line_count >= least_lines:
                yield change


def _wanted(document: DocumentSnapshot, cursor: int) -> bool:
    kind = refined(document, find_hole(document, cursor)).kind
    return kind not in (HoleKind.NONE, HoleKind.PROSE)
