"""Which files a file imports, by the words of its import lines and the names of the files."""

from __future__ import annotations

import pytest

from lsp_server.core.languages import find_language
from lsp_server.core.modules import Imports, imported_modules


def imported(path: str, line: str) -> Imports:
    language = find_language("", path)
    return Imports(imported_modules(language, line.encode() + b"\n", path), language)


@pytest.mark.parametrize(
    ("path", "line", "right", "wrong"),
    [
        ("a/main.py", "from pkg.shapes import Circle", "pkg/shapes.py", "pkg/colours.py"),
        ("a/main.py", "from pkg.shapes import Circle", "src/pkg/shapes/__init__.py", "other/shapes.py"),
        ("pkg/main.py", "from . import shapes", "pkg/shapes.py", "other/shapes.py"),
        ("pkg/sub/main.py", "from ..shapes import Circle", "pkg/shapes.pyi", "pkg/sub/shapes.py"),
        ("a/main.py", "import pkg.shapes as s, json", "pkg/shapes.py", "pkg/main.py"),
        ("a/main.py", "def f():\n    from pkg.shapes import Circle\n", "pkg/shapes.py", "pkg/main.py"),
        ("src/main.ts", 'import { Circle } from "./shapes";', "src/shapes.ts", "lib/shapes.ts"),
        ("src/a/main.ts", 'import { Circle } from "../shapes";', "src/shapes/index.ts", "src/a/shapes.ts"),
        ("src/main.tsx", 'import x from "./shapes.js";', "src/shapes.tsx", "shapes.tsx"),
        ("main.go", 'import "github.com/who/paint/shapes"', "shapes/circle.go", "colours/shapes.go"),
        ("src/main.rs", "use crate::shapes::{Circle, Square};", "src/shapes.rs", "src/colours.rs"),
        ("src/main.rs", "use crate::shapes::Circle;", "src/shapes/mod.rs", "src/circle/mod.rs"),
        ("src/Main.java", "import org.paint.shapes.Circle;", "src/org/paint/shapes/Circle.java", "src/Square.java"),
        ("main.c", '#include "paint/shapes.h"', "include/paint/shapes.h", "include/shapes/paint.h"),
    ],
)
def test_an_import_names_its_file_and_no_other(path: str, line: str, right: str, wrong: str) -> None:
    imports = imported(path, line)
    assert imports.of(right)
    assert not imports.of(wrong)


def test_what_is_imported_by_name_is_known() -> None:
    line = "from pkg.shapes import (\n    Circle,  # round\n    Square as Box,\n)"
    (module,) = imported("a.py", line).of("pkg/shapes.py")
    assert module.names == {"Circle", "Square", "Box"}


def test_nested_lists_of_rust_are_unfolded() -> None:
    imports = imported("src/main.rs", "use crate::{\n    flags::{parse, Mode as M},\n    search::Searcher,\n};")
    assert [module.parts for module in imports.modules] == [
        ("flags", "parse"),
        ("flags", "Mode"),
        ("search", "Searcher"),
    ]
    assert imports.of("src/flags/parse.rs") and imports.of("src/flags/mod.rs") and imports.of("src/search.rs")
    assert not imports.of("src/other.rs")


@pytest.mark.parametrize(
    ("path", "line", "right", "wrong"),
    [
        ("main.py", "import paint", "src/paint/_shapes.py", "src/painting/_shapes.py"),
        ("main.ts", 'import * as p from "paint";', "packages/paint/src/shapes.ts", "packages/other/src/shapes.ts"),
        ("a/main.ts", 'import { p } from "./paint";', "a/paint/shapes.ts", "b/paint/shapes.ts"),
    ],
)
def test_a_package_is_the_folder_above_its_files(path: str, line: str, right: str, wrong: str) -> None:
    imports = imported(path, line)
    assert imports.packages_of(right)
    assert not imports.packages_of(wrong)
