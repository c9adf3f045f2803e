"""Typing through: a suggestion made for one place is the answer for the places that typing it leads to."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from lsp_server.core.document import DocumentSnapshot

# How much text on either side of a place must be unchanged for the place to be the same.
_BEFORE_BYTES, _AFTER_BYTES = 256, 64
_CLOSERS = b")]}>\"'`"
_MOST_CLOSERS = 3


@dataclass(frozen=True, slots=True)
class Place:
    """Where a suggestion was made: a byte offset, and the text around it by which it is known again."""

    uri: str
    cursor: int
    before: bytes
    after: bytes

    @classmethod
    def of(cls, document: DocumentSnapshot, cursor: int) -> Place:
        end = document.line_end(document.line_at(cursor)) + _AFTER_BYTES
        before = document.source[max(0, cursor - _BEFORE_BYTES) : cursor]
        return cls(document.uri, cursor, before, document.source[cursor:end])

    def typed_since(self, document: DocumentSnapshot, cursor: int) -> bytes | None:
        """What has been typed here since, if `document` is otherwise as it was around this place; else None.

        Closing brackets and quotes that an editor puts behind what is typed do not count as a change.
        """
        source = document.source
        if document.uri != self.uri or cursor < self.cursor:
            return None
        if source[self.cursor - len(self.before) : self.cursor] != self.before:
            return None
        for closers in range(_MOST_CLOSERS + 1):
            if source.startswith(self.after, cursor + closers):
                return source[self.cursor : cursor]
            if source[cursor + closers : cursor + closers + 1] not in _CLOSERS:
                break
        return None


@dataclass(frozen=True, slots=True)
class Remembered:
    """A whole suggestion and where it was made. reason: why there is none, if the text is empty."""

    place: Place
    text: str
    reason: str = ""


def rest_of(text: str, typed: bytes) -> str | None:
    """What is left of `text` once its beginning has been typed; None if something else was typed."""
    encoded = text.encode()
    if not encoded.startswith(typed):
        return None
    return encoded[len(typed) :].decode("utf-8", "ignore")


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

    def find(self, document: DocumentSnapshot, cursor: int) -> tuple[Remembered, str] | None:
        """The latest suggestion that has something left at `cursor`, and what that is. A suggestion of
        nothing is found at its very place only."""
        for entry in reversed(self._entries.values()):
            typed = entry.place.typed_since(document, cursor)
            if typed is None:
                continue
            left = rest_of(entry.text, typed)
            if left is not None and (left.strip() or not typed):
                return entry, left
        return None

    def clear(self) -> None:
        self._entries.clear()
