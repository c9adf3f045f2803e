"""Finds the files that a file imports, from its import lines and from the names of files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath

from lsp_server.core.imports import import_lines
from lsp_server.core.languages.entry import Language
from lsp_server.core.prompt import IMPORTS_WITHIN_BYTES

MOST_MODULES = 100

# Languages in which a module is named by a quoted text, and languages in which a file sees the others in its folder
# without an import.
_QUOTED = frozenset({"JavaScript", "TypeScript", "TSX", "Go", "C", "C++", "Ruby", "Lua"})
_SHARES_FOLDER = frozenset({"Go", "Java", "Kotlin", "Scala", "C#", "Swift", "PHP", "Ruby", "C", "C++"})
# Languages in which a module is a folder, so that an import imports all files in it.
_FOLDERS = frozenset({"Go", "Java", "Kotlin", "Scala", "C#", "Swift", "PHP"})

_FROM = re.compile(r"from\s+(\.*)\s*([\w.]*)\s+import\s+(.*)", re.DOTALL)
_PLAIN = re.compile(r"import\s+(.*)", re.DOTALL)
# Imports inside a function or a condition.
_INDENTED = re.compile(rb"^[ \t]+(?:from[ \t]+[\w.]+[ \t]+)?import[ \t]+[\w., \t]+$", re.MULTILINE)
_QUOTES = re.compile(r"""["'<]([^"'<>\n]{1,300})["'>]""")
_PATH = re.compile(r"[^\W\d]\w*(?:(?:\.|::|\\)\w+)*")
_WORDS = frozenset({"import", "from", "use", "using", "static", "pub", "package", "namespace", "global", "as", "crate"})
# Groups of languages that can import one another.
_RELATED = (("JavaScript", "TypeScript", "TSX"), ("C", "C++"), ("Java", "Kotlin", "Scala"))
# First parts of the names of standard libraries.
_NEVER_HERE = frozenset({"std", "core", "alloc", "java", "javax", "kotlin", "scala", "System", "node:fs", "react"})
_RUST_PATHS = frozenset({"crate", "self", "super"})
# File names that stand for their folder, so that the module has the folder's name.
_STANDS_FOR_FOLDER = frozenset({"__init__", "index", "mod", "lib"})
_ENDINGS = (".d.ts", ".d.mts", ".d.cts")


@dataclass(frozen=True, slots=True)
class Module:
    """parts: its name, or the path of its file without the ending. names: the names imported from it. placed: whether
    `parts` is the whole path in the workspace."""

    parts: tuple[str, ...]
    names: frozenset[str] = frozenset()
    placed: bool = False


def shares_folder(language: Language) -> bool:
    """Whether a file sees the definitions of the other files in its folder."""
    return language.name in _SHARES_FOLDER


def related(language: Language) -> tuple[str, ...]:
    """The names of the languages whose definitions a file in `language` can use."""
    return next((names for names in _RELATED if language.name in names), (language.name,))


@lru_cache(maxsize=1 << 13)
def module_parts(path: str) -> tuple[str, ...]:
    """The parts of the path by which a file is imported: without its ending, and without a name that stands for its
    folder."""
    *above, name = path.split("/")
    ending = next((each for each in _ENDINGS if name.endswith(each)), "")
    dot = len(name) - len(ending) if ending else name.rfind(".")
    stem, ending = (name[:dot], name[dot:]) if dot > 0 else (name, "")
    folders = tuple(above)
    if ending == ".rs":
        folders = tuple(folder for folder in folders if folder != "src")
    return folders if stem in _STANDS_FOR_FOLDER and folders else (*folders, stem)


def imported_modules(language: Language, source: bytes, path: str) -> tuple[Module, ...]:
    """The modules that a file at `path` imports, according to its first import lines."""
    found: dict[Module, None] = {}
    head = source[:IMPORTS_WITHIN_BYTES]
    inner = _INDENTED.findall(head) if language.name == "Python" else []
    file = PurePosixPath(path)
    for line in (*import_lines(language, head), *(line.strip() for line in inner)):
        for module in _modules_in(language, line.decode("utf-8", "replace"), file):
            if module.parts and len(found) < MOST_MODULES:
                found[module] = None
    return tuple(found)


def _modules_in(language: Language, line: str, path: PurePosixPath) -> Iterator[Module]:
    if language.name == "Python":
        yield from _in_python(line, path)
    elif language.name in _QUOTED:
        names = frozenset(re.findall(r"[^\W\d]\w*", _QUOTES.sub(" ", line))) - _WORDS
        for text in _QUOTES.findall(line):
            yield _quoted(text, names, path)
    elif language.name == "Rust":
        yield from _in_rust(line, path)
    else:
        for text in _PATH.findall(line):
            parts = tuple(re.split(r"\.|::|\\", text))
            if text not in _WORDS:
                yield Module(parts, frozenset(parts[-1:]))


def _in_python(line: str, path: PurePosixPath) -> Iterator[Module]:
    if (match := _FROM.match(line)) is not None:
        dots, dotted, listed = match.groups()
        names = frozenset(re.findall(r"[^\W\d]\w*", re.sub(r"#.*", "", listed))) - {"as"}
        parts = tuple(part for part in dotted.split(".") if part)
        if dots:
            above = path.parts[: max(0, len(path.parts) - len(dots))]
            parts = (*above, *parts)
        yield Module(parts, names, bool(dots))
        for name in sorted(names):  # each name may be a module itself
            yield Module((*parts, name), frozenset(), bool(dots))
    elif (match := _PLAIN.match(line)) is not None:
        for each in match[1].split(","):
            dotted, _, alias = re.sub(r"\s+as\s+", " as ", each.strip()).partition(" as ")
            parts = tuple(part for part in dotted.split(".") if part.isidentifier())
            yield Module(parts, frozenset([alias] if alias.isidentifier() else []))


def _quoted(text: str, names: frozenset[str], path: PurePosixPath) -> Module:
    relative = text.startswith(".")
    parts: list[str] = list(path.parts[:-1]) if relative else []
    for part in text.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    if parts:
        *folders, last = parts
        stem = re.sub(r"\.(?:[cm]?[jt]sx?|hpp|hh|hxx|h|rb|lua)$", "", last)
        parts = folders if stem in _STANDS_FOR_FOLDER and folders else [*folders, stem]
    return Module(tuple(parts), names, relative)


def _in_rust(line: str, file: PurePosixPath) -> Iterator[Module]:
    text = re.sub(r"^(?:pub(?:\([^)]*\))?\s+)?use\s+|//[^\n]*", "", line)
    above: list[tuple[str, ...]] = [()]
    path: tuple[str, ...] = ()
    alias = False
    for part in re.findall(r"[^\W\d]\w*|[{},;]|$", text):
        if part == "{":
            above.append((*above[-1], *path))
            path = ()
        elif part in (",", "}", ";", ""):
            full = rust_path((*above[-1], *path), str(file))
            if path and full:
                yield Module(full, frozenset(full[-1:]))
            path, alias = (), False
            if part == "}" and len(above) > 1:
                above.pop()
        elif part == "as":
            alias = True
        elif not alias:
            path = (*path, part)


def rust_path(path: tuple[str, ...], file: str) -> tuple[str, ...]:
    """A path of Rust in the file at `file`, with the folders that `crate`, `self` and `super` stand for, as far as the
    file's place tells."""
    first, rest = path[:1], tuple(each for each in path if each not in _RUST_PATHS)
    folders = tuple(file.split("/")[:-1])
    if first == ("crate",):
        root = folders[: folders.index("src")] if "src" in folders else ()
        return (*root, *rest) if root or len(rest) != 1 else ("lib", *rest)
    if first in (("self",), ("super",)):
        own = module_parts(file)
        up = path.count("super")
        return (*own[: max(0, len(own) - up)], *rest)
    return rest


class Imports:
    """The imports of a file; answers which of them another file belongs to."""

    def __init__(self, modules: Sequence[Module], language: Language) -> None:
        self.modules = tuple(modules)
        self._folders = language.name in _FOLDERS
        # Modules by the last part of each of their names.
        self._by_end: dict[str, list[tuple[tuple[str, ...], Module]]] = {}
        self._of: dict[str, list[Module]] = {}
        for module in modules:
            names = [module.parts]
            if len(module.parts) > 1 and module.parts[-1] in module.names and not module.placed:
                names.append(module.parts[:-1])  # the last part is a name imported from the module
            if language.name == "Rust":  # the crate `grep_matcher` is in the folder `matcher`
                names += [(parts[0].rpartition("_")[2], *parts[1:]) for parts in names if "_" in parts[0]]
            for parts in names:
                self._by_end.setdefault(parts[-1], []).append((parts, module))

    def packages_of(self, path: str) -> list[Module]:
        """The modules that are a folder above the file at `path`, and so may export its names again."""
        folders = tuple(path.split("/")[:-1])
        found = [
            module
            for depth in range(len(folders), 0, -1)
            for parts, module in self._by_end.get(folders[depth - 1], ())
            if (folders[:depth] == parts if module.placed else folders[:depth][-len(parts) :] == parts)
        ]
        return list(dict.fromkeys(found))

    def named(self, name: str) -> list[Module]:
        """The modules that the document refers to as `name`."""
        return [each for each in self.modules if each.parts[-1] == name or (name in each.names and name[0].islower())]

    def strange(self, name: str) -> bool:
        """Whether `name` is imported from a module whose name may differ from its folder in the workspace."""
        return any(name in each.names and not each.placed and each.parts[0] not in _NEVER_HERE for each in self.modules)

    @property
    def ends(self) -> list[str]:
        """The possible names of imported files or of their folders."""
        return sorted(self._by_end)

    def of(self, path: str) -> list[Module]:
        """The modules that the file at `path` is, or belongs to."""
        if path in self._of:
            return self._of[path]
        own = module_parts(path)
        places = [own, tuple(path.split("/")[:-1])] if self._folders else [own]
        found = (
            module
            for place in places
            for parts, module in self._by_end.get(place[-1] if place else "", ())
            if (place == parts if module.placed else _ends_alike(place, parts))
        )
        self._of[path] = list(dict.fromkeys(found))
        return self._of[path]


def _ends_alike(place: tuple[str, ...], parts: tuple[str, ...]) -> bool:
    """Whether one of the two is the end of the other, because a workspace may begin above or below the first part."""
    shorter = min(len(place), len(parts))
    return shorter > 0 and place[-shorter:] == parts[-shorter:]
