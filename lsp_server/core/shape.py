"""From what a model wrote to what is shown: the text, and the range of the document it goes into."""

from __future__ import annotations

from dataclasses import dataclass

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.hole import Hole
from lsp_server.core.stopping import StopRule, find_end


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Text for the bytes `start:end` of a document; the range is empty unless text right of the cursor is
    replaced."""

    text: str
    start: int
    end: int


def shape(text: str, document: DocumentSnapshot, hole: Hole, rule: StopRule) -> Suggestion | None:
    """The part of `text` worth showing at `hole`, or None if nothing is left of it.

    Cuts it where the rule ends it, removes what already stands right of the cursor and white space at the
    end, and gives it the document's own line ends.
    """
    text = text.replace("\r\n", "\n")
    end = find_end(text, rule)
    if end is None:
        end = find_end(text + "\n", rule)  # nothing more comes, so its last line is whole
    if end is not None:
        text = text[:end]
    text = text.rstrip()
    right = document.source[hole.cursor : hole.line_end].decode("utf-8", "replace").strip()
    if right:
        text = without_overlap(text, right)
    if not text.strip():
        return None
    return Suggestion(text.replace("\n", document.newline.decode()), hole.cursor, hole.cursor)


def without_overlap(text: str, right: str) -> str:
    """`text` without what stands to its right already.

    The model does not see the rest of the cursor's line, so it writes it again: text ends in front of a
    bracket that it closes without having opened it, if that is the one that stands there.
    """
    depth = 0
    for index, character in enumerate(text):
        if character in "([{":
            depth += 1
        elif character in ")]}":
            if depth == 0:
                return text[:index] if right.startswith(character) else text.removesuffix(right)
            depth -= 1
    return text.removesuffix(right) if right.strip(")]}") else text
