"""Context from other buffers through the server: what counts as open, and that files on disk do not."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.stdio import SECONDS, StdioClient

Start = Callable[..., StdioClient]
SHAPES = "class Circle:\n    def area(self):\n        return 3\n"
COLOURS = "class Colour:\n    name = 'red'\n"
MAIN = "from shapes import Circle\nfrom colours import Colour\nx = Circle(Colour("


@pytest.fixture
def root(home: Path) -> Path:
    """A workspace whose files are on disk, all of them."""
    folder = home / "paint"
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "shapes.py").write_text(SHAPES)
    (folder / "colours.py").write_text(COLOURS)
    return folder


@pytest.fixture
def server(start: Start, root: Path) -> StdioClient:
    client = start()
    folders = [{"uri": root.as_uri(), "name": "paint"}]
    client.initialize(workspaceFolders=folders, initializationOptions={"buffers_tokens": 300})
    return client


def shown(server: StdioClient, uri: str) -> list[str]:
    """The paths of the files that prompts for a document show parts of."""
    return [piece["path"] for piece in server.context(uri)]


def test_open_files_are_shown_by_their_paths_and_files_on_disk_are_not(server: StdioClient, root: Path) -> None:
    server.open((root / "src" / "shapes.py").as_uri(), SHAPES)
    main = (root / "main.py").as_uri()
    server.open(main, MAIN)
    (piece,) = server.context(main)
    assert piece == {"path": "src/shapes.py", "defines": ["Circle"], "bytes": len(SHAPES.strip())}


@pytest.mark.parametrize("inside", [True, False])
def test_a_closed_file_counts_if_it_lies_in_the_workspace(server: StdioClient, root: Path, inside: bool) -> None:
    uri = (root / "src" / "shapes.py" if inside else root.parent / "elsewhere" / "shapes.py").as_uri()
    server.open(uri, SHAPES)
    server.open((root / "colours.py").as_uri(), COLOURS)
    server.notify("textDocument/didClose", {"textDocument": {"uri": uri}})
    main = (root / "main.py").as_uri()
    server.open(main, MAIN)
    assert shown(server, main) == (["colours.py", "src/shapes.py"] if inside else ["colours.py"])


def test_what_lies_outside_the_folders_is_not_shown(server: StdioClient, root: Path) -> None:
    server.open((root.parent / ".ssh" / "shapes.py").as_uri(), SHAPES)
    server.open("file:///elsewhere/shapes.py", SHAPES)
    server.open("untitled:colours.py", COLOURS)
    main = (root / "main.py").as_uri()
    server.open(main, MAIN)
    assert shown(server, main) == ["colours.py"]


def test_what_looks_like_a_secret_is_not_shown_even_if_it_is_open(server: StdioClient, root: Path) -> None:
    server.open((root / ".env").as_uri(), "Circle=Colour\n")
    server.open((root / "secrets.py").as_uri(), SHAPES)
    server.open((root / "keys.py").as_uri(), COLOURS + "KEY = '-----BEGIN PRIVATE KEY-----'\n")
    main = (root / "main.py").as_uri()
    server.open(main, MAIN)
    assert shown(server, main) == []


def test_what_opens_later_is_shown_after_a_rest(server: StdioClient, root: Path) -> None:
    main = (root / "main.py").as_uri()
    server.open(main, MAIN)
    server.open((root / "colours.py").as_uri(), COLOURS)
    assert shown(server, main) == []
    server.change(main, 2, "\nx = Colour(")
    deadline = time.monotonic() + SECONDS
    while shown(server, main) != ["colours.py"]:
        assert time.monotonic() < deadline, "the user has rested for long"
