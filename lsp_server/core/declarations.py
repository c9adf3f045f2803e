"""Lists the definitions of a file for the project index: signature, members, first line of documentation, position."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from lsp_server.core.doc_comments import COMMENTS, doc_comment, docstring
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.languages import find_language
from lsp_server.core.parsing import parse
from lsp_server.core.pieces import (
    HAS_MEMBERS,
    MOST_PIECE_BYTES,
    MOST_STEPS,
    PRIVATE,
    WHOLE_BYTES,
    defined_by,
    definitions_in,
    inner_of,
    member_text,
    signature_text,
    unique,
)
from lsp_server.core.syntax import text_of

if TYPE_CHECKING:
    from tree_sitter import Node

# The limit for one file, and for one class.
MOST_DECLARATIONS, MOST_MEMBERS = 400, 200
_DOC_CHARACTERS = 160
_RECEIVER = re.compile(rb"(\w+)\s*(?:\[[^\]]*\])?\s*,?\s*\)$")
# The signs around the words of a comment or a docstring.
_AROUND_WORDS = re.compile(
    r"""^[rRbBuUfF]{0,2}(?:\"""|'''|"|')|^(?:/\*[*!]?|//[/!]?|--|#|;+|\*)|(?:\"""|'''|"|'|\*/)$"""
)


@dataclass(frozen=True, slots=True)
class Member:
    """One member of a class or a similar definition. text: its signature, or all of a short field. method: whether it
    has a body."""

    names: tuple[str, ...]
    text: bytes
    method: bool


@dataclass(frozen=True, slots=True)
class Declaration:
    """One definition at the top level of a file.

    head: its signature; for a class the text before its members. whole: all of its text if it is small, else empty.
    tail: the text that closes it after its members. doc: the first line of its documentation. line: counted from 0.
    receiver: the type that a method belongs to, where the language has methods at the top level, as Go does.
    """

    defines: tuple[str, ...]
    head: bytes
    whole: bytes
    members: tuple[Member, ...]
    tail: bytes
    doc: str
    offset: int
    line: int
    receiver: str = ""


def declarations_of(document: DocumentSnapshot) -> tuple[Declaration, ...]:
    """The declarations in `document`, in its order, up to the limit. Empty without a grammar, or if parsing takes too
    many steps."""
    language = find_language(document.language_id, document.path)
    tree, _ = parse(language, document.source, MOST_STEPS)
    if tree is None:
        return ()
    found = definitions_in(tree.root_node, language)
    python = language.name == "Python"
    every = (_declaration(node, inner, document.source, python=python) for node, inner in found)
    return tuple(islice((each for each in every if each.defines), MOST_DECLARATIONS))


def _declaration(node: Node, inner: Node, source: bytes, *, python: bool) -> Declaration:
    body = inner.child_by_field_name("body")
    whole = source[node.start_byte : node.end_byte].rstrip()
    members: tuple[Member, ...] = ()
    tail = b""
    if body is not None and HAS_MEMBERS.search(inner.type):
        members = tuple(islice(_members(body, source), MOST_MEMBERS))
        brace = source[body.start_byte : body.start_byte + 1] == b"{"
        head = source[node.start_byte : body.start_byte].rstrip() + (b" {" if brace else b"")
        tail = b"}" if brace else b""
    else:
        head = whole if len(whole) <= 100 and body is None else signature_text(node, body, source)
    return Declaration(
        unique(defined_by(inner, source)),
        head[:MOST_PIECE_BYTES],
        whole if len(whole) <= WHOLE_BYTES else b"",
        members,
        tail,
        _doc(node, inner, body, source, python=python),
        node.start_byte,
        node.start_point.row,
        _receiver(inner, source),
    )


def _receiver(inner: Node, source: bytes) -> str:
    """The name of the type in the parentheses before the name of a method, without its type parameters."""
    node = inner.child_by_field_name("receiver")
    match = _RECEIVER.search(text_of(node, source)) if node is not None else None
    return match[1].decode("utf-8", "replace") if match is not None else ""


def _members(body: Node, source: bytes) -> Iterator[Member]:
    for member in body.named_children:
        if member.type in COMMENTS:
            continue
        inner = inner_of(member)
        text = member_text(member, source)
        names = unique(name for name in defined_by(inner, source) if not PRIVATE.match(name))
        if text and names and len(text) <= MOST_PIECE_BYTES // 2:
            yield Member(names, text, inner.child_by_field_name("body") is not None)


def _doc(node: Node, inner: Node, body: Node | None, source: bytes, *, python: bool) -> str:
    name = inner.child_by_field_name("name") or inner
    place = docstring(body) if python else doc_comment(node, node, inner, name, source)
    if place is None:
        return ""
    for line in source[slice(*place)].decode("utf-8", "replace").splitlines():
        words = _AROUND_WORDS.sub("", _AROUND_WORDS.sub("", line.strip()).strip()).strip()
        if words:
            return words[:_DOC_CHARACTERS]
    return ""
