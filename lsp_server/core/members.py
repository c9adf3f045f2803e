"""The names that may stand behind `self.` or `cls.`: those of the class around a place, where all of them are known.

A class counts as known only if nothing outside of its file can give it names: its bases are in the file or builtins,
its decorators and metaclass are known, it computes no names, and it uses none that it does not define. Everything that
might be a name of it is one, since a limit that is wrong is worse than none.
"""

from __future__ import annotations

import ast
import builtins
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice, pairwise

from lsp_server.core.brackets import CLOSING, OPENING, marks
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.languages import find_language
from lsp_server.core.python_trees import blocks, parsed

# Larger files are not looked into.
MOST_BYTES = 64_000
# Of the file with its line made whole in one way or another, so much is parsed.
_MOST_PARSED = 160_000
# Nor longer lines, which are read at each token; nor classes with more bases.
_LINE_CHARACTERS, _MOST_BASES = 400, 20

_MARK = "fimble_cursor_"
_NOT_WORD = re.compile(r"\W")
_ACCESS = re.compile(r"(?<![\w.)\]}\"'])(\w+)\.(\w*)")
_RECEIVER = re.compile(r"(?<![\w.)\]}\"'])(\w+)(?:\.(\w*))?\Z")
_STRINGS = re.compile(r"""[rbuRBU]{0,2}(?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')""")
_LONG_QUOTE = re.compile(r"\"\"\"|'''")
_HEADER = re.compile(r"(?:async\s+)?(?:if|elif|else|for|while|with|def|class|try|except|finally|match|case)\b")
# Of a line in front of an access: the names there are being given values.
_DEFINES = re.compile(r"\s*(?:\(?\s*(?:[\w.]+\s*,\s*)*|(?:async\s+)?for\s+(?:[\w.]+\s*,\s*)*|.*\bas\s+|del\s+)\Z")
_OTHER_SCOPE = re.compile(r"^\s*(?:@|(?:async\s+)?def\b|class\b)|\blambda\b", re.MULTILINE)
_TRICKS = frozenset({"exec", "vars", "locals", "globals"})
# Who asks an object for a name expects it to come from elsewhere.
_ASKS = frozenset({"getattr", "hasattr", "delattr"})
_COMPUTED = frozenset({"__getattr__", "__getattribute__", "__class_getitem__", "__init_subclass__", "__set_name__"})
_PLAIN_BASES = frozenset({"object", "ABC", "Generic", "Protocol"})
_DECORATORS = frozenset({"dataclass", "final", "runtime_checkable", "total_ordering"})
_EVERY_OBJECT = frozenset(dir(object)) | {"__dict__", "__module__", "__annotations__", "__weakref__", "__slots__"}
_EVERY_OBJECT |= {"__dataclass_fields__", "__dataclass_params__", "__match_args__", "__orig_class__", "__parameters__"}
_EVERY_CLASS = frozenset(dir(type))


@dataclass(frozen=True, slots=True)
class Bare:
    """A name by itself, which has to be one of `names`. at: the length of the text in front of it, in characters.
    begun: what of it stands in front of the text. doubt: the logarithm of how probable its first token has to be; for
    the others, of which there are fewer to choose among, a third of that is enough. The text ends in front of one that
    is less probable."""

    at: int
    begun: str
    names: frozenset[str]
    doubt: float = -math.inf

    def so_far(self, text: str) -> str | None:
        """What of the name is there at the end of `text`; None if that is in front of it, or behind it."""
        word = self.begun + text[self.at :]
        return word if len(text) >= self.at and _NOT_WORD.search(word) is None else None


@dataclass(frozen=True, slots=True)
class Members:
    """left: the line in front of the text, as far as it is there. receivers: the names whose members are known, and
    these. bare: another name that is limited. The text is what is written at the place."""

    left: str
    receivers: tuple[tuple[str, frozenset[str]], ...]
    bare: Bare | None = None

    def words(self, text: str) -> tuple[str, ...]:
        """What may go on behind `text`, which is limited: the rest of each name, in front of a dot none."""
        names, begun = self._bare(text) or self._known(text) or (frozenset(), None)
        if begun is None:
            return ()
        return tuple(sorted(name[len(begun) :] for name in names if name.startswith(begun) and name != begun))

    def doubt(self, text: str) -> float:
        """The logarithm of how probable what comes behind `text` has to be."""
        if self.bare is None or (begun := self.bare.so_far(text)) is None:
            return -math.inf
        return self.bare.doubt if begun == self.bare.begun else self.bare.doubt - math.log(3)

    def known(self, text: str) -> frozenset[str] | None:
        """The names that may stand in the access that `text` ends in; None if it ends in none that is limited."""
        found = self._known(text)
        return found[0] if found is not None and found[1] is not None and self.limits(text) else None

    def limits(self, text: str) -> bool:
        """Whether not everything may go on behind `text`: it ends with a receiver, or inside an access to it whose name
        is one of those known, as far as it is there. So it does inside a bare name."""
        if self._bare(text) is not None:
            return True
        known = self._known(text)
        if known is None:
            return False
        names, begun = known
        return begun is None or any(name.startswith(begun) for name in names)

    def allows(self, text: str, piece: str) -> bool:
        """Whether `piece` may go on behind `text`, which is limited."""
        if (bare := self._bare(text)) is not None:
            names, whole = bare[0], bare[1] + piece
            name = _NOT_WORD.split(whole, maxsplit=1)[0]
            return any(each.startswith(name) for each in names) if name == whole else name in names
        known, line = self._known(text), self._line(text)
        begun = _RECEIVER.search(line)
        found = _ACCESS.match(line + piece, begun.start()) if begun is not None else None
        if known is None or found is None:
            return True
        names, name = known[0], found[2]
        if found.end() < len(line + piece):
            return name in names
        return not name or any(each.startswith(name) for each in names)

    def may_end(self, text: str) -> bool:
        """Whether nothing more need come behind `text`, which is limited."""
        known = self._bare(text) or self._known(text)
        return known is None or known[1] is None or known[1] in known[0]

    def _bare(self, text: str) -> tuple[frozenset[str], str] | None:
        """The names that the bare one may be, and what of it is there; None if `text` does not end inside of it."""
        begun = self.bare.so_far(text) if self.bare is not None else None
        return (self.bare.names, begun) if self.bare is not None and begun is not None else None

    def _known(self, text: str) -> tuple[frozenset[str], str | None] | None:
        """The names behind the receiver that `text` ends with, and what of one is there; None before the dot."""
        line = self._line(text)
        found = _RECEIVER.search(line)
        if found is None or not any(found[1] == receiver for receiver, _ in self.receivers):
            return None
        before = line[: found.start()]
        if _DEFINES.match(before) or _is_quoted(before) or _OTHER_SCOPE.search(text) or _LONG_QUOTE.search(text):
            return None
        # What the text has used is known, too: it may have defined it.
        own = {each[2] for each in _ACCESS.finditer(text) if each[1] == found[1] and each.end() < len(text)}
        return dict(self.receivers)[found[1]] | own, found[2]

    def _line(self, text: str) -> str:
        """The last line of `text`, with what stands in front of it."""
        return text[text.rfind("\n") + 1 :] if "\n" in text else self.left + text


def _is_quoted(line: str) -> bool:
    """Whether the end of `line` is in a string or a comment, or may be."""
    rest = _STRINGS.sub("", line)
    return any(mark in rest for mark in "\"'#")


def members_at(document: DocumentSnapshot, cursor: int) -> Members | None:
    """What is known of the members of the class around a place; None if that is nothing."""
    if len(document.source) > MOST_BYTES or find_language(document.language_id, document.path).name != "Python":
        return None
    line = document.line_at(cursor)
    start, end = document.line_start(line), document.line_end(line)
    source = document.source.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
    lines = source.split("\n")
    if (
        line >= len(lines)
        or end - start > _LINE_CHARACTERS
        or "\ufeff" in source
        or b"class" not in document.source[:start]
    ):
        return None
    left = document.source[start:cursor].decode("utf-8", "replace")
    right = document.source[cursor:end].decode("utf-8", "replace")
    below = next((each for each in lines[line + 1 :] if each.strip()), "")
    if left.strip() and not left[0].isspace():
        return None  # at the margin, where no class goes on
    for variant in dict.fromkeys(islice(_variants(left, right, below), max(1, _MOST_PARSED // len(source)))):
        tree = parsed("\n".join((*lines[:line], variant, *lines[line + 1 :])))
        if tree is not None:
            is_code = any(_MARK in name for node in ast.walk(tree) for name in _said(node))
            receivers = _receivers(tree, line + 1) if is_code else ()
            return Members(left, receivers) if receivers else None
    return None


def _said(node: ast.AST) -> tuple[str, ...]:
    """The name that a node is."""
    return (node.id,) if isinstance(node, ast.Name) else (node.attr,) if isinstance(node, ast.Attribute) else ()


def _variants(left: str, right: str, below: str) -> Iterator[str]:
    """The line of the cursor made whole, in several ways; the tree of one that parses is that of the rest as well."""
    indent = left[: len(left) - len(left.lstrip())]
    opened = [mark for _, mark in marks(left + right)]
    closers = ""
    for mark in opened:
        if mark in OPENING:
            closers = CLOSING[OPENING.index(mark)] + closers
        elif closers[:1] == mark:
            closers = closers[1:]
    whole = f"{left}{_MARK}{right}"
    if _HEADER.match(left.strip()) and not right.rstrip().endswith(":"):
        deeper = len(below) - len(below.lstrip()) > len(indent)
        yield f"{whole}{closers}:" + ("" if deeper else " pass")
        yield f"{indent}if {_MARK}:" + ("" if deeper else " pass")
    else:
        yield whole + closers
        yield whole
    yield f"{indent or below[: len(below) - len(below.lstrip())]}{_MARK}"


def _receivers(tree: ast.Module, line: int) -> tuple[tuple[str, frozenset[str]], ...]:
    """The receivers around a line whose members are known."""
    around = _around(tree, line)
    owner, method = _Class(None), None
    for outer, inner in pairwise(around):
        if isinstance(outer, ast.ClassDef):
            owner, method = _Class(outer), inner
    if owner.node is None or not isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef):
        return ()
    arguments = [*method.args.posonlyargs, *method.args.args]
    decorators = {_last_name(each) for each in method.decorator_list}
    if not arguments or "staticmethod" in decorators or arguments[0].arg not in ("self", "cls"):
        return ()
    receiver = arguments[0].arg
    if any(_gives(node, receiver) for node in ast.walk(method) if node is not arguments[0]):
        return ()
    names = owner.names(_classes(tree))
    if not owner.used:
        return ()  # it uses no member yet: it is being written, and what it will have is not there
    if names is None or any(isinstance(node, ast.Name) and node.id == "setattr" for node in ast.walk(tree)):
        return ()
    # What anything in the file is given counts: another function may give it to an object of this class.
    names |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and _is_given(node)}
    # And what a class has that is made of it, of which the object may be one.
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and any(_last_name(base) in owner.seen for base in node.bases):
            names |= set(_own(node))
    names |= _EVERY_OBJECT
    if receiver == "cls" or "classmethod" in decorators:
        names |= _EVERY_CLASS
    if any(used not in names | _EVERY_CLASS for used in owner.used):
        return ()  # something that is not in the file gives it names
    return ((receiver, frozenset(name for name in names if _MARK not in name)),)


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
    """Whether a node gives a name another meaning."""
    return (isinstance(node, ast.arg) and node.arg == name) or (
        isinstance(node, ast.Name) and node.id == name and not isinstance(node.ctx, ast.Load)
    )


def _is_given(node: ast.Attribute) -> bool:
    return not isinstance(node.ctx, ast.Load)


def _last_name(node: ast.expr) -> str:
    """The last name of an expression such as `abc.ABC`, `Generic[T]` or `dataclass(frozen=True)`."""
    while isinstance(node, ast.Subscript | ast.Call):
        node = node.value if isinstance(node, ast.Subscript) else node.func
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _classes(tree: ast.Module) -> dict[str, ast.ClassDef | None]:
    """The classes at the top of a file, and None for the other names that it gives a meaning."""
    found: dict[str, ast.ClassDef | None] = {}
    for node in ast.walk(tree):
        for name in _named(node):
            is_class = isinstance(node, ast.ClassDef) and node in tree.body and name not in found
            found[name] = node if is_class and isinstance(node, ast.ClassDef) else None
    return found


def _named(node: ast.AST) -> tuple[str, ...]:
    """The names that a node itself gives a meaning."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return (node.name,)
    if isinstance(node, ast.alias):
        return ((node.asname or node.name).partition(".")[0],)
    return (node.id,) if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load) else ()


class _Class:
    """A class. used: the names that it and its bases use behind `self` or `cls`. seen: what it and these are called."""

    def __init__(self, node: ast.ClassDef | None) -> None:
        self.node = node
        self.used: set[str] = set()
        self.seen: set[str] = set()

    def names(self, classes: Mapping[str, ast.ClassDef | None]) -> set[str] | None:
        """The names of its members, those of its bases among them; None if they cannot be known."""
        return self._names(self.node, classes) if self.node is not None else None

    def _names(self, node: ast.ClassDef, classes: Mapping[str, ast.ClassDef | None]) -> set[str] | None:
        plain = all(keyword.arg == "metaclass" and _last_name(keyword.value) == "ABCMeta" for keyword in node.keywords)
        known = all(_last_name(decorator) in _DECORATORS for decorator in node.decorator_list)
        if not plain or not known or node.name in self.seen or len(self.seen) > _MOST_BASES or _is_computed(node):
            return None
        self.seen.add(node.name)
        for each in ast.walk(node):
            if (
                isinstance(each, ast.Attribute)
                and isinstance(each.value, ast.Name)
                and each.value.id in ("self", "cls")
            ):
                self.used |= {each.attr} if _MARK not in each.attr else set()
        found = set(_own(node))
        for base in node.bases:
            name = _last_name(base)
            known_base = classes.get(name) if isinstance(base, ast.Name | ast.Subscript) else None
            builtin = getattr(builtins, name, None) if isinstance(base, ast.Name) and name not in classes else None
            if known_base is not None:
                inherited = self._names(known_base, classes)
                if inherited is None:
                    return None
                found |= inherited
            elif isinstance(builtin, type):
                found |= set(dir(builtin))
            elif name not in _PLAIN_BASES or isinstance(base, ast.Call):
                return None
        return found


def _own(node: ast.ClassDef) -> Iterator[str]:
    """The names that the body of a class defines."""
    waiting: list[ast.AST] = [*node.body]
    while waiting:
        each = waiting.pop()
        yield from _named(each)
        if isinstance(each, ast.Assign) and any(_last_name(target) == "__slots__" for target in each.targets):
            constants = (inner.value for inner in ast.walk(each.value) if isinstance(inner, ast.Constant))
            yield from (value for value in constants if isinstance(value, str))
        if not isinstance(each, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting.extend(ast.iter_child_nodes(each))


def _is_computed(node: ast.ClassDef) -> bool:
    """Whether names of a class may come about when it runs."""
    for each in ast.walk(node):
        if isinstance(each, ast.FunctionDef) and each.name in _COMPUTED:
            return True
        if isinstance(each, ast.Attribute) and each.attr in ("__dict__", "__setattr__"):
            return True
        if isinstance(each, ast.Call) and isinstance(each.func, ast.Name):
            asks = each.func.id in _ASKS and isinstance(each.args[0] if each.args else None, ast.Name)
            if asks or each.func.id in _TRICKS:
                return True
    return "mixin" in node.name.lower()
