"""Makes sure at the start of a process that the user has a home folder, since all kept files are in it.

Containers and services may run under a user without a name, without HOME, or with a HOME that does not exist. Code that
uses such a folder would raise an error, or create a folder called `~` in the current folder.
"""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from pathlib import Path

_FOLDERS = ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME")


def expanded(path: str) -> Path:
    """The path with `~` replaced by the home folder, if that is known."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - never fails, unlike Path's


def ensure_home() -> str:
    """Gives this process and its children a home if it has none: a temporary folder that belongs to the user.

    Returns one line for the user; empty if nothing was wrong. A folder that is not absolute would be a different one in
    each current folder, so it is ignored (as the XDG specification says).
    """
    if sys.platform == "win32":
        return ""
    relative = [name for name in _FOLDERS if os.environ.get(name) and not Path(os.environ[name]).is_absolute()]
    for name in relative:
        del os.environ[name]
    home = expanded("~")
    if os.environ.get("HOME") != "" and home.is_absolute() and home.is_dir():
        return f"{' and '.join(relative)} must be absolute and does not count" if relative else ""
    given = os.environ.get("HOME")
    why = "is not set" if not given else f"is {given!r}, " + ("no folder" if home.is_absolute() else "not absolute")
    try:
        folder = _temporary()
    except OSError as error:
        return f"HOME {why}, and no temporary folder can be made ({error.strerror}); set HOME or XDG_CACHE_HOME"
    os.environ["HOME"] = str(folder)
    if "XDG_CACHE_HOME" in os.environ:
        return ""
    return f"HOME {why}, so what is kept goes to {folder}; set HOME or XDG_CACHE_HOME to an absolute path"


def _temporary() -> Path:
    """A folder that only this user can use. It is the same each time, unless another user has taken its name."""
    path = Path(tempfile.gettempdir()) / f"fimble-{os.getuid()}"
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        entry = path.lstat()
        if not stat.S_ISDIR(entry.st_mode) or entry.st_uid != os.getuid() or entry.st_mode & 0o077:
            return Path(tempfile.mkdtemp(prefix="fimble-"))
    return path
