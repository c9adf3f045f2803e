"""A loaded model with its encoder, its vocabulary, and the record of its KV cache."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from lsp_server.backends.base import Backend, ModelInfo
from lsp_server.core.spelled_markers import spellable
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

# If a step cannot be interrupted, a cancelled request ends after the running step. The user would notice a longer step.
STEP_MS = 45.0

# The same for a step of a code action, which is often running when a key asks for a completion.
ACTION_STEP_MS = 25.0

# How long a step may take if it can be interrupted. Larger batches are faster, but an interrupted batch is lost, so
# work that is more likely to be interrupted has smaller batches.
_BATCH_SECONDS = {
    Priority.INLINE: 1.0,
    Priority.PREPARED: 0.3,
    Priority.WARMING: 0.6,
    Priority.EDIT: 0.15,
    Priority.ACTION: 0.15,
}

# The minimum number of tokens of such a step, whatever its time. Smaller batches make a token much more expensive: on
# two slow cores prefill in steps of 25 tokens has 0.58 times the rate of steps of 512, in steps of 64 tokens 0.83 to
# 0.86 times, in steps of 128 tokens 0.95 times.
_LEAST_BATCH_TOKENS = 64

# For this long after a completion request, the user counts as typing. How long a step of background work may take then:
# each key would interrupt a longer batch, so it would never end.
_TYPING_SECONDS = 0.5
_BETWEEN_KEYS_SECONDS = 0.06

# A step of the full prompt may take as long as the user has paused, up to this. The longer a pause has been, the longer
# it is likely to go on.
_PAUSE_SECONDS = 1.4

# The first step size of an action, in tokens, if nothing has been measured.
_FIRST_ACTION_TOKENS = 8


def step_ms(priority: Priority) -> float:
    """How long a step may take for a request of this priority, in ms."""
    return ACTION_STEP_MS if priority.yields else STEP_MS


class ActionSteps:
    """The step size of actions, in tokens, learned from how long their steps took.

    Calibration measures the machine at rest. The steps themselves also show an uncalibrated model, or a machine that is
    busy now. limit: the largest step now, in tokens.
    """

    def __init__(self, first: int, most: int) -> None:
        self.limit = min(first, most)
        self._most = most

    def learn(self, size: int, ms: float, budget_ms: float = ACTION_STEP_MS) -> None:
        """Learns that a step of `size` tokens took `ms`. A step above the budget shrinks the limit at once. A full step
        doubles the limit if it took less than half of the budget, or if the budget was raised because a single token
        takes that long."""
        if ms > budget_ms:
            self.limit = max(1, min(self.limit, int(size * budget_ms / ms)))
        elif size >= self.limit and (2 * ms < budget_ms or budget_ms > ACTION_STEP_MS):
            self.limit = min(self._most, 2 * self.limit)


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A loaded model.

    stops: special tokens that end a text, besides those for which `Backend.ends` is true.
    rates: how often drafts were accepted.
    actions: the step size of actions, used if steps cannot be interrupted.
    pace: how fast prompts are evaluated.
    specials: the spellings of its special tokens.
    draft: its draft model. lacks: why the draft model that was asked for is missing.
    health: whether its steps work.
    thoughts: the text that the special tokens around its thinking get in an answer, for tokens that have no text
    elsewhere.
    saved: its prompts on the disk.
    token_ms: the prefill time per token to report instead of the measured one; 0: report the measured one.
    """

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
            spellable((*markers, *unseen)),
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
        """What differs from the settings, in one line for the user; empty if nothing does."""
        return self.draft.failure if self.draft else self.lacks

    def with_draft(self, backend: Backend) -> LoadedModel:
        """The model with `backend` as its draft model. Raises ModelError if that cannot draft for it."""
        return replace(self, draft=DraftModel.of(backend, self.backend, self.vocabulary))

    def with_saved(self, saved: SavedPrompts) -> LoadedModel:
        """The model with access to saved prompts."""
        return replace(self, saved=saved, token_ms=saved.token_ms(self))

    def close(self) -> None:
        """Saves prompts that are worth it, then frees the memory of the model and of its draft model. Errors are only
        logged: a device may be lost, and other models have to go on."""
        if self.saved is not None:
            self.saved.end(self)
        for backend in (*([self.draft.backend] if self.draft else []), self.backend):
            try:
                backend.close()
            except Exception:
                logger.exception("%s cannot be closed", backend.info.name)

    def emptied(self) -> LoadedModel:
        """The model with an empty cache and draft rates that are not learned yet."""
        return replace(self, cache=PrefixCache(self.backend.info.sequences), rates=DraftRates())

    def budget_ms(self, depth: int, priority: Priority) -> float:
        """How long a step at this depth may take, in ms. It is never less than 1.25 times the time of one token: a step
        has at least one token, and a batch that takes little longer is as good."""
        costs = self.backend.info.costs
        return max(step_ms(priority), 1.25 * costs.ms(1, depth)) if costs else step_ms(priority)

    def chunk_tokens(self, depth: int, priority: Priority = Priority.INLINE, pause: float = math.inf) -> int:
        """How many tokens to evaluate in one step after `depth` others. If the step can be interrupted, the limit is
        the work that an interruption would lose; if not, the time that a more urgent request would wait. pause: the
        seconds since the last completion request."""
        info = self.backend.info
        if info.interruptible:
            seconds, least = _BATCH_SECONDS[priority], _LEAST_BATCH_TOKENS
            if pause < _TYPING_SECONDS and priority is not Priority.INLINE:
                seconds, least = _BETWEEN_KEYS_SECONDS, LEAST_TOKENS
            elif priority is Priority.WARMING:
                seconds = max(seconds, min(pause, _PAUSE_SECONDS))
            paced = self.pace.tokens(seconds, depth)
            return info.chunk_tokens if paced is None else min(info.chunk_tokens, max(least, paced))
        most = min(info.chunk_tokens, self.actions.limit) if priority.yields else info.chunk_tokens
        return min(most, info.costs.largest(self.budget_ms(depth, priority), depth)) if info.costs else most

    def seconds_left(self, tokens: Sequence[int]) -> float:
        """The estimated time to get all of `tokens` into the cache, in seconds: by evaluation, or by reading a saved
        prompt. 0 if nothing was measured."""
        held = self.cache.match(tokens)[1]
        if self.saved is not None:
            return self.saved.seconds_left(self, tokens, held)
        return self.pace.seconds(len(tokens) - held, held)

    def take_sequence(self, tokens: Sequence[int]) -> int | None:
        """Takes a sequence for `tokens` that already holds as many of them as possible; None if all are busy."""
        if self.saved is not None:
            return self.saved.take_sequence(self, tokens)
        return take_sequence(self.backend, self.cache, tokens)

    def ends(self, token: int, *, answers: bool = False) -> bool:
        """Whether `token` ends a text. answers: whether the text is a chat answer, which may begin with thinking."""
        return token in self.stops or (self.backend.ends(token) and not (answers and token in self.thoughts))

    def piece(self, token: int, *, answers: bool) -> bytes:
        """The bytes that `token` adds to a text. answers: as in `ends`."""
        return self.thoughts[token] if answers and token in self.thoughts else self.vocabulary.piece(token)
