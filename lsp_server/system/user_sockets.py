"""Unix sockets of the user's own processes, in a folder that is the user's alone.

An engine that servers share listens at one. Its name tells what the engine is for: fimble's version, the backend and
the model that completes code. What does not match therefore never meets. Two locks (flock) keep order: who starts an
engine holds `.start` until it listens, and an engine holds `.alive` as long as it runs. The system gives locks back,
however a process ends.

Each server listens at one, too, for `fimble status`.
"""

from __future__ import annotations

import hashlib
import os
import socket
import stat
import struct
import sys
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from lsp_server import __version__

# A socket's path has room for about a hundred bytes. `.new` is added to a name until the socket listens.
_NAME_CHARACTERS, _LONGEST_NAME, _LONGEST_PATH = 16, 24, 103
_NEW = ".new"
# How the names of the sockets end at which servers tell their status.
STATUS = ".status"
# Connections that wait to be taken.
_BACKLOG = 16


class FolderError(Exception):
    """A folder that cannot be used. The message is one line that says why."""


def is_possible() -> bool:
    """Whether this system has Unix sockets, and the locks for them."""
    return sys.platform != "win32" and hasattr(socket, "AF_UNIX")


def folder() -> Path:
    """The folder of the sockets, made if it is not there. Raises FolderError if it is not the user's alone."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    base = Path(runtime) if runtime and Path(runtime).is_dir() else Path(tempfile.gettempdir())
    path = base / ("fimble" if base == Path(runtime) else f"fimble-sockets-{os.getuid()}")
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        entry = path.lstat()
    except OSError as error:
        raise FolderError(f"{path} cannot be made: {error.strerror}") from None
    if not stat.S_ISDIR(entry.st_mode) or entry.st_uid != os.getuid() or entry.st_mode & 0o077:
        raise FolderError(f"{path} must be a folder that only you can use")
    if len(os.fsencode(path)) + 1 + _LONGEST_NAME > _LONGEST_PATH:
        raise FolderError(f"{path} is too long a path for a socket; set XDG_RUNTIME_DIR to a shorter one")
    return path


def name_of(*parts: str) -> str:
    """The name of the socket of an engine that is for all of these."""
    digest = hashlib.sha256("\0".join([__version__, *parts]).encode()).hexdigest()
    return digest[:_NAME_CHARACTERS]


def listening(path: Path) -> socket.socket:
    """A socket that listens at a path, in place of one of a process that has ended. The path is there only once it
    does, so a socket that refuses connections has nobody any more. Raises OSError."""
    new = path.with_name(path.name + _NEW)
    new.unlink(missing_ok=True)
    found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        found.bind(str(new))
        new.chmod(0o600)
        found.listen(_BACKLOG)
        new.replace(path)
    except OSError:
        found.close()
        new.unlink(missing_ok=True)
        raise
    return found


def is_ours(connection: socket.socket) -> bool:
    """Whether a process of the same user is at the other end. Where the system does not tell, the folder's mode alone
    keeps others out."""
    credentials = getattr(socket, "SO_PEERCRED", None)  # of Linux
    if credentials is None:
        return True
    found = connection.getsockopt(socket.SOL_SOCKET, credentials, struct.calcsize("3i"))
    return int(struct.unpack("3i", found)[1]) == os.getuid()


def locked(path: Path, *, wait: bool) -> int | None:
    """A descriptor that holds the lock of a file, made if it is not there; None if another process holds it and we do
    not wait. Closing it gives the lock back."""
    import fcntl

    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def connected(path: Path, seconds: float | None = None) -> socket.socket | None:
    """A connection to the process that listens at a path, or None if none does. seconds: how long it, and what is read
    from it, may wait."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(seconds)
    try:
        connection.connect(str(path))
        if is_ours(connection):
            return connection
    except OSError:
        pass
    connection.close()
    return None


def sweep(paths: Iterable[Path]) -> list[Path]:
    """Removes the sockets of processes that have ended without removing them. Returns those that are left."""
    left = []
    for path in paths:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.setblocking(False)
        try:
            connection.connect(str(path))
        except ConnectionRefusedError:
            with suppress(OSError):
                path.unlink()
            continue
        except OSError:  # it is busy, say
            pass
        finally:
            connection.close()
        left.append(path)
    return left
