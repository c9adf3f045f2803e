"""A loaded model and what belongs to it: its encoder, its vocabulary, and the record of its KV cache."""

from __future__ import annotations

from dataclasses import dataclass

from lsp_server.backends.base import Backend
from lsp_server.engine.encode import Encoder
from lsp_server.engine.prefix_cache import PrefixCache
from lsp_server.engine.speculate import DraftRates
from lsp_server.engine.vocabulary import Vocabulary

# A step longer than this would be noticed by who waits for its end. An abort comes within one step.
STEP_MS = 45.0


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """stops: the special tokens that end a text, besides those that the backend itself says do. rates: how
    often drafts have held."""

    backend: Backend
    encoder: Encoder
    vocabulary: Vocabulary
    cache: PrefixCache
    stops: frozenset[int]
    rates: DraftRates

    @classmethod
    def of(cls, backend: Backend) -> LoadedModel:
        form, info = backend.info.format, backend.info
        ids = (backend.marker(spelling) for spelling in (*form.spellings, *form.stops))
        return cls(
            backend,
            Encoder(backend),
            Vocabulary([backend.piece(token) for token in range(info.vocabulary)]),
            PrefixCache(info.sequences),
            frozenset(token for token in ids if token is not None),
            DraftRates(),
        )

    def chunk_tokens(self, depth: int) -> int:
        """How many tokens to evaluate at once in a sequence that holds `depth`: as many as can be waited for
        before a more urgent request is looked at."""
        info = self.backend.info
        return min(info.chunk_tokens, info.costs.largest(STEP_MS, depth)) if info.costs else info.chunk_tokens

    def ends(self, token: int) -> bool:
        return token in self.stops or self.backend.ends(token)
