"""Kind `async`: a function has become asynchronous, so its callers must await it and become asynchronous themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.edits import Replacement
from lsp_server.core.next_edits.calls import Call, calls_of, combined, definitions, name_of
from lsp_server.core.next_edits.history import Hunk
from lsp_server.core.next_edits.names import function_around
from lsp_server.core.next_edits.node_kinds import AWAITING, CLASSES
from lsp_server.core.next_edits.proposal import NextEdit, Situation
from lsp_server.core.next_edits.trees import Tree, above, language_of, tree_of

if TYPE_CHECKING:
    from tree_sitter import Node

_LAST_HUNKS, _MOST_LINES = 6, 30
# Functions that take an awaitable and await it themselves.
_TAKERS = re.compile(
    rb"(?:gather|create_task|ensure_future|run|run_until_complete|wait|wait_for|shield|all|allSettled|race"
    rb"|any|spawn|block_on|join|select|timeout|then|catch|finally|resolve|start_soon|as_completed)!?$"
)
_POSTFIX = frozenset({"attribute", "member_expression", "subscript", "subscript_expression"})
_WRAPPED = re.compile(rb"@(?:\w+\.)*(?:property|cached_property|setter|cache|lru_cache)\b")
_UNFIT = frozenset({b"constructor", b"main", b"new", b"drop"})


def follow_async(situation: Situation) -> Iterator[NextEdit]:
    if situation.language.name not in AWAITING:
        return
    for hunk in situation.here()[::-1][:_LAST_HUNKS]:
        if b"async" not in hunk.new or not hunk.old.strip():
            continue
        for name, method in _made_async(situation, hunk):
            some = False
            for edit in _edits(situation, hunk, name, method):
                some = True
                yield edit
            if some:
                return


def _made_async(situation: Situation, hunk: Hunk) -> Iterator[tuple[bytes, bool]]:
    trimmed = hunk.trimmed()
    tree = tree_of(situation.document)
    for function in definitions(tree, trimmed.start, trimmed.start + len(b"\n".join(trimmed.new))):
        name = name_of(tree, function)
        was = re.search(rb"(async\b[^\n]*)?(?<![\w.])%b\b[^\n]*" % re.escape(name), hunk.old) if name else None
        if was is not None and was[1] is None and b"async" not in was[0] and is_async(tree, function):
            yield name, any(node.type in CLASSES for node in above(function.parent))


def is_async(tree: Tree, function: Node) -> bool:
    body = function.child_by_field_name("body")
    header = tree.document.source[function.start_byte : function.end_byte if body is None else body.start_byte]
    return re.match(rb"(?:[\w(): ]*\s)?async\b", header) is not None


def _edits(situation: Situation, hunk: Hunk, name: bytes, method: bool) -> Iterator[NextEdit]:
    documents = [situation.document, *(d for d in situation.others if language_of(d) is situation.language)]
    why = f"{name.decode('utf-8', 'replace')} is asynchronous now"
    for document, calls in calls_of(name, documents, hunk.end, methods=method):
        functions: dict[int, list[Call]] = {}
        for call in calls:
            function = function_around(call.node)
            if function is not None and not _is_awaited(call) and name_of(call.tree, function) != name:
                functions.setdefault(function.start_byte, []).append(call)
        for same in functions.values():
            edit = _awaited(document, same)
            if edit is None:
                continue
            start, end, text = combined(document, edit)
            if document.line_at(end) - document.line_at(start) > _MOST_LINES:
                continue
            if same[0].tree.stays_whole(start, end, text):
                yield NextEdit("async", document, start, end, text, why, 3)


def _is_awaited(call: Call) -> bool:
    """Whether the call is awaited, or passed to something that awaits it."""
    tree, node = call.tree, call.node
    parent = node.parent
    if parent is None or "await" in parent.type or tree.document.source[node.end_byte :][:6] == b".await":
        return True
    for around in above(parent):
        if around.type in ("call", "call_expression", "macro_invocation"):
            callee = around.child_by_field_name("function") or around.child_by_field_name("macro")
            if callee is not None and _TAKERS.search(tree.text(callee)):
                return True
        if around.type in ("lambda", "closure_expression", "generator_expression") or around.type.endswith("statement"):
            return around.type in ("lambda", "closure_expression", "generator_expression")
        if "yield" in around.type:
            return True
    return False


def _awaited(document: DocumentSnapshot, calls: list[Call]) -> list[Replacement] | None:
    """The edits that make one function await all of `calls`, which are in it; None if that is not possible."""
    tree = calls[0].tree
    function = function_around(calls[0].node)
    if function is None or function.type == "lambda":
        return None
    edits: list[Replacement] = []
    for call in calls:
        start, end = call.node.start_byte, call.node.end_byte
        if tree.language.name == "Rust":
            edits.append(Replacement(end, end, b".await"))
            continue
        parent = call.node.parent
        inner = parent is not None and parent.type in (
            "attribute",
            "member_expression",
            "subscript",
            "subscript_expression",
        )
        if inner and parent is not None and parent.named_children[0] == call.node:
            edits += [Replacement(start, start, b"(await "), Replacement(end, end, b")")]
        else:
            edits.append(Replacement(start, start, b"await "))
    if not is_async(tree, function):
        header = _async_header(document, tree, function)
        if header is None:
            return None
        edits += header
    return edits


def _async_header(document: DocumentSnapshot, tree: Tree, function: Node) -> list[Replacement] | None:
    name = name_of(tree, function)
    body = function.child_by_field_name("body")
    if body is None or name in _UNFIT or (name.startswith(b"__") and name.endswith(b"__")):
        return None
    if b"yield" in tree.text(function):
        return None
    start = function.start_byte
    if tree.language.name == "Python":
        around = function.parent
        if around is not None and around.type == "decorated_definition" and _WRAPPED.search(tree.text(around)):
            return None
        return [Replacement(start, start, b"async ")]
    if tree.language.name == "Rust":
        header = document.source[start : body.start_byte]
        word = re.search(rb"\bfn\b", header)
        return [Replacement(start + word.start(), start + word.start(), b"async ")] if word is not None else None
    if function.type == "method_definition":
        label = function.child_by_field_name("name")
        if label is None or any(child.type in ("get", "set") for child in function.children):
            return None
        start = label.start_byte
    edits = [Replacement(start, start, b"async ")]
    returned = function.child_by_field_name("return_type")
    if returned is not None and b"Promise" not in tree.text(returned):
        kind = returned.named_children[0] if returned.named_children else None
        if kind is None or returned.type != "type_annotation":
            return None
        edits.append(Replacement(kind.start_byte, kind.end_byte, b"Promise<" + tree.text(kind) + b">"))
    return edits
