"""The known facts about model files on this machine: their SHA-256, and whether llama.cpp can run them.

They are one JSON file in the user's cache folder. Hashing several gigabytes takes seconds, so a hash is stored with the
file's size and times, and is valid as long as these are the same.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from lsp_server.backends.base import ModelError
from lsp_server.system.kept_files import read_json, write_whole
from lsp_server.system.regular_file import open_regular

_MOST_ENTRIES = 512
_BLOCK = 4 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")
_LONGEST_REFUSAL = 1000

# The hashes known in this process, in case the ledger cannot be written: size, times, inode and SHA-256 by path.
# Threads only add complete entries.
_known: dict[str, list[Any]] = {}


def ledger_path() -> Path:
    return user_cache_path("fimble") / "model-files.json"


def sha256(path: Path, progress: Callable[[float], bool] = lambda _: True) -> str:
    """The SHA-256 of a file, from the ledger if the file's size and times have not changed.

    Raises ModelError if the file cannot be read, or if `progress` returns False.
    """
    try:
        known = known_sha256(path)
        if known is not None:
            return known
        stamp = _stamp(path)
        found = hash_file(path, stamp[0], progress)
    except OSError as error:
        raise ModelError(f"model file {path} cannot be read: {error.strerror or error}") from None
    _keep(path, [*stamp, found])
    return found


def remember(path: Path, sha256: str) -> None:
    """Stores the SHA-256 of a file that has just been hashed or written."""
    with contextlib.suppress(OSError):
        _keep(path, [*_stamp(path), sha256])


def _keep(path: Path, entry: list[Any]) -> None:
    if len(_known) >= _MOST_ENTRIES:
        _known.clear()
    _known[str(path.absolute())] = entry
    update("files", {str(path.absolute()): entry})


def known_sha256(path: Path) -> str | None:
    """The SHA-256 of a file if the ledger has it, else None. Raises OSError if the file cannot be examined."""
    name, stamp = str(path.absolute()), _stamp(path)
    for known in (_known.get(name), read()["files"].get(name)):
        if isinstance(known, list) and known[:-1] == stamp and is_sha256(known[-1]):
            return str(known[-1])
    return None


def is_sha256(value: object) -> bool:
    return isinstance(value, str) and _SHA256.fullmatch(value) is not None


def verdict(key: str) -> str | None:
    """The stored verdict for a key: the reason for a refusal, empty if the model works, None if there is no usable
    entry."""
    found = read()["verdicts"].get(key)
    return found if isinstance(found, str) and len(found) <= _LONGEST_REFUSAL and _is_line(found) else None


def _is_line(text: str) -> bool:
    return all(character.isprintable() for character in text)


def _stamp(path: Path) -> list[int]:
    entry = path.stat()
    return [entry.st_size, entry.st_mtime_ns, entry.st_ctime_ns, entry.st_ino]


def hash_file(path: Path, size: int, progress: Callable[[float], bool] = lambda _: True) -> str:
    digest = hashlib.sha256()
    with open_regular(path, buffering=0) as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            if not progress(min(1.0, file.tell() / max(1, size))):
                raise ModelError("loading was given up")
    return digest.hexdigest()


def read() -> dict[str, dict[str, Any]]:
    """The ledger: `files` by path, `verdicts` by hash. Empty if it is missing or damaged."""
    try:
        found = read_json(ledger_path())
    except (OSError, ValueError):
        found = None
    found = found if isinstance(found, dict) else {}
    return {name: value if isinstance(value := found.get(name), dict) else {} for name in ("files", "verdicts")}


def update(part: str, entries: Mapping[str, Any]) -> None:
    """Adds entries. If they cannot be written, they are computed again at the next start."""
    ledger = read()
    kept = {key: value for key, value in ledger[part].items() if key not in entries}
    ledger[part] = dict([*kept.items(), *entries.items()][-_MOST_ENTRIES:])
    with contextlib.suppress(OSError):
        write_whole(ledger_path(), json.dumps(ledger, indent=1).encode())
