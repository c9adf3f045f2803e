"""Reads which names a member of a class declares, assigns and uses, and which names other code assigns.

The results are cached by the text.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lsp_server.core.names.class_kinds import ClassKinds

if TYPE_CHECKING:
    from tree_sitter import Node

# The name that is put at the cursor for a parse.
MARK = "fimble_cursor_"
# How many characters before a name are examined.
_BEFORE = 300
# A member with more occurrences of a bare `this` is not read.
_MOST_BARE = 1000
# The maximum number of other names that a member gives to its object.
_MOST_ALIASES = 8
_SYMBOL = re.compile(r"\[\s*Symbol\s*\.\s*\w+\s*\]")
# The type of the result of a method that tells the type of its object.
_TESTS = re.compile(r":\s*(?:asserts\s+this\b|this\s+is\b)")
_TAKEN = re.compile(r"#?[\w$]+")


@dataclass(frozen=True, slots=True)
class Facts:
    """What one member of a class says. own: the names that it declares. given: the names that it assigns to an object.
    used: the names that it uses. opaque: whether it may add names that cannot be read. fields: whether it declares a
    field."""

    own: frozenset[str] = frozenset()
    given: frozenset[str] = frozenset()
    used: frozenset[str] = frozenset()
    opaque: bool = False
    fields: bool = False


# The cache, by the language's table, the node kind and the hash of the text, and its maximum size. Only the thread that
# parses uses it.
_KNOWN: dict[tuple[int, str, bytes], Facts] = {}
_MOST_KNOWN = 4096


def facts_of(member: Node, text: bytes, kinds: ClassKinds) -> Facts:
    """The facts of a member of a class, whose text is `text`."""
    key = id(kinds), member.type, _hash_of(text)
    return _KNOWN.get(key) or _kept(key, text, _facts_of_member(member, text, kinds))


def facts_outside(code: bytes, kinds: ClassKinds) -> Facts:
    """The facts of code outside the class."""
    key = id(kinds), "", _hash_of(code)
    given = kinds.given
    return _KNOWN.get(key) or _kept(key, code, Facts(given=frozenset(given.findall(code.decode("utf-8", "replace")))))


def _hash_of(text: bytes) -> bytes:
    return hashlib.blake2b(text, digest_size=16).digest()


def _kept(key: tuple[int, str, bytes], text: bytes, facts: Facts) -> Facts:
    if MARK.encode() not in text:
        if len(_KNOWN) >= _MOST_KNOWN:
            _KNOWN.clear()
        _KNOWN[key] = facts
    return facts


def _facts_of_member(node: Node, source: bytes, kinds: ClassKinds) -> Facts:
    if node.type not in kinds.members and node.type != "class_static_block":
        return Facts(opaque=True)  # an index signature, an error or an unknown kind
    text = kinds.comments.sub("", source.decode("utf-8", "replace"))

    def text_of(part: Node) -> str:
        return source[part.start_byte - node.start_byte : part.end_byte - node.start_byte].decode("utf-8", "replace")

    given = set(kinds.given.findall(text))
    if node.type == "class_static_block":
        return Facts(given=frozenset(given))
    named = [(each.type, text_of(each)) for each in names_in(node)]
    computed = [name for kind, name in named if kind == "computed_property_name"]
    own = {name.strip("\"'").removeprefix(kinds.sigil) for _, name in named if name not in computed}
    is_magic = not kinds.magic.isdisjoint(map(str.lower, own))
    if not named or is_magic or any(_SYMBOL.fullmatch(name) is None for name in computed):
        return Facts(opaque=True)
    result = node.child_by_field_name("return_type")
    if result is not None and _TESTS.match(text_of(result)) is not None:
        return Facts(opaque=True)  # a caller may use the names of the type that it tests for
    if is_static(node, kinds):
        return Facts(own=frozenset(own if kinds.reached else ()), given=frozenset(given))
    is_constructor = not kinds.constructors.isdisjoint((node.type, *own))
    if node.type == "constructor_declaration":
        own.clear()
    parameters = node.child_by_field_name("parameters") if is_constructor else None
    for each in parameters.named_children if parameters is not None else ():
        if each.type in kinds.parameters and any(part.type in kinds.promoting for part in [each, *each.children]):
            pattern = each.child_by_field_name("pattern") or each.child_by_field_name("name")
            if pattern is not None:
                own.add(text_of(pattern).lstrip("& ").removeprefix(kinds.sigil))
    every = kinds.used.findall(text)
    used = {name for name, _ in every}
    given |= {name for name, is_given in every if is_given}
    bare = _facts_of_bare(text, kinds)
    return Facts(
        frozenset(own),
        frozenset(given | bare.given),
        frozenset(each for each in used | bare.used if MARK not in each),
        bare.opaque or kinds.computed.search(text) is not None,
        "field" in node.type or "property" in node.type or len(own) > 1,
    )


def _facts_of_bare(text: str, kinds: ClassKinds) -> Facts:
    """The facts of the places where a member writes the receiver without an access."""
    given: set[str] = set()
    used: set[str] = set()
    aliases: set[str] = set()
    opaque = False
    for count, match in enumerate(kinds.bare.finditer(text)):
        if count > _MOST_BARE:
            return Facts(opaque=True)
        before = text[max(0, match.start() - _BEFORE) : match.start()]
        if kinds.mixes.search(before) is not None:
            one = kinds.one.match(text, match.end())
            opaque = opaque or one is None
            given |= {one[1]} if one is not None else set()
        if (alias := kinds.alias.search(before)) is not None:
            aliases.add(re.escape(alias[1]))
        if (taken := kinds.taken.search(before)) is not None:
            parts = (each.strip() for each in taken[1].split(","))
            used |= {name[0] for each in parts if (name := _TAKEN.match(each)) is not None}
    if aliases:
        fills = kinds.fills.replace("ALIAS", f"(?:{'|'.join(sorted(aliases))})")
        opaque = opaque or len(aliases) > _MOST_ALIASES or re.search(fills, text) is not None
    return Facts(given=frozenset(given), used=frozenset(used), opaque=opaque)


def names_in(node: Node) -> list[Node]:
    """The name nodes of a member: a declaration of fields may have several."""
    named = node.child_by_field_name("name") or node.child_by_field_name("property")
    if named is not None:
        return [named]
    parts = (each.child_by_field_name("name") for each in node.named_children if "annotation" not in each.type)
    return [each for each in parts if each is not None]


def is_static(node: Node, kinds: ClassKinds) -> bool:
    every = (
        part for each in node.children for part in ([each, *each.children] if each.type == "modifiers" else [each])
    )
    return any(each.type in kinds.statics for each in every)
