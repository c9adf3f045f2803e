"""Kind `arguments`: a parameter became a list, so the code that uses it is put into a loop over the list."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from lsp_server.core.next_edits.calls import definitions
from lsp_server.core.next_edits.history import Hunk
from lsp_server.core.next_edits.names import introduced_by, is_label, is_member, name_node, words
from lsp_server.core.next_edits.proposal import NextEdit, Situation
from lsp_server.core.next_edits.tokens import Token, tokens_of
from lsp_server.core.next_edits.trees import Tree, tree_of

if TYPE_CHECKING:
    from tree_sitter import Node

_LAST_HUNKS, _MOST_LINES = 4, 40
# The opening and the closing line of a loop over a list, by language.
_LOOPS = {
    "Python": ("for {one} in {all}:", ""),
    "Go": ("for _, {one} := range {all} {{", "}"),
    "Rust": ("for {one} in {all} {{", "}"),
    "JavaScript": ("for (const {one} of {all}) {{", "}"),
    "TypeScript": ("for (const {one} of {all}) {{", "}"),
    "TSX": ("for (const {one} of {all}) {{", "}"),
}
_COLLECTION = re.compile(
    rb"\[\]|\b(?:list|List|Sequence|Iterable|Iterator|set|tuple|Array|ReadonlyArray|Vec|Set)\b|&\["
)


def follow_plural(situation: Situation) -> Iterator[NextEdit]:
    if situation.language.name not in _LOOPS:
        return
    for hunk in situation.here()[::-1][:_LAST_HUNKS]:
        names = _made_plural(situation, hunk)
        if names is None:
            continue
        one, several, start = names
        for function in definitions(tree_of(situation.document), start, start + 1):
            edit = _looped(situation, function, one, several)
            if edit is not None:
                yield edit
                return


def _made_plural(situation: Situation, hunk: Hunk) -> tuple[bytes, bytes, int] | None:
    """The parameter that was renamed to its plural (and got a list type if it has a type): the old name, the new name
    and its offset."""
    trimmed = hunk.trimmed()
    old = tokens_of(b"\n".join(trimmed.old), situation.language)
    new = tokens_of(b"\n".join(trimmed.new), situation.language)
    gone, come = ([token for token in some if token.kind == "word"] for some in (old, new))
    for token in come:
        before = next((each for each in gone if token.text in _plurals(each.text)), None)
        if before is None or any(each.text == before.text for each in come):
            continue
        if any(each.text == token.text for each in gone) or not _is_many(old, new):
            continue
        return before.text, token.text, trimmed.start + token.start
    return None


def _plurals(name: bytes) -> set[bytes]:
    found = {name + b"s", name + b"es", name + b"_list", name + b"List"}
    return found | {name[:-1] + b"ies"} if name.endswith(b"y") else found


def _is_many(old: list[Token], new: list[Token]) -> bool:
    """Whether the change added a list type, or the parameter has no type."""
    texts = [b"".join(token.text for token in some) for some in (old, new)]
    typed = b":" in texts[1].rstrip(b":{") or b"[]" in texts[1]
    return len(_COLLECTION.findall(texts[1])) > len(_COLLECTION.findall(texts[0])) or not typed


def _looped(situation: Situation, function: Node, one: bytes, several: bytes) -> NextEdit | None:
    """Puts a loop over `several` around the statements from the first that uses `one` to the last before the return."""
    document, tree = situation.document, tree_of(situation.document)
    body = function.child_by_field_name("body")
    if body is None or any(_is_used(tree, body, several)):
        return None
    statements = [node for node in _statements(body) if "comment" not in node.type]
    using = [index for index, node in enumerate(statements) if any(_is_used(tree, node, one))]
    if not using or any(introduced_by(node) is not None for node in _is_used(tree, body, one)):
        return None
    last = len(statements) - 1
    if statements[last].type.startswith("return"):
        last -= 1
    if using[-1] > last:
        return None
    first_line = document.line_at(statements[using[0]].start_byte)
    last_line = document.line_at(statements[last].end_byte)
    if last_line - first_line > _MOST_LINES:
        return None
    indent = _indent(document.line(first_line))
    outer = _indent(document.line(document.line_at(function.start_byte)))
    if not indent.startswith(outer) or indent == outer:
        return None
    unit = indent[len(outer) :]
    opens, closes = _LOOPS[situation.language.name]
    lines = [document.line(number) for number in range(first_line, last_line + 1)]
    if any(_is_text(tree, document.line_start(number)) for number in range(first_line, last_line + 1)):
        return None
    made = [indent + opens.format(one=one.decode(), all=several.decode()).encode()]
    made += [unit + line if line.strip() else line for line in lines]
    made += [indent + closes.encode()] if closes else []
    start, end = document.line_start(first_line), document.line_end(last_line)
    text = document.newline.join(made)
    if not tree.stays_whole(start, end, text):
        return None
    why = f"{one.decode('utf-8', 'replace')} is {several.decode('utf-8', 'replace')} now"
    return NextEdit("arguments", document, start, end, text, why, 2)


def _statements(body: Node) -> list[Node]:
    """The statements of a body; some grammars put them into a list node of its own."""
    inner = body.named_children
    return inner[0].named_children if len(inner) == 1 and inner[0].type == "statement_list" else inner


def _is_used(tree: Tree, within: Node, name: bytes) -> Iterator[Node]:
    """The nodes in `within` where a variable `name` is used."""
    for offset in words(tree.document, name, within.start_byte, within.end_byte):
        node = name_node(tree, offset, name)
        if node is not None and not is_member(tree, node) and not is_label(node):
            yield node


def _is_text(tree: Tree, offset: int) -> bool:
    """Whether a line begins inside a string or comment."""
    node = tree.node_at(offset)
    return node is not None and node.start_byte < offset and not tree.is_code(offset, offset + 1)


def _indent(line: bytes) -> bytes:
    return line[: len(line) - len(line.lstrip())]
