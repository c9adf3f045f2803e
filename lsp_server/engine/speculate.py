"""Draft tokens: where they come from, and how many of them pay.

Prompt look-up decoding (Saxena 2023): code repeats itself, so the tokens that followed the last tokens elsewhere may
follow them here. Or a draft model drafts (Leviathan et al. 2023; engine/draft_model.py), or the request has a text that
its answer will resemble, when most of a text stays unchanged. A draft is verified in a step that is needed anyway, so a
wrong draft costs little and a right one saves steps. The text is the same as with greedy decoding.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from lsp_server.backends.base import StepCosts

# How many of the last tokens are looked up, the longest match first: a longer match is more reliable. One token is too
# little.
_MATCHES = (16, 8, 4, 3, 2)
_MOST_DRAFTED = 15  # verified in a batch of sixteen

# These stand in place of the length of a match: a draft by the draft model, or from the expected text.
MODEL, EXPECTED = 0, -1

# How many tokens of an expected text are verified at once at most; the second figure if the costs of steps are unknown.
_MOST_EXPECTED, UNMEASURED_DRAFT = 63, 15
# When the answer has departed from the expected text, its place is searched among the next _FAR_AHEAD tokens of that
# text. At least _LEAST_AGREED of the answer's last tokens must match there; with _SURE_AGREED the place is certain.
_FAR_AHEAD, _LEAST_AGREED, _SURE_AGREED = 512, 2, 8

# The prior probability that a drafted token is accepted if the one before it was; the least weight of the newest draft
# (the first drafts weigh more); and how fast the draft model's rates return to the prior while it drafts nothing.
_FIRST_RATE, _RATE_STEP, _RECOVERY_STEP = 0.6, 0.1, 0.01
_FIRST_SHARES = [_FIRST_RATE**size for size in range(1, _MOST_DRAFTED + 1)]
# The same for an expected text, which is mostly right.
_EXPECTED_RATE = 0.98
_EXPECTED_SHARES = [_EXPECTED_RATE**size for size in range(1, _MOST_EXPECTED + 1)]

# The least expected speed-up of a draft: costs and rates are only estimates.
_LEAST_GAIN = 1.1


@dataclass(slots=True)
class Draft:
    """Tokens that may follow.

    match: how many of the last tokens matched, or MODEL, or EXPECTED.
    size: how many tokens it should have; the draft model writes them one by one.
    gain: the expected speed of decoding with this draft, as a multiple of the speed without one.
    """

    match: int = MODEL
    size: int = 0
    gain: float = 1.0
    tokens: list[int] = field(default_factory=list)


class DraftRates:
    """For each n, the share of drafts whose first n tokens were all accepted; learned from earlier drafts.

    One rate per token would not give these shares: a draft is mostly wrong at its first token or not at all.
    """

    def __init__(self) -> None:
        self._shares = {match: list(_FIRST_SHARES) for match in (MODEL, *_MATCHES)}
        self._shares[EXPECTED] = list(_EXPECTED_SHARES)
        self._seen = dict.fromkeys(self._shares, 1)

    def __getitem__(self, match: int) -> Sequence[float]:
        """Item n - 1 is the share of drafts whose first n tokens were accepted."""
        return self._shares[match]

    def learn(self, match: int, drafted: int, accepted: int) -> None:
        """Learns that the first `accepted` of `drafted` tokens were right. If all were, nothing is known about longer
        drafts."""
        shares = self._shares[match]
        self._seen[match] += 1
        step = max(_RATE_STEP, 1 / self._seen[match])
        for index in range(drafted if accepted == drafted else len(shares)):
            shares[index] += step * ((index < accepted) - shares[index])

    def turned_down(self) -> None:
        """Notes that a draft by the draft model did not seem to pay. Its rates rise a little, so that it is tried again
        after a while: it may be useful in the next text."""
        shares = self._shares[MODEL]
        shares[:] = [now + _RECOVERY_STEP * (first - now) for now, first in zip(shares, _FIRST_SHARES, strict=True)]


def draft_length(
    costs: StepCosts, depth: int, shares: Sequence[float], limit: int = _MOST_DRAFTED, token_ms: float = 0.0
) -> tuple[int, float]:
    """The number of tokens to draft for the least time per token, or 0 if no draft pays; and the expected speed as a
    multiple of decoding one by one, which is 1 without a draft. shares[n - 1]: the probability that the first n tokens
    are accepted. token_ms: the cost to draft one token, in ms."""
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
    """Whether drafts that cost `token_ms` per token would pay if all were accepted."""
    return draft_length(costs, depth, [1.0] * _MOST_DRAFTED, token_ms=token_ms)[0] > 0


class ExpectedText:
    """Drafts from a text that the answer is expected to resemble: its next tokens, as long as the answer follows it.
    After the answer has departed, the draft continues at a later place where the answer's last tokens occur."""

    def __init__(self, tokens: Sequence[int]) -> None:
        self._tokens = list(tokens)
        self._at: int | None = 0  # the answer's place in the text; None while it has departed
        self._agreed = _SURE_AGREED
        self._sure = 0  # the last certain place; the search begins there
        self._since: list[int] = []  # the answer's tokens since then

    def next(self, most: int) -> list[int]:
        """The next tokens of the text, at most `most`; none while the answer has departed."""
        return [] if self._at is None else self._tokens[self._at : self._at + min(most, _MOST_EXPECTED)]

    def write(self, token: int) -> None:
        """Notes the answer's next token."""
        self._since.append(token)
        if self._at is not None and self._tokens[self._at : self._at + 1] == [token]:
            self._at, self._agreed = self._at + 1, self._agreed + 1
        else:
            self._at, self._agreed = self._place()
        if self._at is not None and self._agreed >= _SURE_AGREED:
            self._sure, self._since = self._at, []

    def _place(self) -> tuple[int | None, int]:
        """The answer's new place in the text, as a count of tokens, and how many of its last tokens match there: the
        place with the most matches, and of these the nearest. (None, 0) if there is none."""
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
    """Looks up drafts in the request's own tokens, then in `sources`, in their order."""

    def __init__(self, sources: Iterable[Sequence[int]]) -> None:
        self._sources = [_packed(source) for source in sources]

    def propose(self, tokens: Sequence[int]) -> tuple[int, list[int]]:
        """How many of the last tokens were found elsewhere, and the tokens that follow there; (0, []) if they are found
        nowhere."""
        own = _packed(tokens)
        width = array("i").itemsize
        for match in _MATCHES:
            if match >= len(tokens):
                continue
            pattern = own[-match * width :]
            for source in (own, *self._sources):
                # A match needs a token after it; this also leaves out the pattern itself.
                found = _rfind(source[:-width], pattern, width)
                if found >= 0:
                    start = found + len(pattern)
                    return match, array("i", source[start : start + _MOST_DRAFTED * width]).tolist()
        return 0, []


def _packed(tokens: Sequence[int]) -> bytes:
    return array("i", tokens).tobytes()


def _rfind(haystack: bytes, pattern: bytes, width: int) -> int:
    """The last place of `pattern` that begins at the border of a token; -1 if there is none."""
    end = len(haystack)
    while (found := haystack.rfind(pattern, 0, end)) >= 0:
        if found % width == 0:
            return found
        end = found + len(pattern) - 1
    return -1
