"""Edits: small, apart, and moved along with a document that changes at random."""

from __future__ import annotations

import random

import pytest

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.edits import Replacement, TrackedRange, applied, minimal_edits

PIECES = ["a", "b = 1\n", "\n", "é", "😀x", "\r\n", "    return x\n", "def f():\n", "ab", "漢"]


def text(rng: random.Random, most: int = 12) -> bytes:
    return "".join(rng.choice(PIECES) for _ in range(rng.randrange(most))).encode()


@pytest.mark.parametrize("seed", range(200))
def test_minimal_edits_turn_one_text_into_the_other(seed: int) -> None:
    rng = random.Random(seed)
    old, new = text(rng, 30), text(rng, 30)
    edits = minimal_edits(old, new, 5)
    assert applied(b"....." + old, edits) == b"....." + new
    assert all(a.end <= b.start for a, b in zip(edits, edits[1:], strict=False))
    for edit in edits:
        assert not (edit.start == edit.end and not edit.text)
        for offset in (edit.start - 5, edit.end - 5):  # no character and no line end is cut
            old[:offset].decode()
            assert not (old[offset - 1 : offset] == b"\r" and old[offset : offset + 1] == b"\n")


def test_edits_are_small() -> None:
    old = b"one\ntwo\nthree\nfour\n"
    new = b"one\ntwo!\nthree\nfive\n"
    assert minimal_edits(old, new) == [Replacement(7, 7, b"!"), Replacement(15, 18, b"ive")]


def test_overlapping_edits_are_refused() -> None:
    with pytest.raises(ValueError, match="overlaps"):
        applied(b"abc", [Replacement(0, 2, b""), Replacement(1, 3, b"")])


@pytest.mark.parametrize("seed", range(500))
def test_a_tracked_range_holds_its_own_text_or_is_lost(seed: int) -> None:
    """The range is marked with a text that nothing else writes: what is tracked is it, and at its place."""
    rng = random.Random(seed)
    marked = "⟦the range⟧".encode()
    before, after = text(rng), text(rng)
    document = DocumentSnapshot.of("file:///a", before + marked + after, version=1)
    tracked = TrackedRange(document, len(before), len(before) + len(marked))
    touched = False
    for _ in range(rng.randrange(1, 12)):
        place = document.source.index(marked) if marked in document.source else None
        for _ in range(rng.choice([1, 1, 1, 2])):  # sometimes two edits in one change
            characters = document.source.decode()
            a, b = sorted(rng.randrange(len(characters) + 1) for _ in range(2))
            b = min(b, a + rng.choice([0, 0, 0, 1, 3]))
            start, end = len(characters[:a].encode()), len(characters[:b].encode())
            place = document.source.find(marked)
            if place >= 0:
                inside = start < place + len(marked) and end > place and (start, end) != (place, place)
                touched = touched or inside
            document = document.edited(start, end, text(rng, 3))
        tracked.follow(document)
        if not tracked.lost:
            assert document.source[tracked.start : tracked.end] == marked
    if tracked.lost:
        assert touched


def test_an_insertion_in_front_of_equal_text_moves_the_range() -> None:
    document = DocumentSnapshot.of("file:///a", b"foo()\nbar()\n")
    tracked = TrackedRange(document, 0, 6)
    tracked.follow(document.edited(0, 0, b"foo()\n"))
    assert (tracked.start, tracked.end, tracked.lost) == (6, 12, False)


def test_two_ranges_of_equal_extent_are_two() -> None:
    document = DocumentSnapshot.of("file:///a", b"ab")
    first, second = TrackedRange(document, 0, 1), TrackedRange(document, 0, 1)
    tracked = [first, second]
    tracked.remove(second)
    assert tracked[0] is first


def test_text_at_an_empty_range_loses_it() -> None:
    document = DocumentSnapshot.of("file:///a", b"ab")
    tracked = TrackedRange(document, 1, 1)
    tracked.follow(document.edited(1, 1, b"x"))
    assert tracked.lost
