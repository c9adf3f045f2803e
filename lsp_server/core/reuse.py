"""Reuses a suggestion for one place at the places that the user reaches by typing its text."""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass, replace
from functools import lru_cache

from lsp_server.core.confidence import NOTHING_KNOWN, Confidence
from lsp_server.core.danger.verdict import Danger
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.insertion import Insertion
from lsp_server.core.overlap import contains, overlap_start

# How many bytes on either side of a place are compared directly, at every key and with every place.
_BEFORE_BYTES, _AFTER_BYTES = 256, 64
# How many bytes beyond that must be the same, compared by hash: more than the prompts of most models show.
_ABOVE_BYTES, _BELOW_BYTES = 128 << 10, 32 << 10
# How many bytes of the rest of the line are compared at most (minified code).
_LINE_BYTES = 1024
_CLOSERS = b")]}>\"'`"
_MOST_CLOSERS = 3
_INDENTATION = re.compile(rb"\n[ \t]+")


@dataclass(frozen=True, slots=True)
class Place:
    """The place of a suggestion: a byte offset, and the text around it by which the place is recognised.

    is_last: whether `after` reaches to the end of the document. above, below: hashes of the text beyond, which the
    model was shown as well.
    """

    uri: str
    cursor: int
    before: bytes
    after: bytes
    is_last: bool
    above: int = 0
    below: int = 0

    @classmethod
    def of(cls, document: DocumentSnapshot, cursor: int) -> Place:
        end = min(document.line_end(document.line_at(cursor)), cursor + _LINE_BYTES) + _AFTER_BYTES
        before = document.source[max(0, cursor - _BEFORE_BYTES) : cursor]
        source = document.source
        above, below = _hash_above(document, cursor), _hash_below(document, end)
        return cls(document.uri, cursor, before, source[cursor:end], end >= len(source), above, below)

    def typed_since(self, document: DocumentSnapshot, cursor: int) -> Typed | None:
        """The text that was typed at this place since, if the rest of `document` around it is unchanged; else None.

        Closing brackets and quotes that an editor inserts behind the typed text are no change. Nor is typing over those
        that were there already.
        """
        source = document.source
        if document.uri != self.uri or cursor < self.cursor:
            return None
        if source[self.cursor - len(self.before) : self.cursor] != self.before:
            return None
        text = source[self.cursor : cursor]
        for passed in range(min(_MOST_CLOSERS, len(self.after)) + 1):
            after = self.after[passed:]
            if passed and (self.after[passed - 1] not in _CLOSERS or self.after[passed - 1] not in text):
                break
            for closers in range(_MOST_CLOSERS + 1):
                start = cursor + closers
                ends = start + len(after) == len(source)
                if source.startswith(after, start) and (ends or not self.is_last):
                    same = _hash_below(document, start + len(after)) == self.below
                    same = same and _hash_above(document, self.cursor) == self.above
                    return Typed(text, source[cursor:start], self.after[:passed]) if same else None
                if source[start : start + 1] not in _CLOSERS:
                    break
        return None


def _hash_above(document: DocumentSnapshot, cursor: int) -> int:
    near = max(0, cursor - _BEFORE_BYTES)
    return _hash(document, max(0, near - _ABOVE_BYTES), near)


def _hash_below(document: DocumentSnapshot, end: int) -> int:
    return _hash(document, end, end + _BELOW_BYTES)


def _hash(document: DocumentSnapshot, start: int, end: int) -> int:
    """The hash of a part of a document. Cached, because many places in one line need the same hash."""
    known = _hashes(document)
    if (start, end) not in known:
        known[start, end] = hash(document.source[start:end])
    return known[start, end]


@lru_cache(maxsize=2)
def _hashes(document: DocumentSnapshot) -> dict[tuple[int, int], int]:
    return {}


@dataclass(frozen=True, slots=True)
class Typed:
    """text: the text that was typed at a place. closers: the characters that an editor inserted behind it. passed: the
    text that was right of the place and that the user has typed over, so that it is now part of `text`."""

    text: bytes
    closers: bytes = b""
    passed: bytes = b""

    def agrees_with(self, written: str) -> bool:
        """Whether the typed text is a prefix of `written`. `written` is a model's text: its line endings are `\\n`, and
        its indentation is not yet adapted to the document."""
        typed = self.text.replace(b"\r\n", b"\n")
        return _INDENTATION.sub(b"\n", written.encode()).startswith(_INDENTATION.sub(b"\n", typed))

    def rest_of(self, suggestion: Insertion) -> Insertion | None:
        """The rest of `suggestion` after its beginning was typed; None if other text was typed, or if text that it
        replaces is gone. Accepting the rest gives the same document as accepting the suggestion.

        If the rest goes on behind the characters that the editor inserted, it replaces them; else it ends before them.
        """
        encoded = suggestion.text.encode()
        if not encoded.startswith(self.text) or not suggestion.over.startswith(self.passed):
            return None
        left = encoded[len(self.text) :].decode("utf-8", "ignore")
        over = (self.closers + suggestion.over[len(self.passed) :]).decode("utf-8", "replace")
        at = overlap_start(left, over)
        if at is not None and left[at:] == over:
            return Insertion(left[:at])
        if at is not None or (contains(left, over) and not self.closers):
            return Insertion(left, over.encode())
        if suggestion.over:
            return None
        # It replaces the inserted closers that it contains; the others stay behind it.
        for size in range(len(self.closers) - 1, 0, -1):
            over = self.closers[:size].decode("utf-8", "replace")
            if (at := overlap_start(left, over)) is not None:
                return Insertion(left[:at]) if left[at:] == over else Insertion(left, over.encode())
        return Insertion(left)


@dataclass(frozen=True, slots=True)
class Remembered:
    """A whole suggestion and its place. reason: why there is none, if the text is empty. alternatives: further
    suggestions that were shown there. confidence: of the model in the text. in_comment: whether it is words in a
    comment, which more words may follow in the same line. danger: the findings in the text. superseded: whether the
    model would now answer from a better prompt."""

    place: Place
    shown: Insertion
    reason: str = ""
    alternatives: tuple[Insertion, ...] = ()
    confidence: Confidence = NOTHING_KNOWN
    in_comment: bool = False
    danger: Danger | None = None
    superseded: bool = False


class SuggestionMemory:
    """The last suggestions. Each is served at every place that typing it, or deleting from it, leads to."""

    def __init__(self, limit: int = 128) -> None:
        self._limit = limit
        self._entries: OrderedDict[Place, Remembered] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def remember(self, entry: Remembered) -> None:
        self._entries[entry.place] = entry
        self._entries.move_to_end(entry.place)
        while len(self._entries) > self._limit:
            self._entries.popitem(last=False)

    def supersede(self, place: Place, shown: Insertion) -> None:
        """Notes that a better prompt than that of the suggestion `shown` at `place` is evaluated now."""
        if (entry := self._entries.get(place)) is not None and entry.shown == shown:
            self._entries[place] = replace(entry, superseded=True)

    def find(self, document: DocumentSnapshot, cursor: int) -> tuple[Remembered, Insertion] | None:
        """The latest suggestion that has text left at `cursor`, and that text. An empty suggestion is found only at
        its own place; a superseded one only where the user has typed its beginning, so that the text on the screen
        stays."""
        for entry in reversed(self._entries.values()):
            typed = entry.place.typed_since(document, cursor)
            if typed is None or (entry.superseded and not typed.text):
                continue
            for suggestion in (entry.shown, *entry.alternatives):
                left = typed.rest_of(suggestion)
                if left is not None and (left.text.strip() or not typed.text):
                    return entry, left
        return None

    def clear(self) -> None:
        self._entries.clear()
