"""Types a session into the real server in real time, and records the result of every key."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import asdict, dataclass
from typing import Any

import anyio
import psutil
from lsprotocol import types

from bench.sessions.editor import Editor
from bench.sessions.recordings import Change
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.languages import find_language
from lsp_server.core.reuse import Place
from lsp_server.engine.prefix_cache import common_prefix

# The server's status shows its last 50 requests.
_STATUS_EVERY_KEYS = 20
_LAST_ANSWER_SECONDS = 2.0


@dataclass(slots=True)
class LiveKey:
    """One key. ms: the time until the answer; None if the request was cancelled, or its document changed, before an
    answer came. in_time: whether it came before the next key. credit: how many characters of the suggestion the user
    typed next. evaluated_tokens, decoded_tokens: only new tokens; if an answer continues the generation of an earlier
    key, the earlier tokens count there. None if the server does not report them (stale requests). wasted_tokens:
    decoded_tokens times the share of the suggestion that was not typed. cpu_ms: the CPU time of the server's process
    until the next key.
    """

    time_ms: float
    gap_ms: float
    uri: str
    version: int
    key: str | None
    ms: float | None = None
    in_time: bool = False
    suggestion: str = ""
    credit: int = 0
    source: str = ""
    reason: str = ""
    prompt_tokens: int | None = None
    evaluated_tokens: int | None = None
    decoded_tokens: int | None = None
    wasted_tokens: float | None = None
    prefill_ms: float | None = None
    cpu_ms: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class Player:
    """Types changes in an editor. Sends the messages of an editor: the change, then `$/cancelRequest` for a waiting
    request, then the new request."""

    def __init__(self, editor: Editor, speed: float, longest_pause_ms: float) -> None:
        self._editor = editor
        self._protocol = editor.client.protocol
        self._speed = speed
        self._longest_pause_ms = longest_pause_ms
        self._documents: dict[str, DocumentSnapshot] = {}
        self._versions: dict[str, int] = {}
        self._waiting: str | None = None
        self._seen: dict[tuple[str, int], dict[str, Any]] = {}
        self._requests = 0
        self.wall_seconds = 0.0
        self._process = psutil.Process(editor.server_pid)

    async def play(self, changes: Sequence[Change], on_key: Callable[[], None] = lambda: None) -> list[LiveKey]:
        """Types `changes`. Returns a record for each change with `types`. Can be called again for the following
        changes."""
        keys: list[LiveKey] = []
        if not changes:
            return keys
        await self._settle(changes[0])
        began = due = time.perf_counter()
        cpu = self._cpu_seconds()
        for index, change in enumerate(changes):
            await anyio.sleep(max(0.0, due - time.perf_counter()))
            now = self._cpu_seconds()
            if keys:
                keys[-1].cpu_ms += 1000 * (now - cpu)
            cpu = now
            following = changes[index + 1].time_ms if index + 1 < len(changes) else float("inf")
            gap_ms = min(self._longest_pause_ms, following - change.time_ms) / self._speed
            due += gap_ms / 1000
            self._change(change)
            if change.types:
                keys.append(self._ask(change, gap_ms))
                on_key()
                if len(keys) % _STATUS_EVERY_KEYS == 0:
                    self._ask_status()
        await anyio.sleep(_LAST_ANSWER_SECONDS)
        if keys:
            keys[-1].cpu_ms += 1000 * (self._cpu_seconds() - cpu)
        self.wall_seconds = time.perf_counter() - began
        self._note(await self._editor.status())
        self._add_costs(keys)
        add_credit(keys, changes)
        return keys

    async def _settle(self, first: Change) -> None:
        """Opens the first document and sends one request at the place where typing begins, as if the user had paused
        there. So the session is measured, and not one cold prompt."""
        document = first.before
        if document.uri not in self._documents:
            self._open(document)
        cursor = min(first.cursor, first.replacements[0].start) if first.replacements else first.cursor
        context = types.InlineCompletionContext(types.InlineCompletionTriggerKind.Invoked)
        position = types.Position(*document.position(cursor, "utf-32"))
        identifier = types.TextDocumentIdentifier(document.uri)
        params = types.InlineCompletionParams(context, identifier, position)
        await self._editor.client.text_document_inline_completion_async(params)

    # Messages -------------------------------------------------------------------------------------------

    def _open(self, document: DocumentSnapshot) -> None:
        language = find_language("", document.path)
        self._documents[document.uri], self._versions[document.uri] = document, 1
        text = document.source.decode("utf-8", "replace")
        item = types.TextDocumentItem(document.uri, language.ids[0] if language.ids else "plaintext", 1, text)
        self._editor.client.text_document_did_open(types.DidOpenTextDocumentParams(item))

    def _change(self, change: Change) -> None:
        uri = change.document.uri
        if uri not in self._documents:
            self._open(change.before)
        document = self._documents[uri]
        parts: list[types.TextDocumentContentChangeEvent] = []
        if document.source != change.before.source:  # another program has changed the file meanwhile
            text = change.document.source.decode("utf-8", "replace")
            parts.append(types.TextDocumentContentChangeWholeDocument(text))
        else:
            for edit in change.replacements:
                ends = (types.Position(*document.position(offset, "utf-32")) for offset in (edit.start, edit.end))
                inserted = edit.inserted.decode("utf-8", "replace")
                parts.append(types.TextDocumentContentChangePartial(types.Range(*ends), inserted))
                document = document.edited(edit.start, edit.end, edit.inserted)
        self._documents[uri] = change.document
        self._versions[uri] += 1
        identifier = types.VersionedTextDocumentIdentifier(version=self._versions[uri], uri=uri)
        self._editor.client.text_document_did_change(types.DidChangeTextDocumentParams(identifier, parts))

    def _ask(self, change: Change, gap_ms: float) -> LiveKey:
        if self._waiting is not None:
            self._editor.client.cancel_request(types.CancelParams(self._waiting))
        uri = change.document.uri
        record = LiveKey(change.time_ms, gap_ms, uri, self._versions[uri], change.key)
        position = types.Position(*change.document.position(change.cursor, "utf-32"))
        context = types.InlineCompletionContext(types.InlineCompletionTriggerKind.Automatic)
        params = types.InlineCompletionParams(context, types.TextDocumentIdentifier(uri), position)
        self._requests += 1
        id = self._waiting = f"key-{self._requests}"
        began = time.perf_counter()

        def answered(future: Future[Any]) -> None:
            stale = self._waiting != id
            if not stale:
                self._waiting = None
            try:
                answer = future.result()
            except (Exception, CancelledError):
                return  # it was cancelled
            if stale:
                return
            record.ms = 1000 * (time.perf_counter() - began)
            record.in_time = record.ms <= gap_ms
            items = answer.items if isinstance(answer, types.InlineCompletionList) else answer or []
            record.suggestion = str(items[0].insert_text) if items else ""

        method = types.TEXT_DOCUMENT_INLINE_COMPLETION
        self._protocol.send_request(method, params, msg_id=id).add_done_callback(answered)
        return record

    # Costs ----------------------------------------------------------------------------------------------

    def _cpu_seconds(self) -> float:
        times = self._process.cpu_times()
        return float(times.user + times.system)

    def _ask_status(self) -> None:
        def answered(future: Future[Any]) -> None:
            if future.exception() is None:
                self._note(self._editor.read_status(future.result()))

        self._protocol.send_request("fimble/status", {}).add_done_callback(answered)

    def _note(self, status: dict[str, Any]) -> None:
        for entry in status["requests"]["recent"]:
            if entry["method"] == types.TEXT_DOCUMENT_INLINE_COMPLETION:
                self._seen[entry["uri"], entry["version"]] = entry

    def _add_costs(self, keys: Sequence[LiveKey]) -> None:
        """Adds the server's data about each request. Answers of one generation have the same prefill time."""
        generation: tuple[object, ...] | None = None
        decoded = 0
        for key in keys:
            entry = self._seen.get((key.uri, key.version))
            if entry is None or key.ms is None:
                continue
            key.source, key.reason = entry["source"], entry["reason"]
            key.evaluated_tokens, key.decoded_tokens = entry["evaluatedTokens"], entry["decodedTokens"]
            if key.source != "model":
                continue
            key.prompt_tokens, key.prefill_ms = entry["promptTokens"], entry["prefillMs"]
            same = (entry["promptTokens"], entry["prefillMs"])
            if same == generation and entry["prefillMs"] > 0:
                key.decoded_tokens = max(0, entry["decodedTokens"] - decoded)
            generation, decoded = same, entry["decodedTokens"]


def add_credit(keys: Sequence[LiveKey], changes: Sequence[Change]) -> None:
    """Sets how much of each suggestion the user typed afterwards, and how many of its tokens were wasted. keys: the
    records of the `changes` with `types`. A character counts if it was typed at the suggestion's place before any other
    change there.
    """
    typing = [index for index, change in enumerate(changes) if change.types]
    for key, index in zip(keys, typing, strict=True):
        change = changes[index]
        if key.suggestion:
            wanted = key.suggestion.encode()
            place = Place.of(change.document, change.cursor)
            best = 0
            for later in changes[index + 1 :]:
                if later.document.uri != place.uri:
                    continue
                typed = place.typed_since(later.document, later.cursor)
                if typed is None or not wanted.startswith(typed.text):
                    best = max(best, common_prefix(wanted, typed.text) if typed else 0)
                    break
                best = max(best, len(typed.text))
            key.credit = len(wanted[:best].decode("utf-8", "ignore"))
        if key.decoded_tokens is not None:
            share = key.credit / len(key.suggestion) if key.suggestion else 0.0
            key.wasted_tokens = round(key.decoded_tokens * (1 - share), 2)
