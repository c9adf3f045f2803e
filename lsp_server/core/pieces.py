"""Cuts a document into pieces that prompts for other documents show: its definitions, shortened to what a caller needs.

A small function is shown whole, a larger one by its signature, a class by its header and the signatures of its
members. A document without a grammar is divided at its blank lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.languages import UNKNOWN, find_language
from lsp_server.core.languages.entry import Language
from lsp_server.core.parsing import parse
from lsp_server.core.syntax import text_of
from lsp_server.core.text import character_start

if TYPE_CHECKING:
    from tree_sitter import Node

# A definition of at most `WHOLE_BYTES` is shown whole; any other piece has at most `MOST_PIECE_BYTES`.
WHOLE_BYTES, MOST_PIECE_BYTES = 480, 1000
_STATEMENT_BYTES = 160
# How many pieces a document can have, and how deep nested definitions are searched.
MOST_PIECES, _MOST_DEPTH = 1000, 8
# A parse is stopped after this many steps; 256 KB of ordinary code take 2,500.
MOST_STEPS = 5000
_BLOCK_BYTES = 480

# Types of nodes over all grammars: those that define something, those that only contain definitions, and those that are
# read member by member. The types have similar names in all grammars, so no table by language is needed.
_DEFINES = re.compile(
    r"definition|declaration|_item$|_specifier$|^preproc_(function_)?def$|^export_statement$|^function_sig"
)
_HOLDS = re.compile(r"^(preproc_if|namespace_|linkage_)|^(mod_item|internal_module|module)$")
HAS_MEMBERS = re.compile(r"class|interface|trait|impl|enum|struct|record|protocol")
_NAMES = re.compile(r"[^\W\d]\w{2,}")
# Words that are in every file, whatever it is about: keywords and the most common types.
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
PRIVATE = re.compile(r"#|_(?!_)")
# Targets of an assignment that belong to something else.
_MEMBER = re.compile(r"^(attribute|member_expression|subscript\w*|selector_expression|field_expression)$")
# Makes a blank of every byte that is no letter, digit or underscore of ASCII.
_NAMES_ALONE = bytes(code if code < 128 and (chr(code).isalnum() or code == ord("_")) else 32 for code in range(256))
_BLANK_LINES = re.compile(rb"\n(?:[ \t\r]*\n)+")


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a document. Two pieces are equal if they show the same text of the same document, at any offset.

    path: the name that the model is shown. defines: the names that it defines. members: the names of its members.
    names: every identifier in it, once each. The names are in tuples, because the garbage collector walks over sets:
    50,000 pieces with three sets each took it 80 ms.
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
    """The identifiers of three letters or more, except keywords, in order and with repetitions."""
    if not text.isascii():
        return [name for name in _NAMES.findall(text.decode("utf-8", "replace")) if name not in _KEYWORDS]
    # The same, in half the time.
    found = [name for name in text.translate(_NAMES_ALONE).decode().split() if len(name) > 2 and name not in _KEYWORDS]
    if min(found, default="a") < ":":  # a name does not begin with a digit: of 0xFFF it is xFFF
        found = [name.lstrip("0123456789") for name in found]
        found = [name for name in found if len(name) > 2 and name not in _KEYWORDS]
    return found


def defined_names(text: bytes) -> frozenset[str]:
    """The names that `text` defines, judged by keywords that most languages share."""
    return frozenset(_DEFINED.findall(text.decode("utf-8", "replace")))


def pieces_of(document: DocumentSnapshot) -> tuple[Piece, ...]:
    """The pieces of `document`, in its order, up to the limit; none if parsing takes too many steps. The time is
    proportional to the size: 0.1 ms per KB."""
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
            unique(defined_by(inner, source)),
            unique(members),
            unique(identifiers_in(text)),
        )
        for node, inner in islice(definitions_in(tree.root_node, language), MOST_PIECES)
        for text, members in [_shown(node, inner, source)]
        if 0 < len(text) <= MOST_PIECE_BYTES
    )


def definitions_in(parent: Node, language: Language, depth: int = 0) -> Iterator[tuple[Node, Node]]:
    """The definitions among the children of `parent`, each also without its decorators, `export` or `declare`."""
    for node in parent.named_children:
        if node.type in language.imports or node.has_error:
            continue
        inner = inner_of(node)
        if _HOLDS.search(inner.type):
            if depth < _MOST_DEPTH:
                yield from definitions_in(inner.child_by_field_name("body") or inner, language, depth + 1)
        elif _DEFINES.search(node.type) or _assigns(node):
            yield node, inner


def inner_of(node: Node) -> Node:
    """The definition inside decorators, an `export` or a `declare`."""
    while True:
        inner = node.child_by_field_name("definition") or node.child_by_field_name("declaration")
        if inner is None and node.type == "ambient_declaration" and node.named_children:
            inner = node.named_children[-1]
        if inner is None:
            return node
        node = inner


def _assigns(node: Node) -> bool:
    return node.type == "expression_statement" and any("assignment" in child.type for child in node.named_children)


def defined_by(node: Node, source: bytes, depth: int = 0) -> Iterator[str]:
    """The names that a definition introduces, in whatever field the grammar has them."""
    found = depth > _MOST_DEPTH
    for name in () if found else ("name", "declarator", "left"):
        for child in node.children_by_field_name(name):
            found = True
            if child.named_child_count == 0 or name == "name":
                yield text_of(child, source).decode("utf-8", "replace")
            elif name == "declarator":
                yield from defined_by(child, source, depth + 1)
            elif not _MEMBER.search(child.type):  # `module.name = …` defines neither of them
                yield from identifiers_in(text_of(child, source))
    if not found and node.type == "impl_item":
        for child in node.children_by_field_name("type"):
            # Of `Vec<Item>` or `io::Error` only the type that is implemented.
            inner = child.child_by_field_name("type") or child
            inner = inner.child_by_field_name("name") or inner
            yield from identifiers_in(text_of(inner, source))[:1]
    elif not found:
        for child in node.named_children:
            if re.search(r"declarator|assignment|_spec$|definition", child.type):
                yield from defined_by(child, source, depth + 1)


def _shown(node: Node, inner: Node, source: bytes) -> tuple[bytes, list[str]]:
    """The text that a piece shows of a definition, and the names of its members."""
    body = inner.child_by_field_name("body")
    whole = source[node.start_byte : node.end_byte]
    members: list[str] = []
    if body is not None and HAS_MEMBERS.search(inner.type):
        outline = [source[node.start_byte : body.start_byte].rstrip()]
        room = MOST_PIECE_BYTES - len(outline[0]) - 16
        for member in body.named_children:
            line = member_text(member, source)
            names = [name for name in defined_by(inner_of(member), source) if not PRIVATE.match(name)]
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
        whole = signature_text(node, body, source)
    return whole.rstrip(), members


def member_text(member: Node, source: bytes) -> bytes:
    """The text for a member of a class, one line or a few: a signature or a short field; else empty."""
    indent = source[source.rfind(b"\n", 0, member.start_byte) + 1 : member.start_byte]
    indent = indent if not indent.strip() else b""
    body = inner_of(member).child_by_field_name("body")
    if body is not None:
        return indent + signature_text(member, body, source)
    text = text_of(member, source)
    if "comment" in member.type or len(text) > _STATEMENT_BYTES:
        return b""
    if member.type == "expression_statement" and not _assigns(member):
        return b""  # a docstring
    end = source[member.end_byte : member.end_byte + 1]
    return indent + text + (end if end in b";," else b"")


def signature_text(node: Node, body: Node | None, source: bytes) -> bytes:
    """The text before the body, with a mark for the omitted body. Without a body: the first line."""
    if body is None:
        return source[node.start_byte : node.end_byte].partition(b"\n")[0].rstrip() + b" ..."
    head = source[node.start_byte : body.start_byte]
    lines = [line for line in head.splitlines() if not line.lstrip().startswith((b"#", b"//"))]
    mark = b" { ... }" if source[body.start_byte : body.start_byte + 1] == b"{" else b" ..."
    return b"\n".join(lines).rstrip() + mark


def _blocks(document: DocumentSnapshot, language: Language) -> Iterator[Piece]:
    """The document divided at blank lines, with small neighbours joined."""
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
    names = unique(identifiers_in(text))
    return Piece(document.uri, document.path, text, language, start, unique(defined_names(text)), (), names)


def unique(names: Iterable[str]) -> tuple[str, ...]:
    """The names without repetition, in order."""
    return tuple(dict.fromkeys(names))
