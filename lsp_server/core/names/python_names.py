"""Collects the names in Python statements: what they refer to, and which members classes have."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from lsp_server.core.names.python_refs import UNKNOWN, Meaning, annotated, assigned, called, is_property, steps_of
from lsp_server.core.names.python_trees import nodes_in

# Ways in which a file may get names that its text does not show.
_OPAQUE = re.compile(
    r"^[ \t]*from[ \t]+\S+[ \t]+import[ \t]*\(?[ \t]*\*|^def[ \t]+__getattr__\b|^__getattr__[ \t]*="
    r"|\b(?:exec|execfile|globals|locals|vars)[ \t]*\(|\b__builtins__\b|\bbuiltins\.|\bsys[ \t]*\.[ \t]*modules\b",
    re.MULTILINE,
)
# Ways in which a module may have names that its text does not show.
_GROWS = re.compile(
    r"\bglobals\(\)(?!\s*(?:\[[^\]\n]*\](?!\s*=[^=])|\.get\b))|\bsys\.modules\[__name__\]|^exec\b", re.MULTILINE
)
# Functions by which a class may get names that its text does not show.
_TRICKS = frozenset({"exec", "vars", "locals", "globals"})
# A call that asks an object for a name by a string expects it from elsewhere; a change of its dictionary adds names.
_ASKS = frozenset({"getattr", "hasattr", "delattr", "setattr", "__setattr__"})
_CHANGES = frozenset({"update", "setdefault", "__setitem__"})
_OWN = frozenset({"self", "cls"})
_COMPUTED = frozenset({"__getattr__", "__getattribute__", "__class_getitem__", "__init_subclass__", "__set_name__"})
_DECORATORS = frozenset({"dataclass", "final", "runtime_checkable", "total_ordering"})

_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@dataclass(frozen=True, slots=True)
class Base:
    """A base of a class: its last name, and the reference to it (see python_refs), without type arguments."""

    name: str
    reference: str


@dataclass(frozen=True, slots=True)
class ClassNames:
    """A class. own: the names that its body defines. used: the names that it uses after `self` or `cls`. computed:
    whether names may be added at run time, or by decorators and keywords. members: references of members, valid in the
    file of the class, one for each place that sets one. methods: references of the results of methods."""

    name: str = ""
    bases: tuple[Base, ...] = ()
    own: frozenset[str] = frozenset()
    used: frozenset[str] = frozenset()
    computed: bool = False
    members: tuple[tuple[str, str], ...] = ()
    methods: tuple[tuple[str, str], ...] = ()

    def with_body(self, others: Iterable[ClassNames]) -> ClassNames:
        """The class with further parts of its body added."""
        every = (self, *others)
        return replace(
            self,
            own=frozenset().union(*(each.own for each in every)),
            used=frozenset().union(*(each.used for each in every)),
            computed=any(each.computed for each in every),
            members=tuple(member for each in every for member in each.members),
            methods=tuple(method for each in every for method in each.methods),
        )


@dataclass(frozen=True, slots=True)
class Callee:
    """A function or class in a part of a file. names: its parameters that can be passed by name, perhaps with others.
    bases: of a class, those that it may have further parameters from. open: whether it may have any parameter."""

    name: str
    names: frozenset[str]
    bases: tuple[str, ...] = ()
    open: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class PartNames:
    """The names in some statements.

    counts: how often each name is defined, counted up to two. bound: the names that are visible to code beside the
    statements. everywhere: further names that are visible in the whole file. given: attributes that are set on any
    object. sets: whether attributes are set by computed names. classes: the classes among the statements. inner: the
    bases and own names of all classes, also nested ones. imports: the import statements. opaque: whether the file may
    get names in ways that cannot be read. grows: whether the module may have further names. meanings: what the bound
    names refer to, with an entry for each definition. stars: the modules of star imports. callees: what can be called,
    set only for cached parts."""

    counts: dict[str, int]
    bound: frozenset[str]
    everywhere: frozenset[str]
    given: frozenset[str]
    sets: bool
    classes: tuple[ClassNames, ...]
    inner: tuple[tuple[tuple[str, ...], frozenset[str]], ...]
    imports: tuple[ast.Import | ast.ImportFrom, ...]
    opaque: bool = False
    grows: bool = False
    meanings: tuple[tuple[str, Meaning], ...] = ()
    stars: tuple[str, ...] = ()
    callees: tuple[Callee, ...] = ()

    @staticmethod
    def joined(parts: Iterable[PartNames]) -> PartNames:
        """The names in several parts of one file together."""
        every = tuple(parts)
        counts: Counter[str] = Counter()
        for each in every:
            counts.update(each.counts)
        return PartNames(
            counts,
            frozenset().union(*(each.bound for each in every)),
            frozenset().union(*(each.everywhere for each in every)),
            frozenset().union(*(each.given for each in every)),
            any(each.sets for each in every),
            tuple(found for each in every for found in each.classes),
            tuple(found for each in every for found in each.inner),
            tuple(found for each in every for found in each.imports),
            any(each.opaque for each in every),
            any(each.grows or "__getattr__" in each.bound for each in every),
            tuple(found for each in every for found in each.meanings),
            tuple(found for each in every for found in each.stars),
        )


def may_grow(text: str) -> bool:
    """Whether a module with this text may have names that the text does not show."""
    return _GROWS.search(text) is not None


def is_opaque(text: str) -> bool:
    """Whether a file with this text may get names in ways that cannot be read."""
    return _OPAQUE.search(text) is not None


def names_of(body: list[ast.stmt], tree: ast.Module | ast.ClassDef) -> PartNames:
    """The names in `body`, the body of a file's tree or of a class."""
    counts: Counter[str] = Counter()
    given, sets, inner, imports = set(), False, [], []
    for node in nodes_in(tree):
        if node is tree:
            continue
        for name in named(node):
            counts[name] = min(2, counts[name] + 1)
        if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
            given.add(node.attr)
        elif (asked := name_in_call(node)) is not None:
            given.add(asked)
        elif isinstance(node, ast.Call) and last_name(node.func) in ("setattr", "__setattr__"):
            sets = True
        elif isinstance(node, ast.ClassDef):
            inner.append((tuple(map(last_name, node.bases)), frozenset(_own(node.body))))
    classes = tuple(class_names(node) for node in body if isinstance(node, ast.ClassDef))
    if isinstance(tree, ast.ClassDef):
        classes = (class_names(tree),)
    else:
        imports = [node for node in _outside_functions(body) if isinstance(node, ast.Import | ast.ImportFrom)]
    return PartNames(
        dict(counts),
        frozenset(_bound(body)),
        frozenset(_everywhere(tree)),
        frozenset(given),
        sets,
        classes,
        tuple(inner),
        tuple(imports),
        meanings=tuple(meanings_of(body)),
        stars=tuple(_from(node) for node in imports if isinstance(node, ast.ImportFrom) and node.names[0].name == "*"),
    )


def meanings_of(body: Iterable[ast.stmt]) -> Iterator[tuple[str, Meaning]]:
    """What the names that some statements bind refer to, with an entry for each binding."""
    said: set[ast.AST] = set()
    for node in _outside_functions(body, comprehensions=False):
        if isinstance(node, ast.ClassDef):
            yield node.name, Meaning("class")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, Meaning("function", called(node))
        elif isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                yield alias.asname or top, Meaning("import", alias.name if alias.asname else top)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield alias.asname or alias.name, Meaning("import", _from(node), alias.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign | ast.NamedExpr):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            text = _declared(node) if isinstance(node, ast.AnnAssign) else assigned(node.value)
            for target in targets:
                if isinstance(target, ast.Name):
                    said.add(target)
                    yield target.id, Meaning("value", text)
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load) and node not in said:
            yield node.id, Meaning("value")
        else:
            yield from ((name, Meaning("value")) for name in _caught(node))


def _declared(node: ast.AnnAssign) -> str:
    """The reference of an annotated name; unknown if the value may be of a subclass, which has further names."""
    text = annotated(node.annotation)
    plain = (
        node.value is None
        or isinstance(node.value, ast.Constant)
        or assigned(node.value) in (text, "@list()", "@dict()")
    )
    return text if plain else UNKNOWN


def _from(node: ast.ImportFrom) -> str:
    return "." * node.level + (node.module or "")


def class_names(node: ast.ClassDef) -> ClassNames:
    """The names of a class."""
    plain = all(keyword.arg == "metaclass" and last_name(keyword.value) == "ABCMeta" for keyword in node.keywords)
    known = all(last_name(decorator) in _DECORATORS for decorator in node.decorator_list)
    used = frozenset(
        each.attr
        for each in nodes_in(node)
        if isinstance(each, ast.Attribute) and isinstance(each.value, ast.Name) and each.value.id in ("self", "cls")
    )
    plain_bases = [base.value if isinstance(base, ast.Subscript) else base for base in node.bases]
    bases = tuple(Base(last_name(base), assigned(base)) for base in plain_bases if not isinstance(base, ast.Call))
    # A base that is computed by a call is not known.
    made = any(isinstance(base, ast.Call) for base in node.bases)
    computed = not plain or not known or made or _is_computed(node)
    functions = [each for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]
    members = [*_class_members(node), *(said for each in functions for said in _given_to_self(each))]
    methods = [(each.name, called(each)) for each in functions if not is_property(each)]
    return ClassNames(node.name, bases, frozenset(_own(node.body)), used, computed, tuple(members), tuple(methods))


def _class_members(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    """The references of members that the class body sets: by annotations, properties and assignments."""
    for each in node.body:
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name):
            yield each.target.id, _declared(each)
        elif isinstance(each, ast.FunctionDef) and is_property(each):
            yield each.name, called(each)
        elif isinstance(each, ast.Assign):
            yield from ((target.id, UNKNOWN) for target in each.targets if isinstance(target, ast.Name))


def _given_to_self(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[tuple[str, str]]:
    """The references of members that a method sets on `self`; assignments of None do not count."""
    parameters = {each.arg: annotated(each.annotation) for each in arguments_of(function)}
    local = {name for node in nodes_in(function) if node is not function for name in named(node)}
    for node in nodes_in(function):
        if not isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
            continue
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            for each in target.elts if isinstance(target, ast.Tuple | ast.List) else [target]:
                if isinstance(each, ast.Attribute) and isinstance(each.value, ast.Name) and each.value.id == "self":
                    text = UNKNOWN
                    if isinstance(node, ast.AnnAssign):
                        text = _declared(node)
                    elif isinstance(node, ast.Assign) and each is target:
                        if isinstance(node.value, ast.Constant) and node.value.value is None:
                            continue
                        name = node.value.id if isinstance(node.value, ast.Name) else ""
                        text = parameters[name] if name in parameters else assigned(node.value)
                        # References are looked up in the file, so a name that is local to the method is unknown there.
                        if name not in parameters and steps_of(text)[0] in local | parameters.keys():
                            text = UNKNOWN
                    yield each.attr, text


def arguments_of(function: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> list[ast.arg]:
    """The parameters of a function, except `*args` and `**kwargs`."""
    return [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]


def last_name(node: ast.expr) -> str:
    """The last name of an expression such as `abc.ABC`, `Generic[T]` or `dataclass(frozen=True)`."""
    while isinstance(node, ast.Subscript | ast.Call):
        node = node.value if isinstance(node, ast.Subscript) else node.func
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def named(node: ast.AST) -> tuple[str, ...]:
    """The names that a node itself defines."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return (node.name,)
    if isinstance(node, ast.alias) and node.name != "*":
        return ((node.asname or node.name).partition(".")[0],)
    return (node.id,) if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load) else ()


def _own(body: list[ast.stmt]) -> Iterator[str]:
    """The names that the body of a class defines."""
    for each in _outside_functions(body):
        yield from named(each)
        if isinstance(each, ast.Assign) and any(last_name(target) == "__slots__" for target in each.targets):
            constants = (inner.value for inner in nodes_in(each.value) if isinstance(inner, ast.Constant))
            yield from (value for value in constants if isinstance(value, str))


def _outside_functions(body: Iterable[ast.AST], *, comprehensions: bool = True) -> Iterator[ast.AST]:
    """The nodes of some statements, without the contents of functions and classes."""
    waiting: list[ast.AST] = [*body]
    while waiting:
        each = waiting.pop()
        yield each
        if isinstance(each, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if comprehensions or not isinstance(each, _COMPREHENSIONS):
            waiting.extend(ast.iter_child_nodes(each))
        else:
            waiting.extend(node for node in nodes_in(each) if isinstance(node, ast.NamedExpr))


def _bound(body: list[ast.stmt]) -> Iterator[str]:
    """The names that some statements define for the code beside them."""
    for node in _outside_functions(body, comprehensions=False):
        yield from named(node)
        if not isinstance(node, ast.ExceptHandler):  # its name is deleted at the end of the handler
            yield from _caught(node)


def _caught(node: ast.AST) -> tuple[str, ...]:
    """The names that an exception handler or a pattern binds."""
    if isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
        return (node.name,)
    return (node.rest,) if isinstance(node, ast.MatchMapping) and node.rest else ()


def _everywhere(tree: ast.AST) -> Iterator[str]:
    """The names declared `global`, and type parameters of classes, which the methods of the class see."""
    for node in nodes_in(tree):
        if isinstance(node, ast.Global):
            yield from node.names
        elif isinstance(node, ast.ClassDef):
            yield from (each.name for each in getattr(node, "type_params", ()))


def _is_computed(node: ast.ClassDef) -> bool:
    """Whether a class may get names at run time."""
    for each in nodes_in(node):
        if (isinstance(each, ast.FunctionDef) and each.name in _COMPUTED) or _is_handed_on(each):
            return True
        if _is_dictionary(each) and not isinstance(getattr(each, "ctx", None), ast.Load):
            return True
        inside = getattr(each, "value", None)
        if isinstance(each, ast.Subscript) and _is_dictionary(inside) and not isinstance(each.ctx, ast.Load):
            return True
        if isinstance(each, ast.Attribute) and each.attr in _CHANGES and _is_dictionary(inside):
            return True
        if isinstance(each, ast.Call):
            name = last_name(each.func)
            if isinstance(each.func, ast.Name) and name in _TRICKS:
                return True
            if name in _ASKS and name_in_call(each) is None and last_name(each.args[0] if each.args else each) in _OWN:
                return True
    return False


def _is_handed_on(node: ast.AST) -> bool:
    """Whether a statement gives another name to something that computes names, so that calls of it are not seen."""
    if not isinstance(node, ast.Assign):
        return False
    is_name = isinstance(node.value, ast.Name) and node.value.id in _ASKS
    return is_name or _is_dictionary(node.value) or any(last_name(each) in _COMPUTED for each in node.targets)


def _is_dictionary(node: ast.AST | None) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "__dict__"


def name_in_call(node: ast.AST) -> str | None:
    """The constant name that a call reads from or sets on an object, as in `getattr(self, "x")`; None for other calls,
    and if the name is computed."""
    if isinstance(node, ast.Call) and last_name(node.func) in _ASKS and len(node.args) > 1:
        name = node.args[1]
        if isinstance(name, ast.Constant) and isinstance(name.value, str):
            return name.value
    return None
