"""Keeps the last edits of a session as a person would see them: bounded, in order, with up-to-date positions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.edits import changed_region

# How many edits are kept, and how many bytes an edit has before and after; a larger change was not typed.
MOST_HUNKS, MOST_BYTES = 32, 4096

# A change of the same place within this time belongs to the same edit.
SAME_EDIT_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Hunk:
    """Whole lines that the user changed, without their last line ending: `old` became `new`.

    start: the offset of `new` in the current document; -1 if it is no longer known. began, ended: the times of its
    first and last change, in seconds. kind: the type of the changed syntax node; empty until it was looked up.
    """

    id: int
    uri: str
    path: str
    language_id: str
    old: bytes
    new: bytes
    start: int
    began: float = 0.0
    ended: float = 0.0
    kind: str = ""

    @property
    def end(self) -> int:
        return self.start + len(self.new)

    def trimmed(self) -> Trimmed:
        """The hunk without the unchanged lines at both ends."""
        old, new = self.old.split(b"\n"), self.new.split(b"\n")
        shorter = min(len(old), len(new))
        first = next((i for i in range(shorter) if old[i] != new[i]), shorter)
        last = next((i for i in range(shorter - first) if old[-1 - i] != new[-1 - i]), shorter - first)
        start = self.start + sum(len(line) + 1 for line in new[:first]) if self.start >= 0 else -1
        between = slice(first, -last or None)
        return Trimmed(
            tuple(old[between]), tuple(new[between]), start, tuple(new[:first]), tuple(new[len(new) - last :])
        )


@dataclass(frozen=True, slots=True)
class Trimmed:
    """The lines that a hunk really changed. `old` is empty if lines were only inserted, `new` if only removed.

    start: the offset of `new` in the document, at the start of a line; -1 if not known. above, below: the unchanged
    lines of the hunk before and after them.
    """

    old: tuple[bytes, ...]
    new: tuple[bytes, ...]
    start: int
    above: tuple[bytes, ...] = ()
    below: tuple[bytes, ...] = ()


class EditHistory:
    """The recent edits, the latest last. Its owner reports every change of every document, in order."""

    def __init__(self) -> None:
        self._hunks: list[Hunk] = []
        self._next = 1

    def __len__(self) -> int:
        return len(self._hunks)

    def hunks(self) -> tuple[Hunk, ...]:
        return tuple(self._hunks)

    def changed(self, old: DocumentSnapshot, new: DocumentSnapshot, now: float) -> None:
        """Records that `old` became `new`, its next version, at `now` in seconds."""
        start, end, length = changed_region(old, new)
        grown = length - (end - start)
        if not grown and old.source[start:end] == new.source[start : start + length]:
            return
        first, last = old.line_start(old.line_at(start)), old.line_end(old.line_at(end))
        touched = [h for h in self._hunks if h.uri == new.uri and 0 <= h.start <= last and first <= h.end]
        merged = [h for h in touched if now - h.ended <= SAME_EDIT_SECONDS]
        first = min((first, *(h.start for h in merged)))
        last = max((last, *(h.end for h in merged)))
        before = _before(old.source, first, last, merged)
        kept = []
        for hunk in self._hunks:
            if hunk in merged:
                continue
            if hunk in touched:
                kept.append(replace(hunk, start=-1))
            elif hunk.uri == new.uri and hunk.start >= end:
                kept.append(replace(hunk, start=hunk.start + grown))
            else:
                kept.append(hunk)
        after = new.source[first : last + grown]
        if before != after and len(before) <= MOST_BYTES and len(after) <= MOST_BYTES:
            id = merged[-1].id if merged else self._next
            began = min((now, *(h.began for h in merged)))
            kept.append(Hunk(id, new.uri, new.path, new.language_id, before, after, first, began, now))
            self._next += not merged
        self._hunks = kept[-MOST_HUNKS:]

    def opened(self, document: DocumentSnapshot) -> None:
        """Records that a document was opened; its text may be new, so the positions of its edits are unknown."""
        self.closed(document.uri)

    def closed(self, uri: str) -> None:
        self._hunks = [replace(hunk, start=-1) if hunk.uri == uri else hunk for hunk in self._hunks]

    def classify(self, id: int, kind: str) -> None:
        """Records the type of the syntax node that a hunk changed."""
        self._hunks = [replace(hunk, kind=kind) if hunk.id == id else hunk for hunk in self._hunks]


def _before(source: bytes, first: int, last: int, merged: Iterable[Hunk]) -> bytes:
    """The text of `source[first:last]` before the hunks in it."""
    parts: list[bytes] = []
    position = first
    for hunk in sorted(merged, key=lambda hunk: hunk.start):
        parts += (source[position : hunk.start], hunk.old)
        position = hunk.end
    return b"".join((*parts, source[position:last]))
