"""The sources of the corpus: installed Python packages, the standard library, and folders of npm packages."""

from __future__ import annotations

import json
import platform
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from bench.training import licences
from bench.training.licences import Licence
from lsp_server.core.languages import find_language

# Copies of other packages, whose licence is not the package's own.
_FOREIGN = {"_vendor", "_vendored", "vendor", "vendored", "third_party", "thirdparty", "external", "_external"}
_FOREIGN |= {"node_modules", "_distutils", "lib2to3", "idlelib", "turtledemo", "__pycache__", "site-packages"}

LANGUAGES = ("Python", "JavaScript", "TypeScript", "TSX", "C", "C++", "Go", "Rust", "Java")


@dataclass(frozen=True, slots=True)
class Package:
    """files: the path that a model is shown (relative, as in a repository), and the real path."""

    name: str
    version: str
    ecosystem: str
    licence: Licence
    files: tuple[tuple[str, Path], ...]


def installed_packages() -> Iterator[Package]:
    """All distributions of the running Python, in the order of their names. The first one with a name counts."""
    seen: set[str] = set()
    for distribution in sorted(metadata.distributions(), key=lambda item: (item.metadata["Name"] or "").lower()):
        name = distribution.metadata["Name"]
        if not name or name.lower() in seen:
            continue
        seen.add(name.lower())
        paths = ((str(path), Path(str(path.locate()))) for path in distribution.files or ())
        yield Package(name, distribution.version, "python", licences.of_distribution(distribution), _sources(paths))


def standard_library() -> Package:
    root = Path(sysconfig.get_paths()["stdlib"])
    paths = ((str(path.relative_to(root)), path) for path in sorted(root.rglob("*.py")))
    licence = Licence("PSF-2.0", "the standard library", True)
    return Package("python-standard-library", platform.python_version(), "python", licence, _sources(paths))


def npm_packages(folder: Path) -> Iterator[Package]:
    """Every package under `folder`, nested ones too, each once."""
    seen: set[tuple[str, str]] = set()
    for description in sorted(folder.rglob("package.json")):
        root = description.parent
        try:
            fields = json.loads(description.read_text("utf-8"))
            name, version = str(fields["name"]), str(fields["version"])
            licence = licences.of_npm_package(root)
        except (ValueError, KeyError, TypeError, AttributeError, OSError):
            continue  # many packages have a further package.json without a name, which only sets the module type
        if (name, version) in seen:
            continue
        seen.add((name, version))
        # A package's own files, not those of the packages inside it.
        paths = ((str(path.relative_to(root)), path) for path in sorted(root.rglob("*")))
        yield Package(name, version, "npm", licence, _sources(paths))


def _sources(paths: Iterable[tuple[str, Path]]) -> tuple[tuple[str, Path], ...]:
    """The paths of source files in a language with a grammar, without copies of other packages and type
    declarations."""
    kept = []
    for shown, path in paths:
        parts = Path(shown).parts
        if ".." in parts or _FOREIGN.intersection(parts[:-1]) or shown.endswith((".d.ts", ".d.mts", ".d.cts")):
            continue
        if find_language("", shown).name in LANGUAGES and path.is_file():
            kept.append((Path(shown).as_posix(), path))
    return tuple(kept)
