"""A loaded model and what belongs to it: its encoder, its vocabulary, and the record of its KV cache."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from lsp_server.backends.base import Backend, ModelInfo
from lsp_server.core.spelled_markers import worth_knowing
from lsp_server.core.thinking import written_as
from lsp_server.engine.draft_model import DraftModel
from lsp_server.engine.encode import Encoder
from lsp_server.engine.pace import LEAST_TOKENS, Pace
from lsp_server.engine.prefix_cache import PrefixCache
from lsp_server.engine.request import Priority
from lsp_server.engine.retry import Health
from lsp_server.engine.saved_prompts import SavedPrompts
from lsp_server.engine.speculate import DraftRates
from lsp_server.engine.vocabulary import Vocabulary
from lsp_server.engine.work import take_sequence

logger = logging.getLogger(__name__)

# Where a step cannot be interrupted, an abort comes at its end. One longer than this would be noticed.
STEP_MS = 45.0

# A step of a code action, which is usually under way when a key asks for a completion.
ACTION_STEP_MS = 25.0

# How long a step may take that can be interrupted. A larger batch is evaluated faster; what an interrupted one had
# computed is lost, so those that are more likely to be interrupted are smaller.
_BATCH_SECONDS = {
    Priority.INLINE: 1.0,
    Priority.PREPARED: 0.3,
    Priority.WARMING: 0.3,
    Priority.EDIT: 0.15,
    Priority.ACTION: 0.15,
}

# The same for work in the background while keys come. A longer batch would be interrupted by each, and never end.
_BETWEEN_KEYS_SECONDS = 0.06

# With how many tokens an action begins where nothing has been measured.
_FIRST_ACTION_TOKENS = 8


def step_ms(priority: Priority) -> float:
    """How long a step may take for a request of this priority."""
    return ACTION_STEP_MS if priority.yields else STEP_MS


class ActionSteps:
    """How many tokens a step of an action may have, learned from how long its steps took.

    What was calibrated is the machine at rest. A model that was not, or a machine that is busy now, shows in the
    steps themselves. limit: the most, in tokens.
    """

    def __init__(self, first: int, most: int) -> None:
        self.limit = min(first, most)
        self._most = most

    def learn(self, size: int, ms: float, budget_ms: float = ACTION_STEP_MS) -> None:
        """A step of `size` tokens took `ms`. One that was too long shortens the next at once; where a full step
        takes less than half of what it may, the next may be twice as long; and also where one token takes that long."""
        if ms > budget_ms:
            self.limit = max(1, min(self.limit, int(size * budget_ms / ms)))
        elif size >= self.limit and (2 * ms < budget_ms or budget_ms > ACTION_STEP_MS):
            self.limit = min(self._most, 2 * self.limit)


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """stops: the special tokens that end a text, besides those that the backend itself says do. rates: how
    often drafts have held. actions: how long an action's steps may be where they cannot be interrupted. pace: how fast
    prompts are evaluated. specials: how its special tokens are spelled. draft: the small model that drafts for it.
    lacks: why it comes without the one that was to. health: whether its steps work. thoughts: what the tokens for its
    thinking stand for in an answer, of those that stand for no text elsewhere. saved: its prompts on the
    disk. token_ms: what a token of a prompt is said to take, where that is not what was measured."""

    backend: Backend
    encoder: Encoder
    vocabulary: Vocabulary
    cache: PrefixCache
    stops: frozenset[int]
    rates: DraftRates
    actions: ActionSteps
    pace: Pace
    specials: tuple[str, ...] = ()
    draft: DraftModel | None = None
    lacks: str = ""
    health: Health = field(default_factory=Health)
    thoughts: Mapping[int, bytes] = field(default_factory=dict)
    saved: SavedPrompts | None = None
    token_ms: float = 0.0

    @classmethod
    def of(cls, backend: Backend) -> LoadedModel:
        form, info = backend.info.format, backend.info
        ids = {spelling: backend.marker(spelling) for spelling in (*form.spellings, *form.stops)}
        pieces = [backend.piece(token) for token in range(info.vocabulary)]
        markers = (spelling for spelling, token in ids.items() if token is not None)
        unseen = (backend.special(token) for token, piece in enumerate(pieces) if not piece)
        thoughts = {id: text for id, text in written_as(backend.marker).items() if id < len(pieces) and not pieces[id]}
        return cls(
            backend,
            Encoder(backend),
            Vocabulary(pieces),
            PrefixCache(info.sequences),
            frozenset(token for token in ids.values() if token is not None),
            DraftRates(),
            ActionSteps(info.chunk_tokens if info.costs else _FIRST_ACTION_TOKENS, info.chunk_tokens),
            Pace(info.token_ms),
            worth_knowing((*markers, *unseen)),
            thoughts=thoughts,
        )

    @property
    def info(self) -> ModelInfo:
        draft = self.draft.backend.info.name if self.draft and not self.draft.failure else ""
        return replace(
            self.backend.info,
            draft=draft,
            specials=self.specials,
            token_ms=self.token_ms or self.backend.info.token_ms,
        )

    @property
    def notice(self) -> str:
        """What is not as it was asked for, in a line for the user; empty if all is."""
        return self.draft.failure if self.draft else self.lacks

    def with_draft(self, backend: Backend) -> LoadedModel:
        """The model with another one that drafts for it. Raises ModelError if that one is not fit for it."""
        return replace(self, draft=DraftModel.of(backend, self.backend, self.vocabulary))

    def with_saved(self, saved: SavedPrompts) -> LoadedModel:
        """The model, which reads saved prompts from now on."""
        return replace(self, saved=saved, token_ms=saved.token_ms(self))

    def close(self) -> None:
        """Gives the memory of both back, after what is worth saving has been saved, and as far as that can be: a device
        may be gone, and others are to work on."""
        if self.saved is not None:
            self.saved.end(self)
        for backend in (*([self.draft.backend] if self.draft else []), self.backend):
            try:
                backend.close()
            except Exception:
                logger.exception("%s cannot be closed", backend.info.name)

    def emptied(self) -> LoadedModel:
        """The model with nothing in its cache, and nothing learned from what was there."""
        return replace(self, cache=PrefixCache(self.backend.info.sequences), rates=DraftRates())

    def budget_ms(self, depth: int, priority: Priority) -> float:
        """How long a step may take. Whoever waits for it waits for one token's at least, and a batch that takes little
        longer is as good."""
        costs = self.backend.info.costs
        return max(step_ms(priority), 1.25 * costs.ms(1, depth)) if costs else step_ms(priority)

    def chunk_tokens(self, depth: int, priority: Priority = Priority.INLINE, *, keys_come: bool = False) -> int:
        """How many tokens to evaluate at once in a sequence that holds `depth`: as many as can be waited for
        before a more urgent request is looked at, or before the whole batch may be lost. keys_come: whether the user
        types."""
        info = self.backend.info
        if info.interruptible:
            background = keys_come and priority is not Priority.INLINE
            seconds = _BETWEEN_KEYS_SECONDS if background else _BATCH_SECONDS[priority]
            paced = self.pace.tokens(seconds, depth)
            return info.chunk_tokens if paced is None else min(info.chunk_tokens, max(LEAST_TOKENS, paced))
        most = min(info.chunk_tokens, self.actions.limit) if priority.yields else info.chunk_tokens
        return min(most, info.costs.largest(self.budget_ms(depth, priority), depth)) if info.costs else most

    def seconds_left(self, tokens: Sequence[int]) -> float:
        """How long it takes to evaluate what the cache does not hold of a prompt, or to read it, as far as known."""
        held = self.cache.match(tokens)[1]
        if self.saved is not None:
            return self.saved.seconds_left(self, tokens, held)
        return self.pace.seconds(len(tokens) - held, held)

    def take_sequence(self, tokens: Sequence[int]) -> int | None:
        """A sequence for `tokens`, which holds what it can of them already; None if all are busy."""
        if self.saved is not None:
            return self.saved.take_sequence(self, tokens)
        return take_sequence(self.backend, self.cache, tokens)

    def ends(self, token: int, *, answers: bool = False) -> bool:
        """Whether `token` ends a text. answers: it is an answer, which may begin with thinking."""
        return token in self.stops or (self.backend.ends(token) and not (answers and token in self.thoughts))

    def piece(self, token: int, *, answers: bool) -> bytes:
        """What `token` adds to a text."""
        return self.thoughts[token] if answers and token in self.thoughts else self.vocabulary.piece(token)
