"""An entry of the editor's own menu that is selected when inline completions are requested."""

from __future__ import annotations

from dataclasses import dataclass

from lsprotocol import types

from lsp_server.core.document import Document, DocumentSnapshot, Seen
from lsp_server.core.shape import Suggestion
from lsp_server.core.text import Encoding, encode
from lsp_server.lsp import convert


@dataclass(frozen=True, slots=True)
class Selected:
    """A request with a selected entry gets the text that follows the entry, as if the entry had been accepted.

    The editor shows only items that have the entry's range and begin with its text. document: the text with the entry
    in it. start, offset: the start and end of the entry, in bytes.
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
        """None if no entry is selected, or if it is for another position: some clients send the last entry that was
        selected.

        seen: the examined part of `document`, which contains the cursor.
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
        """`suggestion`, made for `self.document`, as an item for the client's own text."""
        return types.InlineCompletionItem(insert_text=self.info.text + suggestion.text, range=self.info.range)
