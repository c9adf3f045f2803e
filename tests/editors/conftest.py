"""Neovim for tests: one for all tests of a module, and as many as one test asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.editors.support import NEOVIM_VERSIONS, PLAIN_INDENT, Neovim, chat_model


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
