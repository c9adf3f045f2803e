"""The starter model, which completes code and runs actions if the user names no model: its file and its state."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lsp_server.backends.base import ModelError
from lsp_server.models import catalogue, ledger, lock
from lsp_server.models.catalogue import CatalogueModel

PULL = f"fimble models pull {catalogue.STARTER_ALIAS}"


def entry() -> CatalogueModel:
    """Its entry in the catalogue."""
    found = catalogue.find(catalogue.STARTER)
    assert found is not None and found.file is not None
    return found


def pin() -> lock.Pin:
    """The expected size and SHA-256 of its file."""
    return lock.described(entry())


def path() -> Path:
    """The path of its file, whether or not the file exists."""
    return lock.path_of(pin())


def is_here() -> bool:
    """Whether its file exists and is not known to be damaged. Does not read the file."""
    return path().is_file() and not is_damaged()


def is_damaged() -> bool:
    """Whether its file is known to differ from the expected one. Does not read the file."""
    wanted, found = pin(), path()
    return found.is_file() and (
        found.stat().st_size != wanted.size or ledger.known_sha256(found) not in (None, wanted.sha256)
    )


def model_file(progress: Callable[[float], bool] = lambda _: True) -> Path:
    """The path of its file, whose SHA-256 is checked once for each state of the file.

    Downloads nothing. Raises ModelError if the file is missing or damaged, or if `progress` returns False.
    """
    wanted, found = pin(), path()
    if not found.is_file():
        model = entry()
        raise ModelError(
            f"there is no model yet: `{PULL}` fetches the starter ({model.name}, {wanted.size / 1e6:.0f} MB, licence "
            f"{model.licence}); or set `model` to a GGUF file"
        )
    if is_damaged() or ledger.sha256(found, lambda _: progress(0.0)) != wanted.sha256:
        raise ModelError(f"{found} is damaged: it is not the starter model that it should be; `{PULL}` mends it")
    return found
