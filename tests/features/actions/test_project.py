"""The project around an edit: its formatter on the changed lines only, its names, and its tests within a time limit."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from lsp_server.core.languages import find_language
from lsp_server.features.actions import formatters, workspace
from lsp_server.features.actions.formatters import find_formatter, formatted, only_within
from lsp_server.features.actions.generated_tests.place import PlaceError
from lsp_server.features.actions.generated_tests.places import inside
from lsp_server.features.actions.generated_tests.runtests import run_tests
from lsp_server.features.actions.workspace import names_found, signatures_of, source_files
from lsp_server.features.untrusted_files import read_bytes

PYTHON, RUST = find_language("python"), find_language("rust")


def test_only_changes_within_the_lines_are_kept() -> None:
    before = b"a=1\nb=2\nc=3\n"
    after = b"a = 1\nb = 2\nc = 3\n"
    assert only_within(before, after, [(0, 3)]) == after
    assert only_within(before, after, [(1, 2)]) == before  # the change reaches beyond the range
    assert only_within(b"a=1\n\nb=2\n\nc=3\n", b"a = 1\n\nb = 2\n\nc = 3\n", [(2, 3)]) == b"a=1\n\nb = 2\n\nc=3\n"


@pytest.mark.skipif(shutil.which("ruff") is None and shutil.which("rustfmt") is None, reason="no formatter here")
def test_the_formatter_is_the_one_that_is_configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(Path(pwd.getpwuid(os.getuid()).pw_dir)))  # rustup keeps its tools there
    file = tmp_path / "a.py"
    assert find_formatter(file, tmp_path, PYTHON) is None
    (tmp_path / "pyproject.toml").write_text("[tool.ruff]\nline-length = 40\n")
    if shutil.which("ruff"):
        found = find_formatter(file, tmp_path, PYTHON)
        assert found is not None
        assert found.name == "ruff"
        assert formatted(found, b"x = {  'a':1 }\n") == b'x = {"a": 1}\n'
        assert formatted(found, b"x = (\n") is None
    if shutil.which("rustfmt"):
        found = find_formatter(tmp_path / "a.rs", tmp_path, RUST)
        assert found is not None
        assert formatted(found, b"fn  a( ) { b( ) }\n") == b"fn a() {\n    b()\n}\n"


def test_a_formatter_that_is_not_there_or_hangs_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:

    monkeypatch.setattr(formatters, "_SECONDS", 0.2)
    for command in ((str(tmp_path / "missing"),), (sys.executable, "-c", "import time; time.sleep(60)")):
        assert formatted(formatters.Formatter("x", command), b"x") is None


def test_names_and_signatures_come_from_the_workspaces_sources(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text('def helper(x: int) -> int:\n    """Helps."""\n    return x\n')
    for folder in ("node_modules", ".hidden", "venv"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "b.py").write_text("def secret(): pass\n")
    (tmp_path / "c.txt").write_text("words")
    (tmp_path / "link").symlink_to("/")
    assert [path.name for path in source_files(tmp_path, PYTHON)] == ["a.py"]
    assert names_found(["helper", "secret", "words", "help"], tmp_path, PYTHON) == {"helper"}
    assert signatures_of(["helper", "secret"], tmp_path, PYTHON) == ["def helper(x: int) -> int:  # Helps."]


def test_what_is_called_is_told_without_secrets(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(
        "def connect(user, password='Zx81-spectrum'):\n    pass\n\n\ndef close(it):\n    pass\n"
    )
    (tmp_path / "secrets.py").write_text("def secret_of(name):\n    pass\n")
    assert signatures_of(["connect", "close", "secret_of"], tmp_path, PYTHON) == ["def close(it):"]


@pytest.mark.parametrize("depth", [0, 1, 30])
def test_the_walk_over_a_workspace_is_bounded(depth: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a folder holds more files than are looked at, or more folders, beside or inside one another."""
    folder = tmp_path
    for number in range(90):
        (folder / f"{number}.py").write_text("x" * 100)
        if number < depth:
            folder /= "f"
            folder.mkdir()
        elif depth:
            (folder / f"g{number}").mkdir()
    asked: list[object] = []
    scandir = os.scandir
    monkeypatch.setattr(workspace, "_MOST_ENTRIES", 20)
    monkeypatch.setattr(workspace.os, "scandir", lambda path: (asked.append(path), scandir(path))[1])
    assert len(list(source_files(tmp_path, PYTHON))) <= 20
    assert len(asked) <= 20
    monkeypatch.setattr(workspace, "_MOST_ENTRIES", 1000)
    monkeypatch.setattr(workspace, "_MOST_BYTES", 1000)
    assert len(list(source_files(tmp_path, PYTHON))) == 10


def test_a_file_is_searched_once_for_all_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        (tmp_path / f"{number}.py").write_text(f"name_{number} = größe\n")
    searched: list[str] = []

    class Words:
        def findall(self, text: str) -> list[str]:
            searched.append(text)
            return re.findall(r"\w+", text)

    monkeypatch.setattr(workspace, "_WORD", Words())
    names = ["name_0", "name_2", "größe", *(f"missing_{number}" for number in range(200))]
    assert names_found(names, tmp_path, PYTHON) == {"name_0", "name_2", "größe"}
    assert len(searched) == 3


async def test_tests_run_within_a_time_limit(tmp_path: Path) -> None:
    text = await run_tests([sys.executable, "-c", "print('```` done'); raise SystemExit(3)"], tmp_path, 30)
    assert "ended with status 3" in text
    assert "''' done" in text
    text = await run_tests(
        [sys.executable, "-c", "import time; print('begun', flush=True); time.sleep(60)"], tmp_path, 1.5
    )
    assert "stopped after 1.5 s" in text
    assert "could not be started" in await run_tests([str(tmp_path / "missing")], tmp_path, 1)


def test_no_program_of_the_workspace_is_a_formatter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither by its place in the project, nor with the project on the path, nor through a link outside."""
    root, outside = tmp_path / "w", tmp_path / "bin"
    outside.mkdir()
    (root / "src").mkdir(parents=True)
    (root / "pyproject.toml").write_text("[tool.ruff]\n[tool.black]\n")
    (root / ".prettierrc.json").write_text("{}")
    inside = [root / ".venv" / "bin", root / "node_modules" / ".bin"]
    files = [(root / "src" / name, find_language("", name)) for name in ("a.py", "a.ts", "a.go", "a.rs")]
    for folder in inside:
        folder.mkdir(parents=True)
        for name in ("ruff", "black", "prettier", "gofmt", "rustfmt"):
            (folder / name).write_text("#!/bin/sh\n")
            (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", "")
    assert not [file for file, language in files if find_formatter(file, root, language, prettier=True)]
    monkeypatch.setenv("PATH", os.pathsep.join(map(str, inside)))
    assert not [file for file, language in files if find_formatter(file, root, language, prettier=True)]
    (outside / "rustfmt").symlink_to(inside[0] / "rustfmt")
    monkeypatch.setenv("PATH", str(outside))
    assert find_formatter(*files[3][:1], root, RUST) is None
    for name in ("ruff", "prettier"):
        (outside / name).write_text("#!/bin/sh\npwd\n")
        (outside / name).chmod(0o755)
    found = find_formatter(files[0][0], root, PYTHON)
    assert found is not None
    assert found.command[0] == str(outside / "ruff")
    monkeypatch.undo()
    assert formatted(found, b"x") == f"{outside}\n".encode()  # not in the project, whose files rustup would follow
    monkeypatch.setenv("PATH", str(outside))
    assert find_formatter(files[1][0], root, files[1][1]) is None
    allowed = find_formatter(files[1][0], root, files[1][1], prettier=True)
    assert allowed is not None
    assert allowed.command[0] == str(outside / "prettier")


def program(path: Path, text: str = "#!/bin/sh\ncat\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Two folders of a workspace, and one outside of them."""
    first, second, outside = (tmp_path / name for name in ("first", "second", "outside"))
    for folder in (first, second, outside):
        folder.mkdir()
    (second / "pyproject.toml").write_text("[tool.ruff]\n")
    return first, second, outside


@pytest.mark.parametrize(
    "how", ["there", "through a link", "from a link to the folder", "by its interpreter", "by `..`"]
)
def test_no_program_of_another_folder_of_the_workspace_is_a_formatter(
    folders: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """The folder's environment is on the path, as it is where an editor was started from its terminal. What lies
    further on is taken instead."""
    first, second, outside = folders
    place = program(first / ".venv" / "bin" / "ruff").parent
    if how == "through a link":
        place = outside / "links"
        place.mkdir()
        (place / "ruff").symlink_to(first / ".venv" / "bin" / "ruff")
    elif how == "from a link to the folder":
        (outside / "link").symlink_to(first)
        place = outside / "link" / ".venv" / "bin"
    elif how == "by its interpreter":
        place = program(outside / "scripts" / "ruff", f"#!{first}/.venv/bin/python\n").parent
    elif how == "by `..`":
        place = outside / ".." / "first" / ".venv" / "bin"
    other = program(outside / "bin" / "ruff")
    file = second / "a.py"
    monkeypatch.setenv("PATH", f"{place}{os.pathsep}{other.parent}")
    found = find_formatter(file, second, PYTHON, roots=(first, second))
    assert found is not None
    assert found.command[0] == str(other)
    monkeypatch.setenv("PATH", str(place))
    assert find_formatter(file, second, PYTHON, roots=(first, second)) is None


def test_places_that_depend_on_the_current_folder_have_no_programs(
    folders: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, _ = folders
    program(first / "bin" / "ruff")
    for here in ("bin", "./bin", "", "."):
        monkeypatch.chdir(first / "bin" if here in ("", ".") else first)
        monkeypatch.setenv("PATH", here)
        assert find_formatter(second / "a.py", second, PYTHON) is None


def test_a_formatter_finds_nothing_of_the_workspace_either(
    folders: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A script that names its interpreter, and one that names what it loads, by a name alone."""
    first, second, outside = folders
    ran = outside / "ran"
    program(first / "bin" / "interpreter", f"#!/bin/sh\ntouch {ran}\n")
    (first / "lib").mkdir()
    (first / "lib" / "formatting.py").write_text(f"open({str(ran)!r}, 'w').close()\n")
    file = second / "a.py"
    for name, value, script in (
        ("PATH", "bin", "#!/usr/bin/env interpreter\n"),
        ("PYTHONPATH", "lib", f"#!{sys.executable}\nimport formatting\n"),
    ):
        path = program(outside / "bin" / "ruff", script)
        usual = f"{path.parent}{os.pathsep}{os.environ['PATH']}"
        monkeypatch.setenv("PATH", usual)
        monkeypatch.setenv(name, os.pathsep.join([str(first / value), *([usual] if name == "PATH" else [])]))
        found = find_formatter(file, second, PYTHON, roots=(first, second))
        assert found is not None
        assert found.command[0] == str(path)
        assert formatted(found, b"x = 1\n") is None
        assert not ran.exists()
        assert formatted(formatters.Formatter("x", found.command), b"x = 1\n") is None
        assert ran.exists()  # as it would be
        ran.unlink()
        monkeypatch.delenv("PYTHONPATH", raising=False)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no /dev/zero here")
def test_devices_are_not_read(tmp_path: Path) -> None:
    for name in ("pyproject.toml", "package.json", "pipe"):
        (tmp_path / name).symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "fifo")
    assert [read_bytes(tmp_path / name, 10) for name in ("pipe", "fifo", "missing", "a\0b")] == [None] * 4
    (tmp_path / "long").write_bytes(b"x" * 100)
    assert read_bytes(tmp_path / "long", 10) == b"x" * 10
    assert find_formatter(tmp_path / "a.py", tmp_path, PYTHON) is None


def test_places_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "link").symlink_to(".git")
    for name in (
        "a\0b",
        "x" * 300 + "/../../../etc",
        "loop/a",
        ".git/hooks/pre-commit",
        ".GIT/config",
        "link/config",
        "../a",
    ):
        with pytest.raises(PlaceError):
            inside(tmp_path, tmp_path / name)
    assert inside(tmp_path, tmp_path / ".github" / "a.yml")


def test_a_large_file_is_compared_where_it_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[int] = []
    matcher = formatters.difflib.SequenceMatcher

    def counting(junk: Any, old: list[bytes], new: list[bytes], **options: Any) -> Any:
        compared.append(len(old) + len(new))
        return matcher(junk, old, new, **options)

    monkeypatch.setattr(formatters.difflib, "SequenceMatcher", counting)
    before = b"a=1\n" * 20_000 + b"b=2\n\nc=3\n" + b"a=1\n" * 20_000
    after = before.replace(b"b=2", b"b = 2").replace(b"c=3", b"c = 3")
    assert only_within(before, after, [(20_000, 20_001)]) == before.replace(b"b=2", b"b = 2")
    assert only_within(before, after.replace(b"c = 3\n", b"c = 3"), [(0, 3)]) == before
    assert only_within(before, before, [(0, 3)]) == before
    assert only_within(before, before.replace(b"=", b" = "), [(0, 90_000)]) == before  # given up
    assert max(compared) < 10
