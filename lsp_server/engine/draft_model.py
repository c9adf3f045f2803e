"""A small draft model for a large model, and how a request gets its drafts.

It has a KV cache of its own with as many sequences, which follow the requests' tokens; so a key costs it only the new
tokens too. Each of its steps is one step of the engine, so that a cancelled request need not wait for a whole draft.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lsp_server.backends.base import Backend, ModelError, ModelInfo, StepCosts
from lsp_server.engine.prefix_cache import PrefixCache, common_prefix
from lsp_server.engine.speculate import can_pay
from lsp_server.engine.work import Work, take_sequence

if TYPE_CHECKING:
    from lsp_server.backends.base import Logits
    from lsp_server.engine.vocabulary import Vocabulary


class DraftModel:
    """The draft model.

    costs: the costs of its steps.
    shared: tokens with lower ids are the same in both models.
    failure: why it is no longer used; empty while it is.
    """

    def __init__(self, backend: Backend, costs: StepCosts, shared: int) -> None:
        self.backend = backend
        self.costs = costs
        self.cache = PrefixCache(backend.info.sequences)
        self.shared = shared
        self.failure = ""

    @classmethod
    def of(cls, backend: Backend, main: Backend, vocabulary: Vocabulary) -> DraftModel:
        """Makes the draft model for `main`, whose tokens are in `vocabulary`. Raises ModelError if it cannot draft for
        `main`."""
        if backend.info.recurrent:
            raise ModelError(f"{backend.info.name} is recurrent, so that a draft cannot be taken back")
        shared = _shared_tokens(backend, main, vocabulary)
        ours, theirs = measured(backend.info), measured(main.info)
        if not any(can_pay(theirs, depth, ours.ms(1, depth)) for depth in (0, main.info.context_tokens)):
            raise ModelError(
                f"it cannot make {main.info.name} faster here: it takes {ours.ms(1, 0):.1f} ms a token, and "
                f"{main.info.name} alone {theirs.ms(1, 0):.1f} ms"
            )
        return cls(backend, ours, shared)

    def chunk_tokens(self, step_ms: float, depth: int) -> int:
        """How many tokens it may evaluate at once after `depth` others, so that the step takes at most `step_ms`."""
        return min(self.backend.info.chunk_tokens, self.costs.largest(step_ms, depth))


def measured(info: ModelInfo) -> StepCosts:
    """The costs of a model's steps. Raises ModelError if they were not measured, since then nobody knows whether drafts
    pay."""
    if info.costs is None:
        raise ModelError(
            f"how fast {info.name} is here was not measured; that takes `calibrate`, and a machine that is not busy at "
            "the first start with it"
        )
    return info.costs


class ModelDrafts:
    """One request's use of the draft model. It holds a sequence of the draft model's cache from the first `prepare`
    until `release`."""

    def __init__(self, model: DraftModel) -> None:
        self.model = model
        self._sequence: int | None = None

    def behind(self, tokens: Sequence[int]) -> int:
        """How many of `tokens` the model has yet to evaluate."""
        cache = self.model.cache
        if self._sequence is None:
            return len(tokens) - cache.match(tokens)[1]
        return len(tokens) - common_prefix(cache.tokens(self._sequence), tokens)

    def can_follow(self, tokens: Sequence[int]) -> bool:
        """Whether the model can evaluate all of `tokens` and draft one more."""
        return len(tokens) < self.model.backend.info.context_tokens and max(tokens) < self.model.shared

    def prepare(self, tokens: Sequence[int], step_ms: float, *, draft: bool) -> Work | None:
        """The model's next work to follow `tokens`, in a step of at most `step_ms`; None if there is nothing to do, or
        it cannot follow. draft: whether a token after `tokens` is wanted."""
        backend, cache = self.model.backend, self.model.cache
        if self.model.failure or len(tokens) > backend.info.context_tokens:
            return None
        if self._sequence is None:
            self._sequence = take_sequence(backend, cache, tokens)
            if self._sequence is None:
                return None
        held = cache.tokens(self._sequence)
        position = min(common_prefix(held, tokens), len(tokens) - draft)
        if position == len(tokens):
            return None
        if len(held) > position:
            position = backend.truncate(self._sequence, position)
            cache.truncate(self._sequence, position)
        end = min(len(tokens), position + self.model.chunk_tokens(step_ms, position))
        chunk = list(tokens[position:end])
        if max(chunk) >= self.model.shared:
            return None
        return Work(backend, cache, self._sequence, position, chunk, int(draft and end == len(tokens)))

    def take(self, work: Work, rows: list[Logits]) -> int | None:
        """Records that `work` has been evaluated. Returns the model's best next token, if one was wanted."""
        self.model.cache.append(work.sequence, work.tokens)
        return int(rows[0][: self.model.shared].argmax()) if work.logits else None

    def release(self) -> None:
        """Gives the sequence back. Its tokens stay in the cache."""
        if self._sequence is not None:
            self.model.cache.release(self._sequence)
            self._sequence = None


def _shared_tokens(draft: Backend, main: Backend, vocabulary: Vocabulary) -> int:
    """How many tokens, from id 0 on, the two models have in common. After these there may be padding, whose size
    differs between the models of a family. Raises ModelError if the vocabularies differ before that."""
    shared = min(draft.info.vocabulary, main.info.vocabulary)
    names = f"its vocabulary is not that of {main.info.name}"
    for token in range(shared):
        ours, theirs = vocabulary.piece(token), draft.piece(token)
        if ours != theirs:
            raise ModelError(f"{names}: token {token} is {_shown(theirs)} in it, and {_shown(ours)} there")
    form = main.info.format
    for spelling in (*form.spellings, *form.stops):
        marker = main.marker(spelling)
        if marker is not None and draft.marker(spelling) != marker:
            raise ModelError(f"{names}: {spelling} is not the same token")
    return shared


def _shown(piece: bytes) -> str:
    return repr(piece.decode("utf-8", "backslashreplace"))
