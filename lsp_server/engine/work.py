"""What a model is to evaluate next, and the sequence it does so in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from lsp_server.backends.base import Backend
from lsp_server.engine.prefix_cache import PrefixCache


@dataclass(frozen=True, slots=True)
class Work:
    """Tokens to evaluate in a sequence of a backend from `position` on, with the logits behind the last `logits` of
    them and behind each token of the draft. cache: the record of what the backend holds. match: what spoke for the
    draft, as in `Draft`."""

    backend: Backend
    cache: PrefixCache
    sequence: int
    position: int
    tokens: list[int]
    logits: int
    draft: list[int] = field(default_factory=list)
    match: int = 0


def take_sequence(backend: Backend, cache: PrefixCache, tokens: Sequence[int]) -> int | None:
    """A sequence for `tokens`, which holds what it can of them already; None if all are busy."""
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
