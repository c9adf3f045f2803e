"""Draft tokens, looked up in what the model has read and written before, and how many of them pay.

Prompt look-up decoding (Saxena 2023): code repeats itself, so what followed the last tokens elsewhere may follow
them here. Or a small model drafts (Leviathan et al. 2023; engine/draft_model.py), or the request says what its answer
will be like, where most of a text is to stay. A draft is verified in the step that would have been taken anyway, so a
wrong one costs little and a right one saves a step. What is written is what greedy decoding writes.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from lsp_server.backends.base import StepCosts

# How many of the last tokens are looked up, the longest match first: the longer, the surer. One alone says too little.
_MATCHES = (16, 8, 4, 3, 2)
_MOST_DRAFTED = 15  # verified in a batch of sixteen

# Stand for the length of the match: the small model has drafted, or the request says what its answer will be like.
MODEL, EXPECTED = 0, -1

# Of an expected text so many tokens are verified at once at most, and where nothing is known of what steps cost.
_MOST_EXPECTED, UNMEASURED_DRAFT = 63, 15
# So far ahead is looked for the place at which an answer comes back to such a text. So many of its last tokens have to
# stand there, and with so many it is sure.
_FAR_AHEAD, _LEAST_AGREED, _SURE_AGREED = 512, 2, 8

# How likely a token holds behind one that did, before anything is known; how much the latest draft counts at least, of
# which the first ones count more; and how fast the small model's are forgiven while it writes none.
_FIRST_RATE, _RATE_STEP, _RECOVERY_STEP = 0.6, 0.1, 0.01
_FIRST_SHARES = [_FIRST_RATE**size for size in range(1, _MOST_DRAFTED + 1)]
# The same for an expected text, of which most is right.
_EXPECTED_RATE = 0.98
_EXPECTED_SHARES = [_EXPECTED_RATE**size for size in range(1, _MOST_EXPECTED + 1)]

# What a draft promises at least, as times the speed without one: costs and shares are estimates.
_LEAST_GAIN = 1.1


@dataclass(slots=True)
class Draft:
    """Tokens that may follow. match: how many of the last tokens spoke for them, or MODEL, or EXPECTED. size: how many
    there are to be; the small model writes them one by one. gain: how many times as fast as without a draft that is
    expected to be."""

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
        self._shares[EXPECTED] = list(_EXPECTED_SHARES)
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


class ExpectedText:
    """Drafts from a text that an answer is expected to be like: what comes next in it, as long as the answer is that;
    and once the answer has departed, from the place at which its last tokens stand further on."""

    def __init__(self, tokens: Sequence[int]) -> None:
        self._tokens = list(tokens)
        self._at: int | None = 0  # how much of the text the answer has followed; None where it is elsewhere
        self._agreed = _SURE_AGREED
        self._sure = 0  # how far it has followed for sure; from there on its place is looked for
        self._since: list[int] = []  # what was written since then

    def next(self, most: int) -> list[int]:
        """The tokens that may follow, at most so many; none while the answer is elsewhere."""
        return [] if self._at is None else self._tokens[self._at : self._at + min(most, _MOST_EXPECTED)]

    def write(self, token: int) -> None:
        """The answer has `token` next."""
        self._since.append(token)
        if self._at is not None and self._tokens[self._at : self._at + 1] == [token]:
            self._at, self._agreed = self._at + 1, self._agreed + 1
        else:
            self._at, self._agreed = self._place()
        if self._at is not None and self._agreed >= _SURE_AGREED:
            self._sure, self._since = self._at, []

    def _place(self) -> tuple[int | None, int]:
        """Behind which token of the text the answer is again, and how many of the last ones agree: where most do, the
        nearest first; None, 0 if nowhere."""
        place, best = None, 0
        for end in range(self._sure + 1, min(len(self._tokens), self._sure + _FAR_AHEAD) + 1):
            if self._tokens[end - 1] != self._since[-1]:
                continue
            most = min(len(self._since), end)
            agreed = next((n for n in range(most) if self._tokens[end - 1 - n] != self._since[-1 - n]), most)
            if agreed > max(best, _LEAST_AGREED - 1):
                place, best = end, agreed
        return place, best


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
