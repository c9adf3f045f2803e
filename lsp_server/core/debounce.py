"""Computes the wait before decoding starts: a pure function of the typing rhythm and the speed of the model.

Decoding that the next key makes useless costs energy and delays the next answer. Waiting although the user pauses
costs time. Only decoding is delayed; the prefill is not, because the next key needs it as well.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

# How many tokens must be decoded before there is something to show; in a comment, the rest of a word is enough.
USEFUL_TOKENS, USEFUL_TOKENS_IN_COMMENTS = 3, 1

# If at least this share of the last gaps between keys is long enough to show something, decoding starts at once.
_IN_TIME = 0.4
_LEAST_GAPS = 4
_MOST_MS = 80.0

# A longer gap is a pause and tells nothing about the rhythm.
PAUSE_MS = 1000.0


def decode_delay_ms(gaps_ms: Sequence[float], step_ms: float, typed: bytes, useful: int = USEFUL_TOKENS) -> float:
    """The wait before decoding, in ms; 0 for none.

    gaps_ms: the gaps between the last keys. step_ms: the decode time of one token. typed: the text that the last key
    inserted before the cursor. useful: how many tokens are worth showing.
    """
    gaps = [gap for gap in gaps_ms if gap < PAUSE_MS]
    if len(gaps) < _LEAST_GAPS or not typed[-1:].isalnum():
        return 0.0  # after a new line, a dot, a bracket or a space users look at the screen
    needed = useful * step_ms
    if sum(gap >= needed for gap in gaps) >= _IN_TIME * len(gaps):
        return 0.0
    # A user who has not typed for longer than this gap has probably stopped.
    return min(_MOST_MS, statistics.quantiles(gaps, n=4)[2])
