"""The pages a user reads: every command in them exists, every link leads somewhere, and the site can be built."""

from __future__ import annotations

import argparse
import importlib.util
import json
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import bench.__main__ as bench
from lsp_server import __version__, cli
from lsp_server.settings.sources import is_setting
from tests.conftest import ROOT
from tests.docs import commands, generate

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted(ROOT.glob("docs/*.md")),
    *sorted(ROOT.glob("editors/*/README.md")),
    ROOT / "bench/README.md",
    ROOT / "lsp_server/models/README.md",
]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
EACH_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
# What only the outside world can say: that the program exists and takes these words.
ELSEWHERE = {"sudo", "brew", "winget", "xcode-select", "pipx", "uv", "ln", "rm", "twine", "code"}


def check_fimble(words: list[str]) -> None:
    """By fimble's own parser. A page may name a command without what it takes."""
    if all(re.fullmatch("[a-z]+", word) for word in words):
        words = [*words, "--help"]
    try:
        cli.parser(words).parse_args(words)
    except SystemExit as end:
        assert not end.code, f"fimble {shlex.join(words)}"


def check_module(words: list[str]) -> None:
    """`python -m …`: a module of ours, with arguments that it takes, or of the tools that are installed."""
    if words[0] == "bench":
        parser = argparse.ArgumentParser()
        adding = parser.add_subparsers(dest="command", required=True)
        for name, (_, add_arguments, _) in bench.COMMANDS.items():
            add_arguments(adding.add_parser(name))
        if words[1:] != ["COMMAND", "--help"]:
            parser.parse_args(words[1:])
    elif words[0] == "pip":
        check_pip(words[1:])
    elif words[0] != "build":  # of the group `release`
        assert importlib.util.find_spec(words[0]) is not None, words


def check_pip(words: list[str]) -> None:
    assert words[0] in ("install", "uninstall", "cache"), words
    if "--group" in words:
        assert words[words.index("--group") + 1] in PROJECT["dependency-groups"]
    (pinned,) = [each for each in PROJECT["project"]["dependencies"] if each.startswith("llama-cpp-python==")]
    assert all(word == pinned for word in words if word.startswith("llama-cpp-python=")), words


def check_npm(words: list[str]) -> None:
    scripts = json.loads((ROOT / "editors/vscode/package.json").read_text("utf-8"))["scripts"]
    if words[0] not in ("ci", "audit", "view") and not (words[0] == "install" and "@" in words[1]):
        assert words[words[0] == "run"] in scripts, words


def check(words: list[str]) -> None:
    program, *rest = words
    if program == "fimble":
        check_fimble(rest)
    elif program == "ssh":
        check(rest[1:])
    elif program == ".ci/setup":
        assert (ROOT / program).is_file()
    elif program in ("python", ".venv/bin/python"):
        assert rest[0] == "-m", words
        check_module(rest[1:])
    elif program == "pip":
        check_pip(rest)
    elif program == "npm":
        check_npm(rest)
    elif program == "pytest":
        assert all((ROOT / word).exists() for word in rest if not word.startswith("-")), words
    elif program == "mkdocs":
        assert (ROOT / "mkdocs.yml").is_file()
    else:
        assert program in ELSEWHERE, words


@EACH_PAGE
def test_every_command_in_a_page_is_one(page: Path) -> None:
    for words in commands.of_page(page):
        check(words)


def test_commands_are_found_in_blocks_tables_and_text(tmp_path: Path) -> None:
    """And what is output, or a name, is not taken for one."""
    page = tmp_path / "page.md"
    page.write_text(
        "Run `fimble doctor` or `fimble`, not `fimble off`.\n\n    fimble models pull NAME && CC=1 pip install .\n\n"
        "It prints\n\n    844  10  fimble models\n\n"
        "| `fimble models` | |\n|---|---|\n| `list [--all]`, `rm NAME` | `that` |\n\n"
        "```toml\nfimble = 1\n```\n```\npython -m bench \\\n  session   # a comment\n```\n"
    )
    assert sorted(map(" ".join, commands.of_page(page))) == [
        "fimble doctor",
        "fimble models",
        "fimble models list --all",
        "fimble models pull NAME",
        "fimble models rm NAME",
        "pip install .",
        "python -m bench session",
    ]
    for wrong in ("fimble modles list", "fimble doctor --jsn", "python -m bench sesion", "npm run pack", "pip instal"):
        with pytest.raises((AssertionError, SystemExit)):
            check(wrong.split())


def harmless() -> list[list[str]]:
    """The commands in the pages that change nothing but files of the user's home, ask no model and no network."""
    said = {tuple(words[1:]) for page in PAGES for words in commands.of_page(page) if words[0] == "fimble"}
    return [
        list(words)
        for words in sorted(said)
        if (words[0] in ("doctor", "report", "init") or words[:2] == ("models", "list"))
        and not any(word.isupper() for word in words)
        and words != ("init",)
    ]


@pytest.mark.parametrize("words", harmless(), ids=" ".join)
def test_what_the_pages_say_to_run_runs(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("CACHE", "CONFIG", "DATA", "STATE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert cli.run(words) in ((0, 1) if words[0] == "doctor" else (0,)), capsys.readouterr().err  # 1: there is no model


@EACH_PAGE
def test_every_link_leads_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#\s]*)(#[^)\s]*)?\)", page.read_text("utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        there = page.parent / target if target else page
        assert there.exists(), target
        if anchor:
            titles = re.findall(r"^#+ (.+)$", there.read_text("utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", "-") for title in titles}
            assert anchor[1:] in slugs, f"{target}{anchor}"


@EACH_PAGE
def test_files_shown_in_a_page_can_be_read(page: Path) -> None:
    for kind, text in re.findall(r"^```(json|toml)\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL):
        values: Any = json.loads(text) if kind == "json" else tomllib.loads(text)
        if kind == "toml" and page.parent.name in ("docs", "models"):  # a fimble.toml
            assert [key for key in values if not is_setting(key)] == []


def test_the_table_of_settings_is_what_the_code_says() -> None:
    assert generate.SETTINGS.read_text("utf-8") == generate.page(), "run python -m tests.docs.generate"


def test_the_readme_is_read_in_three_minutes_and_has_its_two_commands() -> None:
    lines = (ROOT / "README.md").read_text("utf-8").splitlines()
    assert len(lines) <= 130
    assert "    .ci/setup && .venv/bin/python -m bench session" in lines
    assert "    .ci/setup && .venv/bin/python -m pytest" in lines


def test_every_page_is_found_from_the_readme() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    for page in ROOT.glob("docs/*.md"):
        assert f"(docs/{page.name}" in readme, page.name


def test_on_pypi_no_link_of_the_readme_leads_nowhere() -> None:
    made = runpy.run_path(str(ROOT / ".ci/pypi_readme.py"))
    text = made["absolute"]((ROOT / "README.md").read_text("utf-8"), "https://x/y", "abc")
    assert "![" in text
    assert re.findall(r"\]\((?!https:|#)[^)]*\)", text) == []
    assert "](https://x/y/raw/abc/editors/neovim/screenshot.png)" in text


def test_one_version_everywhere() -> None:
    assert json.loads((ROOT / "editors/vscode/package.json").read_text("utf-8"))["version"] == __version__
    assert re.search(r"^## ([\d.]+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)[1] == __version__  # type: ignore[index]


def test_the_folders_that_are_to_be_removed_are_those_that_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """As platformdirs places them on each system."""
    from platformdirs.macos import MacOS
    from platformdirs.unix import Unix
    from platformdirs.windows import Windows

    for name in ("CACHE", "CONFIG", "STATE"):
        monkeypatch.delenv(f"XDG_{name}_HOME", raising=False)
    monkeypatch.setattr("platformdirs.windows.get_win_folder", lambda name: "%LOCALAPPDATA%")
    text = (ROOT / "docs/upgrading.md").read_text("utf-8")
    rows = [[cell.strip(" `") for cell in line.split("|")[2:5]] for line in text.splitlines() if ": " in line[:40]]
    tables = [row for row in rows if len(row) == 3 and "fimble" in row[0]]
    kinds = ("user_config_dir", "user_cache_dir", "user_state_dir")
    for kind, row in zip(kinds, tables, strict=True):
        found = [getattr(system("fimble"), kind) for system in (Unix, MacOS, Windows)]
        assert [str(path).replace(str(Path.home()), "~").replace("/", "\\") for path in found] == [
            cell.replace("/", "\\") for cell in row
        ]


def test_the_site_can_be_built(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="mkdocs is not installed: pip install --group docs")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "site/editors/neovim/screenshot.png").is_file()
