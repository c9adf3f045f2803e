"""Computes minimal edits of a text, and moves ranges along when the document changes."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.text import character_start, next_character_start, shared_start

# A diff of more lines, or with more pairs of equal lines, takes seconds. Then one edit replaces everything from the
# first difference to the last.
_MOST_LINES, _MOST_PAIRS = 3000, 100_000


@dataclass(frozen=True, slots=True)
class Replacement:
    """The bytes `start:end` of a document become `text`."""

    start: int
    end: int
    text: bytes


def minimal_edits(old: bytes, new: bytes, base: int = 0) -> list[Replacement]:
    """The edits that turn `old`, which begins at offset `base`, into `new`: ordered, not overlapping, and small.

    Whole lines are compared first. In a run of changed lines, the common beginning and the common end are not
    replaced. Small edits keep the user's cursor, folds and marks in place.
    """
    before, after = old.splitlines(keepends=True), new.splitlines(keepends=True)
    first, last = _common_lines(before, after)
    start = base + sum(map(len, before[:first]))
    before, after = before[first : len(before) - last], after[first : len(after) - last]
    times = Counter(after)
    if len(before) + len(after) > _MOST_LINES or sum(times[line] for line in before) > _MOST_PAIRS:
        return _trimmed(old, new, base)
    starts = list(accumulate(map(len, before), initial=start))
    edits: list[Replacement] = []
    for tag, a, b, c, d in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag != "equal":
            edits.extend(_trimmed(b"".join(before[a:b]), b"".join(after[c:d]), starts[a]))
    return edits


def _common_lines(before: list[bytes], after: list[bytes]) -> tuple[int, int]:
    """How many lines two texts share at the beginning, and how many of the remaining ones at the end."""
    pairs = zip(before, after, strict=False)
    first = next((index for index, (one, other) in enumerate(pairs) if one != other), min(len(before), len(after)))
    pairs = zip(before[first:][::-1], after[first:][::-1], strict=False)
    rest = min(len(before), len(after)) - first
    return first, next((index for index, (one, other) in enumerate(pairs) if one != other), rest)


def _trimmed(old: bytes, new: bytes, base: int) -> list[Replacement]:
    if old == new:
        return []
    start, tail = common_ends(old, new)
    # Neither end may cut a character, or a line ending of two bytes, in two.
    start = min(character_start(old, start), character_start(new, start))
    while start > 0 and old[start - 1 : start] == b"\r":
        start -= 1
    while tail > 0 and _splits(old, len(old) - tail):
        tail -= 1
    return [Replacement(base + start, base + len(old) - tail, new[start : len(new) - tail])]


def _splits(text: bytes, offset: int) -> bool:
    """Whether a cut at `offset` would split a character or the two bytes of `\\r\\n`."""
    return text[offset] & 0xC0 == 0x80 or (text[offset : offset + 1] == b"\n" and text[:offset].endswith(b"\r"))


def common_ends(old: bytes, new: bytes) -> tuple[int, int]:
    """How many bytes two texts share at the beginning, and how many of the remaining ones at the end."""
    shorter = min(len(old), len(new))
    start = shared_start(old, new, shorter)
    tail = shared_start(old[::-1], new[::-1], shorter - start)
    return start, tail


def applied(source: bytes, edits: Iterable[Replacement]) -> bytes:
    """`source` after all edits; their offsets refer to `source`. Raises ValueError if two edits overlap or one lies
    outside the text."""
    parts: list[bytes] = []
    position = 0
    for edit in sorted(edits, key=lambda edit: (edit.start, edit.end)):
        if not position <= edit.start <= edit.end <= len(source):
            raise ValueError(f"the edit of {edit.start}:{edit.end} overlaps another or lies outside the text")
        parts += (source[position : edit.start], edit.text)
        position = edit.end
    return b"".join((*parts, source[position:]))


def changed_region(old: DocumentSnapshot, new: DocumentSnapshot) -> tuple[int, int, int]:
    """The change between two successive versions: `old.source[start:end]` has become `length` bytes at `start`. Returns
    start, end and length.

    `new.edit_end` tells whether text was inserted before or after equal text. For several edits in one change the
    region contains them all.
    """
    grown = len(new.source) - len(old.source)
    end = new.edit_end - grown
    if not 0 <= end <= len(old.source) or old.source[end:] != new.source[new.edit_end :]:
        shorter = min(len(old.source), len(new.source))
        tail = shared_start(old.source[::-1], new.source[::-1], shorter)
        end = len(old.source) - tail
    start = shared_start(old.source, new.source, min(end, end + grown))
    start = character_start(old.source, start)
    end = next_character_start(old.source, end)
    return start, end, end + grown - start


@dataclass(slots=True, eq=False)
class TrackedRange:
    """A range of a document that follows its edits. lost: text in the range has changed, so the range is no longer
    valid. began: its start in the first version."""

    document: DocumentSnapshot
    start: int
    end: int
    lost: bool = False
    began: int = -1

    def __post_init__(self) -> None:
        if self.began < 0:
            self.began = self.start

    def follow(self, document: DocumentSnapshot) -> None:
        """Moves the range to the next version of the document."""
        old, self.document = self.document, document
        if self.lost or old is document:
            return
        start, end, length = changed_region(old, document)
        if start == end and length == 0:
            return
        if start < self.end and self.start < end:
            self._find_again(old, document)
        elif start == end == self.start == self.end:
            self.lost = True  # text was inserted exactly at an empty range: before or after it is unknown
        elif end <= self.start:
            self.start += length - (end - start)
            self.end += length - (end - start)

    def _find_again(self, old: DocumentSnapshot, document: DocumentSnapshot) -> None:
        """Finds the range by its text, because several edits in one change may lie around it without touching it. The
        text must occur once in both versions and have at least 12 bytes; else the range is lost."""
        text = old.source[self.start : self.end]
        if len(text) < 12 or old.source.count(text) != 1 or document.source.count(text) != 1:
            self.lost = True
            return
        self.start = document.source.index(text)
        self.end = self.start + len(text)
