"""Token healing: the token that a model would rather write over the end of what was typed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from lsp_server.engine.model import LoadedModel
from lsp_server.engine.prefix_cache import common_prefix
from lsp_server.engine.request import Generate

if TYPE_CHECKING:
    from lsp_server.backends.base import Logits

# The index of the first token that is written over, the token to write there, its logits, and what it adds.
Healing = tuple[int, int, "Logits", bytes]

# How much of what was typed a longer token may take over.
MOST_HEALED_TOKENS = 4


def heal(model: LoadedModel, sequence: int, tokens: Sequence[int], first: int, request: Generate) -> Healing | None:
    """The longer token to write over the end of what was typed, if the model prefers one. None if it does not, or if
    that cannot be told yet because logits are missing. first: the index of the first of `tokens` that may be healed."""
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
    """Whether the text may go on with `added`."""
    members, written = request.members, request.written
    if members is not None and members.limits(written) and not members.allows(written, added):
        return False
    return request.opening is None or request.opening.allows(written + added.decode("utf-8", "replace"))
