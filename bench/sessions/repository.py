"""Makes a session from the files of a git repository: parts of them are typed again."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

from bench.sessions.recordings import Change, Replacement
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.languages import LANGUAGES, find_language

_LEAST_BYTES, _MOST_BYTES = 400, 200_000
_BETWEEN_FILES_MS = 2000.0


def files(repository: Path) -> list[Path]:
    """The repository's source files in a known language, neither very small nor very large, in git's order. Raises
    ValueError if the folder is no git repository.
    """
    command = ["git", "-C", str(repository), "ls-files", "-z"]
    try:
        listed = subprocess.run(command, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise ValueError(f"{repository} is not a git repository that can be listed ({error})") from None
    found = []
    for name in listed.decode("utf-8", "surrogateescape").split("\0"):
        path = repository / name
        if name and is_source(path):
            found.append(path)
    return found


def is_source(path: Path) -> bool:
    """Whether `path` is a file in a known programming language, neither very small nor very large."""
    known = find_language("", path.name) in LANGUAGES and path.suffix not in (".md", ".json", ".txt", "")
    return known and path.is_file() and _LEAST_BYTES <= path.stat().st_size <= _MOST_BYTES


def typed(repository: Path, key_ms: float) -> Iterator[Change]:
    """Removes the middle third of each file's lines and types it again, one key every `key_ms`. So there is text above
    and below the cursor. A line end and the indentation of the next line are one key, as in editors.
    """
    time_ms = 0.0
    for path in files(repository):
        try:
            source = path.read_text("utf-8")
        except ValueError:
            continue  # not UTF-8
        for change in retyped(source, path.relative_to(repository).as_posix(), time_ms, key_ms):
            yield change
            time_ms = change.time_ms
        time_ms += _BETWEEN_FILES_MS


def retyped(source: str, name: str, began_ms: float, key_ms: float) -> Iterator[Change]:
    """The changes that type the middle third of one file's lines."""
    lines = source.splitlines(keepends=True)
    third = len(lines) // 3
    head, middle, tail = ("".join(part) for part in (lines[:third], lines[third : 2 * third], lines[2 * third :]))
    document = DocumentSnapshot.of(f"file:///{name}", (head + tail).encode(), path=name)
    cursor = len(head.encode())
    for index, key in enumerate(_keys(middle)):
        before, inserted = document, key.encode()
        document = document.edited(cursor, cursor, inserted)
        change = Replacement(cursor, cursor, inserted)
        cursor += len(inserted)
        yield Change(began_ms + index * key_ms, before, document, (change,), cursor, types=True)


def _keys(text: str) -> Iterator[str]:
    position = 0
    while position < len(text):
        end = position + 1
        if text[position] in "\r\n":
            while end < len(text) and text[end - 1] != "\n" and text[end] == "\n":
                end += 1
            while end < len(text) and text[end] in " \t":
                end += 1
        yield text[position:end]
        position = end
