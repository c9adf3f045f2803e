"""Writes the editors' files that follow from the server: `python -m tests.editors.generate`.

The schema of the settings, the file types in LSP4IJ's template, the settings in VS Code's package.json, the languages
in Helix's languages.toml, and Emacs' modes. A test fails when a file is out of date.
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
from pathlib import Path
from typing import Any

import msgspec

from lsp_server.core.languages import LANGUAGES
from lsp_server.settings.fields import Settings

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

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


def editors_languages() -> list[dict[str, Any]]:
    """The entries of editors/languages.toml, in the order of `LANGUAGES`."""
    found: dict[str, dict[str, Any]] = tomllib.loads((EDITORS / "languages.toml").read_text("utf-8"))
    assert set(found) == {language.name for language in LANGUAGES}, "editors/languages.toml has other languages"
    return [found[language.name] for language in LANGUAGES]


def helix_languages() -> str:
    """Helix's languages.toml, of which the languages are generated and the head is kept."""
    head, _, _ = (EDITORS / "helix" / "languages.toml").read_text("utf-8").partition("[[language]]")
    entries = (
        f'[[language]]\nname = "{name}"\nlanguage-servers = {json.dumps([*servers, "fimble"])}\n'
        for language in editors_languages()
        for name, servers in language["helix"].items()
    )
    return head + "\n".join(entries)


def emacs_package() -> str:
    """fimble.el, of which the list of modes is generated and the rest is kept."""
    modes = " ".join(mode for language in editors_languages() for mode in language["emacs"])
    listed = textwrap.fill(modes, 105, initial_indent="  '(", subsequent_indent="    ", break_on_hyphens=False)
    text = (EDITORS / "emacs" / "fimble.el").read_text("utf-8")
    return re.sub(r"(?<=\(defvar fimble-modes\n)[^)]*", listed, text)


def files() -> dict[Path, str]:
    """What each generated file has to hold."""
    made = {
        "jetbrains/settings.schema.json": jetbrains_schema(),
        "jetbrains/template.json": jetbrains_template(),
        "vscode/package.json": vscode_package(),
    }
    texts = {name: json.dumps(value, indent=2, ensure_ascii=False) + "\n" for name, value in made.items()}
    texts |= {"helix/languages.toml": helix_languages(), "emacs/fimble.el": emacs_package()}
    return {EDITORS / name: text for name, text in texts.items()}


if __name__ == "__main__":
    for path, text in files().items():
        path.write_text(text, "utf-8")
        print(path.relative_to(EDITORS.parent))
