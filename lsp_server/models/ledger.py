"""What is known of model files on this machine: their SHA-256, and whether llama.cpp survives them.

One JSON file in the user's cache folder. To hash a file of several gigabytes takes seconds, so a hash is kept
with the file's size and times, and looked up by them.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from lsp_server.backends.base import ModelError
from lsp_server.regular_file import open_regular

_MOST_ENTRIES = 512
_BLOCK = 4 << 20


def ledger_path() -> Path:
    return user_cache_path("fimble") / "model-files.json"


def sha256(path: Path, progress: Callable[[float], bool] = lambda _: True) -> str:
    """The SHA-256 of a file, from the ledger if its size and times are those that it was hashed with.

    Raises ModelError if it cannot be read, or if `progress` says to give up.
    """
    try:
        known = known_sha256(path)
        if known is not None:
            return known
        stamp = _stamp(path)
        found = hash_file(path, stamp[0], progress)
    except OSError as error:
        raise ModelError(f"model file {path} cannot be read: {error.strerror or error}") from None
    update("files", {str(path.absolute()): [*stamp, found]})
    return found


def remember(path: Path, sha256: str) -> None:
    """Notes the SHA-256 of a file that has just been hashed."""
    update("files", {str(path.absolute()): [*_stamp(path), sha256]})


def known_sha256(path: Path) -> str | None:
    """The SHA-256 that a file has, if the ledger knows it."""
    known = read()["files"].get(str(path.absolute()))
    if isinstance(known, list) and known[:-1] == _stamp(path) and isinstance(known[-1], str):
        return known[-1]
    return None


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
    """The ledger: `files` by path, `verdicts` by hash. Empty if there is none or it cannot be understood."""
    try:
        found = json.loads(ledger_path().read_text("utf-8"))
    except (OSError, ValueError):
        found = None
    found = found if isinstance(found, dict) else {}
    return {name: value if isinstance(value := found.get(name), dict) else {} for name in ("files", "verdicts")}


def update(part: str, entries: Mapping[str, Any]) -> None:
    """Adds entries. What cannot be written is not remembered, and costs time at the next start only."""
    ledger = read()
    kept = {key: value for key, value in ledger[part].items() if key not in entries}
    ledger[part] = dict([*kept.items(), *entries.items()][-_MOST_ENTRIES:])
    with contextlib.suppress(OSError):
        write_whole(ledger_path(), json.dumps(ledger, indent=1).encode())


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file so that nobody ever sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".tmp")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)
