"""What an index offers to a prompt, beside the parts of open buffers, and why a prompt shows what it shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.hole import Hole
from lsp_server.core.pieces import Piece


@dataclass(frozen=True, slots=True)
class Why:
    """Why a prompt shows a segment, in words for the user, and its score, which tells it from the others."""

    reason: str
    score: float


@dataclass(frozen=True, slots=True)
class Offer:
    """Segments that a prompt can show, each with its reason and score. present: those of the documents asked about that
    an index still has."""

    pieces: Mapping[Piece, Why] = field(default_factory=dict)
    present: frozenset[str] = frozenset()


NO_OFFER = Offer()

# Looks into an index for a hole. The documents: those that the editor has open, which win over the disk. The pieces:
# what the document's prompts show now.
Index = Callable[[DocumentSnapshot, Hole, Sequence[DocumentSnapshot], Sequence[Piece]], Offer]


def no_index(
    document: DocumentSnapshot, hole: Hole, buffers: Sequence[DocumentSnapshot], held: Sequence[Piece]
) -> Offer:
    """Where there is no index."""
    return NO_OFFER
