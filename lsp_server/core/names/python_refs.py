"""References: what a Python expression or annotation refers to, as a short text that can be kept without the tree.

A reference is a name with steps: `.x` for a member, `()` for a call. `a.b()` is the result of a call of `a.b`. An
annotation `T` is written as `T()`, an instance of T. `@str()` is an instance of a builtin type. The empty text means
unknown.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

UNKNOWN = ""
# An instance of the class that a method is called on.
SELF = "Self()"

_MOST_STEPS = 6
_LITERALS: tuple[tuple[tuple[type[ast.expr], ...], str], ...] = (
    ((ast.JoinedStr,), "@str()"),
    ((ast.List, ast.ListComp), "@list()"),
    ((ast.Dict, ast.DictComp), "@dict()"),
    ((ast.Set, ast.SetComp), "@set()"),
    ((ast.Tuple,), "@tuple()"),
)
_CONSTANTS = {str: "@str()", bytes: "@bytes()", int: "@int()", float: "@float()", complex: "@complex()"}
_GENERIC = {
    "list": "@list()", "List": "@list()", "dict": "@dict()", "Dict": "@dict()", "set": "@set()", "Set": "@set()",
    "tuple": "@tuple()", "Tuple": "@tuple()", "frozenset": "@frozenset()", "FrozenSet": "@frozenset()",
    "Text": "@str()", "LiteralString": "@str()",
}  # fmt: skip
# Wrappers of an annotation that do not change what can be done with the value.
_AROUND = frozenset({"Annotated", "Final", "ClassVar", "Required", "NotRequired", "ReadOnly", "Optional"})
_ANYTHING = frozenset({"Any", "object", "type", "None", "Type"})


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a name refers to. text: for a function, the reference of its result; for a value, its reference; for an
    import, the module with its leading dots. name: the name imported from the module; empty for the module itself."""

    kind: Literal["class", "function", "import", "value"]
    text: str = UNKNOWN
    name: str = ""


def assigned(node: ast.expr | None) -> str:
    """The reference of an expression's value."""
    if isinstance(node, ast.NamedExpr):
        return assigned(node.value)
    if isinstance(node, ast.Constant):
        return next((text for kind, text in _CONSTANTS.items() if type(node.value) is kind), UNKNOWN)
    for kinds, text in _LITERALS:
        if isinstance(node, kinds):
            return text
    steps: list[str] = []
    while len(steps) <= _MOST_STEPS:
        if isinstance(node, ast.Name):
            return node.id + "".join(reversed(steps))
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return "@str()" + "".join(reversed(steps))
        if isinstance(node, ast.JoinedStr):
            return "@str()" + "".join(reversed(steps))
        if isinstance(node, ast.Attribute):
            steps.append(f".{node.attr}")
            node = node.value
        elif isinstance(node, ast.Call):
            steps.append("()")
            node = node.func
        else:
            break
    return UNKNOWN


def annotated(node: ast.expr | None, depth: int = 0) -> str:
    """The reference of a value with this annotation."""
    if node is None or depth > _MOST_STEPS:
        return UNKNOWN
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        try:
            return annotated(ast.parse(node.value, mode="eval").body, depth + 1)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return UNKNOWN
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _only(_alternatives(node), depth)
    if isinstance(node, ast.Subscript):
        name = _last(node.value)
        inside = node.slice
        parts = inside.elts if isinstance(inside, ast.Tuple) else [inside]
        if name == "Union":
            return _only(parts, depth)
        if name in _AROUND:
            return annotated(parts[0], depth + 1) if parts else UNKNOWN
        if name in ("type", "Type"):
            return assigned(inside)
        if name in _GENERIC:
            return _GENERIC[name]
        node = node.value
    if _last(node) in _ANYTHING:
        return UNKNOWN
    if _last(node) == "Self":
        return SELF
    if isinstance(node, ast.Name) and node.id in _GENERIC:
        return _GENERIC[node.id]
    found = assigned(node) if isinstance(node, ast.Name | ast.Attribute) else UNKNOWN
    return f"{found}()" if found else UNKNOWN


def called(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """The reference of a function's result, from its annotation; unknown for async functions and unknown decorators."""
    known = {"staticmethod", "classmethod", "property", "cached_property", "abstractmethod", "override", "final"}
    if isinstance(node, ast.AsyncFunctionDef) or any(_last(each) not in known for each in node.decorator_list):
        return UNKNOWN
    return annotated(node.returns)


def is_property(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(_last(each) in ("property", "cached_property") for each in node.decorator_list)


def steps_of(reference: str) -> tuple[str, list[str]]:
    """The name at the beginning of a reference, and the steps after it."""
    parts = reference.replace("()", ".()").split(".")
    return parts[0], parts[1:]


def only(references: Iterable[str]) -> str:
    """The reference that all of `references` agree on; unknown if they differ."""
    found = set(references)
    return found.pop() if len(found) == 1 else UNKNOWN


def _only(parts: Iterable[ast.expr], depth: int) -> str:
    """The reference of the single annotation that is not None; unknown if there are several."""
    kept = [each for each in parts if not (isinstance(each, ast.Constant) and each.value is None)]
    return annotated(kept[0], depth + 1) if len(kept) == 1 else UNKNOWN


def _alternatives(node: ast.expr) -> Iterator[ast.expr]:
    waiting = [node]
    while waiting:
        each = waiting.pop()
        if isinstance(each, ast.BinOp) and isinstance(each.op, ast.BitOr):
            waiting += [each.left, each.right]
        else:
            yield each


def _last(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
