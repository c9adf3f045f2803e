"""Tracks accepted text through later changes of its document: how much of it is still there."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from lsp_server.core.text import character_start, shared_start
from lsp_server.stats.counts import Key

# A shorter run of equal characters in the middle of changed text is a coincidence.
_LEAST_RUN = 3
# Longer texts are compared by words and signs, not by characters.
_MOST_CHARACTERS = 500
_TOKENS = re.compile(r"\w+|\s+|[^\w\s]")
# If the accepted text is replaced by much more text, it is only searched in there, and the new text is not kept.
_MOST_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Change:
    """The bytes `start:end` of a document, which were `removed`, have become `text`. Reduced to the smallest change."""

    start: int
    end: int
    text: bytes
    removed: bytes = b""

    @classmethod
    def of(cls, start: int, removed: bytes, text: bytes) -> Change:
        """The change without the whole characters that both texts share at their ends."""
        if not removed or not text:
            return cls(start, start + len(removed), text, removed)
        shorter = min(len(removed), len(text))
        head = shared_start(removed, text, shorter)
        head = min(character_start(removed, head), character_start(text, head))
        removed, text = removed[head:], text[head:]
        tail = shared_start(removed[::-1], text[::-1], min(len(removed), len(text)))
        while tail and (removed[-tail] & 0xC0) == 0x80:
            tail -= 1
        removed, text = removed[: len(removed) - tail], text[: len(text) - tail]
        return cls(start + head, start + head + len(removed), text, removed)


def length(text: bytes) -> int:
    """The number of characters."""
    return len(text.decode("utf-8", "replace"))


def kept_characters(accepted: str, now: str) -> int:
    """How many characters of `accepted` are still in `now`, which has replaced it: the equal characters at both ends,
    and the longest equal runs between. Text inserted beside them does not matter."""
    head = 0
    while head < min(len(accepted), len(now)) and accepted[head] == now[head]:
        head += 1
    old, new = accepted[head:], now[head:]
    tail = 0
    while tail < min(len(old), len(new)) and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    old, new = old[: len(old) - tail], new[: len(new) - tail]
    one: Sequence[str] = old
    other: Sequence[str] = new
    if max(len(old), len(new)) > _MOST_CHARACTERS:
        one, other = _TOKENS.findall(old), _TOKENS.findall(new)
    blocks = difflib.SequenceMatcher(None, one, other, autojunk=False).get_matching_blocks()
    runs = [(block.a, block.a + block.size, sum(map(len, one[block.a : block.a + block.size]))) for block in blocks]
    # A short run counts if it is adjacent to one that counts, so that nothing was deleted between them.
    borders = {0} if head else set()
    borders |= {len(one)} if tail else set()
    counted = [run for run in runs if run[2] >= _LEAST_RUN]
    left = [run for run in runs if 0 < run[2] < _LEAST_RUN]
    while left:
        borders |= {end for run in counted for end in run[:2]}
        more = [run for run in left if borders & set(run[:2])]
        if not more:
            break
        counted += more
        left = [run for run in left if run not in more]
    return head + tail + sum(run[2] for run in counted)


@dataclass(slots=True, eq=False)
class Accepted:
    """Text that was accepted into a document.

    start: its offset. now: the text that stands there. origins: for each byte of `now`, its index in the accepted text;
    -1 for bytes inserted later. since: when it was accepted, in seconds. characters: how many it has inserted.
    measured: the names of the checks that were done.
    """

    key: Key
    start: int
    accepted: bytes
    characters: int
    since: float
    now: bytearray = field(default_factory=bytearray)
    origins: list[int] = field(default_factory=list)
    measured: set[str] = field(default_factory=set)
    undone: bool = False

    def __post_init__(self) -> None:
        self._set(0, 0, self.accepted, 0)

    @property
    def end(self) -> int:
        return self.start + len(self.now)

    def kept(self) -> int:
        """How many of its inserted characters are still there: those that no change has touched; or the common
        characters of both texts, if these are more because a change has restored some."""
        if self.now == self.accepted:
            return self.characters
        untouched = sum(1 for at in self.origins if at >= 0 and (self.accepted[at] & 0xC0) != 0x80)
        found = kept_characters(self.accepted.decode("utf-8", "replace"), self.now.decode("utf-8", "replace"))
        return min(self.characters, max(found, untouched))

    def follow(self, change: Change, *, revives: bool = True) -> None:
        """Applies a change of its document. Text inserted at its ends belongs to it only if that restores accepted
        text. revives: whether such a restore is allowed; not for the change of another acceptance."""
        had = bool(self.now)
        if revives and change.start == change.end and self._brings_back(change):
            return
        if change.end <= self.start:
            self.start += len(change.text) - (change.end - change.start)
        elif change.start < self.end:
            first, last = max(change.start, self.start) - self.start, min(change.end, self.end) - self.start
            text = change.text
            if len(text) > _MOST_BYTES + len(self.accepted):
                before = text.find(self.accepted)
                self.start = min(self.start, change.start) + max(0, before)
                self._set(0, len(self.now), self.accepted if before >= 0 else b"", 0)
                return
            self._set(first, last, text)
            self.start = min(self.start, change.start)
        if had and not self.now and not change.text:
            self.undone = True

    def _set(self, first: int, last: int, text: bytes, origin: int | None = None) -> None:
        """Replaces a part by `text`. origin: the index of `text` in the accepted text, if it is from there."""
        self.now[first:last] = text
        self.origins[first:last] = [-1] * len(text) if origin is None else range(origin, origin + len(text))

    def _brings_back(self, change: Change) -> bool:
        missing = len(self.accepted) - len(self.now) - len(change.text)
        if missing < 0:
            return False
        if change.start == self.end and self.accepted.startswith(bytes(self.now) + change.text):
            self._set(len(self.now), len(self.now), change.text, len(self.now))
        elif change.start == self.start and self.accepted.endswith(change.text + bytes(self.now)):
            self._set(0, 0, change.text, missing)
        else:
            return False
        self.undone = self.undone and not self.now
        return True
