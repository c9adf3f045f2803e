"""Finds the place for a file's tests and the command that runs them, from the project's own files."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Any

from lsp_server.core.languages import Language
from lsp_server.core.outline import Definition
from lsp_server.features.actions import filenames
from lsp_server.features.actions.generated_tests.c_places import c_place
from lsp_server.features.actions.generated_tests.place import Place, PlaceError, read, relative, test_folders

_MARKERS = (
    "pyproject.toml",
    "setup.py",
    "setup.cfg",
    "package.json",
    "go.mod",
    "Cargo.toml",
    "pom.xml",
    "build.gradle",
    "build.gradle.kts",
    ".git",
)
# Files that a project may have in many of its folders, so that the outermost folder counts.
_NESTED_MARKERS = ("CMakeLists.txt", "meson.build")


def project_root(file: Path, roots: Sequence[Path]) -> Path:
    """The root of a file's project: the workspace folder around it, else the nearest folder with a project file."""
    holding = [root for root in roots if file.is_relative_to(root)]
    if holding:
        return max(holding, key=lambda root: len(root.parts))
    for folder in file.parents:
        if any((folder / marker).exists() for marker in _MARKERS):
            return folder
    building = [folder for folder in file.parents if any((folder / marker).exists() for marker in _NESTED_MARKERS)]
    return building[-1] if building else file.parent


def inside(root: Path, file: Path) -> Path:
    """`file`, if it is inside `root` and not in `.git` after links and dots are resolved. Else raises PlaceError."""
    try:
        resolved, base = file.resolve(), root.resolve()
    except (OSError, ValueError, RuntimeError):  # a circle of links, a name that is too long or has a NUL
        raise PlaceError(f"{str(file)[:200]!r} is no place for a file") from None
    if not resolved.is_relative_to(base) or resolved == base:
        raise PlaceError(f"{file} lies outside the workspace {root}")
    if ".git" in (part.lower() for part in resolved.relative_to(base).parts):
        raise PlaceError(f"{file} belongs to git")
    return file


def new_file(root: Path, document: Path, name: str) -> Path:
    """The path where an action may create a file; `name` is relative to the document's folder. Raises PlaceError if the
    path is outside `root`, or is not allowed for plain code or text (see `filenames`)."""
    file = inside(root, document.parent / name)
    resolved = file.resolve().relative_to(root.resolve())
    for place in (PurePath(os.path.relpath(file, root)), resolved):
        if problem := filenames.refusal(place.parts, document.suffix):
            shown = "".join(character if character.isprintable() else "?" for character in str(place))
            raise PlaceError(f"no file is made at {shown[:200]!r}: it {problem}")
    return file


def find_place(file: Path, language: Language, definition: Definition, roots: Sequence[Path]) -> Place:
    """The place for the tests of `definition` in `file`. Reads files; raises PlaceError."""
    root = project_root(file, roots)
    # Tests import the function, or the class of the method.
    name = definition.parents[0] if definition.parents else definition.name
    makers = {"Python": _python, "Go": _go, "Rust": _rust, "Java": _java, "C": c_place, "C++": c_place}
    maker = _script if language.name in {"JavaScript", "TypeScript", "TSX"} else makers.get(language.name)
    if maker is None:
        raise PlaceError(f"tests for {language.name} are not known")
    place = maker(root, file, name)
    inside(root, place.file)
    return place


# Python ---------------------------------------------------------------------------------------------------


def _python(root: Path, file: Path, name: str) -> Place:
    stem = file.stem if file.stem != "__init__" else file.parent.name
    if file.name.startswith("test_") or file.stem.endswith("_test"):
        raise PlaceError(f"{file.name} is a test file itself")
    candidates = [
        *(folder / form for folder in test_folders(root, file) for form in (f"test_{stem}.py", f"{stem}_test.py")),
    ]
    found = next((path for path in candidates if path.is_file()), None)
    folders = [folder for folder in test_folders(root, file) if folder != file.parent and folder.is_dir()]
    target = found or (folders[0] if folders else root / "tests") / f"test_{stem}.py"
    settings = "".join(read(root / each) for each in ("pyproject.toml", "setup.cfg", "tox.ini", "requirements.txt"))
    neighbours = [target] if found else sorted(target.parent.glob("test_*.py"))[:5]
    texts = [read(path) for path in neighbours]
    unittest = any("unittest.TestCase" in text or "(TestCase)" in text for text in texts)
    pytest = (root / "pytest.ini").exists() or (root / "conftest.py").exists() or "pytest" in settings
    pytest = pytest or any("import pytest" in text or re.search(r"^def test_", text, re.MULTILINE) for text in texts)
    framework = "unittest" if unittest and not pytest else "pytest"
    module = _module(root, file)
    imports = (
        (f"from {module} import {name}",)
        if framework == "pytest"
        else ("import unittest", f"from {module} import {name}")
    )
    hint = (
        "Write pytest functions named test_…, with plain asserts."
        if framework == "pytest"
        else "Write a unittest.TestCase class with methods named test_…."
    )
    python = _python_of(root)
    command = (
        (python, "-m", "pytest", "-q", "{file}::{name}")
        if framework == "pytest"
        else (python, "-m", "unittest", "-v", "{module}.{name}")
    )
    return Place(root, target, framework, imports, f"{hint} Import nothing but `{imports[-1]}`.", command)


def _module(root: Path, file: Path) -> str:
    """The dotted name by which tests import a file: from the folder above its outermost package."""
    parts = [] if file.stem == "__init__" else [file.stem]
    folder = file.parent
    while (folder / "__init__.py").exists() and folder not in (root, folder.parent):
        parts.insert(0, folder.name)
        folder = folder.parent
    if folder.is_relative_to(root) and folder != root:
        relative = folder.relative_to(root).parts
        if relative[0] not in {"src", "lib"} and all(part.isidentifier() for part in relative):
            parts = [*relative, *parts]  # a folder without __init__.py is a package as well
    return ".".join(parts)


def _python_of(root: Path) -> str:
    """The project's own interpreter, else the one on the PATH."""
    for folder in (".venv", "venv"):
        for path in (root / folder / "bin" / "python", root / folder / "Scripts" / "python.exe"):
            if path.exists():
                return str(path)
    return shutil.which("python3") or shutil.which("python") or "python3"


# JavaScript and TypeScript --------------------------------------------------------------------------------


def _script(root: Path, file: Path, name: str) -> Place:
    if re.search(r"\.(test|spec)$", file.stem):
        raise PlaceError(f"{file.name} is a test file itself")
    home = next((folder for folder in file.parents if (folder / "package.json").exists()), root)
    if not home.is_relative_to(root):
        home = root
    package = _json(read(home / "package.json"))
    known = json.dumps([package.get(key) for key in ("dependencies", "devDependencies", "scripts", "jest")])
    framework = next((each for each in ("vitest", "jest") if each in known), "node:test")
    modules = package.get("type") == "module" or file.suffix in {".mts", ".ts", ".tsx", ".mjs"}
    modules = modules or bool(re.search(r"^[ \t]*(import .* from|export )", read(file), re.MULTILINE))
    suffix = file.suffix
    forms = [f"{file.stem}.test{suffix}", f"{file.stem}.spec{suffix}"]
    folders = [file.parent, file.parent / "__tests__", *test_folders(root, file)]
    found = next((folder / form for folder in folders for form in forms if (folder / form).is_file()), None)
    nested = next((f for f in (file.parent / "__tests__", home / "test", home / "tests") if f.is_dir()), file.parent)
    target = found or nested / forms[0]
    path = relative(target.parent, file.with_suffix(suffix if framework == "node:test" else ""))
    default = bool(
        re.search(rf"export\s+default\s+(?:async\s+)?(?:function|class)?\s*\*?\s*{re.escape(name)}\b", read(file))
    )
    names = name if default else f"{{ {name} }}"
    taken = f'import {names} from "{path}";' if modules else f'const {names} = require("{path}");'
    frame: tuple[str, ...] = ()
    if framework == "vitest":
        frame = ('import { describe, expect, it, test } from "vitest";',)
    elif framework == "node:test":
        frame = (
            ('import { describe, it, test } from "node:test";', 'import assert from "node:assert/strict";')
            if modules
            else (
                'const { describe, it, test } = require("node:test");',
                'const assert = require("node:assert/strict");',
            )
        )
    checks = "assert from node:assert/strict" if framework == "node:test" else "expect()"
    hint = f"Write {framework} tests with test() and {checks}. `{name}` is imported already."
    run = {
        "vitest": ("npx", "--no-install", "vitest", "run", "{file}", "-t", "{names}"),
        "jest": ("npx", "--no-install", "jest", "{file}", "-t", "{names}"),
        "node:test": ("node", "--test", "--test-name-pattern", "{names}", "{file}"),
    }[framework]
    return Place(root, target, framework, (*frame, taken), hint, run)


def _json(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


# Go, Rust, Java -------------------------------------------------------------------------------------------


def _go(root: Path, file: Path, name: str) -> Place:
    if file.stem.endswith("_test"):
        raise PlaceError(f"{file.name} is a test file itself")
    target = file.with_name(f"{file.stem}_test.go")
    folder = file.parent.relative_to(root).as_posix() if file.is_relative_to(root) else "."
    return Place(
        root,
        target,
        "go test",
        ('import "testing"',),
        f"Write Go test functions `func Test…(t *testing.T)` in the same package; `{name}` is in scope.",
        ("go", "test", "-run", "^({names})$", f"./{folder}" if folder != "." else "."),
    )


def _rust(root: Path, file: Path, name: str) -> Place:
    return Place(
        root,
        file,
        "cargo test",
        (),
        f"Write Rust test functions with #[test] and assert_eq!; `{name}` is in scope through `use super::*`.",
        ("cargo", "test", "--offline", "--", "{name}"),
    )


def _java(root: Path, file: Path, name: str) -> Place:
    if file.stem.endswith("Test"):
        raise PlaceError(f"{file.name} is a test file itself")
    parts = list(file.parent.relative_to(root).parts) if file.is_relative_to(root) else []
    places = [i for i in range(len(parts) - 1) if parts[i : i + 2] == ["src", "main"]]
    if places:
        parts[places[-1] + 1] = "test"
    target = root.joinpath(*parts) / f"{file.stem}Test.java"
    build = "".join(read(root / each) for each in ("pom.xml", "build.gradle", "build.gradle.kts"))
    old = "junit:junit" in build or ("<artifactId>junit</artifactId>" in build and "jupiter" not in build)
    imports = (
        ("import org.junit.Test;", "import static org.junit.Assert.*;")
        if old
        else ("import org.junit.jupiter.api.Test;", "import static org.junit.jupiter.api.Assertions.*;")
    )
    gradle = (root / "build.gradle").exists() or (root / "build.gradle.kts").exists()
    command = (
        ("gradle", "--offline", "test", f"--tests={target.stem}.{{name}}")
        if gradle
        else ("mvn", "-o", "-q", f"-Dtest={target.stem}#{{names}}", "test")
    )
    kind = "JUnit 4" if old else "JUnit 5"
    return Place(root, target, kind, imports, f"Write {kind} test methods with @Test for `{name}`.", command, "+")
