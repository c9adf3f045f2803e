"""Kind `arguments`: a parameter was added, removed, renamed or moved, so calls change if the arguments are certain."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lsp_server.core.edits import Replacement
from lsp_server.core.next_edits.calls import Call, calls_of, combined, definition, definitions, name_of
from lsp_server.core.next_edits.history import Hunk
from lsp_server.core.next_edits.names import function_around, introduced_by, name_node, words
from lsp_server.core.next_edits.node_kinds import CLASSES, SELVES
from lsp_server.core.next_edits.proposal import NextEdit, Situation
from lsp_server.core.next_edits.trees import Tree, above, language_of, tree_of

if TYPE_CHECKING:
    from tree_sitter import Node

_LAST_HUNKS, _NEAR_LINES = 4, 4
_NAMES = frozenset({"identifier", "simple_identifier", "type_identifier"})


@dataclass(frozen=True, slots=True)
class Parameter:
    name: bytes
    optional: bool


@dataclass(frozen=True, slots=True)
class Change:
    """A change of the parameters. removed, added, renamed: the index of the parameter, in the old list for `removed`
    and else in the new one; -1 for none. order: for each new position, the old index. method: whether it is a
    method."""

    name: bytes
    old: tuple[Parameter, ...]
    new: tuple[Parameter, ...]
    removed: int = -1
    added: int = -1
    renamed: int = -1
    order: tuple[int, ...] = ()
    method: bool = False


def follow_parameters(situation: Situation) -> Iterator[NextEdit]:
    for hunk in situation.here()[::-1][:_LAST_HUNKS]:
        for change in _changes(situation, hunk):
            some = False
            for edit in _edits(situation, hunk, change):
                some = True
                yield edit
            if some:
                return


def _changes(situation: Situation, hunk: Hunk) -> Iterator[Change]:
    document = situation.document
    trimmed = hunk.trimmed()
    if not any(line.strip() for line in trimmed.old) or not any(line.strip() for line in trimmed.new):
        return
    end = trimmed.start + len(b"\n".join(trimmed.new))
    tree = tree_of(document)
    functions = list(definitions(tree, trimmed.start, end))
    if not functions:
        return
    old_tree = tree.edited(hunk.start, hunk.end, hunk.old)
    for function in functions:
        name = name_of(tree, function)
        old = definition(old_tree, name, hunk.start - 2000, hunk.start + len(hunk.old))
        if not name or old is None:
            continue
        method = any(node.type in CLASSES for node in above(function.parent)) or (
            function.child_by_field_name("receiver") is not None
        )
        change = _change(name, _parameters(old_tree, old), _parameters(tree, function), method)
        if change is not None:
            yield change


def _parameters(tree: Tree, function: Node) -> tuple[Parameter, ...] | None:
    """The parameters of a function; None if arguments cannot be assigned to them by counting."""
    listed = function.child_by_field_name("parameters")
    declarator = function.child_by_field_name("declarator")
    while listed is None and declarator is not None:
        listed = declarator.child_by_field_name("parameters")
        declarator = declarator.child_by_field_name("declarator")
    if listed is None or listed.has_error:
        return None
    found: list[Parameter] = []
    for node in listed.named_children:
        text = tree.text(node)
        if "comment" in node.type or text in SELVES or node.type == "self_parameter":
            continue
        if text.startswith((b"*", b"...")) or "variadic" in node.type or "spread" in node.type or "rest" in node.type:
            return None
        if text.split(b":")[0].strip() in SELVES:
            continue
        names = node.children_by_field_name("name") or node.children_by_field_name("pattern")
        names = names or ([node] if node.type in _NAMES else [c for c in node.named_children if c.type in _NAMES][:1])
        optional = "default" in node.type or "optional" in node.type or node.child_by_field_name("value") is not None
        found.extend(Parameter(tree.text(each), optional) for each in names)
    return tuple(found)


def _change(
    name: bytes, old: tuple[Parameter, ...] | None, new: tuple[Parameter, ...] | None, method: bool
) -> Change | None:
    if old is None or new is None or old == new:
        return None
    before, after = [p.name for p in old], [p.name for p in new]
    if len(set(before)) != len(before) or len(set(after)) != len(after):
        return None
    if len(after) == len(before) - 1:
        gone = [index for index in range(len(before)) if before[:index] + before[index + 1 :] == after]
        return Change(name, old, new, removed=gone[0], method=method) if gone else None
    if len(after) == len(before) + 1:
        come = [index for index in range(len(after)) if after[:index] + after[index + 1 :] == before]
        return Change(name, old, new, added=come[0], method=method) if come else None
    if len(after) == len(before) and before != after:
        if sorted(before) == sorted(after):
            return Change(name, old, new, order=tuple(before.index(each) for each in after), method=method)
        differ = [index for index in range(len(after)) if before[index] != after[index]]
        if len(differ) == 1:
            return Change(name, old, new, renamed=differ[0], method=method)
    return None


def _edits(situation: Situation, hunk: Hunk, change: Change) -> Iterator[NextEdit]:
    documents = [situation.document, *(d for d in situation.others if language_of(d) is situation.language)]
    if len(list(words(situation.document, change.name))) == 0:
        return
    why = f"the parameters of {change.name.decode('utf-8', 'replace')} have changed"
    for document, calls in calls_of(change.name, documents, hunk.end, methods=change.method):
        if document is not situation.document and _defines(document, change.name):
            continue
        done = [(h.start, h.end) for h in situation.hunks if h.uri == document.uri and h.start >= 0 and h.id != hunk.id]
        wanted: list[Replacement] = []
        for call in calls:
            if any(start <= call.start < end for start, end in done):
                continue
            edits = _edited(call, change)
            if not edits:
                continue
            if wanted and abs(document.line_at(edits[0].start) - document.line_at(wanted[-1].end)) > _NEAR_LINES:
                break
            if wanted and edits[0].start < wanted[-1].end:
                continue
            wanted += edits
        if wanted:
            start, end, text = combined(document, wanted)
            if tree_of(document).stays_whole(start, end, text):
                yield NextEdit("arguments", document, start, end, text, why, 3)


def _defines(document: object, name: bytes) -> bool:
    from lsp_server.core.next_edits.computed.rename import is_defined

    return is_defined(document, name)  # type: ignore[arg-type]


def _edited(call: Call, change: Change) -> list[Replacement]:
    """The edits that a call needs; none if they are not certain."""
    given = call.arguments
    if given is None or any(_is_spread(call.tree, node) for node in given):
        return []
    named = [node for node in given if node.type in ("keyword_argument", "named_argument")]
    plain = [node for node in given if node not in named]
    if len(given) > len(plain) and given[: len(plain)] != plain:
        return []
    tree = call.tree
    if change.renamed >= 0:
        old, new = change.old[change.renamed].name, change.new[change.renamed].name
        labels = [label for node in named if (label := node.child_by_field_name("name")) is not None]
        return [Replacement(each.start_byte, each.end_byte, new) for each in labels if tree.text(each) == old]
    if change.removed >= 0:
        for node in named:
            label = node.child_by_field_name("name")
            if label is not None and tree.text(label) == change.old[change.removed].name:
                return [_without(tree, given, given.index(node))]
        if len(plain) == len(change.old):
            return [_without(tree, given, change.removed)]
        return []
    if len(plain) != len(change.old) or named:
        return []
    if change.added >= 0:
        parameter = change.new[change.added]
        if parameter.optional or not _knows(call, parameter.name):
            return []
        if change.added < len(plain):
            start = plain[change.added].start_byte
            return [Replacement(start, start, parameter.name + b", ")]
        if plain:
            end = plain[-1].end_byte
            return [Replacement(end, end, b", " + parameter.name)]
        end = call.node.end_byte - 1
        return [Replacement(end, end, parameter.name)]
    texts = [tree.text(node) for node in plain]
    moved = [texts[index] for index in change.order]
    return [
        Replacement(node.start_byte, node.end_byte, text)
        for node, was, text in zip(plain, texts, moved, strict=True)
        if was != text
    ]


def _is_spread(tree: Tree, node: Node) -> bool:
    return tree.text(node).startswith((b"*", b"...")) or "splat" in node.type or "spread" in node.type


def _without(tree: Tree, given: list[Node], index: int) -> Replacement:
    if index + 1 < len(given):
        return Replacement(given[index].start_byte, given[index + 1].start_byte, b"")
    if index:
        return Replacement(given[index - 1].end_byte, given[index].end_byte, b"")
    return Replacement(given[index].start_byte, given[index].end_byte, b"")


def _knows(call: Call, name: bytes) -> bool:
    """Whether a variable `name` is introduced before the call in the function around it."""
    tree, function = call.tree, function_around(call.node)
    if function is None:
        return False
    for offset in words(tree.document, name, function.start_byte, call.start):
        node = name_node(tree, offset, name)
        if node is not None and introduced_by(node) is not None:
            return True
    return False
