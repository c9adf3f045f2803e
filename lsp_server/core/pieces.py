"""The pieces of a document that prompts for others show: its definitions, cut to what a reader needs to use them.

A small function is shown whole, a larger one by its signature, a class by its header and the signatures of its
members. Where there is no grammar, a document is divided at its blank lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.language_entry import Language
from lsp_server.core.languages import UNKNOWN, find_language
from lsp_server.core.parsing import parse
from lsp_server.core.syntax import text_of
from lsp_server.core.text import character_start

if TYPE_CHECKING:
    from tree_sitter import Node

# A definition up to this size is shown whole, any other part up to the larger one.
WHOLE_BYTES, MOST_PIECE_BYTES = 480, 1000
_STATEMENT_BYTES = 160
# How many parts a document can have, and how deep definitions are looked for in one another.
MOST_PIECES, _MOST_DEPTH = 1000, 8
# A parse of more steps than this is given up; 256 KB of ordinary code take 2,500.
MOST_STEPS = 5000
_BLOCK_BYTES = 480

# Of the node kinds of all the grammars: what defines something, what only holds definitions, and what is read
# member by member. The kinds' names are alike enough across grammars that no table by language is needed.
_DEFINES = re.compile(r"definition|declaration|_item$|_specifier$|^preproc_(function_)?def$|^export_statement$")
_HOLDS = re.compile(r"^(preproc_if|namespace_|linkage_)|^(mod_item|internal_module|module)$")
_HAS_MEMBERS = re.compile(r"class|interface|trait|impl|enum|struct|record|protocol")
_NAMES = re.compile(r"[^\W\d]\w{2,}")
# What every file has, whatever it is about: keywords and the commonest types.
_KEYWORDS = frozenset(
    re.findall(
        r"\w+",
        """
        abstract and any assert async await bool boolean break byte case catch char class const constructor continue def
        default del delete double elif else enum except export extends extern false False final finally float for from
        fun func function global goto if impl implements import include in int interface internal is lambda let list
        long match mod module mut namespace new nil None nonlocal not null number object operator or override package
        pass private protected pub public raise readonly require return self Self set short sizeof static str string
        String struct super switch template this throw throws trait true True try type typedef typeof union unsigned use
        using val var virtual void volatile when where while with yield dict tuple
        """,
    )
)
_DEFINED = re.compile(
    r"\b(?:class|def|enum|fn|fun|func|function|interface|module|object|record|struct|sub|trait|type)\s+([^\W\d]\w*)"
)
_PRIVATE = re.compile(r"#|_(?!_)")
_BLANK_LINES = re.compile(rb"\n(?:[ \t\r]*\n)+")


@dataclass(frozen=True, slots=True)
class Piece:
    """Part of a document. Two are equal if they show the same text of the same document, wherever it stands.

    path: the name the model is shown. defines: the name or names it is found by; members: the names of what
    it consists of; names: every identifier in it. Each once, in tuples: the garbage collector walks over sets, and
    50,000 pieces of three took it 80 ms.
    """

    uri: str
    path: str
    text: bytes
    language: Language = field(default=UNKNOWN, compare=False)
    offset: int = field(default=0, compare=False)
    defines: tuple[str, ...] = field(default=(), compare=False)
    members: tuple[str, ...] = field(default=(), compare=False)
    names: tuple[str, ...] = field(default=(), compare=False)


def identifiers_in(text: bytes) -> list[str]:
    """The identifiers of three letters or more but keywords, in order, repeated as they are."""
    return [name for name in _NAMES.findall(text.decode("utf-8", "replace")) if name not in _KEYWORDS]


def defined_names(text: bytes) -> frozenset[str]:
    """What `text` defines, judged by keywords that most languages share."""
    return frozenset(_DEFINED.findall(text.decode("utf-8", "replace")))


def pieces_of(document: DocumentSnapshot) -> tuple[Piece, ...]:
    """What `document` offers, in its order, up to the limit; nothing if it is too hard to parse. The time is in
    proportion to its size: 0.1 ms per KB."""
    language = find_language(document.language_id, document.path)
    if language.wheel is None:
        return tuple(islice(_blocks(document, language), MOST_PIECES))
    tree, _ = parse(language, document.source, MOST_STEPS)
    if tree is None:
        return ()
    source = document.source
    return tuple(
        Piece(
            document.uri,
            document.path,
            text,
            language,
            node.start_byte,
            _unique(_defined_by(inner, source)),
            _unique(members),
            _unique(identifiers_in(text)),
        )
        for node, inner in islice(_definitions(tree.root_node, language), MOST_PIECES)
        for text, members in [_shown(node, inner, source)]
        if 0 < len(text) <= MOST_PIECE_BYTES
    )


def _definitions(parent: Node, language: Language, depth: int = 0) -> Iterator[tuple[Node, Node]]:
    """The definitions among the children of `parent`: each with what is inside its decorators or `export`."""
    for node in parent.named_children:
        if node.type in language.imports or node.has_error:
            continue
        if _HOLDS.search(node.type):
            if depth < _MOST_DEPTH:
                yield from _definitions(node.child_by_field_name("body") or node, language, depth + 1)
        elif _DEFINES.search(node.type) or _assigns(node):
            yield node, _inner(node)


def _inner(node: Node) -> Node:
    while (inner := node.child_by_field_name("definition") or node.child_by_field_name("declaration")) is not None:
        node = inner
    return node


def _assigns(node: Node) -> bool:
    return node.type == "expression_statement" and any("assignment" in child.type for child in node.named_children)


def _defined_by(node: Node, source: bytes, depth: int = 0) -> Iterator[str]:
    """The names that a definition gives to something, in whatever field its grammar keeps them."""
    found = depth > _MOST_DEPTH
    for name in () if found else ("name", "declarator", "left"):
        for child in node.children_by_field_name(name):
            found = True
            if child.named_child_count == 0 or name == "name":
                yield text_of(child, source).decode("utf-8", "replace")
            elif name == "declarator":
                yield from _defined_by(child, source, depth + 1)
            else:
                yield from identifiers_in(text_of(child, source))
    if not found and node.type == "impl_item":
        yield from identifiers_in(b" ".join(text_of(child, source) for child in node.children_by_field_name("type")))
    elif not found:
        for child in node.named_children:
            if re.search(r"declarator|assignment|_spec$|definition", child.type):
                yield from _defined_by(child, source, depth + 1)


def _shown(node: Node, inner: Node, source: bytes) -> tuple[bytes, list[str]]:
    """The text that a definition is shown by, and the names of its members."""
    body = inner.child_by_field_name("body")
    whole = source[node.start_byte : node.end_byte]
    members: list[str] = []
    if body is not None and _HAS_MEMBERS.search(inner.type):
        outline = [source[node.start_byte : body.start_byte].rstrip()]
        room = MOST_PIECE_BYTES - len(outline[0]) - 16
        for member in body.named_children:
            line = _member(member, source)
            names = [name for name in _defined_by(_inner(member), source) if not _PRIVATE.match(name)]
            if line and names and len(line) < room:
                members.extend(names)
                room -= len(line) + 1
                outline.append(line)
        brace = source[body.start_byte : body.start_byte + 1] == b"{"
        if len(whole) > WHOLE_BYTES:
            whole = b"\n".join([outline[0] + b" {", *outline[1:], b"}"] if brace else outline)
            if len(outline) == 1 and not brace:
                whole += b" ..."
    elif len(whole) > WHOLE_BYTES:
        whole = _signature(node, body, source)
    return whole.rstrip(), members


def _member(member: Node, source: bytes) -> bytes:
    """One line or a few for a member of a class: a signature, or a short field; empty for all else."""
    indent = source[source.rfind(b"\n", 0, member.start_byte) + 1 : member.start_byte]
    indent = indent if not indent.strip() else b""
    body = _inner(member).child_by_field_name("body")
    if body is not None:
        return indent + _signature(member, body, source)
    text = text_of(member, source)
    if "comment" in member.type or len(text) > _STATEMENT_BYTES:
        return b""
    if member.type == "expression_statement" and not _assigns(member):
        return b""  # a docstring
    end = source[member.end_byte : member.end_byte + 1]
    return indent + text + (end if end in b";," else b"")


def _signature(node: Node, body: Node | None, source: bytes) -> bytes:
    """What stands in front of the body, and a mark that one is left out. Without a body, the first line."""
    if body is None:
        return source[node.start_byte : node.end_byte].partition(b"\n")[0].rstrip() + b" ..."
    head = source[node.start_byte : body.start_byte]
    lines = [line for line in head.splitlines() if not line.lstrip().startswith((b"#", b"//"))]
    mark = b" { ... }" if source[body.start_byte : body.start_byte + 1] == b"{" else b" ..."
    return b"\n".join(lines).rstrip() + mark


def _blocks(document: DocumentSnapshot, language: Language) -> Iterator[Piece]:
    """The document divided at blank lines, small neighbours together."""
    source = document.source
    ends = [match.end() for match in _BLANK_LINES.finditer(source)]
    start = end = 0
    for following in [*ends, len(source)]:
        if following - start > _BLOCK_BYTES and source[start:end].strip():
            yield _block(document, language, start, end)
            start = end
        end = following
    if source[start:end].strip():
        yield _block(document, language, start, end)


def _block(document: DocumentSnapshot, language: Language, start: int, end: int) -> Piece:
    text = document.source[start:end]
    if len(text) > MOST_PIECE_BYTES:
        line_end = text.rfind(b"\n", 0, MOST_PIECE_BYTES)
        text = text[: line_end if line_end > 0 else character_start(text, MOST_PIECE_BYTES)]
    text = text.strip(b"\r\n").rstrip()
    names = _unique(identifiers_in(text))
    return Piece(document.uri, document.path, text, language, start, _unique(defined_names(text)), (), names)


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
