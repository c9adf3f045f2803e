"""What counts as one edit, and where edits stand after others."""

from __future__ import annotations

import random

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.next_edits.history import MOST_BYTES, MOST_HUNKS, SAME_EDIT_SECONDS, EditHistory, Hunk
from tests.support.edited import Edited
from tests.support.effort import scaled


def pairs(edited: Edited) -> list[tuple[str, str]]:
    return [(hunk.old.decode(), hunk.new.decode()) for hunk in edited.history.hunks()]


def test_what_is_typed_in_a_line_is_one_edit() -> None:
    edited = Edited("a = 1\nb = 2\n")
    for letter in "0 + c":
        edited.edit(edited.document.edit_end or 5, edited.document.edit_end or 5, letter)
    assert pairs(edited) == [("a = 1", "a = 10 + c")]


def test_lines_typed_below_belong_to_the_edit_and_the_next_line_does_not() -> None:
    edited = Edited("def f():[+\n    x = 1\n    y = 2+]\n    z = [-3-][+4+]\n")
    assert pairs(edited) == [("def f():", "def f():\n    x = 1\n    y = 2"), ("    z = 3", "    z = 4")]


def test_what_was_taken_back_was_no_edit() -> None:
    edited = Edited("a = [-1-][+2+]\nb = [-1-][+2+]\n")
    edited.edit(4, 5, "1", 20.0)
    assert pairs(edited) == [("b = 1", "b = 2")]


def test_coming_back_to_a_place_goes_on_with_its_edit_unless_that_was_long_ago() -> None:
    edited = Edited("a = [-1-][+2+]\n\nb = [-1-][+2+]\n")
    edited.edit(4, 5, "3", 20.0)
    assert pairs(edited) == [("b = 1", "b = 2"), ("a = 1", "a = 3")]
    edited.edit(4, 5, "4", 21.0 + SAME_EDIT_SECONDS)
    assert pairs(edited)[1:] == [("a = 1", "a = 3"), ("a = 3", "a = 4")]
    assert [hunk.start for hunk in edited.history.hunks()] == [7, -1, 0]


def test_only_changed_lines_are_left_of_an_edit() -> None:
    trimmed = Edited("a\n[+b\n+]c\n").history.hunks()[0].trimmed()
    assert (trimmed.old, trimmed.new, trimmed.start, trimmed.below) == ((), (b"b",), 2, (b"c",))


def test_large_changes_are_no_edits_and_old_edits_are_forgotten() -> None:
    edited = Edited("\n" * 200)
    edited.edit(0, 0, "x" * (MOST_BYTES + 1))
    assert pairs(edited) == []
    for line in range(2, 2 * MOST_HUNKS + 20, 2):
        at = edited.document.line_start(line)
        edited.edit(at, at, f"{line}")
    assert len(edited.history) == MOST_HUNKS
    assert pairs(edited)[-1] == ("", f"{2 * MOST_HUNKS + 18}")


def test_closing_a_document_forgets_where_its_edits_stand() -> None:
    edited = Edited("a = [-1-][+2+]\n")
    edited.history.closed(edited.document.uri)
    assert [(hunk.start, hunk.new) for hunk in edited.history.hunks()] == [(-1, b"a = 2")]


def test_edits_stand_where_they_say_after_whatever_follows() -> None:
    """Random changes of a document: each edit's new text stands at its place, and undoing all gives the old text."""
    rng = random.Random(11)
    for _ in range(scaled(60)):
        source = "".join(rng.choice("ab\n") for _ in range(60)).encode()
        history, document = EditHistory(), DocumentSnapshot.of("file:///a", source)
        for step in range(12):
            start = rng.randrange(len(document.source) + 1)
            end = min(len(document.source), start + rng.randrange(6))
            changed = document.edited(start, end, "".join(rng.choice("xy\n") for _ in range(rng.randrange(5))).encode())
            history.changed(document, changed, float(step))
            document = changed
            for hunk in history.hunks():
                assert document.source[hunk.start : hunk.end] == hunk.new
        undone = document.source
        for hunk in sorted(history.hunks(), key=start_of, reverse=True):
            undone = undone[: hunk.start] + hunk.old + undone[hunk.end :]
        assert undone == source


def start_of(hunk: Hunk) -> int:
    return hunk.start
