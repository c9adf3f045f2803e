"""The starter model: what completes code and carries out actions where the user names no model. Where its file is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lsp_server.backends.base import ModelError
from lsp_server.models import catalogue, ledger, lock
from lsp_server.models.catalogue import CatalogueModel

PULL = f"fimble models pull {catalogue.STARTER_ALIAS}"


def entry() -> CatalogueModel:
    """What the catalogue says of it."""
    found = catalogue.find(catalogue.STARTER)
    assert found is not None and found.file is not None
    return found


def pin() -> lock.Pin:
    """What its file must be."""
    return lock.described(entry())


def path() -> Path:
    """Where its file lies, if it is here."""
    return lock.path_of(pin())


def is_here() -> bool:
    """Whether its file is here, and whole as far as that is known without reading it to its end."""
    return path().is_file() and not is_damaged()


def is_damaged() -> bool:
    """Whether its file is another than it should be, as far as that is known without reading it to its end."""
    wanted, found = pin(), path()
    return found.is_file() and (
        found.stat().st_size != wanted.size or ledger.known_sha256(found) not in (None, wanted.sha256)
    )


def model_file(progress: Callable[[float], bool] = lambda _: True) -> Path:
    """The path of its file, which is checked against its SHA-256 once for each state of it.

    Nothing is fetched. Raises ModelError if it is not here, damaged, or `progress` says to give up.
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
