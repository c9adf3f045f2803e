"""Small files of fimble: read as carefully as files from others, and written atomically."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from lsp_server.system.regular_file import open_regular

MOST_BYTES = 4 << 20

# The errors for a folder that this user cannot write to.
UNWRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR)


def read(path: Path, most: int = MOST_BYTES) -> bytes:
    """The bytes of a file. Raises OSError, also if it is no regular file (a pipe would block for ever) or too large."""
    with open_regular(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"it is larger than {most >> 10} KB", str(path))
    return content


def read_json(path: Path, most: int = MOST_BYTES) -> Any:
    """The JSON value in a file. Raises OSError as `read` does, and ValueError with a description of the mistake."""
    try:
        return json.loads(read(path, most).decode("utf-8"))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file atomically: nobody ever sees half of it, even after a loss of power."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".tmp")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
        _sync_folder(path.parent)
    finally:
        Path(name).unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Makes sure that a file's new name is on the disk, if the system supports that."""
    with contextlib.suppress(OSError):  # Windows cannot open folders
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def why_unwritable(path: Path, error: OSError, size: int = 0) -> str:
    """One line on why a file in the cache folder cannot be written, and what to do. size: how many bytes are to be
    written."""
    room = f" with {-(-size // (1 << 20))} MB to spare" if size else ""
    return (
        f"cannot write {path}: {error.strerror or error}; set XDG_CACHE_HOME to a folder that can be written to{room}"
    )
