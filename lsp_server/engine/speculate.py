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

# How likely a token holds behind one that did, before anything is known; how much the latest draft counts at least, of
# which the first ones count more; and how fast the small model's are forgiven while it writes none.
_FIRST_RATE, _RATE_STEP, _RECOVERY_STEP = 0.6, 0.1, 0.01
_FIRST_SHARES = [_FIRST_RATE**size for size in range(1, _MOST_DRAFTED + 1)]

# What a draft promises at least, as times the speed without one: costs and shares are estimates.
_LEAST_GAIN = 1.1


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
    """The share of drafts whose first tokens all held, for each number of them, learned from those that came before.

    It does not follow from one rate for each token: a draft is mostly wrong at once or not at all.
    """

    def __init__(self) -> None:
        self._shares = {match: list(_FIRST_SHARES) for match in (MODEL, *_MATCHES)}
        self._seen = dict.fromkeys(self._shares, 1)

    def __getitem__(self, match: int) -> Sequence[float]:
        """Item n - 1 is the share of drafts of which n tokens held."""
        return self._shares[match]

    def learn(self, match: int, drafted: int, accepted: int) -> None:
        """Of `drafted` tokens the first `accepted` were right. If all were, no more is known."""
        shares = self._shares[match]
        self._seen[match] += 1
        step = max(_RATE_STEP, 1 / self._seen[match])
        for index in range(drafted if accepted == drafted else len(shares)):
            shares[index] += step * ((index < accepted) - shares[index])

    def turned_down(self) -> None:
        """A draft of the small model did not seem to pay. What was worthless in one text may be of use in the next, so
        that it is tried again after a while."""
        shares = self._shares[MODEL]
        shares[:] = [now + _RECOVERY_STEP * (first - now) for now, first in zip(shares, _FIRST_SHARES, strict=True)]


def draft_length(
    costs: StepCosts, depth: int, shares: Sequence[float], limit: int = _MOST_DRAFTED, token_ms: float = 0.0
) -> tuple[int, float]:
    """How many tokens to draft so that a token costs the least time, where the first n of them hold in shares[n - 1] of
    the cases and each costs `token_ms` to draft; 0 if none pays. And how many times as fast that is as decoding one by
    one, which is 1 without a draft."""
    single = costs.ms(1, depth)
    best, best_gain = 0, _LEAST_GAIN
    expected = 1.0
    for size, share in enumerate(shares[:limit], 1):
        expected += share
        gain = expected * single / (costs.ms(1 + size, depth, logits=1 + size) + size * token_ms)
        if gain > best_gain:
            best, best_gain = size, gain
    return best, best_gain if best else 1.0


def can_pay(costs: StepCosts, depth: int, token_ms: float) -> bool:
    """Whether drafts that cost `token_ms` a token would pay if all of them held."""
    return draft_length(costs, depth, [1.0] * _MOST_DRAFTED, token_ms=token_ms)[0] > 0


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
