"""The next tokens that a model must evaluate, and the choice of a sequence for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from lsp_server.backends.base import Backend
from lsp_server.engine.prefix_cache import PrefixCache


@dataclass(frozen=True, slots=True)
class Work:
    """Tokens to evaluate in a sequence of a backend from `position` on. The step returns the logits after each of the
    last `logits` tokens and after each token of the draft. cache: the record of the backend's KV cache. match: the
    source of the draft, as in `Draft`."""

    backend: Backend
    cache: PrefixCache
    sequence: int
    position: int
    tokens: list[int]
    logits: int
    draft: list[int] = field(default_factory=list)
    match: int = 0


def take_sequence(backend: Backend, cache: PrefixCache, tokens: Sequence[int]) -> int | None:
    """Takes a sequence for `tokens` that already holds as many of them as possible; None if all are busy."""
    placement = cache.place(tokens)
    if placement is None:
        return None
    if placement.source is not None:
        try:
            backend.copy(placement.source, placement.target)
        except Exception:
            cache.truncate(placement.target, backend.truncate(placement.target, 0))
            cache.release(placement.target)
            raise
    return placement.target
