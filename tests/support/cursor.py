"""Cursor fixtures: source text in which `$0` marks the cursor."""

from __future__ import annotations

from lsp_server.core.document import DocumentSnapshot

CURSOR = "$0"


def parse_cursor(
    source: str, *, language_id: str = "python", path: str = "main.py", uri: str = ""
) -> tuple[DocumentSnapshot, int]:
    """The document without its `$0`, and the byte offset at which that stood.

    Raises ValueError if there is not exactly one cursor: a fixture with a slip must not pass unseen.
    """
    left, *rest = source.split(CURSOR)
    if len(rest) != 1:
        raise ValueError(f"a cursor fixture has one {CURSOR}, this one has {len(rest)}: {source!r}")
    text = (left + rest[0]).encode()
    document = DocumentSnapshot.of(uri or f"file:///{path}", text, path=path, language_id=language_id, version=1)
    return document, len(left.encode())


def show_cursor(document: DocumentSnapshot, offset: int) -> str:
    """The inverse of `parse_cursor`, for messages and expectations."""
    return document.source[:offset].decode() + CURSOR + document.source[offset:].decode()
