"""A user of a simple editor, whose changes and answers a tracker is told of as a server would be."""

from __future__ import annotations

from collections import Counter

from lsp_server.stats.counts import Key, Tally
from lsp_server.stats.kept import Change
from lsp_server.stats.tracker import Tracker

KEY = Key("2026-11-28", "Python", "a model", "model")
HERE = Key("2026-11-28", "Python", "a model")
URI = "file:///w/a.py"
KEY_SECONDS = 0.2


class Typist:
    """One document, with a cursor. time: in seconds; each step takes as long as a key, unless it says otherwise."""

    def __init__(self, text: str = "", *, asks: bool = True) -> None:
        before, _, after = text.partition("$0")
        self.text, self.cursor = (before + after).encode(), len(before.encode())
        self.tally = Tally()
        self.tracker = Tracker(self.tally)
        self.time, self.asks = 100.0, asks
        self.wanted = ""  # what the model would write from here on
        self.id = 0

    def offer(self, wanted: str, over: str = "", *others: str) -> None:
        """The server answers with `wanted`, in place of `over` right of the cursor."""
        self.wanted = wanted
        texts = [each.encode() for each in (wanted, *others)]
        self.id = self.tracker.suggested(URI, KEY, self.cursor, over.encode(), texts, self.time, tokens=5)

    def nothing(self) -> None:
        self.wanted = ""
        self.tracker.nothing_for(URI, self.time)

    def edit(self, start: int, end: int, text: str, *, cursor: int | None = None, seconds: float = KEY_SECONDS) -> None:
        """One change, in bytes. The cursor goes behind it."""
        self.time += seconds
        inserted = text.encode()
        change = Change.of(start, self.text[start:end], inserted)
        self.text = self.text[:start] + inserted + self.text[end:]
        self.cursor = start + len(inserted) if cursor is None else cursor
        self.tracker.changed(URI, [change], HERE, self.time)

    def type(self, text: str) -> None:
        """Key by key; while that is what was wanted, the server goes on answering with the rest."""
        for key in text:
            agrees = self.wanted.startswith(key)
            self.edit(self.cursor, self.cursor, key)
            self.wanted = self.wanted[1:] if agrees else ""
            if self.wanted.strip() and self.asks:
                self.offer(self.wanted)

    def accept(self, text: str | None = None, over: str = "") -> None:
        """Accepts all that is offered, or a part of it."""
        part = self.wanted if text is None else text
        self.edit(self.cursor, self.cursor + len(over.encode()), part)
        self.wanted = self.wanted.removeprefix(part) if self.wanted.startswith(part) else ""
        if self.wanted.strip() and self.asks:
            self.offer(self.wanted)

    def backspace(self, count: int = 1) -> None:
        self.edit(self.cursor - count, self.cursor, "")

    def wait(self, seconds: float) -> None:
        self.time += seconds
        self.tracker.tick(self.time)

    def counts(self) -> dict[str, int]:
        """All that was counted, of every key, once everything that can be looked at has been."""
        self.wait(301)
        self.tracker.close(self.time)
        found: Counter[str] = Counter()
        for counts in self.tally.counts.values():
            found.update(counts)
        return {name: count for name, count in found.items() if count}
