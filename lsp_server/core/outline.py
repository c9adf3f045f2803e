"""Analyses a whole file for code actions: definitions, and the names, calls, comments and syntax errors in a range.

It parses whole files, which takes a tenth of a second for a large one, so it must run in a worker thread and not in the
event loop.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from lsp_server.core.doc_comments import COMMENTS, doc_comment, docstring, first_of
from lsp_server.core.languages import Language
from lsp_server.core.parsing import parse
from lsp_server.core.syntax import error_spans, text_of

if TYPE_CHECKING:
    from tree_sitter import Node, Tree

# The limits of a walk through the tree: a file with more nodes is data, not code. Deeper nesting is not read, because a
# step from a node to its parent costs the way from the root.
_MOST_NODES, _MOST_DEPTH = 400_000, 200

# A parse is stopped after this many steps: 1 MB of ordinary code takes 10,000 steps of 0.01 ms.
MOST_STEPS = 10_000


@dataclass(frozen=True, slots=True)
class Definition:
    """A function or class. Offsets are in bytes.

    start, end: all of it, with decorators, attributes and modifiers, without a comment before it. header_end: where its
    body begins. doc: its doc comment, inside or before it. parents: the names of the classes around it, the outermost
    first.
    """

    kind: Literal["function", "class"]
    name: str
    parameters: tuple[str, ...]
    start: int
    end: int
    header_end: int
    doc: tuple[int, int] | None
    parents: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Kinds:
    """Types of nodes in one grammar. wrappers: nodes around a definition that belong to it. leading: siblings before a
    definition that belong to it."""

    functions: frozenset[str]
    classes: frozenset[str]
    wrappers: frozenset[str] = frozenset()
    leading: frozenset[str] = frozenset()


def _kinds(functions: str, classes: str, wrappers: str = "", leading: str = "") -> _Kinds:
    return _Kinds(*(frozenset(part.split()) for part in (functions, classes, wrappers, leading)))


_SCRIPT = "function_declaration generator_function_declaration method_definition lexical_declaration"
_TYPED = "class_declaration abstract_class_declaration interface_declaration enum_declaration type_alias_declaration"
_C = "struct_specifier union_specifier enum_specifier"
_BY_LANGUAGE: dict[str, _Kinds] = {
    "Python": _kinds("function_definition", "class_definition", "decorated_definition"),
    "JavaScript": _kinds(_SCRIPT, "class_declaration", "export_statement"),
    "TypeScript": _kinds(_SCRIPT, _TYPED, "export_statement", "decorator"),
    "TSX": _kinds(_SCRIPT, _TYPED, "export_statement", "decorator"),
    "Go": _kinds("function_declaration method_declaration", "type_declaration"),
    "Rust": _kinds("function_item", "struct_item enum_item trait_item impl_item union_item", "", "attribute_item"),
    "Java": _kinds(
        "method_declaration constructor_declaration",
        "class_declaration interface_declaration enum_declaration record_declaration",
    ),
    "C": _kinds("function_definition", _C),
    "C++": _kinds("function_definition", f"class_specifier {_C}", "template_declaration"),
}

_FUNCTION_VALUES = frozenset({"arrow_function", "function_expression", "generator_function"})
_IDENTIFIERS = frozenset({"identifier", "type_identifier", "shorthand_property_identifier"})
# Fields whose names are introduced by the node, rather than used.
_BINDING_FIELDS = frozenset({"name", "left", "pattern", "parameter", "parameters", "declarator", "alias"})
# Types of nodes that define something, in grammars without an entry in the table.
_DEFINING = re.compile(
    r"(?:function|method|class|module|interface|trait|struct|object|enum|protocol|record|constructor|namespace)"
    r"(?:_declaration|_definition|_statement)?$"
)
_STATEMENT_ENDS = ("statement", "definition", "declaration", "block", "body", "_item", "module", "program")


@lru_cache(maxsize=4)
def _tree_of(language: Language, source: bytes) -> Tree | None:
    """Cached, because clients ask for the same text many times, and an action compares it with one or two others. A
    tree takes about thirty times the memory of its text."""
    return parse(language, source, MOST_STEPS)[0]


def root_of(language: Language, source: bytes) -> Node | None:
    """The root of the syntax tree of `source`; None without a grammar, or if parsing takes too many steps."""
    tree = _tree_of(language, source)
    return None if tree is None else tree.root_node


def has_definitions(language: Language) -> bool:
    return language.name in _BY_LANGUAGE


@lru_cache(maxsize=16)
def definitions(language: Language, source: bytes) -> tuple[Definition, ...]:
    """All functions and classes in `source`, outer ones before those inside them."""
    kinds = _BY_LANGUAGE.get(language.name)
    root = None if kinds is None else root_of(language, source)
    if kinds is None or root is None:
        return ()
    found: list[Definition] = []
    stack: list[tuple[Node, tuple[str, ...], int]] = [(root, (), 0)]
    seen = 0
    while stack and seen < _MOST_NODES:
        node, parents, depth = stack.pop()
        seen += 1
        inner = parents
        definition = _definition(node, source, kinds, parents, language.name == "Python")
        if definition is not None:
            found.append(definition)
            if definition.kind == "class":
                inner = (*parents, definition.name)
        if depth < _MOST_DEPTH:
            stack.extend((child, inner, depth + 1) for child in reversed(node.named_children))
    return tuple(found)


def definition_at(found: tuple[Definition, ...], start: int, end: int) -> Definition | None:
    """The innermost definition that contains all of `start:end`."""
    holding = [definition for definition in found if definition.start <= start and end <= definition.end]
    return min(holding, key=lambda definition: definition.end - definition.start, default=None)


def broken_at(language: Language, source: bytes) -> list[tuple[int, int]]:
    """The ranges of syntax errors and missing tokens in `source`, in order and not overlapping. Empty without a
    grammar."""
    root = root_of(language, source)
    return [] if root is None else sorted(error_spans(root, nested=False))


def names_in(language: Language, source: bytes, start: int = 0, end: int | None = None) -> tuple[set[str], set[str]]:
    """The names in `start:end`: those that are used there, and those that are introduced there.

    Members (names after a dot) are left out, because only a type checker knows where they come from. Whether a name is
    introduced is judged by the fields of the tree; in doubt it counts as introduced.
    """
    tree = _tree_of(language, source)
    used: set[str] = set()
    bound: set[str] = set()
    if tree is None:
        return used, bound
    last = len(source) if end is None else end
    # A cursor walks down the tree: a step up from a node would cost time in proportion to its ancestors and siblings.
    cursor = tree.walk()
    above: list[tuple[str, bool]] = []
    kind, introduces = "", False  # of the parent node: its type, and whether names in it are introduced
    while (node := cursor.node) is not None:
        field = cursor.field_name
        introduced = _introduces(kind, field, introduces)
        inside = node.end_byte > start and node.start_byte < last
        if inside and node.type in _IDENTIFIERS and (kind, field) != ("attribute", "attribute"):
            (bound if introduced else used).add(text_of(node, source).decode("utf-8", "replace"))
        if inside and cursor.goto_first_child():
            above.append((kind, introduces))
            kind, introduces = node.type, introduced
            continue
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return used, bound
            kind, introduces = above.pop()
    return used, bound


def leaves_in(language: Language, source: bytes, start: int, end: int) -> list[tuple[str, str]]:
    """The type and text of each token in `start:end`, without comments, semicolons and white space."""
    return [(kind, text) for kind, text in _leaves(language, source, start, end) if kind not in COMMENTS]


def comments_in(language: Language, source: bytes, start: int, end: int) -> list[str]:
    """The comments in `start:end`, in order."""
    return [text for kind, text in _leaves(language, source, start, end) if kind in COMMENTS]


def _leaves(language: Language, source: bytes, start: int, end: int) -> Iterator[tuple[str, str]]:
    root = root_of(language, source)
    stack = [] if root is None else [root]
    while stack:
        node = stack.pop()
        if node.end_byte <= start or node.start_byte >= end:
            continue
        if node.child_count and node.type not in COMMENTS:
            stack.extend(reversed(node.children))
            continue
        text = source[node.start_byte : node.end_byte].decode("utf-8", "replace").strip()
        if text and text != ";":
            yield node.type, text


def called_in(language: Language, source: bytes, start: int, end: int) -> list[str]:
    """The names of the functions that `start:end` calls, in order, without repetition."""
    found: dict[str, None] = {}
    for node in nodes_in(language, source, start, end):
        if node.type in {"call", "call_expression", "method_invocation"}:
            callee = node.child_by_field_name("function") or node.child_by_field_name("name")
            text = text_of(callee, source).decode("utf-8", "replace") if callee is not None else ""
            name = text.replace("::", ".").rpartition(".")[2]
            if name.isidentifier():
                found[name] = None
    return list(found)


@lru_cache(maxsize=4)
def named_in(language: Language, source: bytes) -> tuple[tuple[str, int], ...]:
    """The names of functions, methods and types with their offsets, in any grammar: recognised by node types with a
    name."""
    found: list[tuple[str, int]] = []
    for node in nodes_in(language, source, 0, len(source)):
        name = node.child_by_field_name("name") if _DEFINING.search(node.type) else None
        if name is not None:
            found.append((text_of(name, source).decode("utf-8", "replace"), node.start_byte))
    return tuple(found)


def nodes_in(language: Language, source: bytes, start: int, end: int) -> Iterator[Node]:
    """The named nodes that overlap `start:end`, in order, outer ones first."""
    root = root_of(language, source)
    stack = [] if root is None else [root]
    while stack:
        node = stack.pop()
        if node.start_byte < end and start < node.end_byte:
            yield node
            stack.extend(reversed(node.named_children))


def top_level(language: Language, source: bytes) -> list[tuple[str, int, int]]:
    """The type, start and end of each top-level node."""
    root = root_of(language, source)
    if root is None:
        return []
    return [(node.type, node.start_byte, node.end_byte) for node in root.named_children]


def _definition(
    node: Node, source: bytes, kinds: _Kinds, parents: tuple[str, ...], doc_inside: bool
) -> Definition | None:
    if node.type in kinds.functions:
        kind: Literal["function", "class"] = "function"
    elif node.type in kinds.classes:
        kind = "class"
    else:
        return None
    holder = node
    if node.type == "lexical_declaration":  # const f = (…) => …
        declarators = [child for child in node.named_children if child.type == "variable_declarator"]
        value = declarators[0].child_by_field_name("value") if len(declarators) == 1 else None
        if value is None or value.type not in _FUNCTION_VALUES:
            return None
        name, holder = declarators[0].child_by_field_name("name"), value
    elif node.type == "type_declaration":  # Go: type T struct {…}
        spec = next((child for child in node.named_children if child.type in {"type_spec", "type_alias"}), None)
        name, holder = (spec.child_by_field_name("name"), spec) if spec is not None else (None, node)
    else:
        name = node.child_by_field_name("name") or node.child_by_field_name("type")
        if name is None or node.type == "function_definition":
            name = name if name is not None and kind == "function" and doc_inside else _declared(node) or name
    body = holder.child_by_field_name("body")
    if name is None or (node.type.endswith("_specifier") and body is None):
        return None
    around = node
    while around.parent is not None and around.parent.type in kinds.wrappers:
        around = around.parent
    first = first_of(around, kinds.leading) if kinds.leading else around
    return Definition(
        kind=kind,
        name=text_of(name, source).decode("utf-8", "replace"),
        parameters=_parameters(holder, source),
        start=first.start_byte,
        end=around.end_byte,
        header_end=body.start_byte if body is not None else holder.end_byte,
        doc=docstring(body) if doc_inside else doc_comment(first, around, node, name, source),
        parents=parents,
    )


def _declared(node: Node) -> Node | None:
    """The name in a C declarator, which may be wrapped in pointers and a parameter list."""
    inner = node.child_by_field_name("declarator")
    while inner is not None and (deeper := inner.child_by_field_name("declarator")) is not None:
        inner = deeper
    if inner is not None and inner.type == "reference_declarator" and inner.named_children:
        inner = inner.named_children[-1]
        inner = inner.child_by_field_name("declarator") or inner
    return inner


def _parameters(holder: Node, source: bytes) -> tuple[str, ...]:
    listed = holder.child_by_field_name("parameters")
    declarator = holder.child_by_field_name("declarator")
    while listed is None and declarator is not None:
        listed = declarator.child_by_field_name("parameters")
        declarator = declarator.child_by_field_name("declarator")
    if listed is None:
        single = holder.child_by_field_name("parameter")  # x => …
        return (_text(single, source),) if single is not None else ()
    found: list[str] = []
    for node in listed.named_children:
        if node.type in COMMENTS or node.type == "attribute_item":
            continue
        named = node.children_by_field_name("name") or node.children_by_field_name("pattern")
        if not named and (inner := _declared(node)) is not None:
            named = [inner]
        if not named:
            named = [_first_identifier(node) or node]
        found.extend(_text(node, source) for node in named)
    return tuple(found)


def _first_identifier(node: Node) -> Node | None:
    stack = [node]
    while stack:
        current = stack.pop()
        if current.type == "identifier":
            return current
        stack.extend(reversed(current.named_children))
    return None


def _text(node: Node, source: bytes) -> str:
    return " ".join(text_of(node, source).decode("utf-8", "replace").split())


def _introduces(around: str, field: str | None, otherwise: bool) -> bool:
    """Whether a name in this field of a node of type `around` is introduced there: as a parameter, a target, an import,
    a definition. otherwise: the answer for the node itself, which counts if the field does not decide."""
    if any(word in around for word in ("parameter", "import", "use_", "pattern", "_target", "global")):
        return field not in ("type", "value")
    if around in {"attribute", "member_expression", "selector_expression", "field_expression", "call"}:
        return False
    if field in _BINDING_FIELDS and not _is_use(around):
        return True
    if (field is not None and field not in _BINDING_FIELDS) or around.endswith(_STATEMENT_ENDS):
        return False
    return otherwise


def _is_use(kind: str) -> bool:
    """Whether a node of this type uses the names in its fields: keyword arguments, comparisons, calls by name."""
    return kind in {"binary_expression", "method_invocation", "binary_operator", "boolean_operator"} or (
        "_type" in kind and "declaration" not in kind
    )
