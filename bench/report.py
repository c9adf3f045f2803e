"""Where a bench's results go."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def write_json(path: Path | None, result: dict[str, Any], *, indent: int | None = None) -> None:
    """Writes a result if a path was given, and makes the folder for it."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result, indent=indent) + "\n", "utf-8")
