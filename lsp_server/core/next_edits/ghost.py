"""Turns a next edit into ghost text, if it only inserts text at the cursor or just below it."""

from __future__ import annotations

from lsp_server.core.next_edits.proposal import NextEdit
from lsp_server.core.shape import Suggestion


def as_ghost(edit: NextEdit, cursor: int, *, replaces: bool) -> Suggestion | None:
    """The edit as an insertion at the cursor. If `replaces` allows it, also as a replacement of the rest of the line
    that contains the old text. None for any other edit."""
    document = edit.document
    line = document.line_at(cursor)
    end = document.line_end(line)
    if edit.start == edit.end:
        text = edit.text
        if edit.start == cursor:
            return _suggestion(cursor, cursor, text)
        # Whole lines just below are appended to this line, with the line ending before them instead of after them.
        below = line + 1 < document.line_count and edit.start == document.line_start(line + 1)
        if cursor == end and below and text.endswith(document.newline):
            return _suggestion(cursor, cursor, document.newline + text.removesuffix(document.newline))
        if cursor != end and not replaces:
            return None
    if not replaces or not cursor <= edit.start <= edit.end <= end:
        return None
    old, new = document.source[cursor : edit.end], document.source[cursor : edit.start] + edit.text
    if b"\n" in new or not _is_within(old, new):
        return None
    return _suggestion(cursor, edit.end, new)


def _suggestion(start: int, end: int, text: bytes) -> Suggestion | None:
    return Suggestion(text.decode("utf-8", "replace"), start, end) if text.strip() else None


def _is_within(old: bytes, new: bytes) -> bool:
    """Whether all bytes of `old` occur in `new`, in the same order."""
    rest = iter(new)
    return all(byte in rest for byte in old)
