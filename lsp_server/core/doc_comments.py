"""Finds the doc comment of a function or class in its syntax tree: inside it, above it, or below its decorators."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import TYPE_CHECKING

from lsp_server.core.syntax import text_of

if TYPE_CHECKING:
    from tree_sitter import Node

COMMENTS = frozenset({"comment", "line_comment", "block_comment"})
_DOC = re.compile(rb"/\*[*!]|//[/!]")
# A comment that is a directive for a tool, as `//go:embed` in Go.
_DIRECTIVE = re.compile(rb"//[a-z]+:[a-z]")


def first_of(around: Node, leading: Collection[str]) -> Node:
    """The first sibling of the kinds `leading` before `around`, skipping comments between them; `around` itself if
    there is none."""
    first, before = around, around.prev_named_sibling
    while before is not None and (before.type in leading or before.type in COMMENTS):
        if before.type in leading:
            first = before
        before = before.prev_named_sibling
    return first


def docstring(body: Node | None) -> tuple[int, int] | None:
    """The place of the string that a body begins with, in bytes."""
    first = body.named_children[0] if body is not None and body.named_children else None
    if first is None or first.type != "expression_statement" or not first.named_children:
        return None
    return (first.start_byte, first.end_byte) if first.named_children[0].type == "string" else None


def doc_comment(first: Node, around: Node, node: Node, name: Node, source: bytes) -> tuple[int, int] | None:
    """The comment above the first line of a definition. If that is not a doc comment: a doc comment below its
    decorators, annotations, attributes or template parameters, if there is one."""
    above = _doc_before(first, source)
    if above is not None and _DOC.match(source, above[0]):
        return above
    beside = [around] if first != around else []
    while beside and beside[-1] != first and (before := beside[-1].prev_named_sibling) is not None:
        beside.append(before)
    inside = [*beside, *around.named_children, *node.named_children]
    inside += [deeper for child in node.named_children if child.type == "modifiers" for deeper in child.named_children]
    comments = [each for each in inside if each.type in COMMENTS and each.end_byte <= name.start_byte]
    comments = [each for each in comments if _DOC.match(source, each.start_byte)]
    if not comments:
        return above
    last = max(comments, key=lambda each: each.start_byte)
    behind = last.next_named_sibling
    found = _doc_before(behind, source) if behind is not None else None
    return found or (last.start_byte, last.start_byte + len(text_of(last, source).rstrip()))


def _doc_before(node: Node, source: bytes) -> tuple[int, int] | None:
    """The comment that ends on the line above `node`, or a block of comments there. Directives for tools at the end of
    the block do not belong to it."""
    start, end, row = -1, -1, node.start_point.row
    before = node.prev_named_sibling
    while before is not None and before.type in COMMENTS:
        text = text_of(before, source).rstrip()
        last_row = before.start_point.row + text.count(b"\n")
        behind_code = before.prev_named_sibling
        if last_row != row - 1 or (
            behind_code is not None
            and behind_code.end_point.row == before.start_point.row
            and behind_code.type not in COMMENTS
        ):
            break
        row = before.start_point.row
        if not (end < 0 and _DIRECTIVE.match(text)):
            start = before.start_byte
            end = before.start_byte + len(text) if end < 0 else end
        before = before.prev_named_sibling
    return (start, end) if start >= 0 else None
