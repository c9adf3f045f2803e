"""The headers with documentation around a place, for a window of text that begins inside a class or function."""

from __future__ import annotations

import re

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.languages.entry import Language
from lsp_server.core.syntax import enclosing_headers

# How many lines of a docstring, or of a comment above a header, are shown.
_DOC_LINES = 6

_DOCSTRING = re.compile(rb'\s*[rR]?("""|\'\'\')')
_DOC_COMMENT = re.compile(rb"\s*(?:///|/\*\*|\*|##?\s|//\s)")


def enclosing_text(document: DocumentSnapshot, language: Language, line: int, room: int) -> bytes:
    """The headers of the blocks around `line` with their documentation, outermost first, at most `room` bytes. A
    comment `...` after each stands for the omitted code. If there is no room for all, the outer ones are dropped."""
    parts: list[bytes] = []
    for start, end in reversed(enclosing_headers(document, language, line)):
        first, last = document.line_at(start), document.line_at(end - 1)
        documented = _documented(document, first, last, line)
        indent = _indentation(document, last + 1, line)
        gap = indent + language.as_comment("...").encode() + document.newline
        for text in (documented, document.source[start:end]):
            if len(text) + len(gap) <= room:
                parts.append(text + gap)
                room -= len(text) + len(gap)
                break
        else:
            break
    return b"".join(reversed(parts))


def _documented(document: DocumentSnapshot, first: int, last: int, limit: int) -> bytes:
    """The header in the lines `first` to `last`, with the comment above it and the docstring below it."""
    above = first
    while above > 0 and first - above < _DOC_LINES and _DOC_COMMENT.match(document.line(above - 1)):
        above -= 1
    behind = last + 1
    match = _DOCSTRING.match(document.line(behind)) if behind < limit else None
    if match is not None:
        for number in range(behind, min(limit, behind + _DOC_LINES)):
            content = document.line(number)
            if match[1] in (content[match.end() :] if number == behind else content):
                behind = number + 1
                break
    return document.source[document.line_start(above) : document.line_start(behind)]


def _indentation(document: DocumentSnapshot, line: int, limit: int) -> bytes:
    """The indentation of the block: the leading white space of the first line with text from `line` on."""
    for number in range(line, min(limit + 1, document.line_count)):
        content = document.line(number)
        if content.strip():
            return content[: len(content) - len(content.lstrip())]
    return b""
