"""Where a bench's results go: the console, and a file of JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console


def console_of(width: int) -> Console:
    """The terminal; where there is none, as in a log, a console of `width` columns."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=width)


def write_json(path: Path | None, result: dict[str, Any], *, indent: int | None = None) -> None:
    """Writes a result if a path was given, and makes the folder for it."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result, indent=indent) + "\n", "utf-8")
