"""The text that a suggestion inserts, without its position in the document."""

from __future__ import annotations

from dataclasses import dataclass

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.shape import Suggestion


@dataclass(frozen=True, slots=True)
class Insertion:
    """The text of a suggestion. over: the text right of the position, which `text` contains and replaces."""

    text: str
    over: bytes = b""

    @classmethod
    def of(cls, suggestion: Suggestion, document: DocumentSnapshot) -> Insertion:
        return cls(suggestion.text, document.source[suggestion.start : suggestion.end])

    def at(self, cursor: int) -> Suggestion:
        return Suggestion(self.text, cursor, cursor + len(self.over))
