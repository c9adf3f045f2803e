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
