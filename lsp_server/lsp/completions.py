"""Requests for completions: inline ones and those for a menu, one at a time for each document."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
from lsprotocol import types

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.uris import normal_uri
from lsp_server.features.outcome import Outcome, Trigger
from lsp_server.lsp import convert
from lsp_server.lsp.clients import outcome_for
from lsp_server.lsp.protocol import Answer, stamped_document
from lsp_server.lsp.selected import Selected
from lsp_server.lsp.status import STALE, RequestLog

if TYPE_CHECKING:
    from lsp_server.features.inline import InlineCompleter
    from lsp_server.lsp.server import FimbleServer

# A menu that waits for its slowest source must not wait for us; the client asks again at the next key.
_MENU_SECONDS = 0.5


class CompletionService:
    """Answers requests for completions. log: what came of the last ones."""

    def __init__(self, server: FimbleServer, completer: InlineCompleter) -> None:
        self._server = server
        self._completer = completer
        self._running: dict[tuple[str, str], anyio.CancelScope] = {}
        self.log = RequestLog()

    def cancel(self, uri: str) -> None:
        """Ends the requests for a document whose text is about to be another: their answers are stale."""
        for (running, _), scope in list(self._running.items()):
            if running == normal_uri(uri):
                scope.cancel()

    def cancel_all(self) -> None:
        """Answers everything that is running with nothing."""
        for scope in list(self._running.values()):
            scope.cancel()

    async def inline(self, params: types.InlineCompletionParams) -> Answer:
        document, encoding = stamped_document(params.text_document.uri), self._server.documents.encoding
        offset = convert.offset_of(document, params.position, encoding)
        invoked = params.context.trigger_kind == types.InlineCompletionTriggerKind.Invoked
        trigger = Trigger.INVOKED if invoked else Trigger.AUTOMATIC
        selected = Selected.of(params.context.selected_completion_info, document, offset, encoding)
        outcome = await self._complete(document, offset, trigger, types.TEXT_DOCUMENT_INLINE_COMPLETION, selected)
        shown = [each for each in (outcome.suggestion, *outcome.alternatives) if each is not None]
        if selected is None:
            items = [convert.inline_item(suggestion, document, encoding) for suggestion in shown]
        else:
            items = [selected.item(suggestion) for suggestion in shown]
        return Answer(document, types.InlineCompletionList(items), types.InlineCompletionList([]))

    async def menu(self, params: types.CompletionParams) -> Answer:
        document, encoding = stamped_document(params.text_document.uri), self._server.documents.encoding
        offset = convert.offset_of(document, params.position, encoding)
        outcome = Outcome(reason=f"nothing within {_MENU_SECONDS:g} s, and menus do not wait longer")
        with anyio.move_on_after(_MENU_SECONDS):
            outcome = await self._complete(document, offset, Trigger.AUTOMATIC, types.TEXT_DOCUMENT_COMPLETION)
        items = []
        if outcome.suggestion is not None:
            items.append(convert.completion_item(outcome.suggestion, document, encoding))
        empty = types.CompletionList(is_incomplete=True, items=[])
        return Answer(document, types.CompletionList(is_incomplete=True, items=items), empty)

    async def _complete(
        self,
        document: DocumentSnapshot,
        offset: int,
        trigger: Trigger,
        method: str,
        selected: Selected | None = None,
    ) -> Outcome:
        """The answer to one request. A newer one of its kind for the same document, or a change of the
        document, ends it with nothing."""
        key = normal_uri(document.uri), method
        if (previous := self._running.get(key)) is not None:
            previous.cancel()
        outcome = STALE
        asked, at = (document, offset) if selected is None else (selected.document, selected.offset)
        with anyio.CancelScope() as scope:
            self._running[key] = scope
            try:
                if self._is_current(document):
                    outcome = await self._completer.complete(asked, at, trigger)
            finally:
                if self._running.get(key) is scope:
                    del self._running[key]
        # A cancellation can come when the answer is already there and nothing is left to interrupt.
        if scope.cancel_called or not self._is_current(document):
            outcome = STALE
        outcome = outcome_for(outcome, asked, replaces=self._server.client.replaces and selected is None)
        self.log.add(document.uri, document.version, method, outcome)
        return outcome

    def _is_current(self, document: DocumentSnapshot) -> bool:
        return self._server.documents.get(document.uri) is document
