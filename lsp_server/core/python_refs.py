"""What a Python expression or annotation refers to, as a short text that can be kept without its tree.

A reference is a name and what follows it: `.x` for a member, `()` for a call. `a.b()` is what a call of `a.b` gives,
and an annotation `T` is written as `T()`, an object of it. `@str()` is a literal of a builtin type. The empty text is
unknown.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

UNKNOWN = ""
# An object of the class that a method is called of.
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
# What is around an annotation without changing what may be done with the value.
_AROUND = frozenset({"Annotated", "Final", "ClassVar", "Required", "NotRequired", "ReadOnly", "Optional"})
_ANYTHING = frozenset({"Any", "object", "type", "None", "Type"})


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a name stands for. text: of a function, what a call of it gives; of a value, what it refers to; of an
    import, the module, with the dots in front. name: what is imported of the module; empty if that is the module
    itself."""

    kind: Literal["class", "function", "import", "value"]
    text: str = UNKNOWN
    name: str = ""


def assigned(node: ast.expr | None) -> str:
    """What the value of an expression refers to."""
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
    """What a value with an annotation refers to."""
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
    """What a call of a function gives, as far as it says so; of one with decorators that is not known."""
    known = {"staticmethod", "classmethod", "property", "cached_property", "abstractmethod", "override", "final"}
    if isinstance(node, ast.AsyncFunctionDef) or any(_last(each) not in known for each in node.decorator_list):
        return UNKNOWN
    return annotated(node.returns)


def is_property(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(_last(each) in ("property", "cached_property") for each in node.decorator_list)


def steps_of(reference: str) -> tuple[str, list[str]]:
    """The name that a reference begins with, and the steps behind it."""
    parts = reference.replace("()", ".()").split(".")
    return parts[0], parts[1:]


def only(references: Iterable[str]) -> str:
    """The one reference among some that say the same; unknown if they do not."""
    found = set(references)
    return found.pop() if len(found) == 1 else UNKNOWN


def _only(parts: Iterable[ast.expr], depth: int) -> str:
    """The annotation that is not None, if there is one alone."""
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
