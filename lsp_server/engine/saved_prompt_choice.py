"""Chooses the saved prompt for a request, and those that a new one replaces. Pure; the files are in `saved_prompts`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lsp_server.engine.prefix_cache import MOST_LOSS_TOKENS, common_prefix

# Shorter prompts are not saved: they are evaluated before anybody notices.
LEAST_TOKENS = 128

# A saved prompt is read only if it has at least this many matching tokens more than the cache.
LEAST_GAIN_TOKENS = 64

# A prompt is saved again if at least this many of its tokens, and at least this share, are not in any saved prompt.
_LEAST_NEWS_TOKENS, _LEAST_NEWS_SHARE = 64, 1 / 8

# The time to read a byte before anything was read, in seconds, and the weight of the newest read.
_PRIOR_SECONDS, _NEWEST_SHARE = 5e-9, 0.3
# Two measurements of one machine differ. Two figures count as the same machine if they differ by at most this factor.
_SAME_PACE = 1.4

# Each time a read is not tried because it seems too slow, the estimate falls to this share: the disk may have been
# busy.
_FORGIVEN_SHARE = 0.9


@dataclass(frozen=True, slots=True)
class Saved:
    """A saved prompt.

    size: in bytes.
    lengths: the lengths to which its sequence can be cut back, ascending, for a model that cannot cut a sequence at any
    token; None for other models.
    token_ms: the reported prefill time per token when the prompt was made; 0 if unknown.
    """

    name: str
    tokens: Sequence[int]
    size: int
    lengths: tuple[int, ...] | None = None
    token_ms: float = 0.0

    def shared(self, tokens: Sequence[int]) -> int:
        """How many of `tokens` need no evaluation after this prompt is restored."""
        same = common_prefix(self.tokens, tokens)
        if self.lengths is None or same == len(self.tokens) < len(tokens):
            return same
        return max((length for length in self.lengths if length <= same and length < len(tokens)), default=0)


class ReadPace:
    """How long reading takes: a moving average over the last reads."""

    def __init__(self) -> None:
        self._byte_seconds = _PRIOR_SECONDS
        self._known = False

    def learn(self, size: int, seconds: float) -> None:
        """Learns that reading and restoring `size` bytes took `seconds`."""
        if size <= 0:
            return
        now = seconds / size
        self._byte_seconds += (_NEWEST_SHARE if self._known else 1.0) * (now - self._byte_seconds)
        self._known = True

    def turned_down(self) -> None:
        self._byte_seconds *= _FORGIVEN_SHARE

    def seconds(self, size: int) -> float:
        return size * self._byte_seconds


def same_pace(saved: Iterable[Saved], measured_ms: float) -> float:
    """The prefill time per token to report, in ms, so that prompts get the same size and beginning as those that are
    saved: the nearest time stored with a saved prompt, if it is near enough to `measured_ms`. 0 if none is."""
    near = [each.token_ms for each in saved if 1 / _SAME_PACE <= each.token_ms / measured_ms <= _SAME_PACE]
    return min(near, key=lambda ms: abs(ms - measured_ms), default=0.0)


def best(saved: Iterable[Saved], tokens: Sequence[int], held: int) -> tuple[Saved, int] | None:
    """The saved prompt that spares the most of `tokens`, and how many it spares; None if that is not clearly more than
    the `held` tokens in the cache."""
    found = max(((each, each.shared(tokens)) for each in saved), key=lambda pair: pair[1], default=None)
    return found if found is not None and found[1] >= held + LEAST_GAIN_TOKENS else None


def is_worth_saving(saved: Sequence[Saved], tokens: Sequence[int]) -> bool:
    """Whether a sequence with `tokens` is worth saving beside the saved prompts."""
    if len(tokens) < LEAST_TOKENS:
        return False
    if any(each.tokens == tokens for each in saved):
        return False
    there = max((each.shared(tokens) for each in saved), default=0)
    return len(tokens) - there >= max(_LEAST_NEWS_TOKENS, _LEAST_NEWS_SHARE * len(tokens))


def replaced(saved: Iterable[Saved], tokens: Sequence[int]) -> list[str]:
    """The names of saved prompts that a newly saved one makes useless, because it shares nearly all their tokens. The
    rule is that of `PrefixCache.place`."""
    names = []
    for each in saved:
        same = common_prefix(each.tokens, tokens)
        if len(each.tokens) - same <= MOST_LOSS_TOKENS and 2 * same >= len(each.tokens):
            names.append(each.name)
    return names
