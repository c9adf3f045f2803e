"""Types for what an index offers to a prompt in addition to open buffers, with the reasons why it is shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.hole import Hole
from lsp_server.core.pieces import Piece


@dataclass(frozen=True, slots=True)
class Why:
    """The reason why a prompt shows a segment, in words for the user, and the segment's score in the ranking."""

    reason: str
    score: float


@dataclass(frozen=True, slots=True)
class Offer:
    """Segments that a prompt can show, each with its reason and score. present: the URIs among the requested documents
    that the index still has."""

    pieces: Mapping[Piece, Why] = field(default_factory=dict)
    present: frozenset[str] = frozenset()


NO_OFFER = Offer()

# Asks an index for an offer. Arguments: the document, its hole, the open documents, whose text overrides the disk, and
# the pieces that the document's prompts show now.
Index = Callable[[DocumentSnapshot, Hole, Sequence[DocumentSnapshot], Sequence[Piece]], Offer]


def no_index(
    document: DocumentSnapshot, hole: Hole, buffers: Sequence[DocumentSnapshot], held: Sequence[Piece]
) -> Offer:
    """Stands for a missing index."""
    return NO_OFFER
