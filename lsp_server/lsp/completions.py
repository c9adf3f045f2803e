"""Requests for inline completions and completion menus; of each kind, one at a time for each document."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
from lsprotocol import types

from lsp_server.core.document import Document, DocumentSnapshot
from lsp_server.core.names.missing_imports import ImportEdit, missing_imports
from lsp_server.core.uris import normal_uri
from lsp_server.features import first_suggestions
from lsp_server.features.outcome import Outcome, Trigger
from lsp_server.features.reasons import why_silent
from lsp_server.lsp import convert
from lsp_server.lsp.clients import outcome_for
from lsp_server.lsp.protocol import Answer, stamped, waited_ms
from lsp_server.lsp.selected import Selected
from lsp_server.status.request_log import STALE, RequestLog

if TYPE_CHECKING:
    from lsp_server.engine.api import Engine
    from lsp_server.features.inline import InlineCompleter
    from lsp_server.lsp.configuration import Configuration
    from lsp_server.lsp.counting import Counting
    from lsp_server.lsp.next_edits import NextEditService
    from lsp_server.lsp.session import Session
    from lsp_server.lsp.snooze import Snooze
    from lsp_server.lsp.state import StateService

# A menu may wait for its slowest source, so we answer within this time; the client asks again at the next key. A menu
# that adds late answers waits as long as the model may take.
_MENU_SECONDS = 0.5
# For how many documents a request is remembered that came while the model was loading.
_MOST_TOO_EARLY = 20


async def _remember(found: first_suggestions.FirstSuggestion) -> None:
    await anyio.to_thread.run_sync(first_suggestions.remember, found, abandon_on_cancel=True)


@dataclass(frozen=True, slots=True)
class _Place:
    """The position of a request. line: in the document, from 0. asked: the text that is examined, and offset: the
    position in it, in bytes. replaces: whether text right of it may be replaced. warns: whether a dangerous suggestion
    is shown, with a warning."""

    document: Document
    line: int
    asked: DocumentSnapshot
    offset: int
    replaces: bool
    warns: bool = False


class CompletionService:
    """Answers requests for completions. log: the results of the last requests."""

    def __init__(
        self,
        session: Session,
        completer: InlineCompleter,
        engine: Engine,
        *,
        configuration: Configuration,
        counting: Counting,
        next_edits: NextEditService,
        snooze: Snooze,
        state: StateService,
    ) -> None:
        self._session = session
        self._engine = engine
        self._completer = completer
        self._configuration, self._counting, self._next_edits = configuration, counting, next_edits
        self._snooze, self._state = snooze, state
        self._running: dict[tuple[str, str], anyio.CancelScope] = {}
        self._watching: dict[str, anyio.CancelScope] = {}
        self._too_early: dict[str, tuple[Document, types.Position]] = {}
        self.log = RequestLog()

    def cancel(self, uri: str) -> None:
        """Cancels the requests for a document whose text is about to change."""
        for (running, _), scope in list(self._running.items()):
            if running == normal_uri(uri):
                scope.cancel()
        if (watching := self._watching.get(normal_uri(uri))) is not None:
            watching.cancel()

    def cancel_all(self) -> None:
        """Cancels all running requests; each gets an empty answer."""
        for scope in [*self._running.values(), *self._watching.values()]:
            scope.cancel()

    @property
    def waiting(self) -> bool:
        """Whether a client waits for an answer."""
        return bool(self._running)

    async def inline(self, params: types.InlineCompletionParams) -> Answer:
        document, encoding = stamped(params.text_document.uri), self._session.documents.encoding
        offset = convert.offset_of(document, params.position, encoding)
        seen = self._session.documents.seen(document, offset)
        invoked = params.context.trigger_kind == types.InlineCompletionTriggerKind.Invoked
        trigger = Trigger.INVOKED if invoked else Trigger.AUTOMATIC
        method, replaces = types.TEXT_DOCUMENT_INLINE_COMPLETION, self._session.client.replaces
        line = params.position.line
        selected = Selected.of(params.context.selected_completion_info, document, seen, offset, encoding)
        if selected is None:
            place = _Place(document, line, seen.document, offset - seen.base, replaces=replaces)
        else:
            place = _Place(document, line, selected.document, selected.offset, replaces=False)
        outcome = await self._complete(place, trigger, method)
        if self._session.client.asks_again and trigger is Trigger.AUTOMATIC and selected is None:
            self._watch(place, params.position)
        shown = [each for each in (outcome.suggestion, *outcome.alternatives) if each is not None]
        if selected is None:
            items = [convert.inline_item(suggestion, document, encoding, seen.base) for suggestion in shown]
        else:
            items = [selected.item(suggestion) for suggestion in shown]
        id = self._counting.answered(document, outcome, seen.base, offset - seen.base, selected)
        self.log.suggested(id)
        self._counting.marked(items, id)
        if selected is None and isinstance(document, DocumentSnapshot):
            items = await self._next_edits.beside(document, params.position, items)
        return Answer(document, types.InlineCompletionList(items), types.InlineCompletionList([]))

    def model_ready(self) -> None:
        """Tells clients to ask again about requests that came before the model was ready."""
        for document, position in self._too_early.values():
            self._tell_grown(document, position)
        self._too_early.clear()

    def _watch(self, place: _Place, position: types.Position) -> None:
        """Tells the client once, when the shown suggestion has grown. The client then asks again, which starts another
        watch."""
        uri = normal_uri(place.document.uri)
        if not self._is_current(place.document):
            return
        if self._state.current().kind == "loading":
            if len(self._too_early) < _MOST_TOO_EARLY:
                self._too_early[uri] = place.document, position
            return
        if (previous := self._watching.get(uri)) is not None:
            previous.cancel()
        # Looked up now: the generation may end before a task begins.
        growth = self._completer.growth(place.asked, place.offset)
        if growth is not None:
            self._watching[uri] = scope = anyio.CancelScope()
            self._session.start_task(self._wait_grown, scope, growth, place, position)

    async def _wait_grown(
        self,
        scope: anyio.CancelScope,
        growth: Callable[[], Awaitable[bool]],
        place: _Place,
        position: types.Position,
    ) -> None:
        uri = normal_uri(place.document.uri)
        try:
            with scope:
                if await growth():
                    self._tell_grown(place.document, position)
        finally:
            if self._watching.get(uri) is scope:
                del self._watching[uri]

    def _tell_grown(self, document: Document, position: types.Position) -> None:
        if self._is_current(document):
            where = {"line": position.line, "character": position.character}
            told = {"uri": document.uri, "version": document.version, "position": where}
            self._session.protocol.notify("fimble/suggestionGrew", told)

    async def menu(self, params: types.CompletionParams) -> Answer:
        document, encoding = stamped(params.text_document.uri), self._session.documents.encoding
        offset = convert.offset_of(document, params.position, encoding)
        seen = self._session.documents.seen(document, offset)
        replaces, line = self._session.client.replaces, params.position.line
        warns = _opened_by_hand(params, seen.document, offset - seen.base)
        place = _Place(document, line, seen.document, offset - seen.base, replaces=replaces, warns=warns)
        patient, method = self._session.client.adds_late, types.TEXT_DOCUMENT_COMPLETION
        seconds = self._session.settings.deadline_ms / 1000 if patient else _MENU_SECONDS
        outcome = Outcome(reason=f"nothing within {seconds:g} s, and this menu does not wait longer: open it again")
        with anyio.move_on_after(seconds) as limit:
            outcome = await self._complete(place, Trigger.PATIENT if patient else Trigger.AUTOMATIC, method)
        if limit.cancelled_caught:
            self.log.add(document, line, method, outcome, waited_ms())
        items = []
        if outcome.suggestion is not None:
            mark = " · fimble" if self._session.client.marks_label else ""
            found = outcome.found
            imports: tuple[ImportEdit, ...] = ()
            if self._session.settings.check_names and isinstance(document, DocumentSnapshot):
                imports = missing_imports(document, outcome.suggestion.text)
            item = convert.completion_item(outcome.suggestion, document, encoding, seen, mark, found, imports)
            items.append(item)
        self.log.suggested(self._counting.answered(document, outcome, seen.base, place.offset))
        empty = types.CompletionList(is_incomplete=True, items=[])
        return Answer(document, types.CompletionList(is_incomplete=True, items=items), empty)

    async def _complete(self, place: _Place, trigger: Trigger, method: str) -> Outcome:
        """The answer to one request. A newer request of its kind for the same document, or a change of the document,
        ends it with an empty answer."""
        await self._configuration.settled()
        document = place.document
        key = normal_uri(document.uri), method
        if (previous := self._running.get(key)) is not None:
            previous.cancel()
        outcome = STALE
        with anyio.CancelScope() as scope:
            self._running[key] = scope
            self._state.changed()
            try:
                snoozed = self._snooze.why(document.uri) if trigger is not Trigger.INVOKED else ""
                if snoozed:
                    outcome = Outcome(reason=snoozed)
                elif self._is_current(document):
                    outcome = await self._completer.complete(place.asked, place.offset, trigger, warns=place.warns)
            finally:
                if self._running.get(key) is scope:
                    del self._running[key]
                self._state.changed()
        # A cancellation may come when the answer is complete and nothing is left to interrupt.
        if scope.cancel_called or not self._is_current(document):
            outcome = STALE
        self._note_first(outcome, trigger)
        outcome = outcome_for(outcome, place.asked, replaces=place.replaces)
        self.log.add(document, place.line, method, outcome, waited_ms())
        return outcome

    def _note_first(self, outcome: Outcome, trigger: Trigger) -> None:
        """If this was a first suggestion, keeps how long it took."""
        info = self._engine.model.info
        found = first_suggestions.measured(outcome, info) if info and trigger is not Trigger.INVOKED else None
        if found is not None:
            self._session.start_task(_remember, found)

    def why(self, uri: str, line: int) -> str:
        """Why nothing appears at a line of a document: the present reason if there is one, else the result of the last
        request there, with its age."""
        if snoozed := self._snooze.why(uri):
            return snoozed
        document = self._session.documents.find(uri)
        if document is not None:
            seen, options = self._session.documents.seen(document, 0).document, self._session.settings.inline_options()
            if reason := why_silent(self._engine, seen, options, explicit=False, wakes=False):
                return reason
        return self.log.why(normal_uri(uri), line)

    def _is_current(self, document: Document) -> bool:
        return self._session.documents.find(document.uri) is document


def _opened_by_hand(params: types.CompletionParams, document: DocumentSnapshot, offset: int) -> bool:
    """Whether the user has opened the menu by hand: there is white space or nothing left of the cursor, where menus do
    not open by themselves. Clients also call a menu invoked when it opens while a word is typed."""
    asked = params.context is not None and params.context.trigger_kind == types.CompletionTriggerKind.Invoked
    return asked and not document.source[max(0, offset - 1) : offset].strip()


def register(session: Session, service: CompletionService) -> None:
    """Registers the handlers with pygls."""

    @session.feature(types.TEXT_DOCUMENT_INLINE_COMPLETION, types.InlineCompletionOptions())
    async def inline_completion(params: types.InlineCompletionParams) -> Answer:
        return await service.inline(params)

    @session.feature(types.TEXT_DOCUMENT_COMPLETION, types.CompletionOptions())
    async def completion(params: types.CompletionParams) -> Answer:
        return await service.menu(params)
