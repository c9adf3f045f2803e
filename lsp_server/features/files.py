"""Reads files that anybody may have written: regular ones only, and no more of them than is asked for."""

from __future__ import annotations

from pathlib import Path

# No source file that a person works on is larger.
MOST_FILE_BYTES = 4 << 20


def read_bytes(path: Path, most_bytes: int) -> bytes | None:
    """The first `most_bytes` of a regular file; None for a device, a pipe or a folder, and if it cannot be read."""
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            return file.read(most_bytes)
    except (OSError, ValueError):  # ValueError: no path can hold a NUL
        return None


def read_text(path: Path, most_bytes: int) -> str:
    """The same as text, with replacement characters; empty in place of None."""
    return (read_bytes(path, most_bytes) or b"").decode("utf-8", "replace")
