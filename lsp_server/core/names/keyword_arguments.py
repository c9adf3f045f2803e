"""Finds keyword arguments that the called Python function does not have.

Only calls of functions, methods and classes of the same file and of some builtins are checked. `may_be_unknown` is
fast: it asks whether anything with the called name in the file may have the parameter. `first_unknown` needs the tree
of the whole file, and is only called if nothing may.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from lsp_server.core.names.python_names import Callee, last_name
from lsp_server.core.names.python_signatures import BUILTINS, Signatures, callees_in, joined
from lsp_server.core.names.python_trees import nodes_in

if TYPE_CHECKING:
    from lsp_server.core.names.python_parts import Around

_OWN = ("self", "cls")
# A test of such a call catches one of these errors, or a name around the call contains one of these words.
_ERRORS = frozenset({"TypeError", "Exception", "BaseException"})
_EXPECTS = ("raises", "suppress")
# The name that `python_parts` gives to the class around a part of a class's body.
_WRAPPER = "_"

Place = tuple[int, int]


class Argument(NamedTuple):
    """A keyword argument of a call of `function`. at: its line, from 1, and its column, in bytes. exists: whether there
    is such a parameter. others: the parameters that the call does not set before this argument, nor after the checked
    text."""

    at: Place
    name: str
    function: str
    exists: bool
    others: frozenset[str]


class _Call(NamedTuple):
    """A call. around: the nodes around it, the outermost first. given: its keyword arguments in the checked text."""

    node: ast.Call
    around: list[ast.AST]
    given: list[ast.keyword]


def may_be_unknown(part: Around, tree: ast.Module, start: Place, end: Place) -> bool:
    """Whether a call in a part of a file has a keyword argument between two places that nothing with the called name in
    the file may have as a parameter. tree: of the part."""
    callees = _Callees(part, tree)
    return any(callees.lacks(call) for call in _calls(tree, start, end))


def first_unknown(tree: ast.Module, path: str, start: Place, end: Place) -> Argument | None:
    """The first keyword argument between two places in the tree of a file that does not exist."""
    unknown = (each for each in known_arguments(tree, path, start, end) if not each.exists)
    return min(unknown, key=lambda each: each.at, default=None)


def known_arguments(tree: ast.Module, path: str, start: Place, end: Place) -> Iterator[Argument]:
    """The keyword arguments between two places in the tree of a file, of calls whose parameters are known. An argument
    that the file also uses elsewhere counts as existing."""
    calls = list(_calls(tree, start, end))
    signatures = Signatures(tree, path) if calls else None
    for node, around, given in calls:
        signature = signatures.of(node, around) if signatures is not None else None
        if signature is None or _expects_an_error(around):
            continue
        by_place = 0 if any(isinstance(each, ast.Starred) for each in node.args) else len(node.args)
        left = signature.names - {*signature.places[:by_place]}
        for each in given:
            name, at = each.arg or "", _begins(each)
            exists = name in signature.names or _stands_elsewhere(tree, node.func, name, start, end)
            kept = {other.arg for other in node.keywords if _begins(other) < at or _begins(other) >= end}
            yield Argument(at, name, last_name(node.func), exists, left - kept)


class _Callees:
    """What can be called in a file, as its parts say; read on first use."""

    def __init__(self, part: Around, tree: ast.Module) -> None:
        self._part, self._tree = part, tree
        self._known: dict[str, list[Callee]] | None = None

    def lacks(self, call: _Call) -> bool:
        """Whether a call has a keyword argument that nothing with the called name may have as a parameter."""
        target = call.node.func
        if isinstance(target, ast.Attribute) and not (isinstance(target.value, ast.Name) and target.value.id in _OWN):
            return False
        name = last_name(target)
        return any(each.arg and not self._may_take(name, each.arg, set()) for each in call.given)

    def _may_take(self, name: str, argument: str, seen: set[str]) -> bool:
        if self._known is None:
            self._known = self._read()
        seen.add(name)
        known = self._known.get(name)
        if known is None:
            return argument in BUILTINS.get(name, (argument,))
        return any(
            each.open
            or argument in each.names
            or any(base not in seen and self._may_take(base, argument, seen) for base in each.bases)
            for each in known
        )

    def _read(self) -> dict[str, list[Callee]]:
        part = self._part
        own = callees_in(self._tree.body)
        inner = [*chain.from_iterable(each.callees for each in part.siblings), *(own if part.inner else ())]
        head = part.head.callees if part.head is not None else own if part.siblings else ()
        of_body = [each for each in inner if each.name in (_WRAPPER, "__init__")]
        found: dict[str, list[Callee]] = {}
        top = () if part.inner or part.siblings else own
        cut = [joined(each, of_body) if index == 0 else each for index, each in enumerate(head)]
        for each in (*chain.from_iterable(other.callees for other in part.others), *top, *inner, *cut):
            found.setdefault(each.name, []).append(each)
        return found


def _calls(tree: ast.Module, start: Place, end: Place) -> Iterator[_Call]:
    """The calls with a keyword argument whose name stands between two places, at least partly."""
    # Each node with the nodes around it, as a linked list from the inside out.
    waiting: list[tuple[ast.AST, object]] = [(each, None) for each in tree.body]
    while waiting:
        node, outer = waiting.pop()
        if not _overlaps(node, start, end):
            continue
        if isinstance(node, ast.Call):
            given = [each for each in node.keywords if _is_named(each) and _is_between(each, start, end)]
            if given:
                yield _Call(node, _listed(outer), given)
        waiting += [(child, (node, outer)) for child in ast.iter_child_nodes(node)]


def _listed(outer: object) -> list[ast.AST]:
    found: list[ast.AST] = []
    while isinstance(outer, tuple):
        node, outer = outer
        found.append(node)
    return found[::-1]


def _overlaps(node: ast.AST, start: Place, end: Place) -> bool:
    """Whether a node may contain something between two places."""
    if isinstance(node, ast.expr | ast.stmt | ast.keyword | ast.ExceptHandler):
        first = min([_begins(node), *map(_begins, getattr(node, "decorator_list", ()))])
        return first < end and (node.end_lineno or node.lineno, node.end_col_offset or 0) > start
    return True


def _begins(node: ast.expr | ast.stmt | ast.keyword | ast.ExceptHandler) -> Place:
    return node.lineno, node.col_offset


def _is_between(argument: ast.keyword, start: Place, end: Place) -> bool:
    line, column = _begins(argument)
    return (line, column) < end and (line, column + len((argument.arg or "").encode())) > start


def _is_named(argument: ast.keyword) -> bool:
    """Whether an argument has a name that Python does not mangle in a class."""
    return argument.arg is not None and not argument.arg.startswith("__")


def _expects_an_error(around: list[ast.AST]) -> bool:
    """Whether the code around a call expects it to fail, as a test may do."""
    for node in around:
        if isinstance(node, ast.Try) and any(_catches(each) for each in node.handlers):
            return True
        said = [node.func] if isinstance(node, ast.Call) else []
        if isinstance(node, ast.With | ast.AsyncWith):
            said = [each.context_expr for each in node.items]
        if any(word in last_name(each).lower() for each in said for word in _EXPECTS):
            return True
    return False


def _catches(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(last_name(each) in _ERRORS for each in caught)


def _stands_elsewhere(tree: ast.Module, function: ast.expr, name: str, start: Place, end: Place) -> bool:
    """Whether a call of the same name outside of two places has this keyword argument, too."""
    called = last_name(function)
    return any(
        each.arg == name and not _is_between(each, start, end)
        for node in nodes_in(tree)
        if isinstance(node, ast.Call) and last_name(node.func) == called
        for each in node.keywords
    )
