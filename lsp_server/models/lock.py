"""The lock file: name, size and SHA-256 of all pulled and imported models. Models with changed files are refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from lsp_server.backends.base import ModelError
from lsp_server.models import ledger
from lsp_server.models.catalogue import CatalogueModel
from lsp_server.system.kept_files import read_json, why_unwritable, write_whole

FILE_NAME = "fimble.lock.json"


@dataclass(frozen=True, slots=True)
class Pin:
    """One file. name: its path below the models folder, or its full path if it was imported from elsewhere. source: hub
    id and revision, or the program it belongs to. licence: as given by the hub or the file, else empty."""

    name: str
    size: int
    sha256: str
    source: str = ""
    licence: str = ""


def described(model: CatalogueModel) -> Pin:
    """The expected file of a catalogue entry, from whatever source it comes. The entry must have an exact file."""
    assert model.file is not None
    name = f"{model.hub}/{model.file.name}"
    return Pin(name, model.file.size, model.file.sha256, "the catalogue", model.licence)


def models_folder() -> Path:
    """The folder of pulled and optimised models."""
    return user_cache_path("fimble") / "models"


def lock_path() -> Path:
    return models_folder() / FILE_NAME


def pins() -> dict[str, Pin]:
    """All pins by name. Raises ModelError if the lock file exists but is damaged.

    If a damaged file were ignored, changed models would no longer be noticed.
    """
    path = lock_path()
    try:
        found = read_json(path)
        entries = found.get("files") if isinstance(found, dict) else None
        if not isinstance(entries, dict):
            raise ValueError("it has no list of files")
        return {name: _checked(name, entry) for name, entry in entries.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise ModelError(f"the lock file {path} cannot be used ({why}); mend or remove it") from None


def _checked(name: str, entry: Any) -> Pin:
    """The pin of an entry. Raises ValueError. A name that leads out of the models folder is refused: removing the model
    would delete another file."""
    shown = ascii(name)[:100]
    if not name or "\0" in name or (not Path(name).is_absolute() and ".." in Path(name).parts):
        raise ValueError(f"{shown} is no name of a model")
    if not isinstance(entry, dict):
        raise ValueError(f"what it says of {shown} is no pin")
    size, digest, source, licence = (entry.get(key, "") for key in ("size", "sha256", "source", "licence"))
    if type(size) is not int or size < 0 or not ledger.is_sha256(digest):
        raise ValueError(f"{shown} has no size or no SHA-256")
    if not isinstance(source, str) or not isinstance(licence, str):
        raise ValueError(f"the source or the licence of {shown} is no text")
    return Pin(name, size, digest, source, licence)


def add(pin: Pin) -> None:
    _write({**pins(), pin.name: pin})


def remove(name: str) -> None:
    _write({key: pin for key, pin in pins().items() if key != name})


def _write(entries: Mapping[str, Pin]) -> None:
    files = {name: {k: v for k, v in asdict(pin).items() if k != "name"} for name, pin in sorted(entries.items())}
    path = lock_path()
    try:
        write_whole(path, json.dumps({"version": 1, "files": files}, indent=2).encode() + b"\n")
    except OSError as error:
        raise ModelError(why_unwritable(path, error)) from None


def pin_of(path: Path) -> Pin | None:
    """The pin of a file, if it was pulled or imported."""
    whole, folder = path.absolute(), models_folder().absolute()
    name = whole.relative_to(folder).as_posix() if whole.is_relative_to(folder) else str(whole)
    return pins().get(name)


def path_of(pin: Pin) -> Path:
    return models_folder() / pin.name  # an absolute name replaces the folder


def check(path: Path, sha256: str) -> None:
    """Raises ModelError if `path` is pinned and its content has changed since."""
    pin = pin_of(path)
    if pin is not None and pin.sha256 != sha256:
        raise ModelError(
            f"{path} has changed since it was pinned: its SHA-256 is {sha256[:12]}…, not {pin.sha256[:12]}…; "
            f"pull or import it again, or remove it with `fimble models rm {pin.name}`"
        )
