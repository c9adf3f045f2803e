"""Writes the editors' files that follow from the server: `python -m tests.editors.generate`.

The schema of the settings, and which files LSP4IJ gives to the server. A test fails when they are out of step.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from lsp_server.config import Settings
from lsp_server.core.languages import LANGUAGES

EDITORS = Path(__file__).parents[2] / "editors"


def settings_schema() -> dict[str, Any]:
    """The JSON schema of the settings, as one self-contained object."""
    (_,), components = msgspec.json.schema_components([Settings])
    schema: dict[str, Any] = components["Settings"]
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            name: {"type": "string", **value} if "enum" in value else value
            for name, value in schema["properties"].items()
        },
    }


def jetbrains_schema() -> dict[str, Any]:
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": "LSP4IJ/fimble/settings.schema.json",
        "title": "LSP4IJ fimble settings JSON schema",
        "description": "Settings of the language server fimble.",
        "type": "object",
        "additionalProperties": False,
        "properties": {"fimble": settings_schema()},
    }


def jetbrains_template() -> dict[str, Any]:
    return {
        "id": "fimble",
        "name": "fimble",
        "programArgs": {"default": "fimble serve", "windows": "fimble.exe serve"},
        "fileTypeMappings": [
            {"fileType": {"patterns": list(language.files)}, "languageId": language.ids[0]} for language in LANGUAGES
        ],
    }


def files() -> dict[Path, str]:
    """What each generated file has to hold."""
    made = {
        "jetbrains/settings.schema.json": jetbrains_schema(),
        "jetbrains/template.json": jetbrains_template(),
    }
    return {EDITORS / name: json.dumps(value, indent=2) + "\n" for name, value in made.items()}


if __name__ == "__main__":
    for path, text in files().items():
        path.write_text(text, "utf-8")
        print(path.relative_to(EDITORS.parent))
