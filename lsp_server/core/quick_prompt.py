"""Chooses what a quick prompt shows: the lines nearest the hole, and the headers around it.

A quick prompt answers the first key at a place whose full prompt is not evaluated yet. Its budget is often smaller than
one function. The shares were chosen by `bench quality --quick`: the text after the hole helps more than the same number
of bytes before it, and documentation helps only where there is room for some lines of code as well.
"""

import re
from collections.abc import Sequence

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.enclosing import docstring_end, enclosing_text
from lsp_server.core.fim_formats import FimFormat
from lsp_server.core.hole import Hole
from lsp_server.core.imports import import_lines
from lsp_server.core.languages import find_language
from lsp_server.core.languages.entry import Language
from lsp_server.core.prompt import IMPORTS_WITHIN_BYTES, Anchor, PromptBudget, following_text, next_line_start
from lsp_server.core.syntax import enclosing_headers

# The shares of the text before the hole that headers and imports get at most, beside the lines nearest the hole.
_HEADERS_SHARE, _IMPORTS_SHARE = 0.3, 0.125

# With less room than this before the hole, headers are shown without their documentation.
_DOCUMENTED_BYTES = 250

_NAME = re.compile(rb"[^\W\d]\w+")


def quick_anchor(document: DocumentSnapshot, hole: Hole, form: FimFormat, budget: PromptBudget) -> Anchor:
    """An anchor at the hole's own place that shows at most `budget`. What one side does not need is for the other."""
    unused = max(0, budget.before - hole.anchor)
    after = following_text(document.source, hole.line_end, budget.after + unused)
    start, head = _shown_before(document, hole, budget.before + budget.after - len(after))
    return Anchor(
        uri=document.uri,
        start=start,
        offset=hole.anchor,
        head=head,
        before=document.source[start : hole.anchor],
        after=after,
        short=False,
        size=len(document.source),
    )


def _shown_before(document: DocumentSnapshot, hole: Hole, budget: int) -> tuple[int, bytes]:
    """Where the nearest lines begin, and what stands before them: the used imports, and the headers around the hole
    that begin above those lines."""
    if hole.anchor <= budget:
        return 0, b""
    language = find_language(document.language_id, document.path)
    around = _line_with_text(document, hole.cursor)
    blocks = _openings(document, language, around)
    start = _nearest(document, hole.anchor, budget - int(budget * (_HEADERS_SHARE + _IMPORTS_SHARE)), blocks)
    imports = _used_imports(document, language, start, hole.cursor, int(budget * _IMPORTS_SHARE))
    documented = budget >= _DOCUMENTED_BYTES
    budget -= len(imports)

    def headers(*, documented: bool) -> bytes:
        first, room = document.line_at(start), budget - (hole.anchor - start)
        if document.line_start(first) != start:
            return b""
        return enclosing_text(document, language, around, room, above=first, documented=documented)

    # What the headers leave is for more lines. These may include a header, so look again.
    while (earlier := _nearest(document, hole.anchor, budget - len(headers(documented=documented)), blocks)) < start:
        start = earlier
    above = headers(documented=True)
    omission = language.as_comment("...").encode() + document.newline
    if start > 0 and not above and len(omission) <= budget - (hole.anchor - start):
        above = omission
    return start, imports + above


def _openings(document: DocumentSnapshot, language: Language, line: int) -> list[range]:
    """Where the headers around `line`, with the docstrings after them, begin and end, outermost first."""
    found = []
    for start, header_end in enclosing_headers(document, language, line):
        end = header_end
        body = document.line_at(end - 1) + 1
        behind = docstring_end(document, body, max(0, line - body + 1))
        if behind is not None:
            end = document.line_start(behind) if behind < document.line_count else len(document.source)
        found.append(range(start, end))
    return found


def _nearest(document: DocumentSnapshot, anchor: int, room: int, openings: Sequence[range]) -> int:
    """The start of the first of the whole lines within `room` bytes before `anchor`; inside a line that is longer. It
    is never inside one of the `openings`, where it would cut a docstring's beginning off."""
    start = next_line_start(document, max(0, anchor - room), anchor)
    return next((opening.stop for opening in openings if opening.start < start < opening.stop <= anchor), start)


def _line_with_text(document: DocumentSnapshot, cursor: int) -> int:
    """The cursor's line, or the nearest one above it that is not blank."""
    line = document.line_at(cursor)
    while line > 0 and not document.line(line).strip():
        line -= 1
    return line


def _used_imports(document: DocumentSnapshot, language: Language, start: int, cursor: int, room: int) -> bytes:
    """The imports above `start` of which a name occurs between there and the cursor, at most `room` bytes."""
    used = set(_NAME.findall(document.source[start:cursor]))
    kept: list[bytes] = []
    for line in import_lines(language, document.source[: min(start, IMPORTS_WITHIN_BYTES)]):
        if not used.isdisjoint(_NAME.findall(line)) and len(line) + len(document.newline) <= room:
            kept.append(line + document.newline)
            room -= len(kept[-1])
    return b"".join(kept)
