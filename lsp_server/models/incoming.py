"""A model file on its way in: what is here already, the room for the rest, and its name when it is whole and right."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from lsp_server.backends.base import ModelError
from lsp_server.models import gguf, ledger, lock

_SPARE_BYTES = 64 << 20


def target_of(pin: lock.Pin) -> Path:
    """Where a file is to lie. Raises ModelError for a name that is none."""
    if any(part in ("", ".", "..") for part in pin.name.split("/")) or "\\" in pin.name:
        raise ModelError(f"{pin.name!r} is no name for a file")
    return lock.models_folder() / pin.name


def partial_of(pin: lock.Pin) -> Path:
    """Where a file's beginning lies until the rest is there. Its content is the same from wherever it comes."""
    target = target_of(pin)
    return target.with_name(f"{target.name}.{pin.sha256[:12]}.part")


def is_here(pin: lock.Pin) -> bool:
    """Whether the file is in its place with the right content; if so, it is pinned."""
    target = target_of(pin)
    here = target.is_file() and target.stat().st_size == pin.size and ledger.sha256(target) == pin.sha256
    if here and getattr(lock.pin_of(target), "sha256", "") != pin.sha256:
        lock.add(pin)
    return here


def check_disk(pin: lock.Pin, beside: int = 0) -> None:
    """Raises ModelError if the rest of a file does not fit on the disk. beside: what else is needed meanwhile."""
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
    """Gives a file that is whole its name, if it is what it should be, and pins it; else removes it and raises
    ModelError. described_by: who says what it should be."""
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
    """Makes sure that what was written to a file, or the names in a folder, are on the disk."""
    # Windows syncs only what is open for writing; a folder opens for reading alone.
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_empty_folders(pin: lock.Pin) -> None:
    """Removes the folders that were made for a file and are empty."""
    for folder in target_of(pin).parents:
        if folder == lock.models_folder() or not folder.is_dir() or any(folder.iterdir()):
            return
        folder.rmdir()
