"""Anchors: the parts of a prompt that stay the same while the user types, so that a key costs one token of prefill.

An anchor is a point before the cursor. It freezes the window of text before that point and the text after the hole.
Text that was typed after the point stands behind everything that is frozen. An anchor holds as long as the document
still agrees with the frozen text. When the user goes back to an earlier place, the earlier anchor is found again, and
with it its KV cache.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.fim_formats import FimFormat
from lsp_server.core.hole import TYPED_LIMIT_BYTES, Hole
from lsp_server.core.prompt import Anchor, PromptBudget, new_anchor
from lsp_server.core.quick_prompt import quick_anchor

# The frozen text after the hole is kept while it still stands at most this many lines below the cursor.
SUFFIX_LINES = 40

# A moved window is recognised by its first `_KNOWN_BYTES` bytes, at most `_MOVED_BYTES` from where it began before.
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
    """Offsets where the anchor's window may begin now: where it began before, or near it after an edit above it."""
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
    """Whether `after` begins at the end of a line at most `SUFFIX_LINES` below the cursor."""
    source = document.source
    if not after:
        return not source[hole.line_end :].strip()
    first = document.line_at(hole.cursor)
    last = min(document.line_count - 1, first + SUFFIX_LINES)
    return any(source.startswith(after, document.line_end(line)) for line in range(first, last + 1))


class AnchorBook:
    """The anchors in use, the latest first. Plain data: no clock, no model. quick: whether they are those of quick
    prompts."""

    def __init__(self, *, quick: bool = False) -> None:
        self._quick = quick
        self._anchors: deque[Anchor] = deque(maxlen=REMEMBERED)

    def __len__(self) -> int:
        return len(self._anchors)

    def choose(self, document: DocumentSnapshot, hole: Hole, form: FimFormat, budget: PromptBudget) -> Anchor:
        """The anchor that a key at `hole` is answered from: the latest one that holds, else a new one."""
        for anchor in self._anchors:
            found = held(anchor, document, hole, form, budget)
            if found is not None:
                self._replace(anchor, found)
                return found
        make = quick_anchor if self._quick else partial(new_anchor, short=True)
        made = make(document, hole, form, budget)
        if made.short and not self._knows_window(made):
            # The whole prompt must be evaluated anyway, so the full suffix adds little to it.
            made = new_anchor(document, hole, form, budget)
        self._anchors.appendleft(made)
        return made

    def _knows_window(self, made: Anchor) -> bool:
        """Whether a prompt in use begins with the same text as the prompt of this anchor."""
        begins = made.uri, made.head, made.before[:_KNOWN_BYTES]
        return any((a.uri, a.head, a.before[:_KNOWN_BYTES]) == begins for a in self._anchors)

    def at_rest(self, document: DocumentSnapshot, hole: Hole, form: FimFormat, budget: PromptBudget) -> Anchor | None:
        """A better anchor for `hole` than the one in use, to be evaluated while the user pauses; None if there is no
        better one. It is used only after `adopt` was called with it."""
        current = self.choose(document, hole, form, budget)
        if form.suffix_first:
            return None  # a new suffix would cost the whole prompt
        fresh = new_anchor(document, hole, form, budget)
        same = fresh.after == current.after and fresh.offset == current.offset and fresh.start == current.start
        return None if same else fresh

    def adopt(self, anchor: Anchor) -> None:
        """Puts `anchor` first and removes the other anchors of the same point in the document."""
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
