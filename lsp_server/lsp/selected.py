"""An entry of the editor's own menu that is selected while inline completions are asked for."""

from __future__ import annotations

from dataclasses import dataclass

from lsprotocol import types

from lsp_server.core.document import Document, DocumentSnapshot, Seen
from lsp_server.core.shape import Suggestion
from lsp_server.core.text import Encoding, encode
from lsp_server.lsp import convert


@dataclass(frozen=True, slots=True)
class Selected:
    """What is asked for while an entry is selected: what comes behind its text, as if it had been accepted.

    The editor draws only what has the entry's range and begins with its text. document: the text with the entry in it.
    start, offset: where that begins and ends.
    """

    info: types.SelectedCompletionInfo
    document: DocumentSnapshot
    start: int
    offset: int

    @classmethod
    def of(
        cls,
        info: types.SelectedCompletionInfo | None,
        document: Document,
        seen: Seen,
        cursor: int,
        encoding: Encoding,
    ) -> Selected | None:
        """None if nothing is selected, or an entry for another place: some clients send the last one that was.

        seen: the part of `document` that is looked at, in which the cursor is.
        """
        if info is None:
            return None
        try:
            start, end = (convert.offset_of(document, each, encoding) for each in (info.range.start, info.range.end))
        except convert.PositionError:
            return None
        start, end = start - seen.base, end - seen.base
        if not 0 <= start <= cursor - seen.base <= end <= len(seen.document.source):
            return None
        inserted = encode(info.text.replace("\r\n", "\n").replace("\n", seen.document.newline.decode()))
        return cls(info, seen.document.edited(start, end, inserted), start, start + len(inserted))

    def item(self, suggestion: Suggestion) -> types.InlineCompletionItem:
        """`suggestion`, which is one for `document`, as an item for the client's own text."""
        return types.InlineCompletionItem(insert_text=self.info.text + suggestion.text, range=self.info.range)
