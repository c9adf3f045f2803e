"""Kind `mend`: the last edit has left an error at its place for which there is exactly one fix."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from lsp_server.core.next_edits.computed.imports import imports_of
from lsp_server.core.next_edits.names import (
    function_around,
    introduced_by,
    is_alone,
    is_label,
    is_member,
    name_node,
    words,
)
from lsp_server.core.next_edits.proposal import NextEdit, Situation
from lsp_server.core.next_edits.tokens import tokens_of
from lsp_server.core.next_edits.trees import tree_of
from lsp_server.core.parsing import keywords

if TYPE_CHECKING:
    from tree_sitter import Node

_WORD = re.compile(rb"[A-Za-z_]\w*")
_LEAST_LETTERS, _MOST_KEYWORDS, _NEAR_LINES = 4, 12, 2


def mend(situation: Situation) -> Iterator[NextEdit]:
    yield from _keyword(situation)
    yield from _decorator(situation)
    yield from _name(situation)


def _keyword(situation: Situation) -> Iterator[NextEdit]:
    """Fixes a keyword with a typo at the beginning of a line."""
    document, hunk = situation.document, situation.last
    if hunk is None or hunk.uri != document.uri or hunk.start < 0:
        return
    trimmed = hunk.trimmed()
    position = trimmed.start
    for line in trimmed.new:
        start, position = position, position + len(line) + 1
        tokens = tokens_of(line, situation.language)
        if not tokens or tokens[0].kind != "word" or len(tokens) < 2:
            continue
        word = tokens[0].text
        first, last = start + tokens[0].start, start + tokens[0].end
        if len(word) < _LEAST_LETTERS or (first <= situation.cursor <= last and not situation.asked):
            continue
        near = [k for k in keywords(situation.language) if len(k) >= 2 and is_typo(word, k)][:_MOST_KEYWORDS]
        if not near:
            continue
        tree = tree_of(document)
        line_end = document.line_end(document.line_at(first))
        if not any(a <= line_end and start <= b for a, b in tree.errors):
            continue
        fixes = [k for k in near if (e := tree.errors_with(first, last, k)) is not None and e < len(tree.errors)]
        if len(fixes) == 1:
            why = f"{word.decode('utf-8', 'replace')} is no word of the language"
            yield NextEdit("mend", document, first, last, fixes[0], why, 3)
            return


def is_typo(word: bytes, right: bytes) -> bool:
    """Whether `word` is `right` with a typo: one or two letters too many, missing, wrong or swapped, or stuck to other
    letters."""
    if word == right or abs(len(word) - len(right)) > 2:
        return False
    if len(right) >= 4 and (word.endswith(right) or word.startswith(right)):
        return True
    return distance(word, right) <= (1 if len(right) < 6 else 2)


def distance(a: bytes, b: bytes) -> int:
    """The number of insertions, deletions, replacements and swaps of letters that turn `a` into `b`."""
    rows = [list(range(len(b) + 1))]
    for i, x in enumerate(a, 1):
        row = [i]
        for j, y in enumerate(b, 1):
            cost = min(rows[-1][j] + 1, row[-1] + 1, rows[-1][j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                cost = min(cost, rows[-2][j - 2] + 1)
            row.append(cost)
        rows.append(row)
    return rows[-1][-1]


def _decorator(situation: Situation) -> Iterator[NextEdit]:
    """Completes an empty decorator near the cursor, if exactly one imported name is not used yet."""
    document = situation.document
    if situation.language.name != "Python" or not situation.asked:
        return
    near = document.line_at(situation.cursor)
    lines = range(max(0, near - _NEAR_LINES), min(document.line_count, near + _NEAR_LINES + 1))
    empty = [document.line_end(line) for line in lines if document.line(line).strip() == b"@"]
    if len(empty) != 1:
        return
    cursor = empty[0]
    names = [
        name
        for each in imports_of(document)
        for name in (re.split(rb"\bas\b", text)[-1].strip() for text in each.names)
        if is_alone(document, name)
    ]
    if len(names) == 1 and tree_of(document).stays_whole(cursor, cursor, names[0]):
        why = f"{names[0].decode('utf-8', 'replace')} is imported and not used yet"
        yield NextEdit("mend", document, cursor, cursor, names[0], why, 2)


def _name(situation: Situation) -> Iterator[NextEdit]:
    """Fixes an undefined name that is a name of the enclosing function with a typo."""
    document, hunk = situation.document, situation.last
    if hunk is None or hunk.uri != document.uri or hunk.start < 0:
        return
    trimmed = hunk.trimmed()
    text = b"\n".join(trimmed.new)
    known = {token.text for token in tokens_of(b"\n".join(trimmed.old), situation.language)}
    for token in tokens_of(text, situation.language):
        start, word = trimmed.start + token.start, token.text
        if token.kind != "word" or len(word) < 5 or word in known or not is_alone(document, word):
            continue
        if start <= situation.cursor <= start + len(word) and not situation.asked:
            continue
        tree = tree_of(document)
        node = name_node(tree, start, word)
        if node is None or is_member(tree, node) or is_label(node) or introduced_by(node) is not None:
            continue
        right = _meant(situation, node, word)
        if right is not None:
            why = f"{word.decode('utf-8', 'replace')} is introduced nowhere"
            yield NextEdit("mend", document, start, start + len(word), right, why, 2)
            return


def _meant(situation: Situation, node: Node, word: bytes) -> bytes | None:
    """The one name introduced in the enclosing function that differs from `word` by a typo."""
    document = situation.document
    tree, function = tree_of(document), function_around(node)
    if function is None:
        return None
    near = {
        match.group()
        for match in _WORD.finditer(document.source, function.start_byte, function.end_byte)
        if abs(len(match.group()) - len(word)) <= 1 and match.group() != word
    }
    near = {name for name in near if distance(word, name) == 1 and _differs_by_typo(word, name)}
    if len(near) != 1 or any(word in other.source for other in situation.others):
        return None
    name = next(iter(near))
    for offset in words(document, name, function.start_byte, function.end_byte):
        other = name_node(tree, offset, name)
        if other is not None and introduced_by(other) is not None:
            return name
    return None


def _differs_by_typo(word: bytes, name: bytes) -> bool:
    """Whether the difference is a typo, and not a number, a plural or a first or last letter that tells names apart."""
    if word[:1] != name[:1] or word[-1:] != name[-1:]:
        return False
    return word.translate(None, b"0123456789_") != name.translate(None, b"0123456789_")
