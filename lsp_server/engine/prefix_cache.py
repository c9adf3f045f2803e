"""What the KV cache holds, sequence by sequence, and where a prompt goes so that most of it is reused.

Plain data, tested without a model. The engine carries out what it decides, and tells it what became of it.
The interface (match, place, append, check) follows nano-vllm's block manager in spirit; the unit here is a
whole sequence, because an editor has few prompts that share long prefixes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lsp_server.backends.base import Logits

# A prompt takes over the sequence it matches if that one gives up at most this many tokens, and at most
# half of what it holds; a suggestion's own tokens (tens) always go. Otherwise it gets a sequence of its own,
# with a copy of the shared part if that is long enough to be worth the copying.
MOST_LOSS_TOKENS = 160
LEAST_COPY_TOKENS = 32

# Rows of logits kept around a prompt's end. Healing looks at its last five; a user who types on is at one
# of the next, and one who deletes a word at one of those before.
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
    """tokens: what is really in the KV cache. rows: the logits behind some of them, by the token's index.
    dropped: what the last cut took, with a few tokens in front of it: often a suggestion that was typed over.
    busy: a request is using it. used: when, for LRU."""

    id: int
    tokens: list[int] = field(default_factory=list)
    rows: dict[int, Logits] = field(default_factory=dict)
    dropped: list[int] = field(default_factory=list)
    busy: bool = False
    used: int = 0


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a prompt goes: into `target`, whose first `reuse` tokens are the prompt's own. With a `source`,
    that sequence is copied into `target` first. What `target` holds behind them is dropped only when
    something else is evaluated there: the prompt may still grow into it."""

    target: int
    reuse: int
    source: int | None = None


class PrefixCache:
    """The record of every sequence. evictions, forks: how often that happened, for the status page."""

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
        """The sequence that shares the longest prefix with `tokens`, and its length. Among equals, one that
        is free, and then the shortest, whose rest costs least to give up."""
        best = max(
            self._sequences,
            key=lambda s: (common_prefix(s.tokens, tokens), not s.busy, -len(s.tokens), -s.id),
        )
        return best.id, common_prefix(best.tokens, tokens)

    def place(self, tokens: Sequence[int]) -> Placement | None:
        """Chooses a sequence for a prompt and marks it busy; None if all are busy."""
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
        """What may be repeated in sequence `id`, the likeliest first: what was cut from it, then what the
        others hold, the latest used first."""
        others = sorted((s for s in self._sequences if s.id != id), key=lambda s: -s.used)
        own = [self._sequences[id].dropped] if id is not None else []
        return [*own, *(s.tokens for s in others)]

    def append(self, id: int, tokens: Sequence[int]) -> None:
        """Records that `tokens` have been evaluated behind what the sequence held."""
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
        """Keeps the logits behind token `index` if it is near `first`, the first that healing looks at,
        and drops all that are not. A row is as long as the vocabulary: a megabyte with the default model."""
        rows = self._sequences[id].rows
        near = range(first - ROWS_BEFORE, first + ROWS_FROM)
        for other in [other for other in rows if other not in near]:
            del rows[other]
        if index in near:
            rows[index] = row.copy()

    def row(self, id: int, index: int) -> Logits | None:
        """The logits behind token `index`, if they are kept."""
        return self._sequences[id].rows.get(index)

    def settled(self, id: int) -> int:
        """How much of a sequence the last request's prompt needs as it is: all in front of the tokens that healing
        looks at, which are evaluated anew where their logits are not kept."""
        sequence = self._sequences[id]
        return min(sequence.rows, default=len(sequence.tokens))

    def release(self, id: int, *, worthless: bool = False) -> None:
        """Ends a request's use of a sequence. What it holds stays for the next one; if that is worthless, it
        is the first to be given up."""
        sequence = self._sequences[id]
        self._touch(sequence, busy=False)
        if worthless:
            sequence.used = 0

    def check(self, length: Callable[[int], int]) -> None:
        """Raises AssertionError if a sequence's record differs in length from what `length` (the backend's
        own count) says."""
        for sequence in self._sequences:
            held = length(sequence.id)
            if held != len(sequence.tokens):
                raise AssertionError(f"sequence {sequence.id} holds {held} tokens, recorded are {len(sequence.tokens)}")

    def _touch(self, sequence: ResidentSequence, *, busy: bool) -> None:
        self._clock += 1
        sequence.used = self._clock
        sequence.busy = busy
