"""What a suggestion puts in, apart from the place that it was made for."""

from __future__ import annotations

from dataclasses import dataclass

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.shape import Suggestion


@dataclass(frozen=True, slots=True)
class Insertion:
    """What a suggestion puts in at a place. over: what stands right of the place, which it replaces and contains."""

    text: str
    over: bytes = b""

    @classmethod
    def of(cls, suggestion: Suggestion, document: DocumentSnapshot) -> Insertion:
        return cls(suggestion.text, document.source[suggestion.start : suggestion.end])

    def at(self, cursor: int) -> Suggestion:
        return Suggestion(self.text, cursor, cursor + len(self.over))
