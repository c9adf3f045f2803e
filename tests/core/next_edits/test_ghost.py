"""Which next edits can be shown as ghost text, and as what."""

from __future__ import annotations

import pytest

from lsp_server.core.next_edits.ghost import as_ghost
from lsp_server.core.next_edits.proposal import NextEdit
from tests.support.cursor import parse_cursor

# The source with its cursor, what is replaced by what, the text of the ghost, and what of the line that goes over.
SHOWN = {
    "at the cursor": ("f(a$0)\n", "", "a", ", b", ", b", ""),
    "whole lines below": ("a = 1$0\nc = 3\n", "", "a = 1\n", "b = 2\n", "\nb = 2", ""),
    "over the rest of the line": ("x = $0f(a)\n", "f(a)", "x = ", "await f(a)", "await f(a)", "f(a)"),
    "further right in the line": ("x$0 = f(a)\n", "", "x = f(a", ", b", " = f(a, b", " = f(a"),
}


def edit_of(source: str, old: str, behind: str, new: str) -> tuple[NextEdit, int]:
    document, cursor = parse_cursor(source)
    start = document.source.index(behind.encode()) + len(behind)
    assert document.source[start:].startswith(old.encode())
    return NextEdit("again", document, start, start + len(old), new.encode(), ""), cursor


@pytest.mark.parametrize("name", SHOWN)
def test_insertions_at_the_cursor_or_just_below_are_shown(name: str) -> None:
    source, old, behind, new, text, over = SHOWN[name]
    edit, cursor = edit_of(source, old, behind, new)
    ghost = as_ghost(edit, cursor, replaces=True)
    assert ghost is not None
    assert (ghost.text, ghost.start, edit.document.source[ghost.start : ghost.end].decode()) == (text, cursor, over)
    accepted = edit.document.source[: ghost.start] + ghost.text.encode() + edit.document.source[ghost.end :]
    assert accepted == edit.result
    assert (as_ghost(edit, cursor, replaces=False) is None) is (over != "")


HIDDEN = {
    "in front of the cursor": ("f(a)$0\n", "", "f(a", ", b"),
    "what goes is not in what comes": ("x = $0f(a)\n", "f(a)", "x = ", "g(b)"),
    "another line": ("a = 1$0\n\nc = 3\n", "", "a = 1\n\n", "b = 2\n"),
    "lines below a cursor in a line": ("a = $01\nc = 3\n", "", "a = 1\n", "b = 2\n"),
}


@pytest.mark.parametrize("name", HIDDEN)
def test_other_edits_are_not(name: str) -> None:
    source, old, behind, new = HIDDEN[name]
    edit, cursor = edit_of(source, old, behind, new)
    assert as_ghost(edit, cursor, replaces=True) is None
