"""Unix sockets of the user's own processes, in a folder that only the user can access.

A shared engine listens at one. The socket's name depends on fimble's version, the backend and the completion model, so
servers and engines that do not match never meet. Two locks (flock) keep the order: a server that starts an engine holds
`.start` until the engine listens, and an engine holds `.alive` while it runs. The system releases locks when a process
ends.

Each server also listens at a socket, for `fimble status`.
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

# The path of a socket is limited to about a hundred bytes. `.new` is appended to a name until the socket listens.
_NAME_CHARACTERS, _LONGEST_NAME, _LONGEST_PATH = 16, 24, 103
_NEW = ".new"
# The ending of the names of sockets for `fimble status`.
STATUS = ".status"
# The most connections that wait to be accepted.
_BACKLOG = 16


class FolderError(Exception):
    """The folder cannot be used. The message is one line that says why."""


def is_possible() -> bool:
    """Whether this system has Unix sockets and file locks."""
    return sys.platform != "win32" and hasattr(socket, "AF_UNIX")


def folder() -> Path:
    """The folder of the sockets; created if needed. Raises FolderError if it cannot be used, or if other users can
    access it."""
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
    """The name of the socket for an engine with these properties."""
    digest = hashlib.sha256("\0".join([__version__, *parts]).encode()).hexdigest()
    return digest[:_NAME_CHARACTERS]


def listening(path: Path) -> socket.socket:
    """A socket that listens at a path, and replaces a socket there of a process that has ended. The path appears only
    when the socket listens, so a socket that refuses connections belongs to no process any more. Raises OSError."""
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
    """Whether the process at the other end has the same user. If the system cannot tell, only the folder's mode keeps
    other users out."""
    credentials = getattr(socket, "SO_PEERCRED", None)  # Linux only
    if credentials is None:
        return True
    found = connection.getsockopt(socket.SOL_SOCKET, credentials, struct.calcsize("3i"))
    return int(struct.unpack("3i", found)[1]) == os.getuid()


def locked(path: Path, *, wait: bool) -> int | None:
    """A descriptor that holds the lock of a file, which is created if needed; None if another process holds it and
    `wait` is False. Closing the descriptor releases the lock."""
    import fcntl

    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def connected(path: Path, seconds: float | None = None) -> socket.socket | None:
    """A connection to the process that listens at a path; None if there is none. seconds: the timeout for connecting
    and reading."""
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
    """Removes the sockets of processes that have ended. Returns the other paths."""
    left = []
    for path in paths:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.setblocking(False)
        try:
            connection.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):  # another process may have removed it meanwhile
            with suppress(OSError):
                path.unlink()
            continue
        except OSError:  # for example because it is busy
            pass
        finally:
            connection.close()
        left.append(path)
    return left
