"""Writes the editors' files that follow from the server: `python -m tests.editors.generate`.

The schema of the settings, which files LSP4IJ gives to the server, and the settings in VS Code's package.json. A test
fails when they are out of step.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec

from lsp_server.core.languages import LANGUAGES
from lsp_server.settings.fields import Settings

EDITORS = Path(__file__).parents[2] / "editors"
# Settings of VS Code's extension itself; the server does not know them (vscode/src/settings.ts).
VSCODE_OWN = ("fimble.path", "fimble.installFrom", "fimble.trace.server")


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


def vscode_settings() -> dict[str, Any]:
    """The settings as VS Code wants them: names in camel case, descriptions with code in back quotes."""
    found = {}
    for name, schema in settings_schema()["properties"].items():
        described = {key: value for key, value in schema.items() if key != "description"}
        described["markdownDescription"] = schema["description"]
        found["fimble." + re.sub(r"_(\w)", lambda match: match[1].upper(), name)] = described
    return found


def vscode_package() -> dict[str, Any]:
    """package.json, of which the server's settings are generated and the rest is kept."""
    values: dict[str, Any] = json.loads((EDITORS / "vscode" / "package.json").read_text("utf-8"))
    configuration = values["contributes"]["configuration"]
    own = {name: configuration["properties"][name] for name in VSCODE_OWN}
    configuration["properties"] = own | vscode_settings()
    return values


def files() -> dict[Path, str]:
    """What each generated file has to hold."""
    made = {
        "jetbrains/settings.schema.json": jetbrains_schema(),
        "jetbrains/template.json": jetbrains_template(),
        "vscode/package.json": vscode_package(),
    }
    return {EDITORS / name: json.dumps(value, indent=2, ensure_ascii=False) + "\n" for name, value in made.items()}


if __name__ == "__main__":
    for path, text in files().items():
        path.write_text(text, "utf-8")
        print(path.relative_to(EDITORS.parent))
