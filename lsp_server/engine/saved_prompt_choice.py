"""Which saved prompt serves a request, and which one a new one takes the place of. Pure; the files are elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lsp_server.engine.prefix_cache import MOST_LOSS_TOKENS, common_prefix

# A shorter prompt is evaluated sooner than anybody notices.
LEAST_TOKENS = 128

# So many tokens more than what is resident must be saved of a prompt, so that it is read.
LEAST_GAIN_TOKENS = 64

# A prompt is written anew when so many of its tokens are not saved, and at least this share.
_LEAST_NEWS_TOKENS, _LEAST_NEWS_SHARE = 64, 1 / 8

# What a byte takes to read where nothing has been read yet, and how much the newest read counts.
_PRIOR_SECONDS, _NEWEST_SHARE = 5e-9, 0.3
# No machine is measured to be equally fast twice. A figure is taken for another one up to this many times as large.
_SAME_PACE = 1.4

# Each time that a read is turned down, the next one is more likely to be tried: the disk may have been busy.
_FORGIVEN_SHARE = 0.9


@dataclass(frozen=True, slots=True)
class Saved:
    """A prompt that has been saved. lengths: those that a model which cannot cut a sequence anywhere can cut it back
    to, ascending; None for a model that can. size: in bytes. token_ms: what a token was said to take when the prompt
    was made; 0 if nobody knew."""

    name: str
    tokens: Sequence[int]
    size: int
    lengths: tuple[int, ...] | None = None
    token_ms: float = 0.0

    def shared(self, tokens: Sequence[int]) -> int:
        """How many of `tokens` need not be evaluated if this is restored."""
        same = common_prefix(self.tokens, tokens)
        if self.lengths is None or same == len(self.tokens) < len(tokens):
            return same
        return max((length for length in self.lengths if length <= same and length < len(tokens)), default=0)


class ReadPace:
    """How long reading takes: a moving figure, from what the last reads took."""

    def __init__(self) -> None:
        self._byte_seconds = _PRIOR_SECONDS
        self._known = False

    def learn(self, size: int, seconds: float) -> None:
        """Reading and restoring `size` bytes took `seconds`."""
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
    """What a token is to be said to take, so that prompts are made as large as those that are saved and begin where
    those do: what it took then, if what was measured now is hardly anything else. 0 if it is."""
    near = [each.token_ms for each in saved if 1 / _SAME_PACE <= each.token_ms / measured_ms <= _SAME_PACE]
    return min(near, key=lambda ms: abs(ms - measured_ms), default=0.0)


def best(saved: Iterable[Saved], tokens: Sequence[int], held: int) -> tuple[Saved, int] | None:
    """The saved prompt that spares most of `tokens`, and how many; None if that is not clearly more than the `held`
    that are resident."""
    found = max(((each, each.shared(tokens)) for each in saved), key=lambda pair: pair[1], default=None)
    return found if found is not None and found[1] >= held + LEAST_GAIN_TOKENS else None


def is_news(saved: Sequence[Saved], tokens: Sequence[int]) -> bool:
    """Whether it is worth while to save a sequence that holds `tokens`, beside what is saved."""
    if len(tokens) < LEAST_TOKENS:
        return False
    if any(each.tokens == tokens for each in saved):
        return False
    there = max((each.shared(tokens) for each in saved), default=0)
    return len(tokens) - there >= max(_LEAST_NEWS_TOKENS, _LEAST_NEWS_SHARE * len(tokens))


def replaced(saved: Iterable[Saved], tokens: Sequence[int]) -> list[str]:
    """The names of those that are of no use beside a newly saved one: it shares nearly all they hold, as a prompt
    takes over a sequence in the cache."""
    names = []
    for each in saved:
        same = common_prefix(each.tokens, tokens)
        if len(each.tokens) - same <= MOST_LOSS_TOKENS and 2 * same >= len(each.tokens):
            names.append(each.name)
    return names
