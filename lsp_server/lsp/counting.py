"""Counts the results of suggestions and actions for `fimble stats`, and writes the sums on another thread."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
from lsprotocol import types

from lsp_server.core.document import Document, DocumentSnapshot, Edit
from lsp_server.core.edits import changed_region
from lsp_server.core.languages import find_language
from lsp_server.core.shape import Suggestion
from lsp_server.core.text import encode
from lsp_server.features.actions.asking import ActionFailedError
from lsp_server.features.actions.catalogue import BUILT_IN
from lsp_server.features.outcome import Outcome
from lsp_server.features.reasons import kind_of
from lsp_server.stats.counts import Key, Tally
from lsp_server.stats.kept import Change
from lsp_server.stats.tracker import Tracker

if TYPE_CHECKING:
    from lsp_server.engine.api import Engine
    from lsp_server.lsp.selected import Selected
    from lsp_server.lsp.session import Session

ACCEPTED = "fimble.accepted"
DID_SHOW, DID_ACCEPT_PART = "textDocument/didShowCompletion", "textDocument/didPartiallyAcceptCompletion"

# The sums are written together, after at most this many seconds.
_WRITE_SECONDS = 2.0
_LONGEST_NAME = 60
_DATE_SECONDS = 1.0
# A change with more edits is treated as one edit of the whole region.
_MOST_EDITS = 64
_OWN_ACTION = "own action"
_ACTIONS = frozenset(action.id for action in BUILT_IN)


class Counting:
    """The counts of one client. All of it runs on the event loop except writing, and one write runs at a time.

    another_day: called when the day has changed; while settings are tried, again and again until `switch` tells which
    of them are in force.
    state: "on", "off" by the setting, or one word why counting has stopped.
    """

    def __init__(self, session: Session, engine: Engine, another_day: Callable[[], None]) -> None:
        self._session, self._engine, self._another_day = session, engine, another_day
        self._tracker: Tracker | None = None
        self._tally = Tally()
        self._cpu, self._evaluated, self._decoded = 0.0, 0, 0
        self._arm, self._day = "", ""
        self._today, self._dated = "", float("-inf")
        self._writing = anyio.Lock()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self.state = "off"

    def switch(self, wanted: bool, arm: str) -> None:
        """Starts or stops counting. arm: the name of the settings that are tried."""
        self._arm, self._day = arm, _today()
        if not wanted:
            self._stop("off")
        elif self.state == "off":
            self.state = "on"
            self._tally = Tally()
            self._tracker = Tracker(self._tally)
            self._cpu, self._evaluated = time.process_time(), self._engine.evaluated_tokens
            self._decoded = self._engine.decoded_tokens

    # Suggestions ------------------------------------------------------------------------------------------

    def answered(
        self, document: Document, outcome: Outcome, base: int, cursor: int, selected: Selected | None = None
    ) -> int | None:
        """Counts an answer. base: the offset in the document of the text that was examined. cursor: the byte offset in
        that text. Returns the id of the suggestion, or None if there is none."""
        tracker = self._tracker
        if tracker is None:
            return None
        now, suggestion = time.monotonic(), outcome.suggestion
        source = "adopted" if outcome.source == "model" and outcome.adopted else outcome.source
        key = self._key(document, source if suggestion is not None else "")
        if suggestion is None:
            kind = kind_of(outcome)
            self._tally.add(key, requests=1, **{kind: 1})
            if kind != "overtaken":
                tracker.nothing_for(document.uri, now)
            self._wake()
            return None
        self._tally.add(key, requests=1)
        self._tally.took(key, outcome.total_ms)
        texts = [_put_in(each, document, base, selected, cursor) for each in (suggestion, *outcome.alternatives)]
        at = base + (suggestion.start if selected is None else cursor)
        over = b"" if selected is not None else _part(document, at, base + suggestion.end)
        found = [text for text in texts if text is not None]
        self._wake()
        if not found:
            return None
        return tracker.suggested(document.uri, key, at, over, found, now, outcome.usage.decoded_tokens)

    def marked(self, items: list[types.InlineCompletionItem], id: int | None) -> list[types.InlineCompletionItem]:
        """Adds a command to each item, by which the client can report that it was accepted."""
        if id is not None:
            for item in items:
                item.command = types.Command("Accepted", ACCEPTED, arguments=[id])
        return items

    def changed(self, old: Document | None, new: Document, edits: Sequence[Edit]) -> None:
        """Tracks a change of a document."""
        if self._tracker is None or old is None:
            return
        changes = self._changes(old, new, edits)
        if changes is None:
            self._tracker.closed(new.uri, time.monotonic())
        else:
            self._tracker.changed(new.uri, changes, self._key(new), time.monotonic())
        self._wake()

    def saved(self, params: types.DidSaveTextDocumentParams) -> None:
        document = self._session.documents.find(params.text_document.uri)
        if self._tracker is not None and document is not None:
            self._tracker.saved(document.uri, time.monotonic())
            self._wake()

    def closed(self, uri: str) -> None:
        if self._tracker is not None:
            self._tracker.closed(uri, time.monotonic())
            self._wake()

    def seen(self, id: int) -> str:
        """What is known of the suggestion with this id: "shown", "unseen", or "" if nothing yet."""
        return self._tracker.seen(id, time.monotonic()) if self._tracker is not None else ""

    # What the client tells --------------------------------------------------------------------------------

    def reported_shown(self, params: Any) -> None:
        if self._tracker is not None and (id := _number(_arguments(params))) is not None:
            self._tracker.reported_shown(id)
            self._wake()

    def reported_accepted_part(self, params: Any) -> None:
        if self._tracker is not None and (id := _number(_arguments(params))) is not None:
            units = _number([_field(params, "acceptedLength")]) or 0
            self._tracker.reported_accepted_part(id, time.monotonic(), units)
            self._wake()

    def reported_accepted(self, arguments: Sequence[Any]) -> None:
        """Handles a suggestion's command. Its arguments are the id and, if only a part was accepted, a word that says
        so. Clients send the change of the document before it."""
        given = arguments[0] if arguments and isinstance(arguments[0], list | tuple) else arguments
        if self._tracker is None or (id := _number(given)) is None:
            return
        if len(given) > 1:
            self._tracker.reported_accepted_part(id, time.monotonic())
        else:
            self._tracker.reported_accepted(id, time.monotonic())
        self._wake()

    # Actions ----------------------------------------------------------------------------------------------

    @contextmanager
    def action(self, document: Document, id: str) -> Iterator[list[str]]:
        """A context manager that counts the action that runs inside it. The caller appends the action's result, in
        words, to the list."""
        said: list[str] = []
        ended = "actions_cancelled"
        try:
            yield said
            ended = "actions_declined" if said and said[0].startswith("not ") else "actions_applied"
        except ActionFailedError:
            ended = "actions_refused"
            raise
        finally:
            if self._tracker is not None:
                key = self._key(document, id if id in _ACTIONS else _OWN_ACTION, chat=True)
                self._tally.add(key, actions=1, **{ended: 1})
                self._wake()

    # Writing ----------------------------------------------------------------------------------------------

    async def write(self) -> None:
        """Writes the sums. If that fails, they wait for the next write; if a later write could not succeed either,
        counting stops."""
        from lsp_server.stats import store

        async with self._writing:
            tracker = self._tracker
            if tracker is None:
                return
            tracker.tick(time.monotonic())
            self._add_process()
            if self._day != _today():
                if not self._arm:
                    self._day = _today()
                self._another_day()
            batch = self._tally.take()
            if not batch:
                return
            try:
                await anyio.to_thread.run_sync(store.add, batch, date.today(), abandon_on_cancel=True)
            except store.StoreError as error:
                if error.retry:
                    self._tally.merge(batch)
                    self._wake()
                else:
                    self._stop(error.word)
        self._wake(write=False)

    async def close(self) -> None:
        """Writes the remaining sums after the client has gone."""
        if self._tracker is not None:
            self._tracker.close(time.monotonic())
        await self.write()
        self._stop("off")

    def _add_process(self) -> None:
        cpu, evaluated, decoded = time.process_time(), self._engine.evaluated_tokens, self._engine.decoded_tokens
        spent = {
            "cpu_ms": round(1000 * (cpu - self._cpu)),
            "evaluated_tokens": evaluated - self._evaluated,
            "decoded_tokens": decoded - self._decoded,
        }
        if any(spent.values()):
            self._tally.add(self._key_of("", self._model("completion")), **spent)
        self._cpu, self._evaluated, self._decoded = cpu, evaluated, decoded

    def _stop(self, state: str) -> None:
        self.state = state
        self._tracker = None
        self._tally = Tally()
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _wake(self, *, write: bool = True) -> None:
        """Schedules the next write, and the next check of accepted text."""
        if self._tracker is None:
            return
        if write:
            self._later("write", _WRITE_SECONDS)
        due = self._tracker.next_look()
        if due is not None:
            self._later("look", max(0.0, due - time.monotonic()))

    def _later(self, name: str, seconds: float) -> None:
        if name not in self._timers:

            def begin() -> None:
                self._timers.pop(name, None)
                self._session.start_task(self.write)

            self._timers[name] = asyncio.get_running_loop().call_later(seconds, begin)

    # Keys and changes -------------------------------------------------------------------------------------

    def _key(self, document: Document, source: str = "", *, chat: bool = False) -> Key:
        language = find_language(document.language_id, document.path).name
        return self._key_of(language, self._model("chat" if chat else "completion"), source)

    def _key_of(self, language: str, model: str, source: str = "") -> Key:
        """The key of today's counts. On a new day the tried settings are unknown until the settings have been read."""
        today = self._date()
        return _key(today, language, model, source, self._arm if today == self._day else "")

    def _date(self) -> str:
        """Today's date, at most a second old: asking the system takes longer than counting a key."""
        now = time.monotonic()
        if now >= self._dated + _DATE_SECONDS:
            self._dated, self._today = now, _today()
        return self._today

    def _model(self, role: Any) -> str:
        """A model's name."""
        info = self._engine.models[role].info
        return _name(info.name) if info is not None else ""

    def _changes(self, old: Document, new: Document, edits: Sequence[Edit]) -> list[Change] | None:
        """The edits as byte changes; None if they cannot be computed."""
        encoding = self._session.documents.encoding
        if len(edits) == 1 and (only := edits[0].range) is not None:
            first, last = (old.offset(line, column, encoding) for line, column in (min(only), max(only)))
            return [Change.of(first, _part(old, first, last), encode(edits[0].text))]
        ranges = [edit.range for edit in edits]
        backwards = all(
            one is not None and other is not None and max(other) <= min(one) for one, other in pairwise(ranges)
        )
        if edits and ranges[0] is not None and backwards and len(edits) <= _MOST_EDITS:
            found = []
            for edit in edits:
                assert edit.range is not None
                ends = sorted(old.offset(line, column, encoding) for line, column in edit.range)
                found.append(Change.of(ends[0], _part(old, *ends), encode(edit.text)))
            return found
        if isinstance(old, DocumentSnapshot) and isinstance(new, DocumentSnapshot):
            start, end, size = changed_region(old, new)
            return [Change.of(start, old.source[start:end], new.source[start : start + size])]
        return None


def _today() -> str:
    return date.today().isoformat()


# Cached: otherwise every key stroke would build a key from texts that hardly ever change.
_key = lru_cache(maxsize=64)(Key)


@lru_cache(maxsize=16)
def _name(given: str) -> str:
    """A model's name, without the folder if it is a file's path."""
    return given.replace("\\", "/").rpartition("/")[2][:_LONGEST_NAME]


def _part(document: Document, start: int, end: int) -> bytes:
    if isinstance(document, DocumentSnapshot):
        return document.source[start:end]
    return document.content.slice(start, end)


def _put_in(
    suggestion: Suggestion, document: Document, base: int, selected: Selected | None, cursor: int
) -> bytes | None:
    """The bytes that accepting a suggestion inserts in place of what it replaces. If it continues a selected entry of a
    menu: the bytes after the cursor, or None if the entry does not begin with the text before the cursor."""
    if selected is None:
        return encode(suggestion.text)
    start, text = selected.start, encode(selected.info.text + suggestion.text)
    typed = _part(document, base + start, base + cursor)
    return text[len(typed) :] if text.startswith(typed) else None


def _arguments(params: Any) -> Any:
    """The arguments of the command of a notification's item."""
    for name in ("item", "command", "arguments"):
        params = _field(params, name)
    return params


def _field(params: Any, name: str) -> Any:
    """A field of the parameters of a method that is not in the protocol."""
    return params.get(name) if isinstance(params, dict) else getattr(params, name, None)


def _number(arguments: Any) -> int | None:
    first = arguments[0] if isinstance(arguments, list | tuple) and arguments else None
    return first if isinstance(first, int) and not isinstance(first, bool) else None


def register(session: Session, service: Counting) -> None:
    """Registers the handlers with pygls."""

    @session.feature(types.TEXT_DOCUMENT_DID_SAVE, types.SaveOptions(include_text=False))
    def saved(params: types.DidSaveTextDocumentParams) -> None:
        service.saved(params)

    @session.feature(DID_SHOW)
    def shown(params: Any) -> None:
        service.reported_shown(params)

    @session.feature(DID_ACCEPT_PART)
    def accepted_part(params: Any) -> None:
        service.reported_accepted_part(params)

    @session.command(ACCEPTED)
    def accepted(*arguments: Any) -> None:
        service.reported_accepted(arguments)
