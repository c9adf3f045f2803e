"""A model file during its download: the part that is here, the disk space for the rest, and its final place."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from lsp_server.backends.base import ModelError
from lsp_server.models import gguf, ledger, lock

_SPARE_BYTES = 64 << 20


def target_of(pin: lock.Pin) -> Path:
    """The final path of a file. Raises ModelError if the pin's name is no valid path."""
    if any(part in ("", ".", "..") for part in pin.name.split("/")) or "\\" in pin.name:
        raise ModelError(f"{pin.name!r} is no name for a file")
    return lock.models_folder() / pin.name


def partial_of(pin: lock.Pin) -> Path:
    """The path of an incomplete file. Its content is the same from every source."""
    target = target_of(pin)
    return target.with_name(f"{target.name}.{pin.sha256[:12]}.part")


def is_here(pin: lock.Pin) -> bool:
    """Whether the file exists with the right content. If so, it is pinned."""
    target = target_of(pin)
    here = target.is_file() and target.stat().st_size == pin.size and ledger.sha256(target) == pin.sha256
    if here and getattr(lock.pin_of(target), "sha256", "") != pin.sha256:
        lock.add(pin)
    return here


def check_disk(pin: lock.Pin, beside: int = 0) -> None:
    """Raises ModelError if the rest of a file does not fit on the disk. beside: bytes that are needed in addition
    meanwhile."""
    partial = partial_of(pin)
    there = partial.stat().st_size if partial.exists() else 0
    folder = next(folder for folder in partial.parents if folder.exists())
    free = shutil.disk_usage(folder).free
    if pin.size - there + beside + _SPARE_BYTES > free:
        raise ModelError(
            f"{Path(pin.name).name} needs {(pin.size - there + beside) >> 20} MB more in {partial.parent}, "
            f"where {free >> 20} MB are free"
        )


def put_in_place(pin: lock.Pin, described_by: str) -> Path:
    """Moves a complete file to its final path and pins it, if its SHA-256 is right; else deletes it and raises
    ModelError. described_by: the source of the expected SHA-256."""
    partial, target = partial_of(pin), target_of(pin)
    found = ledger.hash_file(partial, pin.size)
    if found != pin.sha256:
        partial.unlink()
        raise ModelError(
            f"what came as {pin.name} is not what {described_by} describes: SHA-256 {found[:12]}…, not "
            f"{pin.sha256[:12]}…; nothing was kept, try again"
        )
    try:
        gguf.read_header(partial)
    except ModelError as error:
        partial.unlink()
        raise ModelError(str(error).replace(str(partial), pin.name)) from None
    sync(partial)
    partial.replace(target)
    if os.name == "posix":
        sync(target.parent)
    ledger.remember(target, found)
    lock.add(pin)
    return target


def sync(path: Path) -> None:
    """Makes sure that the content of a file, or the names in a folder, are on the disk."""
    # Windows can sync only files that are open for writing; a folder can only be opened for reading.
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_empty_folders(pin: lock.Pin) -> None:
    """Removes the empty folders that were made for a file."""
    for folder in target_of(pin).parents:
        if folder == lock.models_folder() or not folder.is_dir() or any(folder.iterdir()):
            return
        folder.rmdir()
