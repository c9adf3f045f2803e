"""A next edit as ghost text: where it only puts in text at the cursor or just below it."""

from __future__ import annotations

from lsp_server.core.next_edits.proposal import NextEdit
from lsp_server.core.shape import Suggestion


def as_ghost(edit: NextEdit, cursor: int, *, replaces: bool) -> Suggestion | None:
    """The edit as an insertion at the cursor, or as one that goes over the rest of its line with what is there still in
    it, if `replaces` allows that; None for any other edit."""
    document = edit.document
    line = document.line_at(cursor)
    end = document.line_end(line)
    if edit.start == edit.end:
        text = edit.text
        if edit.start == cursor:
            return _suggestion(cursor, cursor, text)
        # Whole lines just below: they go to the end of this one, with the line end in front instead of behind.
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
    """Whether all of `old` comes in `new`, in order."""
    rest = iter(new)
    return all(byte in rest for byte in old)
