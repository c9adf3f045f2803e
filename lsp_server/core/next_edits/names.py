"""Finds names in syntax trees of any language: their occurrences, where they are introduced, and their scope."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.next_edits.node_kinds import (
    CLASSES,
    FUNCTIONS,
    INTRODUCED_FIELDS,
    INTRODUCES,
    LABEL_FIELDS,
    LABELLED,
    NAMES,
    PARAMETER_LISTS,
    PATTERNS,
    USED_FIELDS,
)
from lsp_server.core.next_edits.tokens import subwords
from lsp_server.core.next_edits.trees import Tree

if TYPE_CHECKING:
    from tree_sitter import Node

# Uses at most `_GAP` lines apart are changed together, over at most `_MOST_LINES` lines at once.
_GAP, _MOST_LINES = 3, 16
_DOTS = (b".", b"->", b"?.", b"::")


def words(document: DocumentSnapshot, name: bytes, start: int = 0, end: int | None = None) -> Iterator[int]:
    """The offsets where a name occurs as a whole word, in code or not."""
    source = document.source
    last = len(source) if end is None else end
    at = source.find(name, start, last)
    while at >= 0:
        behind = at + len(name)
        if not (_in_word(source[at - 1 : at]) or _in_word(source[behind : behind + 1])):
            yield at
        at = source.find(name, behind, last)


def _in_word(byte: bytes) -> bool:
    return byte.isalnum() or byte in (b"_", b"$") or byte >= b"\x80"


def is_alone(document: DocumentSnapshot, name: bytes) -> bool:
    """Whether a name occurs exactly once."""
    found = words(document, name)
    return next(found, None) is not None and next(found, None) is None


def is_distinctive(name: bytes) -> bool:
    """Whether a name is so specific that it hardly means something else elsewhere."""
    return len(name) >= 8 and len([part for part in subwords(name) if part.isalnum()]) > 1


def name_node(tree: Tree, start: int, name: bytes) -> Node | None:
    """The node of the name at `start`; None if it is in a string or comment, or only part of a name."""
    node = tree.node_at(start, start + len(name))
    if node is None or node.type not in NAMES or node.start_byte != start or node.end_byte != start + len(name):
        return None
    return node if tree.is_code(start, start + 1) else None


def field_of(node: Node) -> str | None:
    """The field of its parent that a node is in."""
    parent = node.parent
    if parent is None:
        return None
    for index, child in enumerate(parent.children):
        if child == node:
            return parent.field_name_for_child(index)
    return None


def introduced_by(node: Node) -> Node | None:
    """The node that introduces the name `node`; None if the name is only used there."""
    child = node
    for _ in range(4):
        parent = child.parent
        if parent is None:
            return None
        field = field_of(child)
        if parent.type in PARAMETER_LISTS:
            return parent
        if field in USED_FIELDS:
            return None
        if field in INTRODUCED_FIELDS and INTRODUCES.search(parent.type):
            if parent.type == "keyword_argument" or (parent.type == "lambda" and field != "parameters"):
                return None
            if parent.type == "method_declaration" and field != "name":
                return None
            return parent
        if parent.type == "parameter_declaration" and field == "name":
            return parent
        if parent.type not in PATTERNS:
            return None
        if parent.type in ("typed_parameter", "required_parameter", "optional_parameter") and field not in (
            None,
            "pattern",
        ):
            return None
        child = parent
    return None


def is_member(tree: Tree, node: Node) -> bool:
    """Whether the name follows a dot or a similar operator."""
    start = node.start_byte
    before = tree.document.source[max(0, start - 2) : start]
    return before.endswith(_DOTS) and not before.endswith(b"..")


def is_label(node: Node) -> bool:
    """Whether the node is the name of an argument or a key, which does not refer to a variable here."""
    parent, field = node.parent, field_of(node)
    if parent is None:
        return False
    return parent.type in LABELLED and field in LABEL_FIELDS


def function_around(node: Node | None) -> Node | None:
    """The innermost function around `node`. A function is not around its own name."""
    child = node
    while child is not None and (parent := child.parent) is not None:
        if parent.type in FUNCTIONS and not (field_of(child) in ("name", "declarator") and child.type in NAMES):
            return parent
        child = parent
    return None


Scope = Literal["local", "file", "member"]


def scope_of(node: Node, introducer: Node) -> tuple[Scope, Node | None]:
    """The scope of an introduced name, with its node: a function, a class whose objects have it, or the whole file."""
    if introducer.type in PARAMETER_LISTS or introducer.type.endswith(("parameter", "parameter_declaration")):
        child: Node | None = introducer
        while child is not None and child.type not in FUNCTIONS:
            child = child.parent
        return "local", child
    holder = introducer
    around = holder.parent
    while around is not None:
        if around.type in FUNCTIONS:
            return "local", around
        if around.type in CLASSES:
            return "member", around
        around = around.parent
    return "file", None


def together(document: DocumentSnapshot, offsets: Sequence[int], start: int) -> list[int]:
    """The first group of `offsets` (in order) that are within a few lines of each other: from `start` on, else from the
    beginning."""
    group: list[int] = []
    for offset in [offset for offset in offsets if offset >= start] or offsets:
        if group:
            line = document.line_at(offset)
            if line - document.line_at(group[-1]) > _GAP or line - document.line_at(group[0]) >= _MOST_LINES:
                break
        group.append(offset)
    return group


def replaced(document: DocumentSnapshot, offsets: Sequence[int], old: bytes, new: bytes) -> tuple[int, int, bytes]:
    """One edit that replaces `old` by `new` at all `offsets`: its start, its end and its text."""
    first, last = offsets[0], offsets[-1] + len(old)
    parts: list[bytes] = []
    position = first
    for offset in offsets:
        parts += (document.source[position:offset], new)
        position = offset + len(old)
    return first, last, b"".join((*parts, document.source[position:last]))
