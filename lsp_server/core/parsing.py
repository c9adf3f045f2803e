"""Parses texts with tree-sitter, within a limit of steps. Grammars are loaded on first use."""

from __future__ import annotations

import re
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.edits import changed_region
from lsp_server.core.languages.entry import Language

if TYPE_CHECKING:
    from tree_sitter import Language as Grammar
    from tree_sitter import Parser, Tree

# The limit of steps for the parse of a window, as the parser reports them. Ordinary code takes 10 to 14 steps per KB,
# dense code up to 26, of 0.015 ms each. Near an error a step takes up to 0.06 ms; among many errors, where the parser
# tries less, 0.2 to 1 ms.
PARSE_STEPS = 150

# How many bytes of a text the parser reads at a time.
_READ_BYTES = 1 << 16

# Buffers of parsers that are not running. Each parse takes one and returns it, so there are as many as there were
# parses at the same time.
_free_buffers: list[bytearray] = []

# YAML's grammar stores the open blocks in 1,024 bytes and crashes if that is too little, at about 250 blocks. Each
# block begins at least a column further right than the one around it.
_DEEP_YAML = re.compile(rb"^[ \t?:-]{200}", re.MULTILINE)


@lru_cache(maxsize=64)
def _grammar(language: Language) -> Grammar | None:
    if language.wheel is None:
        return None
    module, function = language.wheel
    try:
        import tree_sitter

        return tree_sitter.Language(getattr(import_module(module), function)())
    except ImportError:
        return None


@lru_cache(maxsize=64)
def keywords(language: Language) -> frozenset[bytes]:
    """The words that the grammar treats as signs and not as names; none without a grammar."""
    grammar = _grammar(language)
    if grammar is None:
        return frozenset()
    visible = (id for id in range(grammar.node_kind_count) if grammar.node_kind_is_visible(id))
    names = (grammar.node_kind_for_id(id) or "" for id in visible if not grammar.node_kind_is_named(id))
    return frozenset(name.encode() for name in names if name.isidentifier())


def parser_of(language: Language) -> Parser | None:
    """A new parser of `language`; None if the language has no grammar or its wheel is not installed.

    A parser must not be shared by threads while it is parsing, and a new one costs only microseconds.
    """
    grammar = _grammar(language)
    if grammar is None:
        return None
    import tree_sitter

    return tree_sitter.Parser(grammar)


def parse(language: Language, source: bytes, most_steps: int = PARSE_STEPS) -> tuple[Tree | None, int]:
    """The tree of `source` and the steps it took. The tree is None without a grammar, or if it takes too many steps.

    A parse holds the interpreter's lock except at its steps, where a waiting thread may run. Keep trees rather than
    nodes: a node keeps all of its children that were ever asked for.
    """
    parser = parser_of(language)
    if parser is None or (language.name == "YAML" and _DEEP_YAML.search(source)):
        return None, 0
    steps = 0

    def too_hard(offset: int, has_error: bool) -> bool:
        nonlocal steps
        steps += 1
        return steps > most_steps

    text = _Text(source)
    try:
        tree = parser.parse(text.read, progress_callback=too_hard)
    except ValueError:  # the bindings raise it when the callback stops the parse
        return None, steps
    finally:
        text.close()
    return tree, steps


class _Text:
    """A text that a parser reads. All parts go through one buffer, which later parses use again: tree-sitter 0.25 and
    0.26 never release what a read returns, so with a new object for each read, every parse would keep a copy of its
    text for ever. Passing the text as `bytes` is no solution, because the bindings then do not count steps."""

    def __init__(self, source: bytes) -> None:
        self._source = source
        try:
            self._buffer = _free_buffers.pop()
        except IndexError:
            self._buffer = bytearray()

    def read(self, offset: int, point: object) -> bytearray:
        """Up to `_READ_BYTES` bytes of the text from `offset` on. The result is valid until the next read."""
        self._buffer[:] = self._source[offset : offset + _READ_BYTES]
        return self._buffer

    def close(self) -> None:
        """Returns the buffer. A tree keeps this object, but then neither the text nor the buffer with it."""
        _free_buffers.append(self._buffer)
        self._source, self._buffer = b"", bytearray()


# How many steps one step after an error counts as.
_ERROR_STEPS = 2


def parse_whole(
    language: Language, document: DocumentSnapshot, most_steps: int, before: tuple[Tree, DocumentSnapshot] | None = None
) -> Tree | None:
    """The tree of a whole document; None without a grammar, or if it takes too many steps, where each step after an
    error counts twice. before: the tree of an earlier version, and that version; unchanged parts are not parsed again.
    That tree is not changed."""
    parser = parser_of(language)
    if parser is None or (language.name == "YAML" and _DEEP_YAML.search(document.source)):
        return None
    steps = 0

    def too_hard(offset: int, has_error: bool) -> bool:
        nonlocal steps
        steps += _ERROR_STEPS if has_error else 1
        return steps > most_steps

    text = _Text(document.source)
    try:
        if before is None:
            return parser.parse(text.read, progress_callback=too_hard)
        return parser.parse(text.read, _edited(*before, document), progress_callback=too_hard)
    except ValueError:  # the bindings raise it when the callback stops the parse
        return None
    finally:
        text.close()


def _edited(tree: Tree, old: DocumentSnapshot, new: DocumentSnapshot) -> Tree:
    """A copy of the tree of `old` with its nodes moved to their positions in `new`."""
    start, end, length = changed_region(old, new)
    points = []
    for document, offset in ((old, start), (old, end), (new, start + length)):
        line = document.line_at(offset)
        points.append((line, offset - document.line_start(line)))
    edited = tree.copy()
    edited.edit(start, end, start + length, *points)
    return edited
