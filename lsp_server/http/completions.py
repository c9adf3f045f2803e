"""Completions for HTTP requests: each becomes a position in a document, which the completer answers as over LSP."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

import anyio

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.shape import without_replacing
from lsp_server.core.text import encode
from lsp_server.engine.api import Engine, Usage
from lsp_server.features.inline import InlineCompleter
from lsp_server.features.options import InlineOptions
from lsp_server.features.other_buffers import BufferReader
from lsp_server.features.outcome import Outcome, Trigger
from lsp_server.features.reasons import OVERTAKEN, kind_of
from lsp_server.http.client_windows import ClientFiles, Placed
from lsp_server.http.request import Chunk, CompletionAnswer, CompletionRequest, RefusedError
from lsp_server.status.request_log import STALE, RequestLog

# After this long without a request for a file, the user counts as resting.
REST_SECONDS = 0.5
# A request is cancelled this long after the deadline in the settings.
_SPARE_SECONDS = 5.0
_MOST_CHUNKS, _MOST_CHUNK_BYTES = 64, 1 << 16

_METHOD = "HTTP"

StartTask = Callable[[Callable[[], Coroutine[Any, Any, None]]], object]
Send = Callable[[str, CompletionAnswer], Awaitable[None]]


class Completions:
    """Answers requests. A newer request for a file cancels the older one. Owned by the event loop's thread.

    options: from the settings. start: runs a task in the background. answered: called with each outcome and the time it
    took, in ms. log: the results of the last requests.
    """

    def __init__(
        self,
        engine: Engine,
        options: Callable[[], InlineOptions],
        start: StartTask,
        rest_seconds: float = REST_SECONDS,
        answered: Callable[[Outcome, float], None] = lambda outcome, waited_ms: None,
    ) -> None:
        self._engine = engine
        self._answered = answered
        self._options = options
        self._start = start
        self._rest_seconds = rest_seconds
        # The options of the running request: requests differ in how long the client waits. Each request is a task of
        # its own.
        self._asking: ContextVar[InlineOptions | None] = ContextVar("asking", default=None)
        self._files = ClientFiles()
        self._chunks: OrderedDict[str, DocumentSnapshot] = OrderedDict()
        self._running: dict[str, anyio.CancelScope] = {}
        self._resting: dict[str, anyio.CancelScope] = {}
        self.log = RequestLog()
        self._completer = InlineCompleter(engine, self._current, buffers=self._shown)
        self._reader = BufferReader(engine, self._current, self._shown)

    @property
    def model(self) -> str:
        info = self._engine.model.info
        return info.name if info else ""

    def close(self) -> None:
        self._completer.close()

    async def answer(self, request: CompletionRequest, send: Send | None = None) -> CompletionAnswer:
        """The whole answer. send: called with each new piece of the text, and the answer so far. Raises RefusedError if
        there is no answer; an empty answer would be remembered by clients."""
        if request.chunks is not None:
            self._take(request.chunks)
        if request.only_reads:
            await self._read_ahead(request)
            return CompletionAnswer("", self.model)
        placed = self._place(request)
        document, offset = placed.document, placed.offset
        options = self._options_for(request)
        self._asking.set(options)
        began, is_first = time.monotonic(), True
        trigger = Trigger.PATIENT if send is None and request.wait_ms is None else Trigger.AUTOMATIC
        answer, goes_on = CompletionAnswer("", self.model), True
        while goes_on:
            with self._as_latest(document.uri, options) as scope:
                outcome = await self._completer.complete(document, offset, trigger)
            if is_first:  # log the first text: the user waits for it
                is_first, known = False, STALE if scope.cancel_called else outcome
                waited_ms = 1000 * (time.monotonic() - began)
                self.log.add(document, document.line_at(offset), _METHOD, known, waited_ms)
                self._answered(known, waited_ms)
            outcome = self._checked(None if scope.cancel_called else outcome, scope)
            text, stopped = _until(_text_of(outcome, document, offset), request.stops)
            new = text[len(answer.text) :] if text.startswith(answer.text) else ""
            is_cut = not stopped and outcome.usage.decoded_tokens >= options.max_tokens
            usage = _sum(answer.usage, outcome.usage)
            answer = replace(answer, text=answer.text + new, usage=usage, is_cut=is_cut)
            if send is not None and new:
                await send(new, answer)
            goes_on = send is not None and not stopped and await self._grows(document, offset, options)
        self._rest_soon(document, offset, options)
        return answer

    async def _grows(self, document: DocumentSnapshot, offset: int, options: InlineOptions) -> bool:
        """Waits until the suggestion has grown. False if nothing is being generated."""
        grown, growth = False, self._completer.growth(document, offset)
        if growth is not None:
            with self._as_latest(document.uri, options):
                grown = await growth()
        return grown

    def _checked(self, outcome: Outcome | None, scope: anyio.CancelScope) -> Outcome:
        """The outcome, if it is an answer. Raises RefusedError if it is not. None: the request was cancelled."""
        if outcome is None and anyio.current_time() >= scope.deadline:
            raise RefusedError(504, "the model took longer than `deadline_ms`")
        if outcome is None:
            raise RefusedError(409, OVERTAKEN)
        if outcome.suggestion is None:
            kind = kind_of(outcome)
            if kind == "overtaken":
                raise RefusedError(409, outcome.reason)
            if kind == "loading" or self._engine.model.kind == "failed":
                raise RefusedError(503, outcome.reason, (("Retry-After", "1"),))
            if kind == "late":
                raise RefusedError(504, outcome.reason)
        return outcome

    def _as_latest(self, uri: str, options: InlineOptions) -> anyio.CancelScope:
        """A cancel scope with a deadline for the latest request for a file. Cancels the request before it."""
        if (previous := self._running.get(uri)) is not None:
            previous.cancel()
        scope = anyio.CancelScope(deadline=anyio.current_time() + options.deadline_ms / 1000 + _SPARE_SECONDS)
        self._running[uri] = scope
        return scope

    def _place(self, request: CompletionRequest) -> Placed:
        """The position in a document that a request is for. Tells the completer about changes of the document."""
        placed = self._files.place(request.before, request.after)
        uri = placed.document.uri
        if (resting := self._resting.pop(uri, None)) is not None:
            resting.cancel()
        for closed in placed.closed:
            self._completer.document_closed(closed)
            self._running.pop(closed, None)
        if placed.before is not None and placed.before is not placed.document:
            self._completer.document_changed(placed.document)
        return placed

    def _options_for(self, request: CompletionRequest) -> InlineOptions:
        """The settings, with the limits of the request."""
        options = self._usual()
        if request.wait_ms is not None:
            options = replace(options, answer_ms=int(min(request.wait_ms, options.deadline_ms)))
        if request.max_tokens is not None:
            options = replace(options, max_tokens=min(request.max_tokens, options.max_tokens))
        return options

    def _current(self) -> InlineOptions:
        return self._asking.get() or self._usual()

    def _usual(self) -> InlineOptions:
        """The settings, changed for HTTP. Names are not checked: a name that the window does not define may be defined
        above it. Nothing is replaced, because the protocols cannot express that. There is no debouncing, because
        clients do that."""
        options = replace(self._options(), check_names=False, limit_names=False)
        return replace(options, replaces=False, debounce=False, candidates=1)

    # Parts of other files ----------------------------------------------------------------------------------

    def _take(self, chunks: Sequence[Chunk]) -> None:
        """Takes the parts of other files that a client sends, the latest last. They replace those it sent before."""
        taken: OrderedDict[str, DocumentSnapshot] = OrderedDict()
        for chunk in chunks[-_MOST_CHUNKS:]:
            source = encode(chunk.text)
            if not chunk.path or not source.strip() or len(source) > _MOST_CHUNK_BYTES:
                continue
            digest = hashlib.blake2b(source, digest_size=8).hexdigest()
            path = _short(chunk.path)
            uri = f"untitled:fimble-http-part/{digest}/{path}"
            taken[uri] = self._chunks.get(uri) or DocumentSnapshot.of(uri, source, path=path)
        self._chunks = taken

    def _shown(self) -> list[DocumentSnapshot]:
        return list(reversed(self._chunks.values()))

    # Ahead of the next request --------------------------------------------------------------------------

    async def _read_ahead(self, request: CompletionRequest) -> None:
        """Evaluates the prompt of a request that wants no text."""
        if not (request.before or request.after).strip():
            return
        placed = self._place(request)
        self._asking.set(self._options_for(replace(request, max_tokens=None)))
        if await self._reader.read(placed.document):
            await self._completer.warm(placed.document, placed.offset)

    def _rest_soon(self, document: DocumentSnapshot, offset: int, options: InlineOptions) -> None:
        """Improves the prompt when the user rests."""
        scope = anyio.CancelScope()
        self._resting[document.uri] = scope

        async def rest() -> None:
            with scope:
                await anyio.sleep(self._rest_seconds)
                self._asking.set(options)
                if await self._reader.read(document):
                    await self._completer.rest(document, offset)
            if self._resting.get(document.uri) is scope:
                del self._resting[document.uri]

        self._start(rest)


def _sum(before: Usage, now: Usage) -> Usage:
    """The cost of an answer in pieces: the evaluated tokens of all pieces are added; the rest is from the last
    piece."""
    evaluated = before.evaluated_tokens + now.evaluated_tokens
    reused = max(0, now.reused_tokens - before.evaluated_tokens)
    return replace(now, evaluated_tokens=evaluated, reused_tokens=reused)


def _text_of(outcome: Outcome, document: DocumentSnapshot, offset: int) -> str:
    """The text to insert at the offset. Nothing is replaced there, because the protocols cannot express that."""
    suggestion = outcome.suggestion and without_replacing(outcome.suggestion, document)
    return suggestion.text if suggestion is not None and suggestion.start == offset else ""


def _until(text: str, stops: Sequence[str]) -> tuple[str, bool]:
    """The text before the first stop, and whether there is one."""
    found = [at for stop in stops if (at := text.find(stop)) >= 0]
    return (text[: min(found)], True) if found else (text, False)


def _short(path: str) -> str:
    """A path as prompts show it; of an absolute path, only the last three parts."""
    parts = [part for part in path.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    return "/".join(parts[-3:] if path.startswith(("/", "\\")) or ":" in path else parts[-6:])
