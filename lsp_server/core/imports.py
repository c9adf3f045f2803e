"""Finds the import statements of a file; prompts show them even if they are outside the window."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

from lsp_server.core.languages.entry import Language
from lsp_server.core.parsing import parse

if TYPE_CHECKING:
    from tree_sitter import Node

# How many bytes are parsed at a time, and how many parser steps all parts may take together. Ordinary code takes about
# 10 steps per KB. Parsing stops when the steps are used up.
_PART_BYTES, _MOST_STEPS = 4 << 10, 120

# Lines that may be an import in some language. Other parts of a file are not parsed.
_CANDIDATE = re.compile(
    rb"^(?:[\w@]+[ \t]+){0,2}[@#]?[ \t]*(?:import|from|use|using|include|package|namespace|crate)\b", re.MULTILINE
)


@lru_cache(maxsize=32)
def import_lines(language: Language, head: bytes) -> tuple[bytes, ...]:
    """The import statements among the top-level nodes of `head`, the first part of a file.

    `head` may end anywhere: an import that is cut off at its end is of no use anyway. The result is cached, because a
    window that does not move asks for the same head at every key.
    """
    found: list[bytes] = []
    position, steps = 0, 0
    while language.imports and (candidate := _CANDIDATE.search(head, position)) is not None:
        # Parsing goes on from the last position if the candidate is near; else it starts at the candidate, which must
        # not be inside a string or comment.
        start = position if candidate.start() - position < _PART_BYTES // 2 else candidate.start()
        if start > position and (behind := _end_of_text(language, head, start)) > start:
            position = behind
            continue
        prologue = language.prologue if start else b""
        part = head[start : start + _PART_BYTES]
        tree, used = parse(language, prologue + part, _MOST_STEPS - steps)
        steps += used
        if tree is None:
            break
        end, last = start + len(part), start
        for node in _statements(tree.root_node):
            first, behind = (max(start, offset + start - len(prologue)) for offset in (node.start_byte, node.end_byte))
            if node.type in language.imports and not node.has_error and (behind < end or end == len(head)):
                found.append(head[first:behind].rstrip())
                last = behind
            else:
                last = first
        position = last if start < last < end else end
    return tuple(found)


def _statements(root: Node) -> Iterator[Node]:
    """The top-level nodes. If a part ends inside a statement, they may all lie in an error node."""
    for node in root.children:
        if node.type == "ERROR":
            yield from node.children
        else:
            yield node


def _end_of_text(language: Language, head: bytes, offset: int) -> int:
    """The end of the multi-line string or comment around `offset`, found by counting quotes; else `offset`."""
    for quote in map(str.encode, language.long_quotes):
        if head.count(quote, 0, offset) % 2:
            return _behind(head, quote, offset)
    if language.comment[0][:1] == "/" and head.rfind(b"/*", 0, offset) > head.rfind(b"*/", 0, offset):
        return _behind(head, b"*/", offset)
    return offset


def _behind(head: bytes, mark: bytes, offset: int) -> int:
    found = head.find(mark, offset)
    return found + len(mark) if found >= 0 else len(head)
