"""Decides which folders of a workspace have an index, and which of them a document is in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

from lsp_server.core.uris import normal_uri

# How many folders have an index at most.
MOST_ROOTS = 8


def may_index(root: Path) -> bool:
    """Whether a folder may be indexed: not a home folder, nor a folder that contains it."""
    try:
        resolved, home = root.resolve(), Path.home().resolve()
        return resolved.is_dir() and not home.is_relative_to(resolved)
    except (OSError, RuntimeError):
        return False


def indexed_roots(roots: Sequence[Path]) -> tuple[Path, ...]:
    """Those of a workspace's folders that have an index."""
    return tuple(dict.fromkeys(root for root in roots if may_index(root)))[:MOST_ROOTS]


def path_below(root: Path, uri: str) -> str:
    """The path of a document below a folder, with `/`; empty if it is not below it."""
    base = normal_uri(root.as_uri()).rstrip("/") + "/"
    found = normal_uri(uri)
    return unquote(found[len(base) :]) if found.startswith(base) else ""


def root_of(roots: Sequence[Path], uri: str) -> Path | None:
    """The indexed folder that a document is in; of several, the innermost."""
    return max((root for root in roots if path_below(root, uri)), key=lambda root: len(root.parts), default=None)
