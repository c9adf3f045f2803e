"""How fast a model evaluates prompts here: a moving figure, from the steps that were really run."""

from __future__ import annotations

from collections.abc import Iterator

# Steps of fewer tokens tell what a token costs, not how fast a prompt is evaluated.
LEAST_TOKENS = 8

# Attention makes a token dearer the deeper it stands, so each depth has a figure of its own.
_DEPTH_TOKENS = 512

# How much the newest step counts.
_SHARE = 0.3


class Pace:
    """Milliseconds for each token of a prompt, by depth. Learns within a few steps that the machine has become slow (on
    battery, under load), and that it is fast again. For the engine's thread alone.

    prior_ms: what a token cost when the model was loaded; 0 if nobody knows. Without any figure all estimates are 0.
    """

    def __init__(self, prior_ms: float = 0.0) -> None:
        self._prior_ms = prior_ms
        self._ms: dict[int, float] = {}

    def learn(self, size: int, depth: int, seconds: float) -> None:
        """A step of `size` tokens behind `depth` others took `seconds`."""
        if size < LEAST_TOKENS or seconds <= 0:
            return
        ms, at = 1000 * seconds / size, depth // _DEPTH_TOKENS
        known = self._ms.get(at)
        self._ms[at] = ms if known is None else known + _SHARE * (ms - known)
        for other in self._ms:
            if other != at and known:  # the machine has changed at all depths
                self._ms[other] *= self._ms[at] / known

    def token_ms(self, depth: int) -> float:
        """What a token costs behind `depth` others; that of the nearest depth that is known."""
        if not self._ms:
            return self._prior_ms
        at = depth // _DEPTH_TOKENS
        return self._ms[min(self._ms, key=lambda known: (abs(known - at), known))]

    def seconds(self, size: int, depth: int) -> float:
        """How long it takes to evaluate `size` tokens behind `depth` others."""
        return sum(count * self.token_ms(at) for count, at in self._split(size, depth)) / 1000

    def tokens(self, seconds: float, depth: int) -> int | None:
        """How many tokens behind `depth` others are evaluated in one step of `seconds`; None if nobody knows."""
        ms = self.token_ms(depth)
        return int(1000 * seconds / ms) if ms > 0 else None

    @staticmethod
    def _split(size: int, depth: int) -> Iterator[tuple[int, int]]:
        """`size` tokens from `depth` on, by the depths that have figures of their own."""
        end = depth + size
        while depth < end:
            count = min(end, (depth // _DEPTH_TOKENS + 1) * _DEPTH_TOKENS) - depth
            yield count, depth
            depth += count
