"""The imports of a file, which its prompts show even where their window leaves them out."""

from __future__ import annotations

import re
from functools import lru_cache

from lsp_server.core.language_entry import Language
from lsp_server.core.parsing import parse

# How much is parsed at a time, and the parser's steps for all of it: ordinary code takes 10 for a KB. What is left
# when they are spent is not looked at.
_PART_BYTES, _MOST_STEPS = 4 << 10, 120

# Lines that may be an import, in whatever language: no other part of a file is parsed.
_CANDIDATE = re.compile(
    rb"^(?:[\w@]+[ \t]+){0,2}[@#]?[ \t]*(?:import|from|use|using|include|package|namespace|crate)\b", re.MULTILINE
)


@lru_cache(maxsize=32)
def import_lines(language: Language, head: bytes) -> tuple[bytes, ...]:
    """The import statements among the top-level nodes of `head`, the first part of a file.

    `head` may end anywhere: what is behind a broken end is not an import we could use anyway. The result
    is cached, since a window that stays where it is asks for the same head at every key.
    """
    found: list[bytes] = []
    position, steps = 0, 0
    while language.imports and (candidate := _CANDIDATE.search(head, position)) is not None:
        # Near what has been parsed it is parsed from there on; a place further away must not be inside a text.
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
        for node in tree.root_node.children:
            first, behind = (max(start, offset + start - len(prologue)) for offset in (node.start_byte, node.end_byte))
            if node.type in language.imports and not node.has_error and (behind < end or end == len(head)):
                found.append(head[first:behind].rstrip())
                last = behind
            else:
                last = first
        position = last if start < last < end else end
    return tuple(found)


def _end_of_text(language: Language, head: bytes, offset: int) -> int:
    """The end of the string or comment of several lines that `offset` is in, as far as counting tells, or `offset`."""
    for quote in map(str.encode, language.long_quotes):
        if head.count(quote, 0, offset) % 2:
            return _behind(head, quote, offset)
    if language.comment[0][:1] == "/" and head.rfind(b"/*", 0, offset) > head.rfind(b"*/", 0, offset):
        return _behind(head, b"*/", offset)
    return offset


def _behind(head: bytes, mark: bytes, offset: int) -> int:
    found = head.find(mark, offset)
    return found + len(mark) if found >= 0 else len(head)
