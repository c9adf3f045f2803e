"""Decides whether a next edit is shown: no edit is better than one that disturbs."""

from __future__ import annotations

import statistics
from collections import OrderedDict
from collections.abc import Iterator, Sequence

from lsp_server.core.next_edits.computed.propose import proposals
from lsp_server.core.next_edits.history import Hunk
from lsp_server.core.next_edits.proposal import NextEdit, Situation

# The minimum certainty of an edit, from 1 to 3, by eagerness.
_LEAST_CERTAINTY: dict[str, int] = {"low": 3, "medium": 2, "high": 1}
# The delay before an edit is proposed, in typical gaps between keys; and its bounds, the gap if none is known, and the
# shortest pause, in ms.
_GAPS: dict[str, float] = {"low": 4.0, "medium": 3.0, "high": 2.0}
_SHORTEST_MS, _LONGEST_MS, _USUAL_MS, _PAUSE_MS = 150.0, 800.0, 120.0, 1000.0
# An edit that follows from one change waits for a pause of this many ms while the cursor is still at the change: half a
# name, or a parameter that was removed to write another one, is not a finished change.
SETTLED_MS = {"low": 1500.0, "medium": 1000.0, "high": 500.0}
_FOLLOWING = frozenset({"rename", "arguments", "async", "member", "import", "mend"})
# How many of the last edits must not be undone by a proposal, and how many rejected edits are remembered.
_NOT_UNDONE, _MOST_REJECTED = 8, 64

_IMPORTS = (b"import ", b"from ", b"use ", b"using ", b"#include", b"require")


class Rejected:
    """The edits that the user rejected, by content: the same change of the same lines is not proposed again."""

    def __init__(self, others: Rejected | None = None) -> None:
        self._keys: OrderedDict[tuple[str, bytes, bytes], None] = OrderedDict()
        if others is not None:
            self._keys.update(others._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, edit: NextEdit) -> None:
        self._keys[_key(edit)] = None
        self._keys.move_to_end(_key(edit))
        while len(self._keys) > _MOST_REJECTED:
            self._keys.popitem(last=False)

    def __contains__(self, edit: NextEdit) -> bool:
        return _key(edit) in self._keys


def _key(edit: NextEdit) -> tuple[str, bytes, bytes]:
    old, new = edit.lines()
    return edit.document.uri, old.strip(), new.strip()


def next_edits(situation: Situation, eagerness: str, rejected: Rejected) -> Iterator[NextEdit]:
    """The edits that may be shown, the best first. eagerness: off, low, medium or high."""
    if eagerness == "off" or not (situation.hunks or situation.asked):
        return
    for edit in proposals(situation):
        if why_not(edit, situation, eagerness, rejected) == "":
            yield edit


def why_not(edit: NextEdit, situation: Situation, eagerness: str, rejected: Rejected) -> str:
    """The reason why an edit is not shown, in words; empty if it may be shown."""
    if edit.certainty < (1 if situation.asked else _LEAST_CERTAINTY[eagerness]):
        return "it is not certain enough"
    if not (situation.settled or situation.asked) and edit.kind in _FOLLOWING and _is_at_last_edit(situation):
        return "what it follows from may not be finished"
    if b"".join(edit.old.split()) == b"".join(edit.text.split()):
        return "it changes nothing but white space"
    if _is_order(edit):
        return "it changes nothing but the order of imports"
    if edit in rejected:
        return "it was rejected"
    if edit.kind != "mend" and any(_undoes(edit, hunk) for hunk in situation.hunks[::-1][:_NOT_UNDONE]):
        return "it undoes what was changed last"
    return ""


def _is_at_last_edit(situation: Situation) -> bool:
    """Whether the cursor is still in the lines that were changed last."""
    last = situation.last
    return last is not None and last.uri == situation.document.uri and last.start <= situation.cursor <= last.end


def _is_order(edit: NextEdit) -> bool:
    old, new = (sorted(filter(None, lines.split(b"\n"))) for lines in edit.lines())
    return len(old) > 1 and old == new and all(line.strip().startswith(_IMPORTS) for line in old)


def _undoes(edit: NextEdit, hunk: Hunk) -> bool:
    """Whether the edit would give the lines of a hunk their old text again."""
    if hunk.uri != edit.document.uri or hunk.start < 0 or not hunk.start <= edit.start <= edit.end <= hunk.end + 1:
        return False
    source = edit.document.source
    after = source[hunk.start : edit.start] + edit.text + source[edit.end : hunk.end]
    return after.split() == hunk.old.split()


def delay_ms(gaps_ms: Sequence[float], eagerness: str) -> float:
    """The delay between the last key and the proposal, in ms. gaps_ms: the times between the last keys."""
    gaps = [gap for gap in gaps_ms if gap < _PAUSE_MS]
    usual = statistics.quantiles(gaps, n=4)[2] if len(gaps) > 3 else _USUAL_MS
    return min(_LONGEST_MS, max(_SHORTEST_MS, _GAPS.get(eagerness, _GAPS["low"]) * usual))
