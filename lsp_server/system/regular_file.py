"""Opens files with care: a path may name a pipe, which can block for ever, a device, or a link."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)


class NotRegularError(OSError):
    """The path names a pipe, a device or a socket."""

    def __init__(self, path: Path) -> None:
        super().__init__(errno.EINVAL, "it is not a file but a pipe or a device", str(path))


def open_regular(path: Path, buffering: int = -1) -> BinaryIO:
    """A regular file, open for reading. Raises OSError: IsADirectoryError for a folder, NotRegularError for other
    kinds.

    Checks the file before opening it, because opening a device may have effects, and again after that, because the file
    may have been replaced.
    """
    _check(os.stat(path).st_mode, path)  # noqa: PTH116
    descriptor = os.open(path, _FLAGS)
    try:
        _check(os.fstat(descriptor).st_mode, path)
        return os.fdopen(descriptor, "rb", buffering)
    except BaseException:
        os.close(descriptor)
        raise


def open_to_append(path: Path) -> int:
    """A descriptor to append to a file with; a new file is readable for the user alone. It follows no link, and waits
    for nobody at a pipe. Raises OSError."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"):  # those that the system has
        flags |= getattr(os, name, 0)
    return os.open(path, flags, 0o600)


def _check(mode: int, path: Path) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise NotRegularError(path)
