"""The files of evaluated prompts in the cache folder: written atomically, checked when read, limited in total size.

They contain text of the user's files, so nobody else may read them. Several servers share the folder: a file never
changes after it was written, and each server lists the folder again when it has changed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import struct
import sys
import tempfile
import time
import zlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from lsp_server.system.regular_file import open_regular

# The number is the version of the layout below. No version reads files with another layout; they are removed when they
# are the least recently used.
_ENDING, _ANY_ENDING, _PARTIAL = ".prompt1", ".prompt", ".part"
_START = struct.Struct("<8sII")  # magic, size of the header, checksum of the header
_MAGIC = b"fimbleP1"
_MOST_HEADER_BYTES = 1 << 20
_BLOCK = 4 << 20
# The space that a write must leave free on the disk.
_LEAST_FREE_BYTES = 1 << 30
# A partial file older than this is no longer being written.
_PARTIAL_SECONDS = 600.0


class DamagedError(Exception):
    """A file is damaged."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """The content of a file without the states. lengths: the lengths of the states, ascending; the last is the whole
    prompt. token_ms: the prefill time per token when it was evaluated. size: of the file, in bytes."""

    name: str
    tokens: list[int]
    lengths: tuple[int, ...]
    token_ms: float
    size: int


@dataclass(frozen=True, slots=True)
class Usage:
    """The number and total size of saved prompts."""

    files: int
    bytes: int


def folder() -> Path:
    """The folder of the files."""
    return user_cache_path("fimble") / "prompts"


def name_of(key: str, tokens: Sequence[int]) -> str:
    """The file name for these tokens. key: stands for the model and everything else that the states depend on."""
    return _prefix(key) + hashlib.sha256(_packed(tokens)).hexdigest()[:16] + _ENDING


def names(key: str) -> Iterator[str]:
    """The names of all files for `key`."""
    prefix = _prefix(key)
    for name, _ in _entries():
        if name.startswith(prefix) and name.endswith(_ENDING):
            yield name


def changed() -> int:
    """When a file was last added or removed, in ns of the file system's clock; 0 if there is no folder."""
    try:
        return folder().stat().st_mtime_ns
    except OSError:
        return 0


def describe(key: str, name: str) -> Prompt:
    """The content of a file, without its states, which are not read. Raises DamagedError and OSError."""
    with open_regular(folder() / name) as file:
        header = _header(file.read(_START.size), file.read)
        packed = file.read(4 * _integer(header, "tokens"))
        size = os.fstat(file.fileno()).st_size
    return _described(key, name, header, packed, size)


def read(key: str, name: str) -> tuple[Prompt, list[memoryview]]:
    """The content of a file and its states, one for each of its lengths. Counts as a use. Raises DamagedError and
    OSError."""
    path = folder() / name
    with open_regular(path, buffering=0) as file:
        content = bytearray(os.fstat(file.fileno()).st_size)
        view, filled = memoryview(content), 0
        while filled < len(content):
            count = file.readinto(view[filled:])  # type: ignore[attr-defined]
            if not count:
                raise DamagedError(f"{name} has become shorter")
            filled += count
    position = _START.size

    def take(count: int) -> bytes:
        nonlocal position
        position += count
        return bytes(view[position - count : position])

    header = _header(bytes(view[: _START.size]), take)
    body = view[position:]
    if zlib.crc32(body) != header.get("body"):
        raise DamagedError(f"{name} is not what was written")
    prompt = _described(key, name, header, take(4 * _integer(header, "tokens")), len(content))
    states = []
    for size in _integers(header, "sizes"):
        states.append(view[position : position + size])
        position += size
    if position != len(content) or len(states) != len(prompt.lengths):
        raise DamagedError(f"{name} does not hold what it says")
    use(name)
    return prompt, states


def use(name: str) -> None:
    """Marks a file as just used, so that others are removed before it."""
    with contextlib.suppress(OSError):
        os.utime(folder() / name)


def write(
    key: str,
    tokens: Sequence[int],
    states: Sequence[tuple[int, memoryview]],
    token_ms: float,
    *,
    limit_bytes: int,
    instead_of: Iterable[str] = (),
    go_on: Callable[[], bool] = lambda: True,
) -> int:
    """Writes a file. Removes `instead_of`, and then the least recently used files until the total is within
    `limit_bytes`. states: (length, bytes), by length, ascending. Returns the file's size; 0 if it does not fit, or if
    `go_on` returned False.

    Raises OSError if it cannot be written.
    """
    where, name, packed = folder(), name_of(key, tokens), _packed(tokens)
    body = zlib.crc32(packed)
    for _, state in states:
        body = zlib.crc32(state, body)
    header = json.dumps(
        {
            "key": _digest(key),
            "tokens": len(tokens),
            "packed": zlib.crc32(packed),
            "lengths": [length for length, _ in states],
            "sizes": [len(state) for _, state in states],
            "token_ms": token_ms,
            "body": body,
        }
    ).encode()
    start = _START.pack(_MAGIC, len(header), zlib.crc32(header))
    size = len(start) + len(header) + len(packed) + sum(len(state) for _, state in states)
    where.mkdir(mode=0o700, parents=True, exist_ok=True)
    where.chmod(0o700)  # in case it existed already
    _remove_partial(where)
    if size > limit_bytes or shutil.disk_usage(where).free < size + _LEAST_FREE_BYTES:
        return 0
    descriptor, partial = tempfile.mkstemp(dir=where, suffix=_PARTIAL)  # 0600
    try:
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            for part in [memoryview(start + header + packed), *(state for _, state in states)]:
                if not _write_part(file, part, go_on):
                    return 0
            os.fsync(file.fileno())
        for old in instead_of:
            if old != name:
                remove(old)
        make_room(limit_bytes - size, besides=name)
        Path(partial).replace(where / name)
    finally:
        Path(partial).unlink(missing_ok=True)
    return size


def _write_part(file: Any, part: memoryview, go_on: Callable[[], bool]) -> bool:
    done = 0
    while done < len(part):
        if not go_on():
            return False
        done += file.write(part[done : done + _BLOCK])
    return True


def make_room(limit_bytes: int, besides: str = "") -> None:
    """Removes the least recently used files until the total size is at most `limit_bytes`."""
    files = sorted((entry.st_mtime_ns, name, entry.st_size) for name, entry in _entries() if name != besides)
    total = sum(size for _, _, size in files)
    for _, name, size in files:
        if total <= limit_bytes:
            return
        remove(name)
        total -= size


def remove(name: str) -> None:
    """Removes a file if it exists."""
    with contextlib.suppress(OSError):
        (folder() / name).unlink()


def usage() -> Usage:
    """The number and total size of the files."""
    sizes = [entry.st_size for _, entry in _entries()]
    return Usage(len(sizes), sum(sizes))


def empty() -> Usage:
    """Removes all files, also partial ones. Returns how much was removed."""
    before = usage()
    for path in folder().glob(f"*{_PARTIAL}"):
        remove(path.name)
    make_room(-1)
    left = usage()
    return Usage(before.files - left.files, before.bytes - left.bytes)


def _entries() -> Iterator[tuple[str, os.stat_result]]:
    """Our files in the folder, of any layout version."""
    try:
        found = list(os.scandir(folder()))
    except OSError:
        return
    for entry in found:
        if _ANY_ENDING in entry.name:
            with contextlib.suppress(OSError):  # another server may have removed it
                yield entry.name, entry.stat(follow_symlinks=False)


def _remove_partial(where: Path) -> None:
    """Removes partial files of servers that were killed."""
    for path in where.glob(f"*{_PARTIAL}"):
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < time.time() - _PARTIAL_SECONDS:
                path.unlink()


def _header(start: bytes, take: Callable[[int], bytes]) -> dict[str, Any]:
    """The checked header after `start`."""
    if len(start) < _START.size:
        raise DamagedError("it has no header")
    magic, size, checksum = _START.unpack(start)
    if magic != _MAGIC or size > _MOST_HEADER_BYTES:
        raise DamagedError("it is no saved prompt")
    packed = take(size)
    if len(packed) != size or zlib.crc32(packed) != checksum:
        raise DamagedError("its header is not what was written")
    try:
        found = json.loads(packed)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise DamagedError("its header is no object")
    return found


def _described(key: str, name: str, header: dict[str, Any], packed: bytes, size: int) -> Prompt:
    tokens, lengths = array("I"), _integers(header, "lengths")
    if zlib.crc32(packed) != header.get("packed") or len(packed) != 4 * _integer(header, "tokens"):
        raise DamagedError(f"the tokens of {name} are not what was written")
    tokens.frombytes(packed)
    if sys.byteorder == "big":
        tokens.byteswap()
    if header.get("key") != _digest(key) or not lengths or lengths[-1] != len(tokens):
        raise DamagedError(f"{name} is not for this model")
    token_ms = header.get("token_ms")
    return Prompt(name, list(tokens), tuple(lengths), float(token_ms) if isinstance(token_ms, int | float) else 0, size)


def _integer(header: dict[str, Any], name: str) -> int:
    value = header.get(name)
    if type(value) is not int or not 0 <= value < 1 << 24:
        raise DamagedError(f"{name} is no number of tokens")
    return value


def _integers(header: dict[str, Any], name: str) -> list[int]:
    values = header.get(name)
    if not isinstance(values, list) or not all(type(value) is int and 0 <= value < 1 << 48 for value in values):
        raise DamagedError(f"{name} are no numbers")
    return values


def _packed(tokens: Sequence[int]) -> bytes:
    packed = array("I", tokens)
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _prefix(key: str) -> str:
    return _digest(key)[:16] + "-"
