"""Prepares the next suggestion in the background, as if the shown one had been accepted."""

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
    """The document after `suggestion` is accepted, and the cursor in it.

    After a complete line nothing more is wanted, and users press Enter there. So the cursor is on the next line.
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
    """place, text: the place of the shown suggestion, and the text from there to `there`, the prepared place.
    generation: for the text at `there`; None until the hole is parsed, and if nothing is wanted there. scope: of the
    task that parses the hole."""

    place: Place
    text: str
    there: Place
    generation: RunningGeneration | None = None
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)

    def give_up(self, engine: Engine) -> None:
        """Cancels the parse of the hole and the generation."""
        self.scope.cancel()
        if self.generation is not None:
            engine.cancel(self.generation.id)

    def still_possible(self, document: DocumentSnapshot, cursors: Iterable[int]) -> bool:
        """Whether the user can still reach the prepared place from `document`, or has reached it."""
        for cursor in cursors:
            typed = self.place.typed_since(document, cursor)
            if typed is not None and typed.agrees_with(self.text):
                return True
            if self.agrees(document, cursor):
                return True
        return False

    def agrees(self, document: DocumentSnapshot, cursor: int) -> bool:
        """Whether the text of its generation agrees with the text typed at the prepared place."""
        generation = self.generation
        return generation is not None and generation.agrees(generation.place.typed_since(document, cursor))
