"""The outputs of a bench: the console, and a JSON file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console


def console_of(width: int) -> Console:
    """The console of the terminal; without a terminal, as in a log, one with `width` columns."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=width)


def write_json(path: Path | None, result: dict[str, Any], *, indent: int | None = None) -> None:
    """Writes a result to `path`, and creates the folder. Does nothing without a path."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result, indent=indent) + "\n", "utf-8")
