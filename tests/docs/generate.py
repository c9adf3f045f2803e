"""Writes the part of docs that follows from the code, the table of settings: `python -m tests.docs.generate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.editors.generate import settings_schema

SETTINGS = Path(__file__).parents[2] / "docs" / "settings.md"
# What a description leaves to another page.
_SEE = {
    "actions": "See [Code actions](actions.md).",
    "fim_format": "See the [table of formats](../lsp_server/core/fim_formats.py).",
}
_TYPES = {"boolean": "`true`, `false`", "string": "text", "array": "a list of texts", "object": "a table"}


def table() -> str:
    """Every setting: its default, what it takes, and its description, as `Settings` has them."""
    rows = ["| setting | default | takes | |", "|---|---|---|---|"]
    for name, schema in settings_schema()["properties"].items():
        told = " ".join(filter(None, (schema["description"], _SEE.get(name, ""))))
        rows.append(f"| `{name}` | `{json.dumps(schema['default'])}` | {_takes(schema)} | {told} |")
    return "\n".join(rows)


def _takes(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return ", ".join(f"`{json.dumps(value)}`" for value in schema["enum"])
    if "minimum" in schema:
        return f"{schema['minimum']} to {schema['maximum']}"
    return _TYPES[schema["type"]]


def page() -> str:
    """The page of settings, of which the table is made anew and the rest is kept."""
    lines = SETTINGS.read_text("utf-8").splitlines()
    rows = [number for number, line in enumerate(lines) if line.startswith("|")]
    return "\n".join([*lines[: rows[0]], table(), *lines[rows[-1] + 1 :]]) + "\n"


if __name__ == "__main__":
    SETTINGS.write_text(page(), "utf-8")
