"""The headers with documentation around a place, for a window of text that begins inside a class or function."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.languages.entry import Language
from lsp_server.core.syntax import enclosing_headers

# How many lines of a docstring, or of a comment above a header, are shown.
_DOC_LINES = 6

# A docstring without room is cut, but not to less than this.
_LEAST_WORDS_BYTES = 24

_DOCSTRING = re.compile(rb'\s*[rR]?("""|\'\'\')')
_DOC_COMMENT = re.compile(rb"\s*(?:///|/\*\*|\*|##?\s|//\s)")


def enclosing_text(
    document: DocumentSnapshot,
    language: Language,
    line: int,
    room: int,
    *,
    above: int | None = None,
    documented: bool = True,
) -> bytes:
    """The headers of the blocks around `line`, outermost first, at most `room` bytes. A comment `...` stands for
    omitted code after each. If there is no room for all, the outer ones are dropped. above: only headers above this
    line are wanted; default: all. documented: whether they are wanted with their documentation."""
    above = next_line = line if above is None else above
    parts: list[bytes] = []
    for start, end in reversed(enclosing_headers(document, language, line)):
        first, last = document.line_at(start), document.line_at(end - 1)
        if first >= above:
            continue
        comment = _indentation(document, last + 1, line) + language.as_comment("...").encode() + document.newline
        texts = _headers(document, first, last, above, room - len(comment), documented=documented)
        for text, shown_to in texts:
            gap = (
                comment
                if document.source[document.line_start(shown_to) : document.line_start(next_line)].strip()
                else b""
            )
            if len(text) + len(gap) <= room:
                parts.append(text + gap)
                room -= len(text) + len(gap)
                next_line = first
                break
        else:
            break
    return b"".join(reversed(parts))


def _headers(
    document: DocumentSnapshot, first: int, last: int, limit: int, room: int, *, documented: bool
) -> Iterator[tuple[bytes, int]]:
    """The header in the lines `first` to `last`, the most preferred text first: with all of the comment above it and
    the docstring below it; with the beginning of the docstring, closed after at most `room` bytes; alone. With each
    text, the first line below it. If line `limit` is inside the docstring, it is left open, for the lines from there on
    belong to it. documented: whether the documentation is wanted."""
    start = first
    while start > 0 and first - start < _DOC_LINES and _DOC_COMMENT.match(document.line(start - 1)):
        start -= 1
    header = document.source[document.line_start(first) : document.line_start(last + 1)]
    commented = document.source[document.line_start(start) : document.line_start(last + 1)]
    begin = last + 1
    match = _DOCSTRING.match(document.line(begin)) if begin < limit else None
    if match is not None:
        most = min(_DOC_LINES, limit - begin)
        end_line = docstring_end(document, begin, most)
        docstring = document.source[document.line_start(begin) : document.line_start(end_line or begin + most)]
        is_open = end_line is None and docstring_end(document, begin, limit - begin) is None
        if end_line is not None and documented:
            yield commented + docstring, end_line
            docstring = docstring[: docstring.rindex(match[1])]
        end = b"..." + (b"" if is_open else match[1]) + document.newline
        words = _first_words(docstring, room - len(header) - len(end))
        if documented and len(words) - len(match[0]) >= _LEAST_WORDS_BYTES:
            yield header + words + end, limit if is_open else end_line or begin + most
        if is_open:
            yield header + match[0] + b"..." + document.newline, limit
            return
    if documented:
        yield commented, begin
    yield header, begin


def docstring_end(document: DocumentSnapshot, begin: int, lines: int) -> int | None:
    """The line after a docstring that begins in line `begin`; None if there is none that ends within `lines` lines."""
    match = _DOCSTRING.match(document.line(begin)) if begin < document.line_count else None
    if match is not None:
        for number in range(begin, min(document.line_count, begin + lines)):
            content = document.line(number)
            if match[1] in (content[match.end() :] if number == begin else content):
                return number + 1
    return None


def _first_words(text: bytes, room: int) -> bytes:
    """The first words of `text`, at most `room` bytes."""
    if len(text) > room:
        begin = text[: max(0, room + 1)]
        text = begin[: max(0, begin.rfind(b" "), begin.rfind(b"\n"))]
    return text.rstrip()


def _indentation(document: DocumentSnapshot, line: int, limit: int) -> bytes:
    """The indentation of the block: the leading white space of the first line with text from `line` on."""
    for number in range(line, min(limit + 1, document.line_count)):
        content = document.line(number)
        if content.strip():
            return content[: len(content) - len(content.lstrip())]
    return b""
