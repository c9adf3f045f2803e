"""`fimble init`: the very files of the repository's `editors`, printed or written, from a checkout and from a wheel."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lsp_server import cli
from lsp_server.commands import editors
from tests.conftest import ROOT, environment

FILES = ROOT / "editors"
BY_NAME = pytest.mark.parametrize("editor", editors.EDITORS, ids=lambda editor: editor.name)


def contents(path: Path) -> dict[str, bytes]:
    """The bytes of a file, or of all files in a folder by their path in it, but for what a build of VS Code's
    extension leaves there."""
    if path.is_file():
        return {"": path.read_bytes()}
    left = {"node_modules", "dist"}
    files = [each for each in path.rglob("*") if each.is_file() and not left & set(each.relative_to(path).parts)]
    return {each.relative_to(path).as_posix(): each.read_bytes() for each in files if each.suffix != ".vsix"}


def tracked() -> Iterator[str]:
    """What the repository has in `editors`."""
    listed = subprocess.run(["git", "ls-files", "-z", "editors"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("this is no checkout with git")
    yield from filter(None, listed.stdout.split("\0"))


def built(kind: str, folder: Path) -> zipfile.ZipFile:
    """The wheel that pip would build, without a network. kind: wheel or editable."""
    pytest.importorskip("hatchling", reason="hatchling is not installed")
    build = f"import sys, hatchling.build as build; print(build.build_{kind}(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", build, folder], cwd=ROOT, env=environment(folder), capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return zipfile.ZipFile(folder / done.stdout.split()[-1])


@BY_NAME
def test_printed_as_it_is(editor: editors.Editor, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert cli.run(["init", editor.name]) == 0
    printed, said = capfdbinary.readouterr()
    source = FILES / editor.name / editor.source
    assert printed == (source.read_bytes() if editor.source else f"{source}\n".encode())
    assert said.startswith(b"fimble: ")
    assert said.count(b"\n") == 1


@BY_NAME
def test_written_as_it_is_and_only_once(editor: editors.Editor, capsys: pytest.CaptureFixture[str]) -> None:
    assert editor.set_up_in() is None
    target = editor.target_path()
    if target is None:
        assert cli.run(["init", editor.name, "--write"]) == 2
        assert "keeps its configuration in a file of yours" in capsys.readouterr().err
        return
    assert cli.run(["init", editor.name, "--write"]) == 0
    assert f"wrote {target}; " in capsys.readouterr().err
    source = FILES / editor.name / editor.source
    assert contents(target) == contents(source)
    assert list(target.parent.iterdir()) == [target]
    changed = target if target.is_file() else target / "README.md"
    changed.write_bytes(b"mine, without the name")
    again = cli.run(["init", editor.name, "--write"])
    said = capsys.readouterr().err
    assert again == (0 if "is set up already" in said else 2)
    assert again == 0 or f"{target} is there already and is not changed" in said
    assert changed.read_bytes() == b"mine, without the name"


def test_what_mentions_fimble_is_set_up_already(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["init", "helix", "--write"]) == 0
    assert cli.run(["init", "helix", "--write"]) == 0
    assert f"is set up already, in {place / 'config/helix/languages.toml'}" in capsys.readouterr().err
    assert cli.run(["init", "neovim", "--write"]) == 0
    found = editors.find("Neovim")
    assert found is not None
    assert found.set_up_in() == place / "data/nvim/site/pack/fimble/start/fimble"


def test_an_unknown_editor(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["init", "ed"]) == 2
    assert "known are neovim" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "data").write_text("a file where a folder should be")
    assert cli.run(["init", "neovim", "--write"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_every_editor_has_a_folder_and_every_folder_an_editor() -> None:
    folders = {path.name for path in FILES.iterdir() if path.is_dir()} - {"upstream"}  # what is sent to collections
    assert folders == {editor.name for editor in editors.EDITORS}


def test_a_wheel_has_all_of_them_and_uses_them(tmp_path: Path) -> None:
    """Unpacked as an installation has it."""
    site = tmp_path / "site"
    with built("wheel", tmp_path) as wheel:
        names = {name for name in wheel.namelist() if "/editors/" in name}
        wheel.extractall(site)
    expected = {f"lsp_server/{path}" for path in tracked()}
    assert names >= expected
    assert not [name for name in names if {"node_modules", "dist"} & set(name.split("/"))]
    for name in expected:
        assert (site / name).read_bytes() == (ROOT / name.removeprefix("lsp_server/")).read_bytes(), name
    for name, target in (("neovim", "data/nvim/site/pack/fimble/start/fimble"), ("helix", "config/helix")):
        done = subprocess.run(
            [sys.executable, "-m", "lsp_server", "init", name, "--write"],
            cwd=site,
            env=environment(tmp_path) | {"PYTHONPATH": str(site)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        written = contents(tmp_path / target)
        assert written
        assert written.items() <= contents(FILES / name).items()


def test_an_editable_installation_finds_the_checkouts(tmp_path: Path) -> None:
    with built("editable", tmp_path) as wheel:
        assert wheel.read("_fimble.pth").decode().split() == [str(ROOT)]
    assert editors.files_folder() == FILES
