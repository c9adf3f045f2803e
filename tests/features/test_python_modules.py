"""What Python files import limits names, too: which modules are found and read, and that nothing of them runs."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lsp_server.core.names.allowed import Members
from lsp_server.core.names.python_receivers import members_at
from lsp_server.features import python_modules
from lsp_server.features.inline import InlineCompleter
from lsp_server.features.python_modules import PythonModules
from tests.features.harness import PATIENT, Opener, knowing
from tests.support.cursor import parse_cursor

Write = Callable[..., None]

SHAPES = """\
from enum import Enum

from .base import *
from .base import Sides as Edges


class Color(Enum):
    RED = 1
    BLUE = 2


class Shape(Base):
    color: Color
    name = "shape"

    def __init__(self, width: int, other: "Shape | None" = None):
        self.width = width
        self.title = "a shape"
        self.edges = Edges()

    def grown(self, by) -> "Shape":
        return self

    @property
    def area(self) -> float:
        return self.width * self.height


def make(width) -> Shape:
    return Shape(width)


DEFAULT = make(1)
"""
BASE = """\
__all__ = ["Base", "Sides"]


class Base:
    height = 2


class Sides:
    top = bottom = 0
"""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(**files: str) -> None:
        for name, text in files.items():
            path = tmp_path / (name.replace("__", "/").replace("/init", "/__init__") + ".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    write(pkg__init="from . import shapes\nVERSION = 1\n", pkg__shapes=SHAPES, pkg__base=BASE)
    return write


def limits(root: Path, source: str, modules: PythonModules | None = None) -> Members | None:
    """The limits at the cursor, once all has been read that they ask for."""
    modules = modules or PythonModules(lambda: [root])
    document, cursor = parse_cursor(source, path="main.py", uri=(root / "main.py").as_uri())
    for _ in range(8):
        found = members_at(document, cursor, modules)
        if not modules.wants():
            break
        modules.read()
    return found


def names(root: Path, source: str) -> set[str] | None:
    """The names that may stand at the cursor, but those that Python gives a meaning."""
    found = limits(root, source)
    known = found.known("") if found is not None else None
    return None if known is None else {name for name in known if not name.startswith("__")}


SHAPE = {"color", "name", "width", "title", "edges", "grown", "area", "height"}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import pkg\npkg.$0", {"shapes", "base", "VERSION"}),
        ("import pkg.shapes as s\nx = s.$0", {"Enum", "Color", "Shape", "make", "DEFAULT", "Base", "Sides", "Edges"}),
        ("from pkg import $0", {"shapes", "base", "VERSION"}),
        ("from pkg.base import Base, $0", {"Base", "Sides"}),
        ("from pkg import shapes\nx = shapes.DEFAULT.$0", SHAPE),
        ("from pkg.shapes import make\ndef f():\n    a = make(1)\n    return a.$0", SHAPE),
        ("from pkg.shapes import Shape\ndef f(a: Shape):\n    return a.$0", SHAPE),
        ("from pkg.shapes import Shape\ndef f(a: 'Shape | None', b):\n    return b + a.$0", SHAPE),
        ("from pkg.shapes import Shape\nb = Shape(1).grown(2)\nc = b.$0", SHAPE),
        ("from pkg.shapes import Shape\ndef f(a: Shape):\n    return a.edges.$0", {"top", "bottom"}),
        ("from pkg.shapes import Shape\nclass A(Shape):\n    def f(self):\n        self.f(self.$0", {*SHAPE, "f"}),
        ("from pkg.shapes import Shape\nclass Own(Shape):\n    def f(self):\n        super().$0", {*SHAPE, "f"}),
    ],
)  # fmt: skip
def test_names_that_other_files_have(tmp_path: Path, write: Write, source: str, expected: set[str]) -> None:
    assert names(tmp_path, source) == expected


def test_names_of_pythons_own_library_and_of_builtins(tmp_path: Path) -> None:
    assert {"path", "environ", "getcwd"} <= (names(tmp_path, "import os\nx = os.$0") or set())
    assert {"join", "exists"} <= (names(tmp_path, "import os\nx = os.path.$0") or set())
    assert {"sqrt", "pi"} <= (names(tmp_path, "import math\nx = math.$0") or set())
    assert names(tmp_path, "def f(a: str):\n    x = a.$0") == {n for n in dir(str) if not n.startswith("__")}
    assert names(tmp_path, "x = ', '.$0") == {n for n in dir(str) if not n.startswith("__")}
    colors = names(tmp_path, "import enum\nclass Color(enum.Enum):\n    RED = 1\nx = Color.$0")
    assert {"RED", "name", "mro"} <= (colors or set())


@pytest.mark.parametrize(
    "source",
    [
        "import missing\nx = missing.$0",
        "from missing import *\nimport pkg\nx = pkg.nothing.$0",
        "from pkg.shapes import Shape\ndef f(a: Shape):\n    if isinstance(a, Other):\n        return a.$0",
        "from pkg.shapes import Shape\ndef f(a: Shape):\n    a = other()\n    return a.$0",
        "from pkg.shapes import Shape\ndef f(a: Shape):\n    return [a.$0 for a in all]",
        "from pkg.shapes import Shape\ndef f(a: Shape):\n    return lambda a: a.$0",
        "from pkg.shapes import Shape\nfor a in all:\n    a.$0",
        "try:\n    import pkg as p\nexcept ImportError:\n    p = None\nx = p.$0",
        "def f(a):\n    return a.$0",
        "class ShapeMixin:\n    def f(self):\n        super().$0",
        "def f(a: Any):\n    return a.$0",
        "from pkg.dynamic import Open\ndef f(a: Open):\n    return a.$0",
        "from pkg import lazy\nx = lazy.$0",
        "from pkg import other\nx = other.$0",
    ],
)
def test_what_is_not_sure_limits_nothing(tmp_path: Path, write: Write, source: str) -> None:
    write(
        pkg__dynamic="class Open:\n    def __getattr__(self, name): ...\n",
        pkg__lazy="def __getattr__(name): ...\n",
        pkg__other="from .missing import *\n",
    )
    assert names(tmp_path, source) is None


def test_stubs_come_first_and_links_out_of_the_folder_are_not_followed(tmp_path: Path, write: Write) -> None:
    (tmp_path / "pkg" / "lazy.pyi").write_text("def known(): ...\n")
    write(pkg__lazy="def __getattr__(name): ...\ndef more(): ...\n")
    assert names(tmp_path, "from pkg import lazy\nx = lazy.$0") == {"known", "more", "__getattr__"} - {"__getattr__"}
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "secret.py").write_text("password = 1\n")
    (inside / "link.py").symlink_to(tmp_path / "secret.py")
    assert names(inside, "import link\nx = link.$0") is None


def test_nothing_of_a_project_is_run_and_what_cannot_be_read_is_unknown(tmp_path: Path, write: Write) -> None:
    evil = "import pathlib; pathlib.Path(__file__).with_name('ran').write_text('')\nname = 1\n"
    write(
        sitecustomize=evil,
        evil=evil,
        big="x = 1\n" * 200_000,
        deep="(" * 100_000,
        a="from b import *",
        b="from a import *",
    )
    assert names(tmp_path, "import evil\nx = evil.$0") == {"pathlib", "name"}
    assert names(tmp_path, "import sitecustomize\nx = sitecustomize.$0") == {"pathlib", "name"}
    for name in ("big", "pipe", "folder", "unreadable"):
        if name == "pipe" and hasattr(os, "mkfifo"):
            os.mkfifo(tmp_path / "pipe.py")
        elif name == "folder":
            (tmp_path / "folder.py").mkdir()
        assert names(tmp_path, f"import {name}\nx = {name}.$0") is None
    limits(tmp_path, "import a, b, deep\nx = a.$0")
    limits(tmp_path, "import " + ".".join("abc" * 400) + "\nx = a.$0")
    assert not list(tmp_path.glob("ran"))


def test_what_has_changed_is_read_again(tmp_path: Path, write: Write) -> None:
    modules = PythonModules(lambda: [tmp_path])
    source = "import pkg.base as b\nx = b.$0"
    before = limits(tmp_path, source, modules)
    write(pkg__base=BASE + "new = 1\n")
    modules.check()
    after = limits(tmp_path, source, modules)
    assert before is not None
    assert after is not None
    assert (after.known("") or set()) - (before.known("") or set()) == {"new"}


def test_so_many_modules_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(python_modules, "_MOST_MODULES", 5)
    modules = PythonModules(lambda: [tmp_path])
    for number in range(20):
        modules.find(str(tmp_path / "main.py"), f"m{number}")
    while modules.wants():
        modules.read()
    assert len(modules._known) == 5


async def test_the_next_key_has_what_was_read_meanwhile(bench: Opener, tmp_path: Path, write: Write) -> None:
    source = "from pkg.shapes import Shape\n\n\ndef width_of(shape: Shape):\n    return shape.$0\n"
    async with bench(knowing(source.replace("$0", "wideness * 2").encode())) as b:
        modules = PythonModules(lambda: [tmp_path])
        b.completer = InlineCompleter(b.client, lambda: b.options, modules=lambda: modules)
        await b.ready()
        b.options = replace(PATIENT, limit_names=True, limit_imports=True)
        written = []
        for name in ("one.py", "two.py"):
            document, cursor = parse_cursor(source, path=name, uri=(tmp_path / name).as_uri())
            written.append((await b.completer.complete(document, cursor)).written)
            await b.idle()
        assert written[0].startswith("wideness")
        assert written[1].startswith(tuple(SHAPE)), written
