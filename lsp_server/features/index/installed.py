"""Finds the files of installed packages that a document imports: Python's in the project's environment, TypeScript's
declarations in node_modules, Go's in the module cache. They are read as text; nothing of them is run.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path, PurePosixPath

import msgspec

from lsp_server.core.context import MOST_BYTES
from lsp_server.core.languages import find_language
from lsp_server.core.modules import Module, imported_modules
from lsp_server.features.untrusted_files import read_bytes, read_text

# How many files one document may bring in, and how many steps of re-exports are followed.
MOST_LIBRARY_FILES, _MOST_STEPS = 60, 3
_MOST_GO_FILES = 40
_MOST_SETTINGS_BYTES = 200_000
_ENVIRONMENTS = (".venv", "venv", "env", ".env")
_PACKAGES = "site-packages"
_PYTHON_ENDINGS = (".pyi", "/__init__.pyi", ".py", "/__init__.py")
_TYPES_ENDINGS = (".d.ts", "/index.d.ts", ".d.mts", ".d.cts", ".ts", "/index.ts")
_SCRIPTS = frozenset({"JavaScript", "TypeScript", "TSX"})
_HANDED_ON = re.compile(r"""^\s*(?:export|import)\b[^"';]*?\bfrom\s*["']([^"']+)["']""", re.MULTILINE)
_REQUIRED = re.compile(r"^(?:require\s+)?\s*([\w./~-]+\.[\w./~-]+)\s+(v[\w.+-]+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Library:
    """A file of a package. path: its name in prompts, which begins with the name of the packages' folder."""

    file: Path
    path: str
    stamp: str


def installed_files(root: Path, path: str, modules: Sequence[Module]) -> list[Library]:
    """The package files that a document at `path` below `root` imports, and the files that they re-export."""
    language = find_language("", path)
    absolute = [module for module in modules if not module.placed and module.parts]
    if language.name == "Python":
        found = _python(root, absolute)
    elif language.name in _SCRIPTS:
        found = _scripts(root, path, absolute)
    elif language.name == "Go":
        found = _go(root, absolute)
    else:
        found = iter(())
    return list(islice({each.path: each for each in found}.values(), MOST_LIBRARY_FILES))


# Python ------------------------------------------------------------------------------------------------------


def site_packages(root: Path) -> list[Path]:
    """The package folders of the project's environment, else of the environment that this process was started in."""
    named = [root / name for name in _ENVIRONMENTS]
    named += [Path(os.environ[name]) for name in ("VIRTUAL_ENV", "CONDA_PREFIX") if os.environ.get(name)]
    for environment in named:
        try:
            if not any((environment / mark).exists() for mark in ("pyvenv.cfg", "conda-meta")):
                continue
            found = [*environment.glob("lib/python3*/site-packages"), environment / "Lib" / "site-packages"]
            if folders := [folder for folder in found if folder.is_dir()]:
                return folders
        except OSError:
            continue
    return []


def _python(root: Path, modules: Sequence[Module]) -> Iterator[Library]:
    for folder in site_packages(root):
        base = folder.resolve()
        for module in modules:
            # Stubs have a package of their own, and are listed under the path of the package that they describe.
            stubs = _first(
                base, "/".join((f"{module.parts[0]}-stubs", *module.parts[1:])), _PYTHON_ENDINGS[:2], _PACKAGES
            )
            if stubs is not None:
                yield replace(stubs, path=stubs.path.replace("-stubs/", "/", 1))
            else:
                yield from _python_module(base, module.parts, _MOST_STEPS)


def _python_module(base: Path, parts: Sequence[str], steps: int) -> Iterator[Library]:
    """The file of a module, and the files that it re-exports names from."""
    library = _first(base, "/".join(parts), _PYTHON_ENDINGS, _PACKAGES)
    if library is None:
        return
    yield library
    if steps and library.file.stem == "__init__":
        source = read_bytes(library.file, MOST_BYTES) or b""
        path = library.file.relative_to(base).as_posix()
        for module in imported_modules(find_language("python"), source, path):
            if module.placed or module.parts[0] == parts[0]:
                yield from _python_module(base, module.parts, steps - 1)


# JavaScript and TypeScript -----------------------------------------------------------------------------------


def _scripts(root: Path, path: str, modules: Sequence[Module]) -> Iterator[Library]:
    folders = [root.joinpath(*folder.parts) / "node_modules" for folder in PurePosixPath(path).parents]
    for module in modules:
        scoped = 2 if module.parts[0].startswith("@") else 1
        name, below = "/".join(module.parts[:scoped]), module.parts[scoped:]
        types = f"@types/{name.lstrip('@').replace('/', '__')}"
        for folder, package in ((folder, package) for folder in folders for package in (name, types)):
            library = _package_types(folder, package, below)
            if library is not None:
                yield library
                yield from _handed_on(folder, library, _MOST_STEPS)
                break


def _package_types(folder: Path, package: str, below: Sequence[str]) -> Library | None:
    """The type declarations of a package, or of a module below it."""
    base = folder / package
    try:
        manifest = msgspec.json.decode(read_bytes(base / "package.json", _MOST_SETTINGS_BYTES) or b"{}")
    except (msgspec.DecodeError, RecursionError):
        return None
    names: list[object] = []
    if isinstance(manifest, dict):
        exports = manifest.get("exports")
        entry = exports.get("/".join((".", *below))) if isinstance(exports, dict) else None
        names += list(_types_in(entry))
        names += [] if below else [manifest.get(key) for key in ("types", "typings")]
    names += ["/".join(below)] if below else ["index"]
    for name in names:
        if isinstance(name, str):
            stem = re.sub(r"^\./|\.d\.[cm]?ts$|\.[cm]?jsx?$", "", name)
            if (found := _first(folder, f"{package}/{stem}", _TYPES_ENDINGS, "node_modules")) is not None:
                return found
    return None


def _types_in(entry: object, depth: int = 0) -> Iterator[str]:
    """The declaration files that an entry of `exports` names, under any conditions."""
    if isinstance(entry, dict) and depth < 4:
        for key, value in entry.items():
            if key == "types" and isinstance(value, str):
                yield value
            else:
                yield from _types_in(value, depth + 1)


def _handed_on(folder: Path, library: Library, steps: int) -> Iterator[Library]:
    if not steps:
        return
    for name in _HANDED_ON.findall(read_text(library.file, MOST_BYTES)):
        if name.startswith("."):
            place = os.path.normpath(PurePosixPath(library.path).parent / name).replace(os.sep, "/")
            stem = re.sub(r"\.d\.[cm]?ts$|\.[cm]?jsx?$", "", place.removeprefix("node_modules/"))
            found = None if stem.startswith("..") else _first(folder, stem, _TYPES_ENDINGS, "node_modules")
            if found is not None and found.path != library.path:
                yield found
                yield from _handed_on(folder, found, steps - 1)


# Go ----------------------------------------------------------------------------------------------------------


def _go(root: Path, modules: Sequence[Module]) -> Iterator[Library]:
    cache = os.environ.get("GOMODCACHE") or Path(os.environ.get("GOPATH") or Path.home() / "go") / "pkg" / "mod"
    base = Path(cache)
    required = _REQUIRED.findall(read_text(root / "go.mod", _MOST_SETTINGS_BYTES))
    for module in modules:
        name = "/".join(module.parts)
        holding = [each for each in required if name == each[0] or name.startswith(f"{each[0]}/")]
        if not holding:
            continue
        above, version = max(holding, key=lambda each: len(each[0]))
        escaped = re.sub(r"[A-Z]", lambda match: f"!{match[0].lower()}", above)
        folder = base / f"{escaped}@{version}" / name[len(above) :].lstrip("/")
        try:
            files = sorted(each for each in folder.glob("*.go") if not each.name.endswith("_test.go"))
        except OSError:
            continue
        for file in files[:_MOST_GO_FILES]:
            if (stamp := regular_stamp(file, base)) is not None:
                yield Library(file, f"mod/{name}/{file.name}", stamp)


def _first(base: Path, stem: str, endings: Iterable[str], shown: str) -> Library | None:
    """The first existing file with one of the endings, unless a link leads out of `base`."""
    for ending in endings:
        file = base / f"{stem}{ending}"
        if (stamp := regular_stamp(file, base)) is not None:
            return Library(file, f"{shown}/{stem}{ending}", stamp)
    return None


def regular_stamp(file: Path, base: Path, most_bytes: int = MOST_BYTES) -> str | None:
    """A text that differs after a change of a regular file. None if there is none, if it is outside `base`, or if it is
    larger than `most_bytes`."""
    try:
        real = file.resolve()
        found = real.stat()
        inside = real.is_relative_to(base.resolve())
    except (OSError, ValueError, RuntimeError):
        return None
    if not inside or not stat.S_ISREG(found.st_mode) or found.st_size > most_bytes:
        return None
    return f"{found.st_mtime_ns} {found.st_size} {found.st_ino}"
