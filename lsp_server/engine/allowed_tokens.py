"""Picks the most probable token among the allowed ones: for how a line may begin, and for the names after `self.`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from lsp_server.core.names.allowed import Members
from lsp_server.core.opening import Opening
from lsp_server.engine.model import LoadedModel
from lsp_server.engine.request import Generate
from lsp_server.engine.vocabulary import likeliest

if TYPE_CHECKING:
    from lsp_server.backends.base import Logits


def best(model: LoadedModel, request: Generate, text: str, row: Logits, rank: int, begun: bytes = b"") -> int | None:
    """The most probable allowed token after `text`, or the allowed token at position `rank`. If none of the likely
    tokens is allowed: None where names are limited, since the text must end there; elsewhere the most probable of all.
    begun: the bytes of an incomplete character at the end of `text`."""
    opening, members = request.opening, request.members
    limits: list[Callable[[int], bool]] = []
    beginnings: list[int] = []
    if opening is not None and not opening.is_settled(text):
        beginnings += model.vocabulary.beginnings(opening.headers)
        partly = not any(_can_open(model, token, opening, text) for token in beginnings)
        # An end token that is only the second choice does not mean that the model wants to end.
        ends = bool(text.strip()) or model.ends(int(row.argmax()))
        limits.append(lambda token: _can_open(model, token, opening, text, partly=partly, ends=ends))
    names_are_limited = members is not None and members.limits(text)
    if members is not None and names_are_limited:
        limits.append(lambda token: _can_follow(model, token, members, text, begun))
    top = int(row.argmax() if rank == 0 else row.argpartition(-1 - rank)[-1 - rank])
    if not limits or (rank == 0 and all(allows(top) for allows in limits)):
        return top
    if members is not None:
        words = [word.encode() for word in members.words(text)]
        beginnings += model.vocabulary.parts_of([word[len(begun) :] for word in words if word.startswith(begun)])
    found = likeliest(row, lambda token: all(allows(token) for allows in limits), beginnings, rank)
    return top if found is None and not names_are_limited else found


def min_logprob(request: Generate, text: str) -> float:
    """The minimum log-probability of the token after `text`. The text ends before a less probable token."""
    of_rule = request.stop.min_logprob if request.stop is not None else -math.inf
    return of_rule if request.members is None else max(of_rule, request.members.min_logprob(text))


def _can_open(
    model: LoadedModel, token: int, opening: Opening, text: str, *, partly: bool = False, ends: bool = True
) -> bool:
    """Whether `text` with `token` is still an allowed beginning of the line."""
    if model.ends(token):
        return ends and opening.may_end(text)
    return opening.allows(text + model.vocabulary.piece(token).decode("utf-8", "replace"), partly=partly)


def _can_follow(model: LoadedModel, token: int, members: Members, text: str, begun: bytes) -> bool:
    """Whether `text`, the bytes `begun` and `token` contain only known names at limited places."""
    if model.ends(token):
        return not begun and members.may_end(text)
    return members.allows(text, begun + model.vocabulary.piece(token))
