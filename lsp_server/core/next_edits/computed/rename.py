"""Kind `rename`: a name was changed where it is introduced, so its uses are changed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.next_edits.history import Hunk
from lsp_server.core.next_edits.names import (
    function_around,
    introduced_by,
    is_distinctive,
    is_label,
    is_member,
    name_node,
    replaced,
    scope_of,
    together,
    words,
)
from lsp_server.core.next_edits.proposal import NextEdit, Situation
from lsp_server.core.next_edits.tokens import tokens_of
from lsp_server.core.next_edits.trees import Tree, language_of, tree_of

# A name with more uses is not followed. Uses of a file-wide name at most `_NEAR_LINES` apart are changed together.
_MOST_USES, _NEAR_LINES = 300, 4
# How many of the last edits are considered: a rename goes on while its uses are changed one by one.
_LAST_HUNKS = 6
_SELF = re.compile(rb"(?:self|this|Self|cls)(?:\.|->|::|\?\.)$")
_DEFINES = rb"\b(?:def|fn|func|function|class|struct|enum|trait|interface|type|let|const|var|val|fun)\s+%b\b"
_IMPORTS = rb"^[^\n]*\b(?:import|from|use|require|include)\b[^\n]*\b%b\b"


def carry_on(situation: Situation) -> Iterator[NextEdit]:
    for hunk in situation.here()[::-1][:_LAST_HUNKS]:
        renamed = renamed_in(hunk, situation)
        if renamed is None:
            continue
        old, new, place = renamed
        edits = list(_edits(situation, hunk, old, new, place))
        yield from edits
        if edits:
            return


def renamed_in(hunk: Hunk, situation: Situation) -> tuple[bytes, bytes, int] | None:
    """The one name that a hunk changed: the old name, the new name and the offset of its first occurrence. None if the
    hunk changed anything else."""
    trimmed = hunk.trimmed()
    if len(trimmed.old) != len(trimmed.new) or not trimmed.old:
        return None
    text = b"\n".join(trimmed.new)
    before, after = tokens_of(b"\n".join(trimmed.old), situation.language), tokens_of(text, situation.language)
    if len(before) != len(after):
        return None
    changed = [(a, b) for a, b in zip(before, after, strict=True) if a.text != b.text]
    if not changed or any(a.kind != "word" or b.kind != "word" for a, b in changed):
        return None
    if len({(a.text, b.text) for a, b in changed}) != 1:
        return None
    if any(token.text == changed[0][0].text for token in after):
        return None  # the old name is still in these lines, so it was not renamed
    return changed[0][0].text, changed[0][1].text, trimmed.start + changed[0][1].start


def _edits(situation: Situation, hunk: Hunk, old: bytes, new: bytes, place: int) -> Iterator[NextEdit]:
    document = situation.document
    tree = tree_of(document)
    node = name_node(tree, place, new)
    introducer = introduced_by(node) if node is not None else None
    if node is None or introducer is None or is_member(tree, node):
        return
    scope, around = scope_of(node, introducer)
    why = f"{old.decode('utf-8', 'replace')} is {new.decode('utf-8', 'replace')} now"
    if scope == "local":
        if around is None:
            return
        uses = _local_uses(situation, old, new, around.start_byte, around.end_byte, place)
        if uses:
            yield from _proposed(document, uses, old, new, hunk.end, why, 3)
        return
    if is_defined(document, old):
        return
    yield from _file_uses(situation, hunk, old, new, scope == "member", why)


def is_defined(document: DocumentSnapshot, name: bytes) -> bool:
    return re.search(_DEFINES % re.escape(name), document.source) is not None


def _local_uses(situation: Situation, old: bytes, new: bytes, start: int, end: int, place: int) -> list[int]:
    """The uses of a local variable; none if it is introduced again, or if the new name was used before."""
    document = situation.document
    tree = tree_of(document)
    for offset in words(document, new, start, end):
        node = name_node(tree, offset, new)
        if node is None or is_member(tree, node) or is_label(node) or offset == place:
            continue
        if not any(h.start <= offset < h.end for h in situation.here()):
            return []
    found = []
    for offset in words(document, old, start, end):
        node = name_node(tree, offset, old)
        if node is None or is_member(tree, node) or is_label(node):
            continue
        introducer = introduced_by(node)
        if introducer is not None and (introducer.type != "assignment" or offset < place):
            return []
        if node.parent is not None and node.parent.type in ("global_statement", "nonlocal_statement"):
            return []
        found.append(offset)
    return found if len(found) <= _MOST_USES else []


def _file_uses(situation: Situation, hunk: Hunk, old: bytes, new: bytes, member: bool, why: str) -> Iterator[NextEdit]:
    """The uses of a name of the whole file or of a class: in this file first, then in others if the name is so
    distinctive that it means the same there."""
    documents = [situation.document]
    if is_distinctive(old):
        documents += [each for each in situation.others if language_of(each) is situation.language]
    for document in documents:
        here = document is situation.document
        if not here and (is_defined(document, old) or not _mentions(document, old, member)):
            continue
        offsets = list(islice(words(document, old), _MOST_USES + 1))
        if not offsets:
            continue
        if len(offsets) > _MOST_USES:
            return
        tree, after = tree_of(document), hunk.end if here else 0
        uses: list[int] = []
        for offset in [o for o in offsets if o >= after] + [o for o in offsets if o < after]:
            if uses and not 0 <= document.line_at(offset) - document.line_at(uses[-1]) <= _NEAR_LINES:
                break
            if _is_use(tree, document, offset, old, member):
                uses.append(offset)
        if uses:
            certain = all(_SELF.search(document.source[max(0, o - 8) : o]) for o in uses) if member else here
            yield from _proposed(document, uses, old, new, uses[0], why, 3 if certain else 2)
            return


def _mentions(document: DocumentSnapshot, name: bytes, member: bool) -> bool:
    """Whether a document uses a name from elsewhere: by an import, or after a dot."""
    escaped = re.escape(name)
    if re.search(rb"(?:\.|->|::)%b(?![\w\x80-\xff])" % escaped, document.source) is not None:
        return True
    return not member and re.search(_IMPORTS % escaped, document.source, re.MULTILINE) is not None


def _is_use(tree: Tree, document: DocumentSnapshot, offset: int, old: bytes, member: bool) -> bool:
    node = name_node(tree, offset, old)
    if node is None:
        return False
    if member:
        if not is_member(tree, node):
            return False
        return is_distinctive(old) or _SELF.search(document.source[max(0, offset - 8) : offset]) is not None
    if is_label(node) or is_member(tree, node):
        return False
    if introduced_by(node) is not None and (node.parent is None or "import" not in node.parent.type):
        return False
    function = function_around(node)
    while function is not None:  # a variable of that name in an enclosing function is a different one
        for other in words(document, old, function.start_byte, function.end_byte):
            found = name_node(tree, other, old)
            if found is not None and introduced_by(found) is not None:
                return False
        function = function_around(function)
    return True


def _proposed(
    document: DocumentSnapshot, uses: list[int], old: bytes, new: bytes, start: int, why: str, certainty: int
) -> Iterator[NextEdit]:
    group = together(document, uses, start)
    first, last, text = replaced(document, group, old, new)
    if tree_of(document).stays_whole(first, last, text):
        yield NextEdit("rename", document, first, last, text, why, certainty)
