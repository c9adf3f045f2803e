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
    assert shown(server, main) == [], "the prompt is made"
    server.open((root / "colours.py").as_uri(), COLOURS)
    assert shown(server, main) == [], "and stays as it is"
    server.change(main, 2, "\nx = Colour(")
    deadline = time.monotonic() + SECONDS
    while shown(server, main) != ["colours.py"]:
        assert time.monotonic() < deadline, "the user has rested for long"


def close(server: StdioClient, uri: str) -> None:
    server.notify("textDocument/didClose", {"textDocument": {"uri": uri}})


@pytest.mark.parametrize("first", ["closed", "told"])
@pytest.mark.parametrize("what", ["src/shapes.py", "src"])
@pytest.mark.parametrize("how", ["event", "operation"])
def test_a_closed_file_that_was_deleted_is_not_shown(
    server: StdioClient, root: Path, how: str, what: str, first: str
) -> None:
    """Nor are the files of a deleted folder; whether the editor closes the document before or after it tells so."""
    shapes, gone = (root / "src" / "shapes.py").as_uri(), (root / what).as_uri()
    server.open(shapes, SHAPES)
    if first == "closed":
        close(server, shapes)
    if how == "event":
        server.notify("workspace/didChangeWatchedFiles", {"changes": [{"uri": gone, "type": 3}]})
    else:
        server.notify("workspace/didDeleteFiles", {"files": [{"uri": gone}]})
    if first == "told":
        close(server, shapes)
    main = (root / "main.py").as_uri()
    server.open(main, MAIN)
    assert shown(server, main) == []
    server.open(shapes, SHAPES)  # it has been written anew
    close(server, shapes)
    server.open((root / "other.py").as_uri(), MAIN)
    assert shown(server, (root / "other.py").as_uri()) == ["src/shapes.py"]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("src/shapes.py", "src/forms.py", ["src/forms.py"]),
        ("src", "lib", ["lib/shapes.py"]),
        ("src", "../elsewhere", []),
    ],
)
def test_a_closed_file_that_was_renamed_is_shown_by_its_new_name(
    server: StdioClient, root: Path, old: str, new: str, expected: list[str]
) -> None:
    shapes = (root / "src" / "shapes.py").as_uri()
    server.open(shapes, SHAPES)
    close(server, shapes)
    moved = {"oldUri": (root / old).as_uri(), "newUri": (root / new).resolve().as_uri()}
    server.notify("workspace/didRenameFiles", {"files": [moved]})
    main = (root / "main.py").as_uri()
    server.open(main, MAIN)
    assert shown(server, main) == expected


def test_renames_and_deletions_are_asked_for_where_the_editor_can_tell(start: Start) -> None:
    able = {"workspace": {"fileOperations": {"didRename": True, "didDelete": True}}}
    announced = start().initialize(able)["workspace"]["fileOperations"]
    assert announced["didRename"]["filters"] == announced["didDelete"]["filters"]
    assert announced["didRename"]["filters"] == [{"scheme": "file", "pattern": {"glob": "**"}}]


def test_a_deletion_that_nobody_tells_of_is_noticed_at_a_rest(server: StdioClient, root: Path) -> None:
    shapes, main = root / "src" / "shapes.py", (root / "main.py").as_uri()
    server.open(shapes.as_uri(), SHAPES)
    close(server, shapes.as_uri())
    server.open(main, MAIN)
    assert shown(server, main) == ["src/shapes.py"]
    shapes.unlink()
    server.change(main, 2, MAIN + "a")
    server.wait(lambda: shown(server, main) == [], "the rest")
