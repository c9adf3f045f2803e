"""Looks up offers for a prompt in the indexes of a workspace's folders, on the parsing thread."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.hole import Hole
from lsp_server.core.index_choice import choose
from lsp_server.core.index_offer import NO_OFFER, Offer
from lsp_server.core.index_query import query_of
from lsp_server.core.modules import Module
from lsp_server.core.pieces import Piece
from lsp_server.features.index.reader import Reader
from lsp_server.features.index.roots import path_below, root_of


class Lookup:
    """Reads the indexes of folders. `roots` can be set on any thread; everything else only on the parsing thread."""

    def __init__(self, roots: Sequence[Path] = ()) -> None:
        self.roots: tuple[Path, ...] = tuple(roots)
        # For each folder, the path and the imported modules of the document that was looked up last.
        self.imports: dict[Path, tuple[str, tuple[Module, ...]]] = {}
        self._readers: dict[Path, Reader] = {}

    def offer(
        self, document: DocumentSnapshot, hole: Hole, buffers: Sequence[DocumentSnapshot], held: Sequence[Piece]
    ) -> Offer:
        """The offer for a hole. Files that the editor has open are not taken from the index."""
        root = root_of(self.roots, document.uri)
        if root is None or not document.folder:
            return NO_OFFER
        reader = self._reader(root)
        hidden = {path for buffer in buffers if (path := path_below(root, buffer.uri))}
        ours = {path: piece.uri for piece in held if (path := path_below(root, piece.uri)) and path not in hidden}
        there = reader.present(ours) if ours else set()
        lists = [piece for piece in held if piece.uri.endswith("/")]
        kept = frozenset(piece.uri for piece in lists)
        for piece in lists:  # a list stands for as long as all of its names do
            if root_of(self.roots, piece.uri + "x") != root or not reader.has(piece.path, piece.defines, hidden):
                kept -= {piece.uri}
        query = query_of(document, hole)
        self.imports[root] = path_below(root, document.uri), query.imports.modules
        found = choose(query, document, hole, reader.candidates(query, hidden), held)
        return Offer(found, kept.union(uri for path, uri in ours.items() if path in there))

    def close(self) -> None:
        for reader in self._readers.values():
            reader.close()
        self._readers.clear()

    def _reader(self, root: Path) -> Reader:
        for other in [each for each in self._readers if each not in self.roots]:
            self._readers.pop(other).close()
        if root not in self._readers:
            self._readers[root] = Reader(root)
        return self._readers[root]
