"""How sure a model is of a text, or of the rest of it, by the probabilities of its tokens."""

from __future__ import annotations

import math
from dataclasses import dataclass


def solid(text: str) -> int:
    """The length of a text in characters that are the same in what a model wrote and in what is shown of it: line
    breaks count one each, and other white space, which is made to fit the document, does not count."""
    return sum(character == "\n" or not character.isspace() for character in text)


@dataclass(frozen=True, slots=True)
class Confidence:
    """tokens: where in the text each token ends, and the logarithm of its probability. Places are in the characters
    that `solid` counts."""

    tokens: tuple[tuple[int, float], ...] = ()

    def between(self, start: int, end: int) -> float:
        """How probable the least probable token of `text[start:end]` is, from 0 to 1. 1 where nothing is known.

        A text goes wrong where the model has hesitated: of several ways to sum up its tokens, this one tells right
        from wrong nearly as well as their product, and depends far less on how long the text is (`bench quality`).
        """
        least, begins = 0.0, 0
        for ends, logprob in self.tokens:
            if begins < end and ends > start:
                least = min(least, logprob)
            begins = ends
        return math.exp(least)

    def behind(self, text: str, size: int) -> float:
        """The same for what is shown as `text`, without the first `size` bytes of it."""
        typed = text.encode()[:size].decode("utf-8", "ignore")
        return self.between(solid(typed), solid(text))


NOTHING_KNOWN = Confidence()
