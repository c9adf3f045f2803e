"""Reads files that anybody may have written: only regular files, and only up to a given size."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from lsp_server.system.regular_file import open_regular

# No source file that a person edits is larger.
MOST_FILE_BYTES = 4 << 20


def read_bytes(path: Path, most_bytes: int) -> bytes | None:
    """The first `most_bytes` of a regular file. None for a device, a pipe or a folder, and if it cannot be read."""
    try:
        with open_regular(path) as file:
            return file.read(most_bytes)
    except (OSError, ValueError):  # ValueError: the path contains a NUL
        return None


def file_of(uri: str) -> Path | None:
    """The file on this machine that a `file:` URI names; None for any other URI."""
    try:
        parts = urlsplit(uri)
    except ValueError:  # brackets that look like an invalid IPv6 address
        return None
    return Path(url2pathname(parts.path)) if parts.scheme == "file" and not parts.netloc else None


def is_file(path: Path) -> bool:
    """Whether there is a regular file. False also if the name is too long or a folder may not be read."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def read_text(path: Path, most_bytes: int) -> str:
    """The first `most_bytes` of a regular file as text, with replacement characters; empty if it cannot be read."""
    return (read_bytes(path, most_bytes) or b"").decode("utf-8", "replace")
