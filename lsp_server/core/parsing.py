"""Parsers by tree-sitter: a text's tree, within a number of steps. Grammars load on first use."""

from __future__ import annotations

import re
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.edits import changed_region
from lsp_server.core.language_entry import Language

if TYPE_CHECKING:
    from tree_sitter import Language as Grammar
    from tree_sitter import Parser, Tree

# How many steps a parse of a window may take, as the parser reports them. Ordinary code takes 10 to 14 for a KB, dense
# code up to 26, of 0.015 ms. Beside an error a step takes up to 0.06 ms; among many, where less is tried, 0.2 to 1 ms.
PARSE_STEPS = 150

# How much of a text the parser reads at a time.
_READ_BYTES = 1 << 16

# What parsers that are not at work read through. Every parse takes one and gives it back, so there are as many as there
# have been parses at the same time.
_free_buffers: list[bytearray] = []

# YAML's grammar writes what blocks are open into 1,024 bytes, and crashes where that is too little, with about 250
# of them: each begins a column further right than the one around it.
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
    """The words that are signs of the language and no names, by its grammar; none without a grammar."""
    grammar = _grammar(language)
    if grammar is None:
        return frozenset()
    visible = (id for id in range(grammar.node_kind_count) if grammar.node_kind_is_visible(id))
    names = (grammar.node_kind_for_id(id) or "" for id in visible if not grammar.node_kind_is_named(id))
    return frozenset(name.encode() for name in names if name.isidentifier())


def parser_of(language: Language) -> Parser | None:
    """A new parser of `language`, or None if it has no grammar or its wheel is not installed.

    A new one costs microseconds, and a parse that another thread is in the middle of would not survive a shared one.
    """
    grammar = _grammar(language)
    if grammar is None:
        return None
    import tree_sitter

    return tree_sitter.Parser(grammar)


def parse(language: Language, source: bytes, most_steps: int = PARSE_STEPS) -> tuple[Tree | None, int]:
    """The tree of `source` and the steps it took; None without a grammar, or if it takes too many.

    A parse holds the interpreter's lock, but for its steps: at each, a thread that waits for it may go on. To be kept,
    trees are smaller than nodes, each of which keeps all of its children that were ever asked for.
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
    except ValueError:  # how the bindings say that the callback ended it
        return None, steps
    finally:
        text.close()
    return tree, steps


class _Text:
    """A text that a parser reads. All of it is given in one buffer, which later parses use again: tree-sitter 0.25 and
    0.26 never release what a read returns, so that with a new object for each read every parse would keep a copy of
    its text for ever. To give the text as `bytes` is no way out: the bindings then do not count steps."""

    def __init__(self, source: bytes) -> None:
        self._source = source
        try:
            self._buffer = _free_buffers.pop()
        except IndexError:
            self._buffer = bytearray()

    def read(self, offset: int, point: object) -> bytearray:
        """The text from `offset` on, as far as it is read at a time. It holds until the next read."""
        self._buffer[:] = self._source[offset : offset + _READ_BYTES]
        return self._buffer

    def close(self) -> None:
        """Gives the buffer back. A tree keeps this object, but neither the text nor the buffer with it."""
        _free_buffers.append(self._buffer)
        self._source, self._buffer = b"", bytearray()


# What a step counts behind an error.
_ERROR_STEPS = 2


def parse_whole(
    language: Language, document: DocumentSnapshot, most_steps: int, before: tuple[Tree, DocumentSnapshot] | None = None
) -> Tree | None:
    """The tree of a whole document; None without a grammar, or if it takes too many steps, of which one behind an error
    counts twice. before: the tree of an earlier version, and that version: what has not changed since is not
    parsed again. The tree stays as it is."""
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
    except ValueError:  # how the bindings say that the callback ended it
        return None
    finally:
        text.close()


def _edited(tree: Tree, old: DocumentSnapshot, new: DocumentSnapshot) -> Tree:
    """A copy of the tree of `old` in which its nodes stand where they are in `new`."""
    start, end, length = changed_region(old, new)
    points = []
    for document, offset in ((old, start), (old, end), (new, start + length)):
        line = document.line_at(offset)
        points.append((line, offset - document.line_start(line)))
    edited = tree.copy()
    edited.edit(start, end, start + length, *points)
    return edited
