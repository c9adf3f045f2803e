"""Finds the calls of a function in any language, with their arguments and their place in the tree."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.edits import Replacement
from lsp_server.core.next_edits.names import field_of, is_distinctive, is_member, name_node, words
from lsp_server.core.next_edits.node_kinds import ARGUMENTS, CALLS, FUNCTIONS, WITHOUT_SELF
from lsp_server.core.next_edits.trees import Tree, nodes_in, tree_of

if TYPE_CHECKING:
    from tree_sitter import Node

_SELF = re.compile(rb"(?:self|this|Self|cls)(?:\.|->|::|\?\.)$")
_MOST_PLACES = 200


@dataclass(frozen=True, slots=True)
class Call:
    tree: Tree
    node: Node
    start: int

    @property
    def arguments(self) -> list[Node] | None:
        """The arguments; None if they are not in brackets."""
        for child in self.node.children:
            if child.type in ARGUMENTS:
                return [each for each in child.named_children if "comment" not in each.type]
        return None


def definition(tree: Tree, name: bytes, start: int, end: int) -> Node | None:
    """The function `name` whose header overlaps the bytes `start:end`."""
    return next((node for node in definitions(tree, start, end) if name_of(tree, node) == name), None)


def definitions(tree: Tree, start: int, end: int) -> Iterator[Node]:
    """The functions whose headers overlap the bytes `start:end`."""
    for node in nodes_in(tree.root, start, end):
        if node.type in FUNCTIONS:
            body = node.child_by_field_name("body")
            if start < (node.end_byte if body is None else body.start_byte):
                yield node


def name_of(tree: Tree, function: Node) -> bytes:
    """The name of a function. A function that is the value of a declaration has the name of the variable."""
    name = function.child_by_field_name("name")
    if name is None and function.parent is not None and function.parent.type in ("variable_declarator", "assignment"):
        name = function.parent.child_by_field_name("name") or function.parent.child_by_field_name("left")
    declarator = function.child_by_field_name("declarator")
    while name is None and declarator is not None:  # C
        name = declarator if declarator.type in ("identifier", "field_identifier") else None
        declarator = declarator.child_by_field_name("declarator")
    return tree.text(name) if name is not None else b""


def calls_of(
    name: bytes, documents: Sequence[DocumentSnapshot], start: int, *, methods: bool
) -> Iterator[tuple[DocumentSnapshot, list[Call]]]:
    """The calls of a function, by document; in the first document those from `start` on come first. methods: whether
    the function is a method. Then the name must stand after a dot, and must be called on `self` or be so distinctive
    that it hardly means something else."""
    for document in documents:
        offsets = list(islice(words(document, name), _MOST_PLACES + 1))
        if len(offsets) > _MOST_PLACES or not offsets:
            continue
        tree = tree_of(document)
        after = start if document is documents[0] else 0
        order = [o for o in offsets if o >= after] + [o for o in offsets if o < after]
        found = [call for offset in order if (call := _call_at(tree, offset, name, methods)) is not None]
        if found:
            yield document, found


def _call_at(tree: Tree, offset: int, name: bytes, methods: bool) -> Call | None:
    node = name_node(tree, offset, name)
    if node is None:
        return None
    if is_member(tree, node) != methods:
        if not methods or tree.language.name not in WITHOUT_SELF:
            return None
        methods = False
    if methods and not is_distinctive(name) and not _SELF.search(tree.document.source[max(0, offset - 8) : offset]):
        return None
    parent = node.parent
    if methods and parent is not None and parent.type not in CALLS:
        node, parent = parent, parent.parent
    if parent is None or parent.type not in CALLS or field_of(node) not in ("function", "name", "method"):
        return None
    return Call(tree, parent, parent.start_byte)


def combined(document: DocumentSnapshot, edits: Sequence[Replacement]) -> tuple[int, int, bytes]:
    """Several edits as one: its start, its end and its text."""
    ordered = sorted(edits, key=lambda edit: (edit.start, edit.end))
    first, last = ordered[0].start, max(edit.end for edit in ordered)
    parts: list[bytes] = []
    position = first
    for edit in ordered:
        parts += (document.source[position : edit.start], edit.text)
        position = edit.end
    return first, last, b"".join((*parts, document.source[position:last]))
