"""Reads the parameters of the Python functions, methods and classes of a file.

`callees_in` reads a part of a file, and may return more parameters than a function has. `Signatures` reads a whole
file, and returns nothing unless it is certain. It is not certain about names that are defined twice or rebound,
functions with `**`, decorators and metaclasses that may change the parameters, and classes with unknown bases.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeGuard

from lsp_server.core.names.python_names import Callee, class_names, last_name, meanings_of, names_of
from lsp_server.core.names.python_refs import assigned, steps_of
from lsp_server.core.names.python_trees import blocks, nodes_in
from lsp_server.core.names.python_types import ClassValue, ModuleFile, NoModules, Types

# Builtins with the parameters that can be passed by name, which are the same in Python 3.10 to 3.14.
BUILTINS: Mapping[str, tuple[str, ...]] = {
    "enumerate": ("iterable", "start"),
    "int": ("base",),
    "max": ("key", "default"),
    "min": ("key", "default"),
    "open": ("file", "mode", "buffering", "encoding", "errors", "newline", "closefd", "opener"),
    "print": ("sep", "end", "file", "flush"),
    "round": ("number", "ndigits"),
    "sorted": ("key", "reverse"),
    "sum": ("start",),
    "zip": ("strict",),
}
# Decorators that leave the parameters of a function as they are.
_OF_METHODS, _OF_FUNCTOOLS = frozenset({"classmethod", "staticmethod"}), frozenset({"cache", "lru_cache", "wraps"})
# Bases that add no parameters to a class.
_PLAIN_BASES = frozenset({"object", "ABC", "Generic"})
_BASE_MODULES = ("abc", "typing", "typing_extensions")
_MOST_BASES = 12

_Function = ast.FunctionDef | ast.AsyncFunctionDef


def callees_in(body: Iterable[ast.stmt]) -> tuple[Callee, ...]:
    """The functions, classes and methods in some statements, without functions inside of functions."""
    found: list[Callee] = []
    waiting = [*body]
    while waiting:
        node = waiting.pop()
        if _is_function(node):
            found.append(_callee(node))
            continue
        if isinstance(node, ast.ClassDef):
            found.append(_class_callee(node))
        waiting += [each for block in blocks(node) for each in block]
    return tuple(found)


def _callee(node: _Function) -> Callee:
    plain = all(last_name(each) in _OF_METHODS | _OF_FUNCTOOLS for each in node.decorator_list)
    return Callee(node.name, _names(node.args), open=node.args.kwarg is not None or not plain)


def _class_callee(node: ast.ClassDef) -> Callee:
    made = [_callee(each) for each in node.body if _is_function(each) and each.name == "__init__"]
    fields = filter(None, map(_field, node.body))
    decorators = {last_name(each) for each in node.decorator_list}
    names = frozenset(fields).union(*(each.names for each in made))
    bases = () if made else tuple(name for name in map(last_name, node.bases) if name not in _PLAIN_BASES)
    is_open = any(each.open for each in made) or not decorators <= {"dataclass"}
    return Callee(node.name, names, bases, open=is_open or not (made or bases or decorators))


def joined(head: Callee, inner: Sequence[Callee]) -> Callee:
    """A class whose body is split into several parts. head: from the first part. inner: from the others."""
    names = head.names.union(*(each.names for each in inner))
    made = [each for each in inner if each.name == "__init__"]
    if made:
        return replace(head, names=names, bases=(), open=any(each.open for each in made))
    return replace(head, names=names)


@dataclass(frozen=True, slots=True)
class Signature:
    """The parameters of something callable. names: those that can be passed by name. places: those that can be passed
    by position, in order."""

    names: frozenset[str]
    places: tuple[str, ...] = ()


class Signatures:
    """The signatures in one file, which is at `path`."""

    def __init__(self, tree: ast.Module, path: str) -> None:
        self._tree, self._names = tree, names_of(tree.body, tree)
        self._file = ModuleFile.of(path, self._names)
        self._types = Types(NoModules(), self._file)

    def of(self, call: ast.Call, around: Sequence[ast.AST]) -> Signature | None:
        """The signature of the function or class that a call calls; None if it is not certain. around: the nodes around
        the call, the outermost first."""
        target = call.func
        if isinstance(target, ast.Name):
            return self._of_name(target.id, around)
        if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
            return self._of_member(target.value.id, target.attr, around)
        return None

    def _of_name(self, name: str, around: Sequence[ast.AST]) -> Signature | None:
        if name in self._names.everywhere or _is_local(name, around):
            return None
        if not any(name == each for each, _ in self._names.meanings):
            known = BUILTINS.get(name)
            return Signature(frozenset(known)) if known is not None else None
        node = self._defined(name)
        if isinstance(node, ast.ClassDef):
            return self._of_class(node)
        return self._of_function(node) if node is not None else None

    def _of_function(self, node: _Function, *, bound: bool = False) -> Signature | None:
        """bound: whether the first parameter is passed implicitly, as `self` is."""
        if node.args.kwarg is not None or not all(map(self._keeps, node.decorator_list)):
            return None
        places = [each.arg for each in (*node.args.posonlyargs, *node.args.args)]
        names = _names(node.args)
        if bound and not places:
            return None
        return Signature(names - {*places[:1]}, tuple(places[1:])) if bound else Signature(names, tuple(places))

    def _of_member(self, receiver: str, name: str, around: Sequence[ast.AST]) -> Signature | None:
        """The signature of a method that is called through `self` or `cls`."""
        owner, method = (*around, None, None)[:2]
        if not isinstance(owner, ast.ClassDef) or not _is_function(method) or self._defined(owner.name) is not owner:
            return None
        arguments = [*method.args.posonlyargs, *method.args.args]
        decorators = {last_name(each) for each in method.decorator_list}
        if receiver not in ("self", "cls") or not arguments or arguments[0].arg != receiver:
            return None
        if "staticmethod" in decorators or any(
            _binds(each, receiver) for each in nodes_in(method) if each is not arguments[0]
        ):
            return None
        names = self._file.classes.get(owner.name)
        if names is None or self._types.members(ClassValue(self._file, names, made=True)) is None:
            return None
        if name in self._names.given or self._is_overridden(owner.name, name):
            return None
        for each in self._lineage(owner) or ():
            bodies = [found for found, _ in meanings_of(each.body) if found == name]
            if not bodies:
                continue
            node = next((own for own in each.body if _is_function(own) and own.name == name), None)
            if node is None or len(bodies) > 1 or _is_stub(node):
                return None
            kinds = {last_name(decorator) for decorator in node.decorator_list}
            of_object = receiver == "self" and "classmethod" not in decorators
            return self._of_function(node, bound="classmethod" in kinds or (of_object and "staticmethod" not in kinds))
        return None

    def _is_overridden(self, owner: str, method: str) -> bool:
        """Whether a subclass of `owner` in the file overrides the method, and may have more parameters."""
        made = {owner}
        for _ in self._names.classes:
            more = {each.name for each in self._names.classes if made & {base.name for base in each.bases}}
            if more <= made:
                break
            made |= more
        if any(method in own and made & set(bases) for bases, own in self._names.inner):
            return True
        return any(method in each.own for each in self._names.classes if each.name in made - {owner})

    # Classes --------------------------------------------------------------------------------------------

    def _of_class(self, node: ast.ClassDef) -> Signature | None:
        """The signature of a class: of its `__init__` or that of a base, or of the fields of a dataclass."""
        lineage = self._lineage(node)
        if lineage is None or "__init__" in self._names.given:
            return None
        for index, each in enumerate(lineage):
            made = [name for name, _ in meanings_of(each.body)].count("__init__")
            if made:
                init = next((own for own in each.body if _is_function(own) and own.name == "__init__"), None)
                return None if init is None or made > 1 else self._of_function(init, bound=True)
            if each.decorator_list:
                return _of_fields([above for above in reversed(lineage[index:]) if above.decorator_list])
        return None

    def _lineage(self, node: ast.ClassDef) -> list[ast.ClassDef] | None:
        """A class and its bases in the file, if each has at most one such base. None if a base is unknown, or if the
        text of a class does not say how its objects are made."""
        found: list[ast.ClassDef] = []
        while len(found) < _MOST_BASES:
            names = class_names(node)
            if names.computed or "__new__" in names.own or not all(map(self._is_dataclass, node.decorator_list)):
                return None
            found.append(node)
            bases = [each for each in names.bases if not self._is_plain_base(each.reference)]
            if not bases or (len(bases) == 1 and self._is_exception(bases[0].reference)):
                return found
            base = self._defined(bases[0].reference) if len(bases) == 1 else None
            if not isinstance(base, ast.ClassDef) or base in found:
                return None
            node = base
        return None

    def _is_dataclass(self, decorator: ast.expr) -> bool:
        """Whether a decorator is `dataclass` of the standard library, without an option that changes `__init__`."""
        if isinstance(decorator, ast.Call) and (
            decorator.args or any(each.arg in (None, "init") for each in decorator.keywords)
        ):
            return False
        return self._refers(decorator, ("dataclasses",), {"dataclass"})

    def _is_plain_base(self, reference: str) -> bool:
        if reference == "object":
            return self._is_builtin(reference)
        return self._reference_is(reference, _BASE_MODULES, _PLAIN_BASES)

    def _is_exception(self, reference: str) -> bool:
        kind = getattr(builtins, reference, None)
        return isinstance(kind, type) and issubclass(kind, BaseException) and self._is_builtin(reference)

    # Names ----------------------------------------------------------------------------------------------

    def _defined(self, name: str) -> _Function | ast.ClassDef | None:
        """The function or class at the top level of the file with this name, if the name is bound only once."""
        meanings = [meaning for each, meaning in self._names.meanings if each == name]
        if len(meanings) != 1 or name in self._names.everywhere:
            return None
        return next((each for each in self._tree.body if _is_definition(each) and each.name == name), None)

    def _keeps(self, decorator: ast.expr) -> bool:
        """Whether a decorator keeps the parameters of a function."""
        if isinstance(decorator, ast.Name) and decorator.id in _OF_METHODS:
            return self._is_builtin(decorator.id)
        return self._refers(decorator, ("functools",), _OF_FUNCTOOLS)

    def _refers(self, node: ast.expr, modules: Sequence[str], names: Iterable[str]) -> bool:
        """Whether an expression, or the function that it calls, is one of these names of these modules."""
        return self._reference_is(assigned(node.func if isinstance(node, ast.Call) else node), modules, names)

    def _reference_is(self, reference: str, modules: Sequence[str], names: Iterable[str]) -> bool:
        first, steps = steps_of(reference)
        meanings = [meaning for each, meaning in self._names.meanings if each == first]
        if len(meanings) != 1 or meanings[0].kind != "import" or meanings[0].text not in modules:
            return False
        path = [*filter(None, [meanings[0].name]), *steps]
        return len(path) == 1 and path[0] in names

    def _is_builtin(self, name: str) -> bool:
        return name not in self._names.everywhere and not any(name == each for each, _ in self._names.meanings)


def _of_fields(classes: Sequence[ast.ClassDef]) -> Signature | None:
    """The signature of a dataclass. classes: the dataclass with its bases, the outermost base first."""
    names: list[str] = []
    ordered = True
    for node in classes:
        plain = [each for each in node.body if isinstance(each, ast.AnnAssign)]
        if len(plain) != sum(isinstance(each, ast.AnnAssign) for each in _outside_functions(node)):
            return None  # some fields exist only under a condition
        for each in plain:
            if isinstance(each.annotation, ast.Constant):
                return None
            ordered = ordered and last_name(each.annotation) != "KW_ONLY"
            names += filter(None, [_field(each)])
    keywords = [word for node in classes for each in node.decorator_list for word in getattr(each, "keywords", ())]
    ordered = ordered and not any(each.arg == "kw_only" for each in keywords)
    return Signature(frozenset(names), tuple(dict.fromkeys(names)) if ordered else ())


def _field(node: ast.stmt) -> str:
    """The field that a statement in the body of a dataclass adds to the parameters; empty if none."""
    if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
        return ""
    given = [each.value for each in getattr(node.value, "keywords", ()) if each.arg == "init"]
    never = any(isinstance(each, ast.Constant) and each.value is False for each in given)
    return "" if never or last_name(node.annotation) in ("ClassVar", "KW_ONLY") else node.target.id


def _is_stub(node: _Function) -> bool:
    """Whether a method has no code, so that subclasses override it, perhaps with more parameters."""
    return all(
        isinstance(each, ast.Pass | ast.Raise) or (isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant))
        for each in node.body
    )


def _outside_functions(node: ast.ClassDef) -> Iterator[ast.stmt]:
    waiting = [*node.body]
    while waiting:
        each = waiting.pop()
        yield each
        if not _is_definition(each):
            waiting += [inner for block in blocks(each) for inner in block]


def _is_local(name: str, around: Sequence[ast.AST]) -> bool:
    """Whether a name may have another meaning inside of these nodes than at the top level of the file."""
    for node in around:
        if isinstance(node, ast.ClassDef):
            if any(name == each for each, _ in meanings_of(node.body)):
                return True
            continue
        return any(_binds(each, name) for each in nodes_in(node) if each is not node or not _is_function(node))
    return False


def _binds(node: ast.AST, name: str) -> bool:
    """Whether a node may bind a name: any node with that name that does not only use it."""
    if isinstance(node, ast.Name):
        return node.id == name and not isinstance(node.ctx, ast.Load)
    if isinstance(node, ast.Attribute | ast.keyword | ast.Constant):
        return False
    if isinstance(node, ast.alias):
        return (node.asname or node.name).partition(".")[0] == name
    values = (getattr(node, field, None) for field in node._fields)
    return any(value == name or (value.__class__ is list and name in value) for value in values)


def _names(arguments: ast.arguments) -> frozenset[str]:
    return frozenset(each.arg for each in (*arguments.args, *arguments.kwonlyargs))


def _is_function(node: object) -> TypeGuard[_Function]:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)


def _is_definition(node: ast.stmt) -> TypeGuard[_Function | ast.ClassDef]:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
