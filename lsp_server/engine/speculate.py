"""Draft tokens, looked up in what the model has read and written before, and how many of them pay.

Prompt look-up decoding (Saxena 2023): code repeats itself, so what followed the last tokens elsewhere may follow
them here. Or a small model drafts (Leviathan et al. 2023; engine/draft_model.py). A draft is verified in the step that
would have been taken anyway, so a wrong one costs little and a right one saves a step. What is written is what greedy
decoding writes.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from lsp_server.backends.base import StepCosts

# How many of the last tokens are looked up, the longest match first: the longer, the surer. One alone says too little.
_MATCHES = (16, 8, 4, 3, 2)
_MOST_DRAFTED = 15  # verified in a batch of sixteen

# Stands for the length of the match where the small model has drafted.
MODEL = 0

# The share of drafts that held, by the length of the match: where it begins, how fast it follows, and how
# fast that of the small model goes back while it does not draft.
_FIRST_RATE, _RATE_STEP, _RECOVERY_STEP = 0.6, 0.15, 0.01


@dataclass(slots=True)
class Draft:
    """Tokens that may follow. match: how many of the last tokens spoke for them, or MODEL. size: how many there are to
    be; the small model writes them one by one. gain: how many times as fast as without a draft that is expected to
    be."""

    match: int = MODEL
    size: int = 0
    gain: float = 1.0
    tokens: list[int] = field(default_factory=list)


class DraftRates:
    """How likely a drafted token is right, learned from those that were verified."""

    def __init__(self) -> None:
        self._rates = dict.fromkeys((MODEL, *_MATCHES), _FIRST_RATE)

    def __getitem__(self, match: int) -> float:
        return self._rates[match]

    def learn(self, match: int, drafted: int, accepted: int) -> None:
        """Of `drafted` tokens the first `accepted` were right. Those behind a wrong one tell nothing."""
        for held in [True] * accepted + [False] * (accepted < drafted):
            self._rates[match] += _RATE_STEP * (held - self._rates[match])

    def turned_down(self) -> None:
        """A draft of the small model did not seem to pay. What was worthless in one text may be of use in the next, so
        that it is tried again after a while."""
        self._rates[MODEL] += _RECOVERY_STEP * (_FIRST_RATE - self._rates[MODEL])


def draft_length(
    costs: StepCosts, depth: int, rate: float, limit: int = _MOST_DRAFTED, token_ms: float = 0.0
) -> tuple[int, float]:
    """How many tokens to draft so that a token costs the least time, where each is right with probability
    `rate` if the one before it was and costs `token_ms` to draft; 0 if none pays. And how many times as fast that
    is as decoding one by one."""
    single = costs.ms(1, depth)
    best, best_gain = 0, 1.0
    expected = 1.0
    for size in range(1, min(limit, _MOST_DRAFTED) + 1):
        expected += rate**size
        gain = expected * single / (costs.ms(1 + size, depth, logits=1 + size) + size * token_ms)
        if gain > best_gain:
            best, best_gain = size, gain
    return best, best_gain


class Drafter:
    """Looks drafts up in a request's own tokens, and then in `sources`, the latest first."""

    def __init__(self, sources: Iterable[Sequence[int]]) -> None:
        self._sources = [_packed(source) for source in sources]

    def propose(self, tokens: Sequence[int]) -> tuple[int, list[int]]:
        """What followed the last of `tokens` elsewhere, and how many of them matched; nothing, 0 if they
        stand nowhere else."""
        own = _packed(tokens)
        width = array("i").itemsize
        for match in _MATCHES:
            if match >= len(tokens):
                continue
            pattern = own[-match * width :]
            for source in (own, *self._sources):
                # A match needs something behind it; that leaves out the pattern itself.
                found = _rfind(source[:-width], pattern, width)
                if found >= 0:
                    start = found + len(pattern)
                    return match, array("i", source[start : start + _MOST_DRAFTED * width]).tolist()
        return 0, []


def _packed(tokens: Sequence[int]) -> bytes:
    return array("i", tokens).tobytes()


def _rfind(haystack: bytes, pattern: bytes, width: int) -> int:
    """The last place at which `pattern` stands on a token's border; -1 if there is none."""
    end = len(haystack)
    while (found := haystack.rfind(pattern, 0, end)) >= 0:
        if found % width == 0:
            return found
        end = found + len(pattern) - 1
    return -1
