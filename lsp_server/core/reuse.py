"""Typing through: a suggestion made for one place is the answer for the places that typing it leads to."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from lsp_server.core.confidence import NOTHING_KNOWN, Confidence
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.shape import without_overlap

# How much text on either side of a place must be unchanged for the place to be the same.
_BEFORE_BYTES, _AFTER_BYTES = 256, 64
# Of a line longer than that (minified code), no more of the rest than this.
_LINE_BYTES = 1024
_CLOSERS = b")]}>\"'`"
_MOST_CLOSERS = 3
_QUOTES = "\"'`"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a suggestion was made: a byte offset, and the text around it by which it is known again.

    is_last: whether nothing follows `after` in the document.
    """

    uri: str
    cursor: int
    before: bytes
    after: bytes
    is_last: bool

    @classmethod
    def of(cls, document: DocumentSnapshot, cursor: int) -> Place:
        end = min(document.line_end(document.line_at(cursor)), cursor + _LINE_BYTES) + _AFTER_BYTES
        before = document.source[max(0, cursor - _BEFORE_BYTES) : cursor]
        return cls(document.uri, cursor, before, document.source[cursor:end], end >= len(document.source))

    def typed_since(self, document: DocumentSnapshot, cursor: int) -> Typed | None:
        """What has been typed here since, if `document` is otherwise as it was around this place; else None.

        Closing brackets and quotes that an editor puts behind what is typed do not count as a change.
        """
        source = document.source
        if document.uri != self.uri or cursor < self.cursor:
            return None
        if source[self.cursor - len(self.before) : self.cursor] != self.before:
            return None
        for closers in range(_MOST_CLOSERS + 1):
            start = cursor + closers
            ends = start + len(self.after) == len(source)
            if source.startswith(self.after, start) and (ends or not self.is_last):
                return Typed(source[self.cursor : cursor], source[cursor:start])
            if source[start : start + 1] not in _CLOSERS:
                break
        return None


@dataclass(frozen=True, slots=True)
class Typed:
    """text: what has been typed at a place. closers: what an editor has put behind it by itself."""

    text: bytes
    closers: bytes = b""

    def agrees_with(self, written: str) -> bool:
        """Whether it is the beginning of `written`, or all of it; the model's line ends are `\\n`."""
        return written.encode().startswith(self.text.replace(b"\r\n", b"\n"))

    def rest_of(self, suggestion: str) -> str | None:
        """What is left of `suggestion` once its beginning has been typed; None if something else was. It ends
        in front of a bracket or quote that the editor has put there already."""
        encoded = suggestion.encode()
        if not encoded.startswith(self.text):
            return None
        left = encoded[len(self.text) :].decode("utf-8", "ignore")
        closers = self.closers.decode()
        if closers[:1] in _QUOTES:
            return left.partition(closers[0])[0] if closers else left
        return without_overlap(left, closers)


@dataclass(frozen=True, slots=True)
class Remembered:
    """A whole suggestion and where it was made. reason: why there is none, if the text is empty. alternatives:
    what else was shown there. confidence: how sure the model was of the text."""

    place: Place
    text: str
    reason: str = ""
    alternatives: tuple[str, ...] = ()
    confidence: Confidence = NOTHING_KNOWN


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
            for text in (entry.text, *entry.alternatives):
                left = typed.rest_of(text)
                if left is not None and (left.strip() or not typed.text):
                    return entry, left
        return None

    def clear(self) -> None:
        self._entries.clear()
