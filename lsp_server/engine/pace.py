"""How fast a model evaluates prompts on this machine: a moving average over the steps that were run."""

from __future__ import annotations

from collections.abc import Iterator

# A step of fewer tokens shows the cost of a single token, not the prefill speed.
LEAST_TOKENS = 8

# Attention makes a token more expensive the deeper it stands, so each range of this many tokens has its own figure.
_DEPTH_TOKENS = 512

# The weight of the newest step.
_SHARE = 0.3


class Pace:
    """Milliseconds per prompt token, by depth. It adapts within a few steps if the machine becomes slower (on battery,
    under load) or faster. Used by the engine's thread only.

    prior_ms: the time per token measured when the model was loaded; 0 if unknown. Without any figure all estimates are
    0.
    """

    def __init__(self, prior_ms: float = 0.0) -> None:
        self._prior_ms = prior_ms
        self._ms: dict[int, float] = {}

    def learn(self, size: int, depth: int, seconds: float) -> None:
        """Learns that a step of `size` tokens after `depth` others took `seconds`."""
        if size < LEAST_TOKENS or seconds <= 0:
            return
        ms, at = 1000 * seconds / size, depth // _DEPTH_TOKENS
        known = self._ms.get(at)
        self._ms[at] = ms if known is None else known + _SHARE * (ms - known)
        for other in self._ms:
            if other != at and known:  # the machine has changed at all depths
                self._ms[other] *= self._ms[at] / known

    def token_ms(self, depth: int) -> float:
        """The time per token after `depth` others, in ms; if that depth has no figure, that of the nearest depth with
        one."""
        if not self._ms:
            return self._prior_ms
        at = depth // _DEPTH_TOKENS
        return self._ms[min(self._ms, key=lambda known: (abs(known - at), known))]

    def seconds(self, size: int, depth: int) -> float:
        """How long it takes to evaluate `size` tokens after `depth` others, in seconds."""
        return sum(count * self.token_ms(at) for count, at in self._split(size, depth)) / 1000

    def tokens(self, seconds: float, depth: int) -> int | None:
        """How many tokens after `depth` others one step of `seconds` can evaluate; None if unknown."""
        ms = self.token_ms(depth)
        return int(1000 * seconds / ms) if ms > 0 else None

    @staticmethod
    def _split(size: int, depth: int) -> Iterator[tuple[int, int]]:
        """Splits `size` tokens from `depth` on at the borders of the depth ranges. Yields (count, depth)."""
        end = depth + size
        while depth < end:
            count = min(end, (depth // _DEPTH_TOKENS + 1) * _DEPTH_TOKENS) - depth
            yield count, depth
            depth += count
