"""Records what each sequence of the KV cache holds, and chooses a sequence for a prompt so that most of it is reused.

Plain data, tested without a model. The engine carries out its decisions and reports the results to it. The interface
(match, place, append, check) follows nano-vllm's block manager; the unit here is a whole sequence, because an editor
has few prompts that share long prefixes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lsp_server.backends.base import Logits

# A prompt takes over the sequence with the longest common prefix if that sequence loses at most this many tokens, and
# at most half of its tokens. The few tens of tokens of a suggestion are always within that. Else the prompt gets
# another sequence, with a copy of the common prefix if that has enough tokens to be worth it.
MOST_LOSS_TOKENS = 160
LEAST_COPY_TOKENS = 32

# Which rows of logits are kept around a prompt's end. Healing uses the last five. After more typing it uses one of the
# rows that follow, after deleting a word one of those before.
ROWS_BEFORE, ROWS_FROM = 4, 9

_BEFORE_DROPPED, _MOST_DROPPED = 3, 256


def common_prefix(first: Sequence[int], second: Sequence[int]) -> int:
    """How many tokens `first` and `second` have in common at their start."""
    limit = min(len(first), len(second))
    if first[:limit] == second[:limit]:
        return limit
    return next(i for i in range(limit) if first[i] != second[i])


@dataclass(slots=True)
class ResidentSequence:
    """tokens: the tokens in the KV cache.
    rows: the logits after some of them, by the token's index.
    dropped: the tokens that the last cut removed, with a few tokens before them; often a suggestion that was typed
    over.
    busy: whether a request uses it. used: the logical time of its last use, for LRU."""

    id: int
    tokens: list[int] = field(default_factory=list)
    rows: dict[int, Logits] = field(default_factory=dict)
    dropped: list[int] = field(default_factory=list)
    busy: bool = False
    used: int = 0


@dataclass(frozen=True, slots=True)
class Placement:
    """The sequence for a prompt: `target`, whose first `reuse` tokens are those of the prompt. With `source`, that
    sequence is first copied into `target`. The other tokens of `target` are dropped only when something else is
    evaluated at their place: the prompt may still grow into them."""

    target: int
    reuse: int
    source: int | None = None


class PrefixCache:
    """The record of every sequence. evictions, forks: counters, for the status page."""

    def __init__(self, sequences: int) -> None:
        self._sequences = [ResidentSequence(id) for id in range(sequences)]
        self._clock = 0
        self.evictions = 0
        self.forks = 0

    def __iter__(self) -> Iterator[ResidentSequence]:
        return iter(self._sequences)

    def tokens(self, id: int) -> Sequence[int]:
        return self._sequences[id].tokens

    def match(self, tokens: Sequence[int]) -> tuple[int, int]:
        """The id of the sequence with the longest common prefix with `tokens`, and the prefix's length. Among equals, a
        free sequence comes first, then the shortest, which loses the fewest tokens."""
        best = max(
            self._sequences,
            key=lambda s: (common_prefix(s.tokens, tokens), not s.busy, -len(s.tokens), -s.id),
        )
        return best.id, common_prefix(best.tokens, tokens)

    def place(self, tokens: Sequence[int]) -> Placement | None:
        """Chooses a sequence for a prompt and marks it busy. None if all are busy."""
        free = [sequence for sequence in self._sequences if not sequence.busy]
        if not free:
            return None
        best_id, shared = self.match(tokens)
        best = self._sequences[best_id]
        loss = len(best.tokens) - shared
        close = loss <= MOST_LOSS_TOKENS and 2 * shared >= len(best.tokens)
        worth_copying = shared >= LEAST_COPY_TOKENS
        others = [s for s in free if s is not best] if worth_copying else free
        if not best.busy and (close or not others):
            target = best
        else:
            target = min(others, key=lambda s: (bool(s.tokens), s.used))
            self.evictions += bool(target.tokens)
        source = best.id if target is not best and worth_copying else None
        reuse = shared if target is best or source is not None else 0
        if source is not None:
            self.forks += 1
            target.tokens, target.rows = list(best.tokens), dict(best.rows)
        self._touch(target, busy=True)
        return Placement(target.id, reuse, source)

    def texts(self, id: int | None) -> list[Sequence[int]]:
        """Token texts that may be repeated in sequence `id`, the most likely first: the tokens cut from it, then the
        other sequences, the most recently used first."""
        others = sorted((s for s in self._sequences if s.id != id), key=lambda s: -s.used)
        own = [self._sequences[id].dropped] if id is not None else []
        return [*own, *(s.tokens for s in others)]

    def append(self, id: int, tokens: Sequence[int]) -> None:
        """Records that `tokens` have been evaluated at the end of the sequence."""
        self._sequences[id].tokens.extend(tokens)

    def truncate(self, id: int, length: int) -> None:
        """Records that only the first `length` tokens are left."""
        sequence = self._sequences[id]
        if length < len(sequence.tokens):
            sequence.dropped = sequence.tokens[max(0, length - _BEFORE_DROPPED) :][-_MOST_DROPPED:]
        del sequence.tokens[length:]
        for index in [index for index in sequence.rows if index >= length]:
            del sequence.rows[index]

    def keep_row(self, id: int, index: int, row: Logits, *, first: int) -> None:
        """Keeps the logits after token `index` if it is near `first`, the first row that healing needs, and drops all
        rows that are not near it. A row has one float for each token of the vocabulary: a megabyte with the default
        model."""
        rows = self._sequences[id].rows
        near = range(first - ROWS_BEFORE, first + ROWS_FROM)
        for other in [other for other in rows if other not in near]:
            del rows[other]
        if index in near:
            rows[index] = row.copy()

    def row(self, id: int, index: int) -> Logits | None:
        """The logits after token `index`, if they are kept."""
        return self._sequences[id].rows.get(index)

    def settled(self, id: int) -> int:
        """How many tokens of a sequence the last request's prompt will need unchanged: all before those that healing
        looks at, which are evaluated again if their logits are not kept."""
        sequence = self._sequences[id]
        return min(sequence.rows, default=len(sequence.tokens))

    def release(self, id: int, *, worthless: bool = False) -> None:
        """Ends a request's use of a sequence. Its tokens stay; with `worthless`, it is the first sequence to be
        evicted."""
        sequence = self._sequences[id]
        self._touch(sequence, busy=False)
        if worthless:
            sequence.used = 0

    def check(self, length: Callable[[int], int]) -> None:
        """Raises AssertionError if the recorded length of a sequence differs from `length(id)`, the backend's own
        count."""
        for sequence in self._sequences:
            held = length(sequence.id)
            if held != len(sequence.tokens):
                raise AssertionError(f"sequence {sequence.id} holds {held} tokens, recorded are {len(sequence.tokens)}")

    def _touch(self, sequence: ResidentSequence, *, busy: bool) -> None:
        self._clock += 1
        sequence.used = self._clock
        sequence.busy = busy
