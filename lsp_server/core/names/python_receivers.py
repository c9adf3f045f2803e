"""Finds the receivers at a place in a Python file: the expressions before dots there, and the members they have.

A class counts as known only if everything that could give it names was read: its bases, decorators and metaclass are
known, it computes no names, and it uses no member that is not defined.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from itertools import islice

from lsp_server.core.brackets import closers
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.languages import find_language
from lsp_server.core.names.allowed import SUPER, TEXT, Members, Receiver
from lsp_server.core.names.python_names import (
    ClassNames,
    PartNames,
    arguments_of,
    class_names,
    last_name,
    meanings_of,
    named,
    names_of,
)
from lsp_server.core.names.python_parts import Around, around
from lsp_server.core.names.python_refs import Meaning, annotated, only
from lsp_server.core.names.python_trees import blocks, nodes_in
from lsp_server.core.names.python_types import ClassValue, ModuleFile, Modules, ModuleValue, NoModules, Types, Value

# Larger files are not read.
MOST_BYTES = 128_000
# How many characters may be parsed for one place, over all attempts to complete its line.
_MOST_PARSED = 160_000
# Longer lines are skipped, because the line is read at each token. The other two limit names and receivers of a place.
_LINE_CHARACTERS, _MOST_NAMES, _MOST_RECEIVERS = 400, 6000, 64

_MARK = "fimble_cursor_"
_CHAINS = re.compile(r"(?<![\w.)\]}\"'])[^\W\d]\w*(?:\.[^\W\d]\w*){0,3}(?=\.)")
_IMPORTED = re.compile(r"\s*from\s+([\w.]+)\s+import\b")
_SPECIAL = re.compile(r"\b__\w+__\b")
# The beginning of a replacement field inside an f-string.
_IN_TEXT = re.compile(r"""\b[rR]?[fF][rR]?(["'])(?:(?!\1).)*\{[^{}]*\Z""")
_HEADER = re.compile(r"(?:async\s+)?(?:if|elif|else|for|while|with|def|class|try|except|finally|match|case)\b")
_NOT_BLANK = re.compile(r"^[^\n]*\S[^\n]*", re.MULTILINE)
# A call that asks for the type of an object, or whether it has a name, shows that it may have more than its type says.
_NARROWS = re.compile(
    r"\b(?:isinstance|issubclass|hasattr|getattr|setattr|delattr|type|cast|vars|match)[ (]\s*([\w.]+)"
)


def members_at(document: DocumentSnapshot, cursor: int, modules: Modules | None = None) -> Members | None:
    """The receivers at a place with their members; None if none is known. modules: finds the modules that the file
    imports."""
    if len(document.source) > MOST_BYTES or find_language(document.language_id, document.path).name != "Python":
        return None
    line = document.line_at(cursor)
    start, end = document.line_start(line), document.line_end(line)
    if end - start > _LINE_CHARACTERS or b"\xef\xbb\xbf" in document.source:
        return None
    left = document.source[start:cursor].decode("utf-8", "replace")
    right = document.source[cursor:end].decode("utf-8", "replace")
    before, behind = _plain(document.source[:start]), _plain(document.source[end:])
    found = around(before + left + right + behind, len(before), len(before) + len(left) + len(right))
    if found is None:
        return None
    number = before.count("\n")
    lines = found.text.split("\n")
    at = number - found.line
    if lines[at] != left + right:
        return None  # a line ending that Python does not recognise
    below = _NOT_BLANK.search(behind)
    rest = lines[at + 1 :]
    whole = [
        (variant, rest) for variant in dict.fromkeys(_variants(left, right, below[0] if below is not None else ""))
    ]
    # Deeper lines below may belong to the unfinished statement in the cursor's line.
    whole += [(variant, _without_deeper(left, rest)) for variant, _ in whole[:1]]
    for variant, following in whole[: max(1, _MOST_PARSED // max(1, len(found.text)))]:
        tree = found.parsed("\n".join((*lines[:at], variant, *following)))
        if tree is not None:
            if not any(_MARK in name for node in nodes_in(tree) for name in _used_name(node)):
                return None  # the cursor is in a string or comment
            place = _Place(document.uri or document.path, found, tree, at + found.first_line, modules or NoModules())
            receivers = place.receivers(left)
            special = {"__class__", *_SPECIAL.findall(found.text)}
            is_whole = left in variant  # the variant contains the line, and not only a substitute for it
            return Members(left, receivers, frozenset(special), is_whole) if receivers else None
    return None


def _plain(source: bytes) -> str:
    return source.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")


def _used_name(node: ast.AST) -> tuple[str, ...]:
    """The name that a node uses, if it is a name."""
    if isinstance(node, ast.alias):
        return (node.name,)
    return (node.id,) if isinstance(node, ast.Name) else (node.attr,) if isinstance(node, ast.Attribute) else ()


def _without_deeper(left: str, lines: list[str]) -> list[str]:
    """`lines` without the first ones that are deeper than the line `left`, or that only close brackets."""
    depth = len(left) - len(left.lstrip())
    kept = list(lines)
    while kept and (len(kept[0]) - len(kept[0].lstrip()) > depth or not kept[0].strip(" \t)]},:")):
        kept.pop(0)
    return kept


def _variants(left: str, right: str, below: str) -> Iterator[str]:
    """Completed versions of the cursor's line. If one of them parses, its tree is valid for the rest of the file."""
    indent = left[: len(left) - len(left.lstrip())]
    closing = closers(left + right)
    whole = f"{left}{_MARK}{right}"
    if _HEADER.match(left.strip()) and not right.rstrip().endswith(":"):
        deeper = len(below) - len(below.lstrip()) > len(indent)
        yield f"{whole}{closing}:" + ("" if deeper else " pass")
        yield f"{indent}if {_MARK}:" + ("" if deeper else " pass")
    else:
        yield whole + closing
        yield f"{whole}{closing},"  # an item in brackets that were opened above
        yield whole
        if (inside := _IN_TEXT.search(left)) is not None:
            yield f"{whole}}}{inside[1]}{closing}"
    yield f"{indent or below[: len(below) - len(below.lstrip())]}{_MARK}"


def _around(tree: ast.Module, line: int) -> list[ast.stmt]:
    """The classes and functions around a line, the outermost first."""
    found: list[ast.stmt] = []
    waiting = [*tree.body]
    while waiting:
        node = waiting.pop()
        if node.lineno <= line <= (node.end_lineno or node.lineno):
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                found.append(node)
            waiting = [each for block in blocks(node) for each in block]
    return found


def _gives(node: ast.AST, name: str) -> bool:
    """Whether a node assigns a new value to a name."""
    return (isinstance(node, ast.arg) and node.arg == name) or (
        isinstance(node, ast.Name) and node.id == name and not isinstance(node.ctx, ast.Load)
    )


class _Place:
    """A place in the tree of a part of a file. line: the place's line in the tree."""

    def __init__(self, path: str, part: Around, tree: ast.Module, line: int, modules: Modules) -> None:
        body = tree.body[0] if part.inner else tree
        assert isinstance(body, ast.Module | ast.ClassDef)
        self._part, self._around = part, _around(tree, line)
        names = names_of(body.body, body)
        names = replace(names, classes=tuple(map(_unmarked, names.classes)))
        self._cut: ClassNames | None = None
        self._cut_node: ast.stmt | None = None
        if part.inner or part.siblings:
            self._cut_node = tree.body[0]
            self._cut = (part.head or names).classes[0]
            inner = [names.classes[0]] if part.head is not None else []
            self._cut = self._cut.with_body([*inner, *(each.classes[0] for each in part.siblings)])
        self.here = ModuleFile.of(path, _of_file(part, names, self._cut))
        self._types = Types(modules, self.here)
        functions = [each for each in self._around if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]
        self._local = _Local(self._types, functions, [*_shadowed(tree)])
        self._receiver = self._add_receiver()

    def receivers(self, left: str) -> tuple[Receiver, ...]:
        """The receivers whose members are known: first those in the line, then those in the part, then other names."""
        unsure = {chain for match in _NARROWS.finditer(self._part.text) for chain in [match[1]]}
        chains = [*_CHAINS.findall(f"{left}."), *_CHAINS.findall(self._part.text)]
        every = dict.fromkeys([*filter(None, [self._receiver]), *chains, *self._local.names, *self._imports()])
        found: list[Receiver] = []
        room = _MOST_NAMES
        imported = _IMPORTED.match(left)
        if imported is not None and (names := self._importable(imported[1])) is not None:
            found.append(Receiver(f"from {imported[1]}", names))
        found.append(Receiver(TEXT, frozenset(dir(str))))
        if (names := self._inherited()) is not None:
            found.append(Receiver(SUPER, names))
        for chain in islice((each for each in every if _MARK not in each and each not in unsure), _MOST_RECEIVERS):
            value = self._types.value(chain, self.here, self._local)
            if value is None or (isinstance(value, ClassValue) and self._is_unfinished(chain, value)):
                continue
            names = self._types.members(value)
            if names is None or len(names) > room:
                continue
            room -= len(names)
            names = frozenset(name for name in names if _MARK not in name)
            is_module = isinstance(value, ModuleValue)
            found.append(Receiver(chain, names, grows=isinstance(value, ClassValue), special=is_module))
        return tuple(found)

    def _is_unfinished(self, chain: str, value: ClassValue) -> bool:
        """Whether a class may have members that are not there yet: a class that uses none of its own is being written,
        and a mixin uses those of other classes."""
        is_mixin = "mixin" in value.names.name.lower()
        return is_mixin or (chain == self._receiver and not self._types.uses_members(value))

    def _importable(self, module: str) -> frozenset[str] | None:
        value = self._types.module(module)
        return self._types.members(value) if value is not None else None

    def _inherited(self) -> frozenset[str] | None:
        """The members of `super()`."""
        value = self._local.known.get(self._receiver)
        if not isinstance(value, ClassValue) or "mixin" in value.names.name.lower():
            return None  # in a mixin, `super()` refers to classes that it does not name
        return self._types.inherited(value)

    def _imports(self) -> Iterator[str]:
        for name, meaning in self.here.meanings.items():
            if meaning is not None and meaning.kind == "import":
                yield name

    def _add_receiver(self) -> str:
        """The name of the method's own object, `self` or `cls`, which is added to the local names; empty if the place
        is in no method, or the name is assigned to."""
        owner, method = None, None
        for outer, inner in zip(self._around, self._around[1:], strict=False):
            if isinstance(outer, ast.ClassDef):
                owner, method = outer, inner
        if owner is None or not isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef):
            return ""
        arguments = [*method.args.posonlyargs, *method.args.args]
        decorators = {last_name(each) for each in method.decorator_list}
        if not arguments or "staticmethod" in decorators or arguments[0].arg not in ("self", "cls"):
            return ""
        receiver = arguments[0].arg
        if any(_gives(node, receiver) for node in nodes_in(method) if node is not arguments[0]):
            return ""
        names = self._cut if self._cut is not None and owner is self._cut_node else _unmarked(class_names(owner))
        of_class = receiver == "cls" or "classmethod" in decorators
        self._local.known[receiver] = ClassValue(self.here, names, made=not of_class)
        return receiver


def _unmarked(names: ClassNames) -> ClassNames:
    """The names of a class, without the member that is being typed."""
    return replace(names, used=frozenset(name for name in names.used if _MARK not in name))


class _Local(Mapping[str, "Value | None"]):
    """The values of the local names in the functions around a place, found on request. shadowed: names that mean
    something else in some part of these functions."""

    def __init__(
        self, types: Types, functions: list[ast.FunctionDef | ast.AsyncFunctionDef], shadowed: list[str]
    ) -> None:
        self._types = types
        self._meanings: dict[str, list[Meaning]] = {}
        for function in functions:
            said: dict[str, list[Meaning]] = {}
            for each in arguments_of(function):
                said.setdefault(each.arg, []).append(Meaning("value", annotated(each.annotation)))
            for more, text in ((function.args.vararg, "@tuple()"), (function.args.kwarg, "@dict()")):
                if more is not None:
                    said.setdefault(more.arg, []).append(Meaning("value", text))
            for name, meaning in meanings_of(function.body):
                said.setdefault(name, []).append(meaning)
            self._meanings |= said  # a name of an inner function hides the same name of an outer one
        for name in shadowed:
            self._meanings[name] = []
        self.known: dict[str, Value | None] = {}

    @property
    def names(self) -> list[str]:
        return [name for name, meanings in self._meanings.items() if meanings]

    def __getitem__(self, name: str) -> Value | None:
        if name not in self.known:
            meanings = self._meanings[name]
            self.known[name] = None  # during the search, which may come back to this name
            kinds = {meaning.kind for meaning in meanings}
            if kinds == {"value"}:
                self.known[name] = self._types.value(only(each.text for each in meanings), self._types.here, self)
            elif kinds == {"import"} and len(set(meanings)) == 1:
                self.known[name] = self._types.imported(meanings[0], self._types.here)
        return self.known[name]

    def __contains__(self, name: object) -> bool:
        return name in self.known or name in self._meanings

    def __iter__(self) -> Iterator[str]:
        return iter(self._meanings)

    def __len__(self) -> int:
        return len(self._meanings)


def _shadowed(tree: ast.Module) -> Iterator[str]:
    """The names that comprehensions and lambdas in a tree bind, and names declared global or nonlocal."""
    for node in nodes_in(tree):
        if isinstance(node, ast.comprehension):
            yield from (name for each in nodes_in(node.target) for name in named(each))
        elif isinstance(node, ast.Lambda):
            yield from (each.arg for each in arguments_of(node))
        elif isinstance(node, ast.Global | ast.Nonlocal):
            yield from node.names


@lru_cache(maxsize=4)
def _joined(parts: tuple[PartNames, ...]) -> PartNames:
    """Cached. The cache has its own lock, and cached values are never changed."""
    return PartNames.joined(parts)


def _of_file(part: Around, names: PartNames, cut: ClassNames | None) -> PartNames:
    """The names in a file, including those of the part around a place."""
    top = [_joined(part.others), *([part.head] if part.head is not None else []), *([] if part.inner else [names])]
    inside = [*part.siblings, *([names] if part.inner else [])]
    file = PartNames.joined([*top, *inside])
    outside = PartNames.joined(top)
    classes = outside.classes
    if cut is not None:
        head = part.head or names
        classes = tuple(cut if each is head.classes[0] else each for each in classes)
        more = (tuple(base.name for base in cut.bases), cut.own)
        file = replace(file, inner=(*file.inner, more))
    return replace(
        file,
        bound=outside.bound,
        classes=classes,
        imports=outside.imports,
        meanings=outside.meanings,
        stars=outside.stars,
    )
