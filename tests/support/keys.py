"""Keys typed into a document by an editor that closes brackets, and by one that does not."""

from __future__ import annotations

import random
from collections.abc import Iterator

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.shape import Suggestion

_PAIRS = {b"(": b")", b"[": b"]", b"{": b"}", b'"': b'"', b"'": b"'"}


def final(document: DocumentSnapshot, suggestion: Suggestion) -> bytes:
    """The text once the suggestion has been accepted."""
    return document.source[: suggestion.start] + suggestion.text.encode() + document.source[suggestion.end :]


def keys_typed(
    document: DocumentSnapshot,
    cursor: int,
    text: str,
    rng: random.Random,
    *,
    over: bool | None = None,
    closes: bool | None = None,
) -> Iterator[tuple[DocumentSnapshot, int]]:
    """The document and the cursor after each character of `text`. over: whether a closing bracket or quote
    that stands right of the cursor is gone over when it is typed; closes: whether an opening one is closed. Without
    them by chance."""
    over = rng.random() < 0.7 if over is None else over
    closes = rng.random() < 0.5 if closes is None else closes
    for character in text:
        key = character.encode()
        if over and key in _PAIRS.values() and document.source[cursor : cursor + 1] == key:
            document = document.edited(cursor, cursor + 1, key)
        else:
            document = document.edited(cursor, cursor, key)
            if closes and key in _PAIRS:
                document = document.edited(cursor + 1, cursor + 1, _PAIRS[key])
        cursor += len(key)
        yield document, cursor
