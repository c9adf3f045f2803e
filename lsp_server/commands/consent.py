"""`fimble endpoints allow`, `never` and `forget`: which workspaces may be sent to which endpoints on other machines."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING

from lsp_server.commands.output import tell
from lsp_server.commands.place import CommandError
from lsp_server.commands.terminal import harmless
from lsp_server.system.user_folders import expanded

if TYPE_CHECKING:
    from lsp_server.engine.endpoint import Endpoint

DECIDING = ("allow", "never", "forget")
_LATER = "a running editor follows at the next file that it opens"


def decide(options: argparse.Namespace, known: Mapping[str, Endpoint]) -> int:
    """Keeps a decision. Raises CommandError if there is no such endpoint or folder, or it cannot be kept."""
    from lsp_server.settings import consent

    name, allowed = options.name, options.action == "allow"
    endpoint = known.get(name)
    if endpoint is None:
        listed = ", ".join(known) or "none"
        raise CommandError(f"there is no endpoint {name!r}; your own fimble.toml has {listed}")
    if endpoint.is_here:
        raise CommandError(f"`{name}` is on this machine, and needs no permission")
    key = _folder(options)
    try:
        consent.remember(key, name, endpoint.url, allowed=allowed)
    except OSError as error:
        raise CommandError(f"{consent.decisions_path()} cannot be written: {error.strerror}") from None
    may = "may be sent" if allowed else "is never sent"
    tell(harmless(f"{name} ({endpoint.url}) {may} code of {_named(key)}; {_LATER}"))
    return 0


def forget(options: argparse.Namespace) -> int:
    """Takes decisions back, also those about an endpoint that fimble.toml no longer names. Raises CommandError."""
    from lsp_server.settings import consent

    if not options.name:
        raise CommandError("name the endpoint whose decisions are to be forgotten")
    only = _folder(options) if options.folder is not None or options.no_folder else None
    try:
        gone = consent.forget(options.name, only)
    except OSError as error:
        raise CommandError(f"{consent.decisions_path()} cannot be written: {error.strerror}") from None
    where = "" if only is None else f" for {_named(only)}"
    if gone:
        tell(harmless(f"what you said about {options.name}{where} is forgotten, so editors ask again; {_LATER}"))
    else:
        tell(harmless(f"nothing was said about {options.name}{where}"))
    return 0


def print_decisions(name: str, endpoint: Endpoint) -> None:
    """Prints the decisions about an endpoint, a line each."""
    from lsp_server.settings import consent

    found = [each for each in consent.decisions() if each.endpoint == name] if not endpoint.is_here else []
    for each in found:
        may = "allowed for" if each.allowed else "never for"
        other = f", but as {each.url}, so it counts no more" if each.url != endpoint.url else ""
        tell(harmless(f"  {may} {_named(each.folder)}{other}"))
    if not found and not endpoint.is_here:
        tell("  allowed for no workspace yet; the editor asks, or see `fimble endpoints allow`")


def _folder(options: argparse.Namespace) -> str:
    """The key of the folder that is meant. Raises CommandError if there is none."""
    from pathlib import Path

    from lsp_server.settings import consent

    if options.no_folder:
        return consent.NO_FOLDER
    folder = Path.cwd() if options.folder is None else expanded(str(options.folder))
    if options.action != "forget" and not folder.is_dir():
        raise CommandError(f"{folder} is not a folder")
    return consent.key_of(folder)


def _named(key: str) -> str:
    return key or "files that are opened without a folder"
