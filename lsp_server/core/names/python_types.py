"""Finds the members of Python values, as far as the text of their files shows them: modules, classes and instances.

A value counts as known only if everything that could give it names was read: the bases of its class and their files. If
names are computed, as by `__getattr__`, or a file is not found, the value is unknown, and it restricts nothing.
"""

from __future__ import annotations

import builtins
import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from lsp_server.core.names.python_names import Base, ClassNames, PartNames
from lsp_server.core.names.python_refs import SELF, Meaning, only, steps_of

_MOST_DEPTH, _MOST_BASES, _MOST_STARS = 12, 30, 40

EVERY_OBJECT = frozenset(dir(object)) | {"__dict__", "__module__", "__annotations__", "__weakref__", "__slots__"}
EVERY_OBJECT |= {"__dataclass_fields__", "__dataclass_params__", "__match_args__", "__orig_class__", "__parameters__"}
EVERY_CLASS = frozenset(dir(type))
_EVERY_MODULE = frozenset({"__name__", "__doc__", "__file__", "__path__", "__spec__", "__package__", "__dict__"})
_EVERY_MODULE |= {"__loader__", "__all__", "__version__", "__class__"}
_ENUM = frozenset(dir(enum.Enum)) | {"name", "value", "_name_", "_value_", "_missing_", "_ignore_", "_sort_order_"}
_ENUM |= {"_generate_next_value_", "__members__"}
_NAMED_TUPLE = frozenset(dir(tuple)) | {"_asdict", "_replace", "_make", "_fields", "_field_defaults"}
# Bases that give more names than their files show, and the modules of these bases; `object` is a builtin.
_BASE_MODULES = frozenset({"abc", "enum", "typing", "typing_extensions"})
_KNOWN_BASES: dict[str, frozenset[str]] = {
    "object": frozenset(),
    "ABC": frozenset({"_abc_impl"}),
    "Generic": frozenset(),
    "Protocol": frozenset(),
    "Enum": _ENUM,
    "StrEnum": _ENUM | frozenset(dir(str)),
    "IntEnum": _ENUM | frozenset(dir(int)),
    "Flag": _ENUM | frozenset(dir(enum.Flag)),
    "IntFlag": _ENUM | frozenset(dir(enum.IntFlag)),
    "NamedTuple": _NAMED_TUPLE,
    "TypedDict": frozenset(dir(dict)),
}
_TEXT = ("str", "bytes")
# Methods of strings whose result is not a string, with the type of the result.
_GIVES = {"split": "list", "rsplit": "list", "splitlines": "list", "partition": "tuple", "rpartition": "tuple"}
_SAME = frozenset({"capitalize", "casefold", "center", "expandtabs", "format", "format_map", "join", "ljust", "lower"})
_SAME |= {"lstrip", "removeprefix", "removesuffix", "replace", "rjust", "rstrip", "strip", "swapcase", "title"}
_SAME |= {"translate", "upper", "zfill"}


@dataclass(frozen=True, slots=True, eq=False)
class ModuleFile:
    """A module that was read. path: of its file, from which its imports are resolved. names: the names in its file.
    submodules: for a package, the modules in its folder. meanings, classes: what its names refer to; None for a name
    with several meanings."""

    path: str
    names: PartNames
    submodules: frozenset[str] = frozenset()
    meanings: Mapping[str, Meaning | None] = field(default_factory=dict)
    classes: Mapping[str, ClassNames | None] = field(default_factory=dict)

    @classmethod
    def of(cls, path: str, names: PartNames, submodules: frozenset[str] = frozenset()) -> ModuleFile:
        meanings: dict[str, Meaning | None] = {}
        for name, meaning in names.meanings:
            meanings[name] = meaning if meanings.get(name, meaning) == meaning else None
        classes: dict[str, ClassNames | None] = {}
        for each in names.classes:
            classes[each.name] = None if each.name in classes else each
        return cls(path, names, submodules, meanings, classes)


class Modules(Protocol):
    """Finds modules. A lookup reads no files: a module that was not read yet is unknown."""

    def find(self, path: str, module: str) -> ModuleFile | None:
        """The module called `module` in a file at `path`. Leading dots mean parent folders, as in an import."""
        ...


class NoModules:
    """Finds no module."""

    def find(self, path: str, module: str) -> ModuleFile | None:
        return None


@dataclass(frozen=True, slots=True)
class ModuleValue:
    file: ModuleFile


@dataclass(frozen=True, slots=True)
class ClassValue:
    """A class, or an instance of it if `made`."""

    file: ModuleFile
    names: ClassNames
    made: bool = False


@dataclass(frozen=True, slots=True)
class BuiltinValue:
    """A builtin class, or an instance of it if `made`."""

    kind: type
    made: bool = False


@dataclass(frozen=True, slots=True)
class FunctionValue:
    """A function. gives: the reference of its result, in its file. owner: the class or instance that has it."""

    file: ModuleFile
    gives: str
    owner: ClassValue | None = None


Value = ModuleValue | ClassValue | BuiltinValue | FunctionValue


class Types:
    """Values and their members, for one place in a file. modules: finds the modules that the file imports."""

    def __init__(self, modules: Modules, here: ModuleFile) -> None:
        self._modules = modules
        self.here = here
        self._lineages: dict[int, _Lineage | None] = {}
        self._looked_for: set[tuple[str, str]] = set()

    def value(
        self, reference: str, file: ModuleFile, local: Mapping[str, Value | None] | None = None, depth: int = 0
    ) -> Value | None:
        """The value of a reference in a file. local: names with another meaning at the place than in the file."""
        if not reference or depth > _MOST_DEPTH:
            return None
        first, steps = steps_of(reference)
        found: Value | None
        if first.startswith("@"):
            found = BuiltinValue(getattr(builtins, first[1:]))
        elif local is not None and first in local:
            found = local[first]
        else:
            found = self._named(first, file, depth + 1)
        for step in steps:
            if found is None:
                return None
            found = self._called(found, depth + 1) if step == "()" else self._member(found, step, depth + 1)
        return found

    def members(self, value: Value) -> frozenset[str] | None:
        """The names that may follow a value and a dot; None if they are not known."""
        if isinstance(value, ModuleValue):
            return self._module_names(value.file)
        if isinstance(value, BuiltinValue):
            names = frozenset(dir(value.kind))
            return names if value.made else names | EVERY_CLASS
        if isinstance(value, FunctionValue):
            return None
        lineage = self._lineage(value)
        if lineage is None or any(used not in lineage.names | EVERY_CLASS for used in lineage.used):
            return None
        return lineage.names if value.made else lineage.names | EVERY_CLASS

    def module(self, name: str) -> ModuleValue | None:
        """The module of that name; leading dots mean parent folders, as in an import."""
        found = self._modules.find(self.here.path, name)
        return ModuleValue(found) if found is not None else None

    def imported(self, meaning: Meaning, file: ModuleFile) -> Value | None:
        """The value that an import in a file binds."""
        return self._imported(meaning, file, 0)

    def inherited(self, value: ClassValue) -> frozenset[str] | None:
        """The names that a class inherits from its bases; None if they are not known."""
        names = set(EVERY_OBJECT)
        for base in value.names.bases:
            if (given := _known_base(base, value.file)) is not None:
                names |= given
                continue
            found = self.value(base.reference, value.file)
            own = self.members(replace(found, made=True)) if isinstance(found, ClassValue | BuiltinValue) else None
            if own is None:
                return None
            names |= own
        return frozenset(names)

    def uses_members(self, value: ClassValue) -> bool:
        """Whether a class uses a member of its own."""
        lineage = self._lineage(value)
        return lineage is not None and bool(lineage.used)

    # Names ----------------------------------------------------------------------------------------------

    def _named(self, name: str, file: ModuleFile, depth: int) -> Value | None:
        """The value of a name at the top level of a file."""
        if name in file.names.everywhere:
            return None  # a function may assign something else to it
        meaning = file.meanings.get(name)
        if meaning is None:
            if name in file.names.bound:
                return None
            if file.names.stars:
                return self._starred(name, file, depth)
            kind = getattr(builtins, name, None)
            return BuiltinValue(kind) if isinstance(kind, type) and kind not in (object, type, super) else None
        if meaning.kind == "class":
            found = file.classes.get(name)
            return ClassValue(file, found) if found is not None else None
        if meaning.kind == "function":
            return FunctionValue(file, meaning.text)
        if meaning.kind == "value":
            return self.value(meaning.text, file, depth=depth + 1)
        return self._imported(meaning, file, depth)

    def _imported(self, meaning: Meaning, file: ModuleFile, depth: int) -> Value | None:
        if depth > _MOST_DEPTH:
            return None
        module = self._modules.find(file.path, meaning.text)
        if not meaning.name:
            return ModuleValue(module) if module is not None else None
        found = None
        if module is not None and module is not file:
            if meaning.name in module.names.bound or module.names.stars:
                found = self._named(meaning.name, module, depth + 1)
            if found is not None or meaning.name in module.names.bound:
                return found
        return self._submodule(file.path, meaning.text, meaning.name)

    def _submodule(self, path: str, module: str, name: str) -> Value | None:
        dotted = f"{module}{name}" if module.endswith(".") else f"{module}.{name}"
        found = self._modules.find(path, dotted)
        return ModuleValue(found) if found is not None else None

    def _starred(self, name: str, file: ModuleFile, depth: int) -> Value | None:
        key = name, file.path
        if depth > _MOST_DEPTH or key in self._looked_for:
            return None
        self._looked_for.add(key)  # modules that star-import each other would be searched many times
        for star in file.names.stars[:_MOST_STARS]:
            module = self._modules.find(file.path, star)
            if module is None or module is file:
                continue
            if (found := self._named(name, module, depth + 2)) is not None:
                self._looked_for.discard(key)
                return found
        return None

    def _module_names(self, file: ModuleFile) -> frozenset[str] | None:
        """The names that a module has; None if not all of them are known."""
        names = file.submodules | _EVERY_MODULE
        waiting, seen = [file], {file.path}
        while waiting:
            each = waiting.pop()
            if each.names.grows or len(seen) > _MOST_STARS:
                return None
            names |= each.names.bound | each.names.everywhere
            for star in each.names.stars:
                module = self._modules.find(each.path, star)
                if module is None:
                    return None
                if module.path not in seen:
                    seen.add(module.path)
                    waiting.append(module)
        return names

    # Members --------------------------------------------------------------------------------------------

    def _member(self, value: Value, name: str, depth: int) -> Value | None:
        if isinstance(value, ModuleValue):
            file = value.file
            if name in file.names.bound or file.names.stars:
                return self._named(name, file, depth)
            return self._submodule(file.path, ".", name) if name in file.submodules else None
        if isinstance(value, BuiltinValue):
            kind = value.kind.__name__
            text = (kind if name in _SAME else _GIVES.get(name, "")) if value.made and kind in _TEXT else ""
            return FunctionValue(self.here, f"@{text}()") if text else None
        if isinstance(value, FunctionValue):
            return None
        lineage = self._lineage(value)
        for each in lineage.classes if lineage is not None else ():
            if (said := [text for member, text in each.names.members if member == name]) and value.made:
                return self.value(only(said), each.file, {"Self": ClassValue(value.file, value.names)}, depth + 1)
            gives = [text for method, text in each.names.methods if method == name]
            if gives:
                return FunctionValue(each.file, only(gives), value)
            if name in each.names.own:
                return None
        return None

    def _called(self, value: Value, depth: int) -> Value | None:
        if isinstance(value, FunctionValue):
            if value.gives == SELF:
                owner = value.owner
                return ClassValue(owner.file, owner.names, made=True) if owner is not None else None
            return self.value(value.gives, value.file, depth=depth)
        if isinstance(value, BuiltinValue) and not value.made:
            return BuiltinValue(value.kind, made=True)
        if isinstance(value, ClassValue) and not value.made:
            lineage = self._lineage(value)
            if lineage is None or any("__new__" in each.names.own for each in lineage.classes):
                return None  # `__new__` may return an instance of another class
            return ClassValue(value.file, value.names, made=True)
        return None

    # Classes --------------------------------------------------------------------------------------------

    def _lineage(self, value: ClassValue) -> _Lineage | None:
        """A class with all classes that it inherits from; None if one of them is not known."""
        key = id(value.names)
        if key not in self._lineages:
            self._lineages[key] = None  # during the search, which may come back to this class
            self._lineages[key] = self._inherited(value)
        return self._lineages[key]

    def _inherited(self, value: ClassValue) -> _Lineage | None:
        classes: list[ClassValue] = []
        names, used = set(EVERY_OBJECT), set[str]()
        called: set[str] = set()
        waiting = [value]
        while waiting:
            each = waiting.pop(0)
            if each.names.name in called and any(each.names is known.names for known in classes):
                continue
            if each.names.computed or len(classes) > _MOST_BASES:
                return None
            classes.append(each)
            called.add(each.names.name)
            names |= each.names.own
            used |= each.names.used
            for base in each.names.bases:
                if (given := _known_base(base, each.file)) is not None:
                    names |= given
                    continue
                found = self.value(base.reference, each.file)
                if isinstance(found, BuiltinValue) and not found.made:
                    names |= set(dir(found.kind))
                elif isinstance(found, ClassValue) and not found.made:
                    waiting.append(found)
                else:
                    return None
        for file in {id(file): file for file in (self.here, *(each.file for each in classes))}.values():
            if file.names.sets:
                return None
            # Attributes that are set on any object in the file count, because a function may set them on an instance of
            # this class. So do the members of subclasses in the file, because the object may be an instance of one.
            names |= file.names.given
            for bases, own in file.names.inner:
                if not called.isdisjoint(bases):
                    names |= own
        return _Lineage(tuple(classes), frozenset(names), frozenset(used))


def _known_base(base: Base, file: ModuleFile) -> frozenset[str] | None:
    """The names that a class gets from a base in `_KNOWN_BASES`; None for other bases, even with the same name."""
    if base.name not in _KNOWN_BASES:
        return None
    first, steps = steps_of(base.reference)
    meaning = file.meanings.get(first)
    if base.name == "object":
        is_known = meaning is None and first not in file.names.bound
    elif steps:
        is_known = meaning is not None and meaning.kind == "import" and meaning.text in _BASE_MODULES
    else:
        is_known = meaning is not None and meaning.text in _BASE_MODULES and meaning.name == base.name
    return _KNOWN_BASES[base.name] if is_known else None


@dataclass(frozen=True, slots=True)
class _Lineage:
    """A class with all classes that it inherits from, the names of its members, and the members that they use."""

    classes: tuple[ClassValue, ...]
    names: frozenset[str]
    used: frozenset[str]
