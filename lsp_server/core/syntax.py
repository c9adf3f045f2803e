"""Syntax trees by tree-sitter: grammars load on first use, and a language without one has no tree."""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING

from lsp_server.core.language_entry import Language

if TYPE_CHECKING:
    from tree_sitter import Parser


@lru_cache(maxsize=64)
def parser_of(language: Language) -> Parser | None:
    """The parser of `language`, or None if it has no grammar or its wheel is not installed."""
    if language.wheel is None:
        return None
    module, function = language.wheel
    try:
        import tree_sitter

        grammar = tree_sitter.Language(getattr(import_module(module), function)())
    except ImportError:
        return None
    return tree_sitter.Parser(grammar)


@lru_cache(maxsize=32)
def import_lines(language: Language, head: bytes) -> tuple[bytes, ...]:
    """The import statements among the top-level nodes of `head`, the first part of a file.

    `head` may end anywhere: what is behind a broken end is not an import we could use anyway. The result
    is cached, since a window that stays where it is asks for the same head at every key.
    """
    parser = parser_of(language)
    if parser is None or not language.imports:
        return ()
    nodes = parser.parse(head).root_node.children
    return tuple(
        head[node.start_byte : node.end_byte].rstrip()
        for node in nodes
        if node.type in language.imports and not node.has_error
    )
