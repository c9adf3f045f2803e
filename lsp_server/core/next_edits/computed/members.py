"""Kind `member`: an enum, a class or a list of parameters got a new member, so lists that name all others follow.

Such a list is recognised by its items: each names one of the other members, and all are built from the members in the
same way. That rule then gives the item of the new member.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.languages.entry import Language
from lsp_server.core.next_edits.history import Hunk
from lsp_server.core.next_edits.names import words
from lsp_server.core.next_edits.node_kinds import PYTHON_PARAMETERS, SELVES
from lsp_server.core.next_edits.patterns import Pattern, instance, matched, unify
from lsp_server.core.next_edits.proposal import NextEdit, Situation
from lsp_server.core.next_edits.tokens import Token, tokens_of
from lsp_server.core.next_edits.trees import Tree, language_of, tree_of

if TYPE_CHECKING:
    from tree_sitter import Node

_LAST_HUNKS, _MOST_MEMBERS, _MOST_PLACES, _MOST_HEIGHT = 3, 60, 40, 7
_MOST_ITEM_BYTES = 600


@dataclass(frozen=True, slots=True)
class Member:
    name: bytes
    text: bytes


@dataclass(frozen=True, slots=True)
class Members:
    """The members of one list, in order. new: the index of the new one. start, end: the range of the list."""

    members: tuple[Member, ...]
    new: int
    start: int
    end: int

    @property
    def neighbour(self) -> int:
        """The index of the member before the new one; if the new one is the first, of the next."""
        return self.new - 1 if self.new else 1


def follow_members(situation: Situation) -> Iterator[NextEdit]:
    for hunk in situation.here()[::-1][:_LAST_HUNKS]:
        for members in _members(situation.document, hunk):
            some = False
            for edit in _edits(situation, hunk, members):
                some = True
                yield edit
            if some:
                return


# The list that has got a member -----------------------------------------------------------------------------------


def _members(document: DocumentSnapshot, hunk: Hunk) -> Iterator[Members]:
    """The lists that the hunk added exactly one member to, the innermost first."""
    trimmed = hunk.trimmed()
    language = language_of(document)
    added = _added(b"\n".join(trimmed.old), b"\n".join(trimmed.new), language)
    if added is None or trimmed.start < 0:
        return
    start, end = trimmed.start + added[0], trimmed.start + added[1]
    tree = tree_of(document)
    node = tree.node_at(start, end)
    for _ in range(4):
        if node is None or node.parent is None:
            return
        siblings = node.parent.named_children
        # Some grammars put the comma into the item's node and some do not, so the added range can hold several nodes.
        inside = [index for index, each in enumerate(siblings) if start <= each.start_byte and each.end_byte <= end]
        if len(inside) == 1 and 3 <= len(siblings) <= _MOST_MEMBERS and not node.parent.has_error:
            found = _listed(tree, siblings, inside[0])
            if found is not None:
                yield found
        node = node.parent


def _added(old: bytes, new: bytes, language: Language) -> tuple[int, int] | None:
    """The range in `new` of the single run of tokens that `old` does not have."""
    before, after = tokens_of(old, language), tokens_of(new, language)
    texts, others = [t.text for t in before], [t.text for t in after]
    if len(others) <= len(texts):
        return None
    head = next((i for i, (a, b) in enumerate(zip(texts, others, strict=False)) if a != b), len(texts))
    tail = len(texts) - head
    if texts[head:] != others[len(others) - tail :]:
        return None
    inner = after[head : len(others) - tail]
    while inner and inner[0].text in (b",", b";", b"|"):
        inner = inner[1:]
    while inner and inner[-1].text in (b",", b";", b"|"):
        inner = inner[:-1]
    return (inner[0].start, inner[-1].end) if inner else None


def _listed(tree: Tree, siblings: Sequence[Node], new: int) -> Members | None:
    """The siblings of the new node's type as members, if all their names differ."""
    kind = siblings[new].type
    first = new
    while first and _is_alike(siblings[first - 1], kind):
        first -= 1
    last = new
    while last + 1 < len(siblings) and _is_alike(siblings[last + 1], kind):
        last += 1
    nodes = [
        node for node in siblings[first : last + 1] if "comment" not in node.type and tree.text(node) not in SELVES
    ]
    members = [_member(tree, node) for node in nodes]
    found = tuple(member for member in members if member is not None)
    index = nodes.index(siblings[new]) if siblings[new] in nodes else 0
    if len(found) != len(nodes) or len(found) < 3 or len({member.name for member in found}) != len(found):
        return None
    return Members(found, index, nodes[0].start_byte, nodes[-1].end_byte)


def _is_alike(node: Node, kind: str) -> bool:
    both_parameters = kind in PYTHON_PARAMETERS and node.type in PYTHON_PARAMETERS
    return node.type == kind or "comment" in node.type or both_parameters


def _member(tree: Tree, node: Node) -> Member | None:
    """The node as a member. Its name is that of its name field, else its first word."""
    named = node.child_by_field_name("name") or node.child_by_field_name("pattern")
    text = tree.text(node)
    if named is None or named.child_count:
        words_ = [token for token in tokens_of(text, tree.language) if token.kind == "word"]
        if not words_:
            return None
        if named is not None:
            inner = [token for token in tokens_of(tree.text(named), tree.language) if token.kind == "word"]
            return Member(inner[0].text, text) if inner else None
        return Member(words_[0].text, text)
    return Member(tree.text(named), text)


# The lists that name all the others ----------------------------------------------------------------------------


def _edits(situation: Situation, hunk: Hunk, members: Members) -> Iterator[NextEdit]:
    neighbour = members.members[members.neighbour]
    new = members.members[members.new].name
    why = f"{new.decode('utf-8', 'replace')} is new beside {neighbour.name.decode('utf-8', 'replace')}"
    documents = [situation.document, *(d for d in situation.others if language_of(d) is situation.language)]
    for document in documents:
        here = document is situation.document
        offsets = [o for o in words(document, neighbour.name) if not (here and members.start <= o < members.end)]
        if here:
            offsets = [o for o in offsets if o >= hunk.end] + [o for o in offsets if o < hunk.end]
        for offset in offsets[:_MOST_PLACES]:
            tree = tree_of(document)
            found = _item(tree, offset, members)
            if found is not None and tree.stays_whole(found[0], found[0], found[1]):
                yield NextEdit("member", document, found[0], found[0], found[1], why, 3)


def _item(tree: Tree, offset: int, members: Members) -> tuple[int, bytes] | None:
    """The offset and text of the new member's item, in the list where `offset` is in the neighbour's item."""
    others = [member for index, member in enumerate(members.members) if index != members.new]
    names = {member.name for member in others}
    new = members.members[members.new].name
    if not tree.is_code(offset, offset + 1):
        return None
    node = tree.node_at(offset, offset + 1)
    for _ in range(_MOST_HEIGHT):
        if node is None or node.parent is None or node.end_byte - node.start_byte > _MOST_ITEM_BYTES:
            return None
        items: dict[bytes, Node] = {}
        for sibling in node.parent.named_children:
            named = {t.text for t in tokens_of(tree.text(sibling), tree.language) if t.text in names or t.text == new}
            if new in named or len(named) > 1 or (named and next(iter(named)) in items):
                items = {}
                break
            if named:
                items[next(iter(named))] = sibling
        if len(items) == len(others):
            return _made(tree, items, members)
        node = node.parent
    return None


def _made(tree: Tree, items: dict[bytes, Node], members: Members) -> tuple[int, bytes] | None:
    """The new item, if all other items are built in the same way and are in the order of their members."""
    listed = [member for index, member in enumerate(members.members) if index != members.new]
    at = members.neighbour - (members.neighbour > members.new)
    starts = [items[member.name].start_byte for member in listed]
    if starts != sorted(starts):
        return None
    neighbour = items[listed[at].name]
    other = listed[at - 1] if at else listed[at + 1]
    made = None
    for texts in ([member.text for member in (listed[at], other)], [listed[at].name, other.name]):
        whole = texts[0] != listed[at].name
        before = [tokens_of(text, tree.language) for text in texts]
        after = [tokens_of(tree.text(items[member.name]), tree.language) for member in (listed[at], other)]
        pattern = unify((before[0], before[1]), (after[0], after[1]))
        if pattern is None or not pattern.varies:
            continue
        if all(_agrees(tree, pattern, member, items[member.name], whole) for member in listed):
            new = members.members[members.new]
            made = _parts(pattern, new.text if whole else new.name, tree)
            if made is not None:
                break
    if made is None:
        return None
    return _placed(tree, neighbour, items[other.name], made, before=members.new == 0)


def _parts(pattern: Pattern, text: bytes, tree: Tree) -> list[bytes] | None:
    tokens = tokens_of(text, tree.language)
    found = matched(pattern, tokens, 0)
    if found is None or found[0] != len(tokens):
        return None
    return instance(pattern, found[1], text)


def _agrees(tree: Tree, pattern: Pattern, member: Member, item: Node, whole: bool) -> bool:
    parts = _parts(pattern, member.text if whole else member.name, tree)
    if parts is None:
        return False
    have = [token.text for token in tokens_of(tree.text(item), tree.language)]
    return [token.text for part in parts for token in tokens_of(part, tree.language)] == have


def _placed(tree: Tree, neighbour: Node, other: Node, parts: list[bytes], *, before: bool) -> tuple[int, bytes] | None:
    """The offset of the new item, and its text with the separator of the other items and the neighbour's spacing."""
    source = tree.document.source
    text = tree.text(neighbour)
    old: list[Token] = tokens_of(text, tree.language)
    new = [token.text for part in parts for token in tokens_of(part, tree.language)]
    spaces = [text[a.end : b.start] for a, b in pairwise(old)]
    if len(new) != len(old):
        spaces = [b" "] * (len(new) - 1)
        if b"\n" in text:
            return None
    made = new[0] + b"".join(space + token for space, token in zip(spaces, new[1:], strict=True))
    first, second = sorted((neighbour, other), key=lambda node: node.start_byte)
    if first.next_named_sibling != second:
        return None
    between = source[first.end_byte : second.start_byte]
    if before:
        return neighbour.start_byte, made + between
    return neighbour.end_byte, between + made
