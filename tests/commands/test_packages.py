"""The sdist and the wheel: made from what the repository has, and enough by themselves in a folder of their own."""

from __future__ import annotations

import email
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lsp_server import __version__
from tests.conftest import ROOT, environment
from tests.support.stdio import SERVE, StdioClient

pytest.importorskip("hatchling", reason="hatchling is not installed")


def ran(command: list[str], folder: Path, **more: str) -> str:
    env = {**environment(folder), **more}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(kind: str, source: Path, folder: Path) -> Path:
    """What pip would build from `source`. kind: sdist or wheel."""
    code = f"import os, sys, hatchling.build as b; os.chdir(sys.argv[1]); print(b.build_{kind}(sys.argv[2]))"
    return folder / ran([sys.executable, "-c", code, str(source), str(folder)], folder).split()[-1]


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("sdist", ROOT, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made from the sdist, as `pip install` of a release without wheels does."""
    folder = tmp_path_factory.mktemp("wheel")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    return build("wheel", folder / f"fimble-{__version__}", folder)


class Installed:
    """The wheel in a folder of its own, beside which there are only its dependencies."""

    def __init__(self, wheel: Path, folder: Path) -> None:
        self.site, self.home = folder / "site", folder / "home"
        self.home.mkdir()
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target"]
        ran([*pip, str(self.site), str(wheel)], self.home)
        names = {"win32": "fimble.exe"}
        self.program = self.site / "bin" / names.get(sys.platform, "fimble")
        self.environment = environment(self.home) | {"PYTHONPATH": str(self.site)}

    def fimble(self, *arguments: str, status: tuple[int, ...] = (0,)) -> str:
        command = [str(self.program), *arguments]
        done = subprocess.run(command, cwd=self.home, env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode in status, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    yield Installed(wheel, tmp_path_factory.mktemp("installed"))


def test_the_sdist_has_what_the_repository_has(sdist: Path) -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("this is no checkout with git")
    with tarfile.open(sdist) as archive:
        files = {os.path.normpath(each.name).split(os.sep, 1)[-1] for each in archive.getmembers() if each.isfile()}
    wanted = {os.path.normpath(name) for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()}
    assert wanted - files == set()
    folders = {Path(name).parts[0] for name in files - wanted}
    assert folders & {".venv", "site", "dist", "shared"} == set()


def test_the_wheel_says_what_an_index_shows(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [each for each in archive.namelist() if each.endswith(".dist-info/METADATA")]
        metadata = email.message_from_bytes(archive.read(name))
        packages = {each.split("/")[0] for each in archive.namelist()}
    assert (metadata["Name"], metadata["Version"]) == ("fimble", __version__)
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert "# fimble" in metadata.as_string()
    assert {each for each in packages if not each.endswith(".dist-info")} == {"lsp_server"}


def test_an_index_can_show_it(sdist: Path, wheel: Path) -> None:
    pytest.importorskip("twine", reason="twine is not installed: pip install --group release")
    ran([sys.executable, "-m", "twine", "check", "--strict", str(sdist), str(wheel)], wheel.parent)


def test_the_commands_work_from_the_wheel(installed: Installed) -> None:
    assert installed.fimble("--version").strip() == f"fimble {__version__}"
    folder = installed.fimble("init", "neovim").strip()
    assert Path(folder) == installed.site / "lsp_server/editors/neovim"
    installed.fimble("init", "helix", "--write")
    assert (installed.home / "config/helix/languages.toml").read_bytes() == (
        ROOT / "editors/helix/languages.toml"
    ).read_bytes()
    checks = json.loads(installed.fimble("doctor", "--json", status=(1,)))["checks"]  # 1: there is no model
    assert [check["topic"] for check in checks if check["status"] == "red"] == ["model"]
    assert json.loads(installed.fimble("report", "--json"))["versions"]["fimble"] == __version__
    (installed.home / "shop.py").write_text("def total(prices):\n    return \n")
    assert installed.fimble("complete", "shop.py:2:12", "--backend", "scripted").strip()


def test_a_server_from_the_wheel_completes(installed: Installed) -> None:
    command = [str(installed.program), *SERVE]
    server = StdioClient(command=command, cwd=installed.home, env=installed.environment)
    try:
        server.initialize(initializationOptions={"check_names": False})
        server.open("file:///w/a.py", "def total(prices):\n    return 0\n\n\n")
        assert server.inline("file:///w/a.py", 4, 0)
        assert server.finish() == 0
    finally:
        server.kill()
