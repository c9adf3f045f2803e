"""How long to wait before decoding starts: a pure function of how the user types and how fast the model is.

Decoding that the next key makes useless costs energy and delays the next answer; waiting when the user pauses
costs time. Only decoding is ever delayed: evaluating the prompt is what the next key needs as well.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

# What must be decoded before there is something worth showing: in a comment, the rest of a word.
USEFUL_TOKENS, USEFUL_TOKENS_IN_COMMENTS = 3, 1

# Of the last gaps between keys this share must be long enough to show something in, or we wait.
_IN_TIME = 0.4
_LEAST_GAPS = 4
_MOST_MS = 80.0

# A gap longer than this is a pause, which says nothing about the rhythm.
PAUSE_MS = 1000.0


def decode_delay_ms(gaps_ms: Sequence[float], step_ms: float, typed: bytes, useful: int = USEFUL_TOKENS) -> float:
    """The time to wait before decoding, in ms; 0 for at once.

    gaps_ms: the times between the last keys. step_ms: what a decoded token takes. typed: what the last key
    has put before the cursor. useful: how many tokens are worth showing.
    """
    gaps = [gap for gap in gaps_ms if gap < PAUSE_MS]
    if len(gaps) < _LEAST_GAPS or not typed[-1:].isalnum():
        return 0.0  # behind a new line, a dot, a bracket or a space people look up
    needed = useful * step_ms
    if sum(gap >= needed for gap in gaps) >= _IN_TIME * len(gaps):
        return 0.0
    # Who has not typed for longer than usual has probably stopped.
    return min(_MOST_MS, statistics.quantiles(gaps, n=4)[2])
