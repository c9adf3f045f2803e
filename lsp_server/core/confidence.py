"""The confidence of a model in a part of its text, from the log-probabilities of the tokens."""

from __future__ import annotations

import math
from dataclasses import dataclass


def solid_length(text: str) -> int:
    """The length of `text` in the characters that formatting does not change: each line break counts one, other white
    space does not count, because it is adapted to the document before the text is shown."""
    return sum(character == "\n" or not character.isspace() for character in text)


@dataclass(frozen=True, slots=True)
class Confidence:
    """tokens: for each token its end in the text and its log-probability. Positions count characters as `solid_length`
    does."""

    tokens: tuple[tuple[int, float], ...] = ()

    def between(self, start: int, end: int) -> float:
        """The lowest token probability in `text[start:end]`, from 0 to 1; 1 if no token is known there.

        A text usually goes wrong where the model was unsure. The minimum separates right from wrong texts nearly as
        well as the product of the probabilities, and depends far less on the length of the text (`bench quality`).
        """
        least, begins = 0.0, 0
        for ends, logprob in self.tokens:
            if begins < end and ends > start:
                least = min(least, logprob)
            begins = ends
        return math.exp(least)

    def behind(self, text: str, size: int) -> float:
        """The lowest token probability in the shown `text` after its first `size` bytes."""
        typed = text.encode()[:size].decode("utf-8", "ignore")
        return self.between(solid_length(typed), solid_length(text))


NOTHING_KNOWN = Confidence()
