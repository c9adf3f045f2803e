"""The user's decisions about which workspaces may be sent to which endpoints on other machines.

They lie in the user's own state folder, where no workspace can write: one small file for each decision, so that
processes which write at once lose nothing, and a damaged file takes only its own decision with it.
"""

from __future__ import annotations

import hashlib
import os
import time
import unicodedata
from collections.abc import Iterable
from pathlib import Path

import msgspec
from platformdirs import user_state_path

from lsp_server.system.kept_files import read, write_whole

# The key for documents that an editor has opened without a folder.
NO_FOLDER = ""
_MOST_DECISIONS, _MOST_BYTES = 2000, 64 << 10


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """One decision. folder: a key as `key_of` makes it. endpoint, url: as in the user's fimble.toml; another URL is
    another endpoint. at: when it was made, in seconds since 1970."""

    folder: str
    endpoint: str
    url: str
    allowed: bool
    at: float = 0.0

    @property
    def about(self) -> tuple[str, str, str]:
        return self.folder, self.endpoint, self.url


def decisions_path() -> Path:
    return user_state_path("fimble") / "endpoint-decisions"


def key_of(folder: Path) -> str:
    """The name under which decisions about a folder are kept: its path with symbolic links followed. Reads the disk."""
    try:
        return os.path.normcase(folder.resolve())
    except (OSError, ValueError, RuntimeError):  # circular links, or a NUL in the name
        return os.path.normcase(folder.absolute())


def decisions() -> list[Decision]:
    """All decisions, the oldest first. A file that cannot be read, or that is not about what its name says, counts as
    no decision."""
    try:
        with os.scandir(decisions_path()) as entries:
            names = sorted(entry.name for entry in entries if entry.name.endswith(".json"))
    except OSError:
        return []
    found = []
    for name in names[:_MOST_DECISIONS]:
        try:
            decision = msgspec.json.decode(read(decisions_path() / name, _MOST_BYTES), type=Decision)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        if _file_name(decision.about) == name:
            found.append(decision)
    return sorted(found, key=lambda decision: decision.at)


def remember(folder: str, endpoint: str, url: str, *, allowed: bool) -> None:
    """Keeps a decision, readable for the user alone. Raises OSError, also if there are too many."""
    where = decisions_path()
    where.mkdir(mode=0o700, parents=True, exist_ok=True)
    decision = Decision(folder=folder, endpoint=endpoint, url=url, allowed=allowed, at=time.time())
    file = where / _file_name(decision.about)
    if not file.exists() and len(os.listdir(where)) >= _MOST_DECISIONS:  # noqa: PTH208 - only counted
        raise OSError(0, f"there are {_MOST_DECISIONS} decisions already; `fimble endpoints forget NAME` removes some")
    write_whole(file, msgspec.json.encode(decision))


def forget(endpoint: str, folder: str | None = None) -> int:
    """Removes the decisions about an endpoint, of one folder or of all. Returns how many there were. Raises OSError."""
    gone = [each for each in decisions() if each.endpoint == endpoint and folder in (None, each.folder)]
    for each in gone:
        (decisions_path() / _file_name(each.about)).unlink(missing_ok=True)
    return len(gone)


def is_in(path: str, folder: str) -> bool:
    """Whether a path lies in a folder, or is it. Upper and lower case are the same, as on some systems' disks."""
    if NO_FOLDER in (path, folder):
        return path == folder
    parts, begins = _parts(path), _parts(folder)
    return parts[: len(begins)] == begins


def _parts(path: str) -> tuple[str, ...]:
    return Path(unicodedata.normalize("NFC", path).casefold()).parts


def may_without_folder(endpoint: str, url: str, known: Iterable[Decision]) -> bool:
    """Whether text without a known folder may be sent to an endpoint. The user must have allowed that, and must not
    have forbidden the endpoint for any folder, because the text may come from it."""
    about = [each for each in known if (each.endpoint, each.url) == (endpoint, url)]
    return any(each.folder == NO_FOLDER for each in about) and all(each.allowed for each in about)


def _file_name(about: tuple[str, str, str]) -> str:
    return hashlib.sha256("\0".join(about).encode("utf-8", "surrogateescape")).hexdigest()[:32] + ".json"
