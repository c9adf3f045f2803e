"""The next suggestion, prepared in the background as if the one that is shown had been accepted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import anyio

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.hole import HoleKind, find_hole
from lsp_server.core.reuse import Place
from lsp_server.core.shape import Suggestion
from lsp_server.engine.api import Engine
from lsp_server.features.generation import RunningGeneration


def after_acceptance(document: DocumentSnapshot, suggestion: Suggestion) -> tuple[DocumentSnapshot, int]:
    """The document as it will be once `suggestion` is accepted, and the cursor in it.

    Behind a whole line nothing more is wanted; people press Enter there, so the place is on the next line.
    """
    text = suggestion.text.encode()
    accepted = document.edited(suggestion.start, suggestion.end, text)
    cursor = suggestion.start + len(text)
    hole = find_hole(accepted, cursor)
    if hole.kind is HoleKind.LINE and not accepted.source[cursor : hole.line_end].strip():
        line = accepted.line(accepted.line_at(cursor))
        opened = document.newline + line[: len(line) - len(line.lstrip())]
        accepted = accepted.edited(cursor, cursor, opened)
        cursor += len(opened)
    return accepted, cursor


@dataclass(slots=True)
class Prepared:
    """place, text: the suggestion that is shown, and all that leads from there to `there`, the prepared place.
    generation: of what comes behind it; None until its hole has been looked at, and where nothing is wanted. scope: of
    looking at it."""

    place: Place
    text: str
    there: Place
    generation: RunningGeneration | None = None
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)

    def give_up(self, engine: Engine) -> None:
        """Ends looking at its place, and its generation."""
        self.scope.cancel()
        if self.generation is not None:
            engine.cancel(self.generation.id)

    def still_possible(self, document: DocumentSnapshot, cursors: Iterable[int]) -> bool:
        """Whether `document` is on the way to the prepared place, or there."""
        for cursor in cursors:
            typed = self.place.typed_since(document, cursor)
            if typed is not None and typed.agrees_with(self.text):
                return True
            if self.agrees(document, cursor):
                return True
        return False

    def agrees(self, document: DocumentSnapshot, cursor: int) -> bool:
        """Whether its generation writes on from what was typed behind the prepared place."""
        generation = self.generation
        return generation is not None and generation.agrees(generation.place.typed_since(document, cursor))
