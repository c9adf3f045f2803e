"""Finds code in another language inside a text: scripts and styles of a page, the page around PHP, Markdown fences."""

from __future__ import annotations

import re
from functools import lru_cache

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.languages import find_language
from lsp_server.core.languages.entry import Embedded, Language

_FENCE = re.compile(rb"^ {0,3}(`{3,}|~{3,})[ \t]*([^\s`{]*)", re.MULTILINE)

# How many bytes above and below a line are searched for fences.
_FENCE_BYTES = 1 << 17


@lru_cache(maxsize=8)
def language_at(document: DocumentSnapshot, line: int) -> tuple[Language, int, int]:
    """The language at `line`, with the first line of its region and the line after the last. If nothing is embedded
    there, the region is the whole document."""
    language = find_language(document.language_id, document.path)
    first, last = 0, document.line_count
    if language.fenced:
        return _fenced(document, line, language)
    for _ in range(2):  # twice for a script in an HTML page around PHP
        for embedded in language.embedded:
            found = _between(document, line, embedded, first, last)
            if found is not None:
                language, first, last = find_language(embedded.language), *found
                break
    return language, first, last


def _between(
    document: DocumentSnapshot, line: int, embedded: Embedded, first: int, last: int
) -> tuple[int, int] | None:
    """The first line between the marks around `line` and the line after the last, within `first:last`; None if `line`
    is not between such marks."""
    source = document.source
    low, start = document.line_start(first), document.line_start(line)
    end = document.line_start(last) if last < document.line_count else len(source)
    opened = source.rfind(embedded.opens, low, start)
    if opened >= 0:
        tag = re.compile(embedded.pattern).match(source, opened, start)
        if tag is None or source.rfind(embedded.closes, tag.end(), start) >= 0:
            return None
        first = document.line_at(tag.end()) + 1
    elif first or not embedded.at_ends or source.rfind(embedded.closes, low, start) >= 0:
        return None
    closed = source.find(embedded.closes, start, end)
    if closed < 0 and not embedded.at_ends:
        return None
    until = last if closed < 0 else document.line_at(closed)
    return (first, until) if first <= line < until else None


def _fenced(document: DocumentSnapshot, line: int, outside: Language) -> tuple[Language, int, int]:
    """The language and the lines of the fenced code around `line`; else those of the whole Markdown document."""
    start = document.line_start(line)
    low = document.line_start(document.line_at(max(0, start - _FENCE_BYTES)))
    opened: re.Match[bytes] | None = None
    for match in _FENCE.finditer(document.source, low, start):
        if opened is None:
            opened = match
        elif _closes(match, opened):
            opened = None
    if opened is None:
        return outside, 0, document.line_count
    below = _FENCE.finditer(document.source, start, start + _FENCE_BYTES)
    closing = next((match for match in below if _closes(match, opened)), None)
    end = document.line_count if closing is None else document.line_at(closing.start())
    if end == line:
        return outside, 0, document.line_count
    info = opened[2].decode("utf-8", "replace").lower()
    return find_language(info, f"x.{info}"), document.line_at(opened.start()) + 1, end


def _closes(fence: re.Match[bytes], opened: re.Match[bytes]) -> bool:
    return fence[1].startswith(opened[1]) and not fence[2]
