"""Typing through: a suggestion made for one place is the answer for the places that typing it leads to."""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache

from lsp_server.core.confidence import NOTHING_KNOWN, Confidence
from lsp_server.core.danger.verdict import Danger
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.insertion import Insertion
from lsp_server.core.overlap import contains, meeting

# How much text on either side of a place is compared as it is, at every key and with every place.
_BEFORE_BYTES, _AFTER_BYTES = 256, 64
# How much beyond that must be the same by its hash: more than the prompts of most models show.
_ABOVE_BYTES, _BELOW_BYTES = 128 << 10, 32 << 10
# Of a line longer than that (minified code), no more of the rest than this.
_LINE_BYTES = 1024
_CLOSERS = b")]}>\"'`"
_MOST_CLOSERS = 3
_INDENTATION = re.compile(rb"\n[ \t]+")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a suggestion was made: a byte offset, and the text around it by which it is known again.

    is_last: whether nothing follows `after` in the document. above, below: hashes of the text beyond, which the model
    has been shown as well.
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
        """What has been typed here since, if `document` is otherwise as it was around this place; else None.

        Closing brackets and quotes that an editor puts behind what is typed do not count as a change, nor does going
        over those that stood there by typing them.
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
    """The hash of a part. Many places in one line ask for the same one."""
    known = _hashes(document)
    if (start, end) not in known:
        known[start, end] = hash(document.source[start:end])
    return known[start, end]


@lru_cache(maxsize=2)
def _hashes(document: DocumentSnapshot) -> dict[tuple[int, int], int]:
    return {}


@dataclass(frozen=True, slots=True)
class Typed:
    """text: what has been typed at a place. closers: what an editor has put behind it by itself. passed: what stood
    right of the place and is now part of the text, because typing it has only moved the cursor."""

    text: bytes
    closers: bytes = b""
    passed: bytes = b""

    def agrees_with(self, written: str) -> bool:
        """Whether it is the beginning of `written`, or all of it; a model's line ends are `\\n`, and its indentation is
        not yet the document's."""
        typed = self.text.replace(b"\r\n", b"\n")
        return _INDENTATION.sub(b"\n", written.encode()).startswith(_INDENTATION.sub(b"\n", typed))

    def rest_of(self, suggestion: Insertion) -> Insertion | None:
        """What is left of `suggestion` once its beginning has been typed; None if something else was, or it went over
        what is not there any more. Accepting the rest makes what accepting the suggestion would have made.

        It replaces what the editor has put behind the cursor, if it goes on behind that, and else ends in front of it.
        """
        encoded = suggestion.text.encode()
        if not encoded.startswith(self.text) or not suggestion.over.startswith(self.passed):
            return None
        left = encoded[len(self.text) :].decode("utf-8", "ignore")
        over = (self.closers + suggestion.over[len(self.passed) :]).decode("utf-8", "replace")
        at = meeting(left, over)
        if at is not None and left[at:] == over:
            return Insertion(left[:at])
        if at is not None or (contains(left, over) and not self.closers):
            return Insertion(left, over.encode())
        if suggestion.over:
            return None
        # It goes on over those that it closes; the others stay behind it.
        for size in range(len(self.closers) - 1, 0, -1):
            over = self.closers[:size].decode("utf-8", "replace")
            if (at := meeting(left, over)) is not None:
                return Insertion(left[:at]) if left[at:] == over else Insertion(left, over.encode())
        return Insertion(left)


@dataclass(frozen=True, slots=True)
class Remembered:
    """A whole suggestion and where it was made. reason: why there is none, if the text is empty. alternatives:
    what else was shown there. confidence: how sure the model was of the text. in_comment: whether it is words of a
    comment, behind which others may follow in the same line. danger: what was found in the text."""

    place: Place
    shown: Insertion
    reason: str = ""
    alternatives: tuple[Insertion, ...] = ()
    confidence: Confidence = NOTHING_KNOWN
    in_comment: bool = False
    danger: Danger | None = None


class SuggestionMemory:
    """The last suggestions, each served wherever typing into it leads, and backspacing within it."""

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

    def find(self, document: DocumentSnapshot, cursor: int) -> tuple[Remembered, Insertion] | None:
        """The latest suggestion that has something left at `cursor`, and what that is. A suggestion of
        nothing is found at its very place only."""
        for entry in reversed(self._entries.values()):
            typed = entry.place.typed_since(document, cursor)
            if typed is None:
                continue
            for suggestion in (entry.shown, *entry.alternatives):
                left = typed.rest_of(suggestion)
                if left is not None and (left.text.strip() or not typed.text):
                    return entry, left
        return None

    def clear(self) -> None:
        self._entries.clear()
