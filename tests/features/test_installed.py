"""What installed packages define is offered to the files that import them, and nothing of a package is run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from lsp_server.core.hole import find_hole
from lsp_server.features.index.build import Builder
from lsp_server.features.index.lookup import Lookup
from tests.support.cursor import parse_cursor

EVIL = "import pathlib\npathlib.Path(__file__).with_name('ran').touch()\n"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("VIRTUAL_ENV", "CONDA_PREFIX", "GOPATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GOMODCACHE", str(tmp_path / "mod"))
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def write(base: Path, files: Mapping[str, str]) -> None:
    for path, text in files.items():
        file = base / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def environment(root: Path, files: Mapping[str, str]) -> Path:
    """An environment of Python with packages."""
    write(root, {".venv/pyvenv.cfg": "home = /usr\n"})
    packages = root / ".venv" / "lib" / "python3.12" / "site-packages"
    packages.mkdir(parents=True)
    write(packages, files)
    return packages


def offered(root: Path, source: str, path: str = "main.py") -> dict[str, str]:
    """What is offered once the packages have been read: the texts by the names that they define."""
    document, cursor = parse_cursor(source, path=path, language_id="")
    document = replace(document, uri=(root / path).as_uri(), folder=root.name)
    lookup = Lookup([root])
    with closing(Builder(root)) as builder:
        builder.scan()
        lookup.offer(document, find_hole(document, cursor), (), ())
        builder.libraries(*lookup.imports[root])
    found = lookup.offer(document, find_hole(document, cursor), (), ())
    return {" ".join(piece.defines): f"{piece.path}: {piece.text.decode()}" for piece in found.pieces}


PAINT = {
    "paint/__init__.py": EVIL
    + "from ._shapes import Circle\nfrom paint.colours import mix as blend\n__all__ = ['Circle']\n",
    "paint/_shapes.py": EVIL + "class Circle:\n    def __init__(self, radius: float) -> None: ...\n",
    "paint/colours.py": EVIL + "def mix(first: int, second: int) -> int: ...\n\ndef _hidden(): ...\n",
    "paint/unrelated.py": "def unrelated(): ...\n",
}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        pytest.param("from paint import Circle\nx = Circle($0", ["Circle"], id="what a package hands on"),
        pytest.param("import paint\nx = paint.$0", ["Circle", "mix"], id="behind its name"),
        pytest.param("from paint.colours import mix\nx = $0", ["mix"], id="of a module"),
        pytest.param("import other\nx = Circle($0", [], id="not without an import"),
        pytest.param("from paint import Square\nx = Square($0", [], id="not what it does not have"),
    ],
)
def test_what_python_packages_define_is_offered(root: Path, source: str, expected: list[str]) -> None:
    packages = environment(root, PAINT)
    found = offered(root, source)
    assert sorted(found) == expected
    assert all(text.startswith("site-packages/paint/") for text in found.values())
    assert not list(packages.rglob("ran")), "nothing of it has run"


def test_stubs_come_before_the_code(root: Path) -> None:
    environment(root, {**PAINT, "paint-stubs/colours.pyi": "def mix(first: float, second: float) -> float: ...\n"})
    assert "first: float" in offered(root, "from paint.colours import mix\nx = mix($0")["mix"]


def test_a_package_that_changes_is_read_anew(root: Path) -> None:
    packages = environment(root, PAINT)
    source = "from paint.colours import mix\nx = mix($0"
    assert "first: int" in offered(root, source)["mix"]
    write(packages, {"paint/colours.py": "def mix(first: str, second: str) -> str: ...\n"})
    assert "first: str" in offered(root, source)["mix"]


@pytest.mark.parametrize(
    "files",
    [
        pytest.param(
            {"package.json": '{"types": "lib/main.d.ts"}', "lib/main.d.ts": 'export * from "./shapes";\n'}, id="types"
        ),
        pytest.param({"index.d.ts": 'export { Circle } from "./lib/shapes.js";\n'}, id="index"),
        pytest.param(
            {
                "package.json": json.dumps({"exports": {".": {"import": {"types": "./lib/main.d.ts"}}}}),
                "lib/main.d.ts": 'import { Circle } from "./shapes";\nexport { Circle };\n',
            },
            id="exports",
        ),
        pytest.param({"package.json": "{ broken", "index.d.ts": ""}, id="broken"),
    ],
)
@pytest.mark.parametrize("package", ["paint", "@who/paint"])
def test_what_declarations_of_typescript_say_is_offered(root: Path, files: Mapping[str, str], package: str) -> None:
    shapes = "export declare class Circle {\n  constructor(radius: number);\n  area(): number;\n}\n"
    write(root / "node_modules" / package, {"lib/shapes.d.ts": shapes, "index.js": EVIL, **files})
    found = offered(root, f'import {{ Circle }} from "{package}";\nconst x = new Circle($0', "src/main.ts")
    if "{ broken" in files.values():
        assert found == {}
    else:
        assert found["Circle"].startswith(f"node_modules/{package}/lib/shapes.d.ts: export declare class Circle")
        assert "constructor(radius: number)" in found["Circle"]


def test_types_of_a_package_without_any_are_found_beside(root: Path) -> None:
    write(root / "node_modules" / "paint", {"index.js": "module.exports = {}\n"})
    write(root / "node_modules" / "@types" / "paint", {"index.d.ts": "export function mix(a: number): number;\n"})
    assert "mix" in offered(root, 'import { mix } from "paint";\nconst x = mix($0', "main.ts")


def test_what_modules_of_go_define_is_offered_by_the_version_that_is_required(root: Path, tmp_path: Path) -> None:
    write(root, {"go.mod": "module work\n\nrequire (\n\tgithub.com/Who/paint v1.2.0 // indirect\n)\n"})
    for version, kind in (("v1.1.0", "int"), ("v1.2.0", "float64")):
        write(
            tmp_path / "mod" / f"github.com/!who/paint@{version}",
            {"shapes/circle.go": f"package shapes\n\nfunc Area(radius {kind}) {kind} {{ return radius }}\n"},
        )
    source = 'package main\n\nimport "github.com/Who/paint/shapes"\n\nfunc main() {\n\tx := shapes.Area($0\n}\n'
    assert "radius float64" in offered(root, source, "main.go")["Area"]


def test_a_link_out_of_the_packages_is_not_followed(root: Path, tmp_path: Path) -> None:
    packages = environment(root, {})
    write(tmp_path, {"elsewhere.py": "def stolen(): ...\n"})
    (packages / "paint.py").symlink_to(tmp_path / "elsewhere.py")
    assert offered(root, "from paint import stolen\nx = stolen($0") == {}
