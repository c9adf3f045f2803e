"""The index through the server: built while nobody waits, kept right by what the editor tells, and never in the way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.stdio import SECONDS, StdioClient

Start = Callable[..., StdioClient]
SHAPES = "class Circle:\n    def area(self):\n        return 3\n"
MAIN = "from shapes import Circle\nx = Circle("


@pytest.fixture
def root(home: Path) -> Path:
    folder = home / "paint"
    folder.mkdir()
    (folder / "shapes.py").write_text(SHAPES)
    (folder / "main.py").write_text(MAIN)
    return folder


class Session:
    """A server with a workspace and one document in it."""

    def __init__(self, server: StdioClient, root: Path, project_index: bool | None = True) -> None:
        self.server, self.root, self.version = server, root, 1
        self.main = (root / "main.py").as_uri()
        folders = [{"uri": root.as_uri(), "name": "paint"}]
        switched = {} if project_index is None else {"project_index": project_index}
        server.initialize(workspaceFolders=folders, initializationOptions={"buffers_tokens": 300, **switched})

    def index(self) -> dict[str, Any]:
        found = self.server.status()["index"]
        return found[0] if found else {}

    def shown(self) -> list[str]:
        return [piece["path"] for piece in self.server.context(self.main)]

    def scanned(self) -> None:
        self.server.wait(lambda: self.index().get("scans"), "the scan")

    def rest_until(self, expected: list[str]) -> None:
        """Types, and waits for the rest after which the prompts show these files."""
        self.version += 1
        self.server.change(self.main, self.version, MAIN + "a" * (self.version % 2))
        self.server.wait(lambda: self.shown() == expected, f"{expected} in the prompt")

    def changed(self, path: str, kind: int) -> None:
        """Tells of a file, and waits until the index has it."""
        before = self.index()["changed"]
        event = {"uri": (self.root / path).as_uri(), "type": kind}
        self.server.notify("workspace/didChangeWatchedFiles", {"changes": [event]})
        self.server.wait(lambda: self.index()["changed"] > before, "the change")


def test_files_that_are_not_open_are_shown_once_they_are_indexed(start: Start, root: Path) -> None:
    session = Session(start(), root)
    session.server.open(session.main, MAIN)
    session.scanned()
    session.rest_until(["shapes.py"])
    (root / "shapes.py").rename(root / "forms.py")
    session.changed("shapes.py", 3)
    session.rest_until([])
    (root / "shapes.py").write_text(SHAPES)
    session.changed("shapes.py", 1)
    session.rest_until(["shapes.py"])
    assert session.server.finish() == 0


def test_what_installed_packages_define_is_shown_to_who_imports_it(start: Start, root: Path) -> None:
    packages = root / ".venv" / "lib" / "python3.12" / "site-packages"
    packages.mkdir(parents=True)
    (root / ".venv" / "pyvenv.cfg").write_text("home = /usr\n")
    (packages / "colours.py").write_text("def mix_colours(first: int, second: int) -> int: ...\n")
    (root / "shapes.py").unlink()
    session = Session(start(), root)
    session.server.open(session.main, "from colours import mix_colours\nx = mix_colours(")
    session.scanned()
    before = session.index()["changed"]
    session.server.change(session.main, 2, "from colours import mix_colours\nx = mix_colours(a")
    session.server.wait(lambda: session.index()["changed"] > before, "the package")
    session.server.change(session.main, 3, "from colours import mix_colours\nx = mix_colours(")
    session.server.wait(lambda: session.shown() == ["site-packages/colours.py"], "the package in the prompt")


def test_it_goes_on_when_its_process_has_ended(start: Start, root: Path) -> None:
    session = Session(start(), root)
    session.server.open(session.main, MAIN)
    session.scanned()
    for process in running(root):
        process.kill()
    psutil.wait_procs(running(root), timeout=SECONDS)
    (root / "forms.py").write_text(SHAPES)
    session.changed("forms.py", 1)
    assert session.index()["problem"] == ""
    assert session.server.finish() == 0


@pytest.mark.parametrize("setting", [None, False], ids=["by default", "by the setting"])
def test_it_is_off(start: Start, root: Path, setting: bool | None) -> None:
    session = Session(start(), root, setting)
    session.server.open(session.main, MAIN)
    session.server.change(session.main, 2, MAIN + "a")
    assert session.server.inline(session.main, 1, 11) is not None
    assert (session.index(), session.shown()) == ({}, [])


@pytest.mark.parametrize("able", [True, False])
def test_changes_on_the_disk_are_asked_for_where_the_editor_can_tell(start: Start, root: Path, able: bool) -> None:
    server = start()
    asked: list[Any] = []
    server.answers["client/registerCapability"] = lambda params: asked.extend(params["registrations"])
    files = {"didChangeWatchedFiles": {"dynamicRegistration": able}}
    folders = [{"uri": root.as_uri(), "name": "paint"}]
    server.initialize({"workspace": files}, workspaceFolders=folders, initializationOptions={"project_index": True})
    server.status()
    watched = [each for each in asked if each["method"] == "workspace/didChangeWatchedFiles"]
    assert len(watched) == able
    if able:
        globs = [each["globPattern"] for each in watched[0]["registerOptions"]["watchers"]]
        assert any("py," in glob or ",py" in glob for glob in globs)


def test_its_process_ends_with_the_server(start: Start, root: Path) -> None:
    session = Session(start(), root)
    session.server.open(session.main, MAIN)
    session.scanned()
    processes = running(root)
    assert processes
    assert session.server.finish() == 0
    assert psutil.wait_procs(processes, timeout=SECONDS)[1] == []


def running(root: Path) -> list[psutil.Process]:
    """The processes that build the index of a folder, or watch over one that does."""
    found = ((process, process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"]))
    return [each for each, command in found if {"lsp_server.features.index.worker", str(root)} <= set(command)]
