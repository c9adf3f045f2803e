"""Token healing: replaces the last tokens of the typed text by one longer token if the model prefers it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from lsp_server.engine.model import LoadedModel
from lsp_server.engine.prefix_cache import common_prefix
from lsp_server.engine.request import Generate
from lsp_server.engine.vocabulary import Vocabulary

if TYPE_CHECKING:
    from lsp_server.backends.base import Logits

# The index of the first replaced token, the new token, its logits, and the bytes that it adds to the text.
Healing = tuple[int, int, "Logits", bytes]

# How many tokens of the typed text a longer token may replace.
MOST_HEALED_TOKENS = 4


def first_healed(vocabulary: Vocabulary, tokens: Sequence[int], first: int) -> int:
    """The index of the first of `tokens` from `first` on that a longer token can replace, together with all tokens
    after it; the number of tokens if there is none."""
    for index in range(first, len(tokens)):
        if len(vocabulary.longer_than(b"".join(map(vocabulary.piece, tokens[index:])))):
            return index
    return len(tokens)


def heal(model: LoadedModel, sequence: int, tokens: Sequence[int], first: int, request: Generate) -> Healing | None:
    """The longer token to take in place of the end of the typed text, if the model prefers one. None if it prefers
    none, or if that is unknown because logits are missing. first: the index of the first of `tokens` that may be
    replaced."""
    cache, vocabulary = model.cache, model.vocabulary
    limited = request.opening is not None or request.members is not None
    allows = partial(_allows, request) if limited else None
    known = common_prefix(cache.tokens(sequence), tokens)
    for index in range(max(1, first), len(tokens)):
        row = cache.row(sequence, index - 1)
        if index > known or row is None:
            return None
        written = b"".join(map(vocabulary.piece, tokens[index:]))
        token = vocabulary.healed(row, written, tokens[index], request.rank, allows)
        if token is not None and not model.ends(token, answers=request.stop is None):
            return index, token, row, vocabulary.piece(token)[len(written) :]
    return None


def _allows(request: Generate, added: bytes) -> bool:
    """Whether the request's limits allow the text to continue with `added`."""
    members, written = request.members, request.written
    if members is not None and members.limits(written) and not members.allows(written, added):
        return False
    return request.opening is None or request.opening.allows(written + added.decode("utf-8", "replace"))
