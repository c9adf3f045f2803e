"""The tokens of a vocabulary, searched by their bytes, for token healing and for limits on names."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lsp_server.backends.base import Logits


# The search for an allowed token looks at this many of the most probable tokens.
_MOST_TRIED = 64


class Vocabulary:
    """pieces: the bytes of each token, by its id; empty for tokens without text.

    A sorted array serves as the trie: tokens with the same beginning are neighbours.
    """

    def __init__(self, pieces: Sequence[bytes]) -> None:
        import numpy as np

        order = sorted((piece, token) for token, piece in enumerate(pieces) if piece)
        self._pieces = pieces
        self._beginnings: dict[tuple[str, ...], tuple[int, ...]] = {}
        self._sorted = [piece for piece, _ in order]
        self._tokens: NDArray[np.int64] = np.array([token for _, token in order], dtype=np.int64)

    def piece(self, token: int) -> bytes:
        return self._pieces[token]

    def beginnings(self, words: tuple[str, ...]) -> tuple[int, ...]:
        """The tokens that are only white space, and those that are one of `words`, with or without a space before
        it."""
        found = self._beginnings.get(words)
        if found is None:
            wanted = {prefix + word.encode() for word in words for prefix in (b"", b" ")}
            tokens = enumerate(self._pieces)
            found = tuple(t for t, piece in tokens if piece in wanted or (piece and not piece.strip(b" \t")))
            self._beginnings[words] = found
        return found

    def longer_than(self, start: bytes) -> NDArray[np.int64]:
        """The tokens that begin with `start` and are longer."""
        low = bisect_right(self._sorted, start)
        high = bisect_left(self._sorted, _behind(start), lo=low) if _behind(start) else len(self._sorted)
        return self._tokens[low:high]

    def parts_of(self, words: Sequence[bytes]) -> list[int]:
        """The tokens that are a prefix of one of `words`."""
        found = set()
        for start in {word[:end] for word in words for end in range(1, len(word) + 1)}:
            place = bisect_left(self._sorted, start)
            if place < len(self._sorted) and self._sorted[place] == start:
                found.add(int(self._tokens[place]))
        return sorted(found)

    def healed(
        self,
        logits: Logits,
        written: bytes,
        token: int,
        rank: int = 0,
        allows: Callable[[bytes], bool] | None = None,
    ) -> int | None:
        """The token to take in place of `token` and all tokens after it, whose bytes together are `written`. It begins
        with these bytes and is more probable here than `token`; with a rank, the candidate at that rank. None if
        `token` stays. allows: whether the text may continue with the bytes that the new token adds; None: always.

        The idea is token healing (Guidance; measured for completion in arXiv 2601.23223): a cursor inside a word has
        forced a split into tokens that the model has never seen there.
        """
        candidates = self.longer_than(written)
        if len(candidates) <= rank:
            return None
        values = logits[candidates]
        if allows is None:
            index = int(values.argmax() if rank == 0 else values.argpartition(-1 - rank)[-1 - rank])
        else:

            def fits(index: int) -> bool:
                return allows(self.piece(int(candidates[index]))[len(written) :])

            found = likeliest(values, fits, (), rank)
            if found is None:
                return None
            index = found
        best = int(candidates[index])
        return best if logits[best] > logits[token] else None


def logprob_of(logits: Logits, token: int, rivals: Sequence[int] | None = None) -> float:
    """The log probability of `token` among `rivals`, all tokens that may stand there; None: the whole vocabulary."""
    import numpy as np

    among = logits if rivals is None else logits[rivals]
    top = among.max()
    return float(logits[token] - top - np.log(np.exp(among - top).sum()))


def likeliest(logits: Logits, allowed: Callable[[int], bool], beginnings: Sequence[int], rank: int = 0) -> int | None:
    """The most probable allowed token, or the allowed token at position `rank`. Searches the `_MOST_TRIED` most
    probable tokens and `beginnings`. None if none of them is allowed."""
    import numpy as np

    top = np.argpartition(logits, -_MOST_TRIED)[-_MOST_TRIED:] if len(logits) > _MOST_TRIED else np.arange(len(logits))
    top = np.union1d(top, np.array(beginnings, dtype=np.int64))
    for token in top[np.argsort(-logits[top], kind="stable")]:
        if allowed(int(token)):
            if rank == 0:
                return int(token)
            rank -= 1
    return None


def _behind(start: bytes) -> bytes:
    """The smallest byte string that sorts after all strings that begin with `start`; empty if there is none."""
    trimmed = start.rstrip(b"\xff")
    return trimmed[:-1] + bytes((trimmed[-1] + 1,)) if trimmed else b""
