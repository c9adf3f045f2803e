"""A loaded model and what belongs to it: its encoder, its vocabulary, and the record of its KV cache."""

from __future__ import annotations

from dataclasses import dataclass

from lsp_server.backends.base import Backend
from lsp_server.engine.encode import Encoder
from lsp_server.engine.prefix_cache import PrefixCache
from lsp_server.engine.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """stops: the special tokens that end a text, besides those that the backend itself says do."""

    backend: Backend
    encoder: Encoder
    vocabulary: Vocabulary
    cache: PrefixCache
    stops: frozenset[int]

    @classmethod
    def of(cls, backend: Backend) -> LoadedModel:
        form, info = backend.info.format, backend.info
        ids = (backend.marker(spelling) for spelling in (*form.markers, *form.stops))
        return cls(
            backend,
            Encoder(backend),
            Vocabulary([backend.piece(token) for token in range(info.vocabulary)]),
            PrefixCache(info.sequences),
            frozenset(token for token in ids if token is not None),
        )

    def ends(self, token: int) -> bool:
        return token in self.stops or self.backend.ends(token)
