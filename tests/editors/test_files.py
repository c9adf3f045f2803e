"""The editors' files keep step with the server: generated ones are up to date, and every name in them exists."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import msgspec
import pytest

from lsp_server.core.languages import LANGUAGES
from lsp_server.settings.fields import Settings
from lsp_server.settings.sources import is_setting
from tests.conftest import ROOT
from tests.editors import generate
from tests.editors.support import EDITORS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MOST_PICTURE_BYTES = 60_000
MINE = ("neovim", "helix", "jetbrains", "zed", "emacs", "sublime", "kakoune", "vim")
# How settings are written: as TOML or Lua (`max_lines = 4`), JSON (`"max_lines": 4`) or Lisp (`:max_lines 4`).
SETTING = re.compile(r"\b([a-z]+_[a-z_]+)\"?\s*(?:=|:)|:([a-z]+_[a-z_]+)\b|`([a-z]+_[a-z_]+)` in `fimble\.toml`")
# How commands are written; `fimble off` is what the status line of Neovim says.
COMMAND = re.compile(r"[`'\"]fimble (?!off`)([a-z]+)")
OTHERS = {
    # Neovim's own options of the plug-in, and what the other editors call their own.
    "accept_word", "accept_line", "edit_keys", "hide_with_menu", "root_markers", "language_servers", "root_globs",
    "lsp_servers", "settings_section", "lsp_debug", "edit_predictions", "open_ai_compatible_api", "api_url",
    "prompt_format", "max_output_tokens",
}  # fmt: skip


@pytest.mark.parametrize("path", generate.files(), ids=lambda path: path.name)
def test_generated_files_are_up_to_date(path: Path) -> None:
    assert path.read_text("utf-8") == generate.files()[path], "run python -m tests.editors.generate"


def test_the_schema_takes_what_the_server_takes() -> None:
    properties = generate.settings_schema()["properties"]
    assert set(properties) == set(Settings.__struct_fields__)
    assert all(value["description"] and "default" in value and "type" in value for value in properties.values())
    defaults = {name: value["default"] for name, value in properties.items()}
    assert msgspec.convert(defaults, Settings) == Settings()


def test_helix_has_every_language() -> None:
    languages = tomllib.loads((EDITORS / "helix" / "languages.toml").read_text("utf-8"))
    assert languages["language-server"]["fimble"] == {"command": "fimble", "args": ["serve"]}
    named = {entry["name"] for entry in languages["language"]}
    assert len(named) >= len(LANGUAGES)
    assert all(entry["language-servers"][-1] == "fimble" for entry in languages["language"])


@pytest.mark.parametrize("path", sorted(path for name in MINE for path in (EDITORS / name).rglob("*.json")), ids=str)
def test_json_is_json(path: Path) -> None:
    json.loads(path.read_text("utf-8"))


@pytest.mark.parametrize("name", MINE)
def test_only_settings_that_exist_are_named(name: str) -> None:
    for path in (EDITORS / name).rglob("*"):
        if path.is_file() and path.suffix not in (".lua", ".png") and "generated" not in path.name:
            for found in SETTING.finditer(path.read_text("utf-8")):
                setting = found[1] or found[2] or found[3]
                assert setting in OTHERS or is_setting(setting), f"{path.name}: {setting}"


@pytest.mark.parametrize("name", MINE)
def test_only_commands_that_exist_are_named(name: str) -> None:
    sources = [ROOT / "lsp_server/cli.py", *(ROOT / "lsp_server/commands").glob("*.py")]
    known = {found for each in sources for found in re.findall(r"\.add_parser\(\s*\"(\w+)\"", each.read_text("utf-8"))}
    assert "serve" in known
    for path in (EDITORS / name).rglob("*"):
        if path.is_file() and path.suffix in (".md", ".toml", ".json", ".el", ".txt", ".sublime-settings"):
            assert set(COMMAND.findall(path.read_text("utf-8"))) <= known, path


def test_requests_that_neovim_makes_are_the_servers() -> None:
    server = "".join(path.read_text("utf-8") for path in (ROOT / "lsp_server/lsp").glob("*.py"))
    for path in (EDITORS / "neovim" / "lua").rglob("*.lua"):
        for request in re.findall(r"'(fimble/\w+)'", path.read_text("utf-8")):
            assert f'"{request}"' in server, f"{path.name}: {request}"


def test_the_help_names_every_option_key_and_command() -> None:
    text = (EDITORS / "neovim/doc/fimble.txt").read_text("utf-8")
    config = (EDITORS / "neovim/lua/fimble/config.lua").read_text("utf-8")
    defaults = config[config.index("M.defaults = {") : config.index("\n}\n")]
    for option in re.findall(r"^ {2,4}(\w+) = ", defaults, re.MULTILINE):
        assert re.search(rf"\b{option} = ", text), option
    commands = (EDITORS / "neovim/lua/fimble/commands.lua").read_text("utf-8")
    for command in re.findall(r"^function subcommands\.(\w+)", commands, re.MULTILINE):
        assert f"Fimble {command}" in text, command


def test_tags_of_the_help_are_up_to_date() -> None:
    """For those who add the folder to the runtime path by hand; plug-in managers make them anew."""
    text = (EDITORS / "neovim/doc/fimble.txt").read_text("utf-8")
    tags = sorted(re.findall(r"\*([^*\s]+)\*", text))
    lines = [f"{tag}\tfimble.txt\t/*{tag}*" for tag in tags]
    assert (EDITORS / "neovim/doc/tags").read_text("utf-8").splitlines() == lines


@pytest.mark.parametrize("name", MINE)
def test_a_readme_is_a_screen_at_most(name: str) -> None:
    lines = (EDITORS / name / "README.md").read_text("utf-8").splitlines()
    assert len(lines) <= 55
    assert max(map(len, lines)) <= 200


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted(EDITORS.glob("*/README.md"))], ids=lambda p: p.parent.name
)
def test_the_pictures_of_a_page_are_there_and_light(page: Path) -> None:
    pictures = re.findall(r"!\[[^]]+\]\(([^)]+)\)", page.read_text("utf-8"))
    assert pictures or page.parent.name not in ("neovim", "helix", "vscode")
    for picture in pictures:
        assert (page.parent / picture).stat().st_size <= MOST_PICTURE_BYTES, f"{picture}: run tests.editors.pictures"
