"""Finds the Python modules that files import, and reads the names that they define.

It searches the workspace, its environment, and Python's standard library. Files are read as text; none of them is
imported or run.
"""

from __future__ import annotations

import os
import sys
import sysconfig
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from pathlib import Path
from types import ModuleType

from lsp_server.core.names.python_names import PartNames
from lsp_server.core.names.python_parts import names_in_file
from lsp_server.core.names.python_refs import Meaning
from lsp_server.core.names.python_types import ModuleFile
from lsp_server.features.index.installed import regular_stamp, site_packages
from lsp_server.features.untrusted_files import file_of, read_bytes

# How many modules are kept, how many are read at one pause, and how many entries of one folder are listed.
_MOST_MODULES, _MOST_READ, _MOST_FILES = 400, 40, 2000
# How many folders above a file are searched for the outermost package.
_MOST_ABOVE = 12
_PARTS = 12
# Larger files are ignored.
_MOST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class _Known:
    """A module as it was read, and the stamps of its files at that time."""

    file: ModuleFile | None
    stamp: tuple[str, ...]


class PythonModules:
    """Modules by the folder of the importing file and by the name in the import. A module that is looked up but unknown
    is read later, by `read`. roots: the workspace's folders.

    Lookups and reading happen on different threads. The tables are under a lock, and the values in them are never
    changed."""

    def __init__(self, roots: Callable[[], Sequence[Path]]) -> None:
        self._roots = roots
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[str, str], _Known] = OrderedDict()
        self._wanted: dict[tuple[str, str], None] = {}
        self._files: dict[tuple[str, ...], ModuleFile] = {}

    def find(self, path: str, module: str) -> ModuleFile | None:
        folder = _folder_of(path) if path else None
        key = str(folder or ""), module
        with self._lock:
            known = self._known.get(key)
            if known is None and len(self._wanted) < _MOST_MODULES:
                self._wanted[key] = None
            return known.file if known is not None else None

    def wants(self) -> bool:
        """Whether modules were looked up that are unknown."""
        with self._lock:
            return bool(self._wanted)

    def read(self) -> bool:
        """Reads modules that were looked up, at most `_MOST_READ`. Returns whether any was found."""
        with self._lock:
            wanted = list(islice(self._wanted, _MOST_READ))
            for key in wanted:
                del self._wanted[key]
        found = False
        for key in wanted:
            known = self._read(Path(key[0]) if key[0] else None, key[1])
            with self._lock:
                self._known[key] = known
                while len(self._known) > _MOST_MODULES:
                    self._known.popitem(last=False)
            found = found or known.file is not None
        return found

    def check(self) -> None:
        """Forgets modules that have changed since they were read, and those that were not found."""
        with self._lock:
            every = list(self._known.items())
        changed = [key for key, known in every if known.file is None or _stamps(known.stamp[::2]) != known.stamp]
        with self._lock:
            for key in changed:
                self._known.pop(key, None)
            self._files.clear()

    def _read(self, folder: Path | None, module: str) -> _Known:
        name = module.lstrip(".")
        parts = tuple(name.split(".")) if name else ()
        dots = len(module) - len(name)
        if len(parts) > _PARTS or not all(part.isidentifier() for part in parts):
            return _Known(None, ())
        for base, place in self._places(folder, dots):
            files, submodules = _files_of(base, place.joinpath(*parts))
            if files:
                return self._module(files, submodules, _names_of_library(name) if base == _LIBRARY else None)
        names = _names_of_library(name) if not dots else None
        return _Known(ModuleFile.of(name, names) if names is not None else None, ())

    def _places(self, folder: Path | None, dots: int) -> Iterator[tuple[Path, Path]]:
        """The folders where a module may be, each after the folder that must contain it."""
        roots = list(self._roots())
        package = _above_package(folder) if folder is not None else None
        if dots:
            if folder is None or package is None:
                return
            place = folder
            for _ in range(dots - 1):
                place = place.parent
            base = next((root for root in roots if place.is_relative_to(root)), package)
            yield base, place
            return
        for root in dict.fromkeys([*roots, *(root / "src" for root in roots), *filter(None, [package])]):
            yield root, root
        for root in roots:
            for packages in site_packages(root):
                yield packages, packages
        if not self._is_newer(roots):
            yield _LIBRARY, _LIBRARY

    def _is_newer(self, roots: Sequence[Path]) -> bool:
        """Whether the workspace's Python is newer than the running one. Then the running one's library is not read."""
        return any(_version_of(packages) > sys.version_info[:2] for root in roots for packages in site_packages(root))

    def _module(self, files: Sequence[Path], submodules: frozenset[str], library: PartNames | None) -> _Known:
        stamp = _stamps(map(str, files))
        if stamp not in self._files:
            sources = [(read_bytes(file, _MOST_BYTES) or b"").decode("utf-8", "replace") for file in files]
            found = [names_in_file(source.replace("\r\n", "\n").replace("\r", "\n")) for source in sources]
            # A stub describes the module; the code adds names that the stub lacks.
            names = _stub_first([*([library] if library is not None else []), *found])
            self._files[stamp] = ModuleFile.of(str(files[0]), names, submodules)
        return _Known(self._files[stamp], stamp)


def _stub_first(found: Sequence[PartNames]) -> PartNames:
    """The names of a stub and of the code behind it. For each name the first source that has it counts; the first
    source also decides whether all names are known."""
    names = PartNames.joined(found)
    meanings, classes, said = [], [], set[str]()
    for each in found:
        mine = {name for name, _ in each.meanings}
        meanings += [meaning for meaning in each.meanings if meaning[0] not in said]
        classes += [known for known in each.classes if known.name not in said]
        said |= mine
    return replace(names, meanings=tuple(meanings), classes=tuple(classes), grows=found[0].grows, stars=found[0].stars)


_LIBRARY = Path(sysconfig.get_paths()["stdlib"])


def _names_of_library(name: str) -> PartNames | None:
    """The names of a module of Python's standard library that is loaded here or built into the interpreter; None for
    others. Only names of modules have a meaning."""
    if name.partition(".")[0] not in sys.stdlib_module_names:
        return None
    module = sys.modules.get(name)
    if module is None and name in sys.builtin_module_names:
        module = __import__(name)
    if module is None:
        return None
    names = dict(vars(module))
    modules = {each: value for each, value in names.items() if isinstance(value, ModuleType)}
    return replace(
        PartNames.joined(()),
        bound=frozenset(names),
        grows="__getattr__" in names,
        meanings=tuple((each, Meaning("import", value.__name__)) for each, value in modules.items()),
    )


@lru_cache(maxsize=256)
def _folder_of(path: str) -> Path | None:
    """The folder of a file, given as a path or a URI; None for a document that is not a file on this machine."""
    file = Path(path) if Path(path).is_absolute() else file_of(path)
    return file.parent if file is not None and file.is_absolute() else None


def _above_package(folder: Path) -> Path:
    """The folder that contains the outermost package around `folder`."""
    for _ in range(_MOST_ABOVE):
        if not any(os.path.lexists(folder / name) for name in ("__init__.py", "__init__.pyi")):
            break
        folder = folder.parent
    return folder


def _files_of(base: Path, place: Path) -> tuple[list[Path], frozenset[str]]:
    """The stub and the code of a module at the path `place` without an ending; and the modules in its folder."""
    stubs = base / f"{place.relative_to(base).parts[0]}-stubs" if place != base and place.is_relative_to(base) else base
    inside = place.relative_to(base).parts[1:] if stubs != base else ()
    package = [stubs.joinpath(*inside, "__init__.pyi")] if stubs != base else []
    package += [place / "__init__.pyi", place / "__init__.py"]
    found = [file for file in package if regular_stamp(file, base, _MOST_BYTES) is not None]
    if found:
        return found[:2], _submodules(place)
    if place == base:
        return [], frozenset()
    single = [place.with_name(f"{place.name}{ending}") for ending in (".pyi", ".py")]
    return [file for file in single if regular_stamp(file, base, _MOST_BYTES) is not None], frozenset()


def _submodules(folder: Path) -> frozenset[str]:
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in islice(entries, _MOST_FILES)]
    except OSError:
        return frozenset()
    stems = (
        name.partition(".")[0] for name in names if name.endswith((".py", ".pyi", ".so", ".pyd")) or "." not in name
    )
    return frozenset(stem for stem in stems if stem.isidentifier() and stem != "__init__")


def _stamps(files: Iterable[str]) -> tuple[str, ...]:
    """The files, each followed by its current stamp."""
    found = []
    for file in files:
        found += [file, regular_stamp(Path(file), Path(file).parent, _MOST_BYTES) or ""]
    return tuple(found)


def _version_of(packages: Path) -> tuple[int, int]:
    """The Python version in the path of a package folder, as in `lib/python3.12/site-packages`; else (0, 0)."""
    digits = packages.parent.name.removeprefix("python").split(".")
    return (int(digits[0]), int(digits[1])) if len(digits) == 2 and all(each.isdigit() for each in digits) else (0, 0)
