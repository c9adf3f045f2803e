"""Parses other buffers outside the event loop, for prompts that show parts of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import anyio

from lsp_server.core.context import PARSED_BYTES, is_read, read_pieces, shown_buffers
from lsp_server.core.document import DocumentSnapshot
from lsp_server.engine.api import Engine
from lsp_server.features.budget import budget_for

if TYPE_CHECKING:
    from lsp_server.features.options import InlineOptions


class BufferReader:
    """Finds the definitions in buffers on a worker thread, one buffer at a time. Each version is parsed once."""

    def __init__(
        self,
        engine: Engine,
        options: Callable[[], InlineOptions],
        buffers: Callable[[], Sequence[DocumentSnapshot]],
    ) -> None:
        self._engine = engine
        self._options = options
        self._buffers = buffers
        self._calls = 0
        self._reading = anyio.Lock()

    async def read(self, document: DocumentSnapshot) -> bool:
        """Parses the buffers that prompts for `document` may show, unless they are so small that `choose` parses them
        itself. Returns False if a later call has taken over."""
        self._calls += 1
        call = self._calls
        info = self._engine.model.info
        if info is None or budget_for(info, self._options()).context <= 0:
            return True
        if sum(len(buffer.source) for buffer in self._unread(document)) <= PARSED_BYTES:
            return True
        async with self._reading:
            for buffer in self._unread(document):
                if call == self._calls:
                    await anyio.to_thread.run_sync(read_pieces, buffer, abandon_on_cancel=True)
        return call == self._calls

    def _unread(self, document: DocumentSnapshot) -> list[DocumentSnapshot]:
        return [buffer for buffer in shown_buffers(document, self._buffers()) if not is_read(buffer)]
