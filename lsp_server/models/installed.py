"""Finds pulled and imported models by the names that people use for them."""

from __future__ import annotations

from pathlib import Path

from lsp_server.models import lock
from lsp_server.models.lock import Pin

STARTER = "starter"


def matching(name: str) -> list[Pin]:
    """The pins that a name can mean: the pin with exactly this name, else those that match by catalogue name, by a part
    of their source, or by file name."""
    from lsp_server.models import catalogue

    pins = lock.pins()
    if name in pins:
        return [pins[name]]
    known = catalogue.find(name)
    return [pin for pin in pins.values() if _means(name, pin, known.hub if known else "")]


def _means(name: str, pin: Pin, hub: str) -> bool:
    if hub and pin.name.startswith(f"{hub}/"):
        return True
    holder, _, held = pin.source.partition(": ")
    names = {Path(pin.name).name, str(lock.path_of(pin)), pin.source.partition("@")[0]}
    return name in names or bool(held and name in (held, f"{holder}: {held}"))


def path_of(name: str) -> str | None:
    """The path of the one installed model with this name; empty for the starter; None if there is none or several. A
    path does not count as a name."""
    if name == STARTER:
        return ""
    if not name or is_path(name):
        return None
    inside = lock.models_folder() / name
    if inside.is_file():  # made on this machine, such as a faster copy
        return str(inside)
    found = matching(name)
    return str(lock.path_of(found[0])) if len(found) == 1 else None


def is_path(name: str) -> bool:
    """Whether a text is a path, and not only a name."""
    parts = name.replace("\\", "/").split("/")
    return parts[0] in ("", "~") or name.startswith("~") or bool({".", ".."} & set(parts)) or ":" in parts[0][:2]
