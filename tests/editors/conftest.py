"""Editors for tests: one VS Code for all, one Neovim for a module, and as many editors and windows as one asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import environment
from tests.editors.support import NEOVIM_VERSIONS, PLAIN_INDENT, Neovim, chat_model
from tests.editors.vscode.editor import CodeServer, Window, browser, package, wait_for
from tests.editors.vscode.support import python_extension, scripted_program

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module", params=NEOVIM_VERSIONS)
def lasting(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Neovim]:
    """One editor of each version, whose server has both models."""
    home = tmp_path_factory.mktemp("home")
    chat_model(home)
    editor = Neovim(request.param, home, init=PLAIN_INDENT)
    try:
        editor.wait_ready()
        yield editor
    finally:
        editor.close()


@pytest.fixture
def start_neovim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Neovim]]:
    """Starts editors, each in a home of its own unless one is given, and closes them."""
    editors: list[Neovim] = []

    def start(version: str, home: Path | None = None, **options: Any) -> Neovim:
        editors.append(Neovim(version, home or tmp_path_factory.mktemp("home"), **options))
        return editors[-1]

    yield start
    for editor in editors:
        editor.close()


# VS Code --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def vsix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return package(tmp_path_factory.mktemp("vsix"))


@pytest.fixture(scope="session")
def code(tmp_path_factory: pytest.TempPathFactory, vsix: Path) -> Iterator[CodeServer]:
    folder = tmp_path_factory.mktemp("code")
    server = CodeServer(folder, vsix, environment(folder / "home"))
    try:
        server.install(python_extension(folder))
        yield server
    finally:
        server.close()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as found:
        yield found


@pytest.fixture(scope="module")
def scripted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A `fimble` whose model knows a text by heart."""
    return scripted_program(tmp_path_factory.mktemp("scripted"))


@pytest.fixture
def open_window(
    request: pytest.FixtureRequest, code: CodeServer, chromium: Browser, scripted: Path, tmp_path: Path
) -> Iterator[Callable[..., Window]]:
    """Opens windows, and closes them after the test. A test that fails leaves a screenshot of each.

    By default: a new folder with an empty file.py in front, and the scripted server.
    """
    windows: list[Window] = []

    def opened(workspace: Path | None = None, file: Path | None = None, **settings: Any) -> Window:
        if workspace is None:
            workspace = tmp_path / "work"
            workspace.mkdir()
        if file is None:
            file = workspace / "file.py"
            file.write_text("")
        code.set_user_settings({"fimble.path": str(scripted), **settings})
        page = chromium.new_page(viewport={"width": 1100, "height": 640})
        window = Window(code, page, workspace, file)
        windows.append(window)
        return window

    yield opened
    for number, window in enumerate(windows):
        window.screenshot(f"{request.node.name}-{number}")
        window.page.close()
    # Its extension host and with it the server end when the window has gone.
    wait_for("the servers to end", lambda: not code.language_servers())
