"""Reads files that anybody may have written: regular ones only, and no more of them than is asked for."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from lsp_server.system.regular_file import open_regular

# No source file that a person works on is larger.
MOST_FILE_BYTES = 4 << 20


def read_bytes(path: Path, most_bytes: int) -> bytes | None:
    """The first `most_bytes` of a regular file; None for a device, a pipe or a folder, and if it cannot be read."""
    try:
        with open_regular(path) as file:
            return file.read(most_bytes)
    except (OSError, ValueError):  # ValueError: no path can hold a NUL
        return None


def file_of(uri: str) -> Path | None:
    """The file of this machine that a `file:` URI names; None for any other URI."""
    try:
        parts = urlsplit(uri)
    except ValueError:  # brackets that look like a broken IPv6 address
        return None
    return Path(url2pathname(parts.path)) if parts.scheme == "file" and not parts.netloc else None


def is_file(path: Path) -> bool:
    """Whether there is a regular file. No, where the name is too long for one or a folder may not be looked into."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def read_text(path: Path, most_bytes: int) -> str:
    """The same as text, with replacement characters; empty in place of None."""
    return (read_bytes(path, most_bytes) or b"").decode("utf-8", "replace")
