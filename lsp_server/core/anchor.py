"""Anchors: the parts of a prompt that stay as they are while the user types, so that a key costs a token.

A prompt is frozen around an anchor, a point before the cursor: the window of text in front of it, and the text
that follows. What has been typed since stands behind everything frozen. An anchor holds as long as the document
still agrees with what it froze; going back to an earlier place finds the earlier anchor, and its KV cache.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import replace

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.fim_formats import FimFormat
from lsp_server.core.hole import TYPED_LIMIT_BYTES, Hole
from lsp_server.core.prompt import Anchor, PromptBudget, new_anchor

# The frozen text after the hole is kept while it still stands within this many lines below the cursor.
SUFFIX_LINES = 40

# A window is known again by its first bytes, up to this far from where it was.
_KNOWN_BYTES, _MOVED_BYTES = 64, 8192

# How many anchors are remembered, of all documents together.
REMEMBERED = 16


def held(
    anchor: Anchor, document: DocumentSnapshot, hole: Hole, form: FimFormat, budget: PromptBudget
) -> Anchor | None:
    """`anchor` as it stands in `document` now, or None if it no longer holds for `hole`."""
    if anchor.uri != document.uri or not _still_follows(anchor.after, document, hole):
        return None
    source = document.source
    for start in _starts(anchor, document, hole):
        offset = start + anchor.offset - anchor.start
        if form.typed_extends_before:
            # The text before the hole grows at the prompt's end, so the anchor can move along at no cost.
            size = hole.anchor - start
            near_start = start > 0 and size < budget.before // 4
            if size <= budget.before * 5 // 4 and not near_start:
                return replace(
                    anchor, start=start, offset=hole.anchor, before=source[start : hole.anchor], size=len(source)
                )
        elif offset <= hole.cursor <= offset + TYPED_LIMIT_BYTES and source[start:offset] == anchor.before:
            return replace(anchor, start=start, offset=offset, size=len(source))
    return None


def _starts(anchor: Anchor, document: DocumentSnapshot, hole: Hole) -> Iterator[int]:
    """Where the anchor's window may begin now: where it did, or, after an edit above it, nearby."""
    if anchor.start == 0:  # it shows the file from its beginning
        yield 0
        return
    source, known = document.source, anchor.before[:_KNOWN_BYTES]
    grown = anchor.start + len(source) - anchor.size
    for start in (anchor.start, grown):
        if 0 <= start <= hole.cursor and source.startswith(known, start):
            yield start
    if known:
        low = max(0, anchor.start - _MOVED_BYTES)
        found = source.rfind(known, low, min(hole.cursor, anchor.start + _MOVED_BYTES))
        if found >= 0:
            yield found


def _still_follows(after: bytes, document: DocumentSnapshot, hole: Hole) -> bool:
    """Whether `after` stands at a line's end at most `SUFFIX_LINES` below the cursor."""
    source = document.source
    if not after:
        return not source[hole.line_end :].strip()
    first = document.line_at(hole.cursor)
    last = min(document.line_count - 1, first + SUFFIX_LINES)
    return any(source.startswith(after, document.line_end(line)) for line in range(first, last + 1))


class AnchorBook:
    """The anchors in use, the latest first. Plain data: no clock, no model. short_only: no anchor gets more than the
    short suffix."""

    def __init__(self, *, short_only: bool = False) -> None:
        self._short_only = short_only
        self._anchors: deque[Anchor] = deque(maxlen=REMEMBERED)

    def __len__(self) -> int:
        return len(self._anchors)

    def choose(self, document: DocumentSnapshot, hole: Hole, form: FimFormat, budget: PromptBudget) -> Anchor:
        """The anchor that a key at `hole` is answered from: the latest that holds, else a new one."""
        for anchor in self._anchors:
            found = held(anchor, document, hole, form, budget)
            if found is not None:
                self._replace(anchor, found)
                return found
        made = new_anchor(document, hole, form, budget, short=True)
        if made.short and not self._short_only and not self._knows_window(made):
            # All of the prompt is evaluated for the first time, so the whole suffix adds little to it.
            made = new_anchor(document, hole, form, budget)
        self._anchors.appendleft(made)
        return made

    def _knows_window(self, made: Anchor) -> bool:
        """Whether a prompt in use begins as one with this anchor does."""
        begins = made.uri, made.head, made.before[:_KNOWN_BYTES]
        return any((a.uri, a.head, a.before[:_KNOWN_BYTES]) == begins for a in self._anchors)

    def at_rest(self, document: DocumentSnapshot, hole: Hole, form: FimFormat, budget: PromptBudget) -> Anchor | None:
        """A better anchor for `hole` than the one in use, to be evaluated while the user rests; None if
        that one is as good. It is used once `adopt` has been called with it."""
        current = self.choose(document, hole, form, budget)
        if form.suffix_first:
            return None  # a new suffix would cost the whole prompt
        fresh = new_anchor(document, hole, form, budget)
        same = fresh.after == current.after and fresh.offset == current.offset and fresh.start == current.start
        return None if same else fresh

    def adopt(self, anchor: Anchor) -> None:
        """Puts an anchor first, in place of those for the same point, which it is better than."""
        self._anchors = deque(
            (a for a in self._anchors if (a.uri, a.offset) != (anchor.uri, anchor.offset)), maxlen=REMEMBERED
        )
        self._anchors.appendleft(anchor)

    def forget(self, uri: str) -> None:
        """Drops the anchors of a document."""
        self._anchors = deque((anchor for anchor in self._anchors if anchor.uri != uri), maxlen=REMEMBERED)

    def _replace(self, old: Anchor, new: Anchor) -> None:
        self._anchors.remove(old)
        self._anchors.appendleft(new)
