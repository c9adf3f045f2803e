"""A scripted editor: starts the real server over stdio, and sends it the messages of an editor."""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import anyio
from lsprotocol import types
from pygls.lsp.client import LanguageClient

# How long a server may take to end before it is killed.
_END_SECONDS = 10.0


class ServerError(Exception):
    """The server could not answer a request; the message says why."""


@dataclass(frozen=True, slots=True)
class Shown:
    """The result of a key in an editor: the ghost text and the time until it came. cost: the request's entry in
    `fimble/status`.
    """

    text: str
    seconds: float
    cost: dict[str, Any]


def plain(value: Any) -> Any:
    """The answer to one of our own requests as dicts and lists; pygls returns nested named tuples."""
    if hasattr(value, "_asdict"):
        return {key: plain(item) for key, item in value._asdict().items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


class Editor:
    """One buffer with its cursor, connected to a server. Positions are offsets in characters."""

    def __init__(self, client: LanguageClient, initialize_seconds: float) -> None:
        self.initialize_seconds = initialize_seconds
        self.text = ""
        self.cursor = 0
        self._client = client
        self._uri = ""
        self._version = 0

    @property
    def client(self) -> LanguageClient:
        """The protocol's client side, for benches that send their own messages."""
        return self._client

    @property
    def server_pid(self) -> int:
        """The server's process id, to measure what it uses."""
        process = self._client._server
        if process is None:
            raise ServerError("the server is not running")
        return process.pid

    async def status(self) -> dict[str, Any]:
        answer = await self._answered(lambda: self._client.protocol.send_request_async("fimble/status", {}))
        return self.read_status(answer)

    async def _answered(self, ask: Callable[[], Awaitable[Any]]) -> Any:
        """The answer to a request. Raises ServerError if the server has died, or dies before it answers."""
        process = self._client._server
        try:
            if process is None or process.returncode is not None:
                raise RuntimeError("it is not running")
            return await ask()
        except RuntimeError as error:  # pygls raises this for requests without an answer
            raise ServerError(f"the server does not answer: {error}") from None

    @staticmethod
    def read_status(answer: Any) -> dict[str, Any]:
        """The answer to `fimble/status` as dicts and lists."""
        return dict(plain(answer))

    async def ready(self, on_progress: Callable[[float], None] = lambda _: None) -> dict[str, Any]:
        """Waits until the model is loaded. Returns the server's description of it."""
        while True:
            model: dict[str, Any] = (await self.status())["model"]
            if model["state"] == "ready":
                return model
            if model["state"] == "failed":
                raise ServerError(model["message"])
            on_progress(model["progress"])
            await anyio.sleep(0.05)

    def open(self, uri: str, language_id: str, text: str, cursor: int) -> None:
        self._uri, self.text, self.cursor, self._version = uri, text, cursor, 1
        item = types.TextDocumentItem(uri, language_id, 1, text)
        self._client.text_document_did_open(types.DidOpenTextDocumentParams(item))

    def type(self, text: str) -> None:
        """Inserts `text` at the cursor, as one change."""
        where = self._position()
        self.text = self.text[: self.cursor] + text + self.text[self.cursor :]
        self.cursor += len(text)
        self._version += 1
        document = types.VersionedTextDocumentIdentifier(version=self._version, uri=self._uri)
        change = types.TextDocumentContentChangePartial(range=types.Range(where, where), text=text)
        self._client.text_document_did_change(types.DidChangeTextDocumentParams(document, [change]))

    async def suggestion(self) -> Shown:
        """Asks for an inline completion at the cursor."""
        context = types.InlineCompletionContext(types.InlineCompletionTriggerKind.Automatic)
        document = types.TextDocumentIdentifier(self._uri)
        params = types.InlineCompletionParams(context, document, self._position())
        began = time.perf_counter()
        answer = await self._answered(lambda: self._client.text_document_inline_completion_async(params))
        seconds = time.perf_counter() - began
        items = answer.items if isinstance(answer, types.InlineCompletionList) else answer or []
        text = str(items[0].insert_text) if items else ""
        return Shown(text, seconds, (await self.status())["requests"]["last"])

    def _position(self) -> types.Position:
        before = self.text[: self.cursor]
        start = before.rfind("\n") + 1
        return types.Position(before.count("\n"), len(before) - start)


@asynccontextmanager
async def editor(
    server_arguments: Sequence[str] = (),
    on_progress: Callable[[types.ProgressParams], None] | None = None,
    environment: Mapping[str, str] | None = None,
    saved_prompts_mb: int = 0,
) -> AsyncIterator[Editor]:
    """A context manager for an editor connected to a new `fimble serve`, which is always shut down at the end.
    on_progress: called with every `$/progress`; if it is given, the client declares support for progress. environment:
    of the server, if it is not ours. saved_prompts_mb: the setting; 0 keeps every run cold."""
    client = LanguageClient("fimble-bench", "1")
    capabilities = types.ClientCapabilities(
        general=types.GeneralClientCapabilities(position_encodings=[types.PositionEncodingKind.Utf32]),
        text_document=types.TextDocumentClientCapabilities(
            inline_completion=types.InlineCompletionClientCapabilities()
        ),
        window=types.WindowClientCapabilities(work_done_progress=on_progress is not None),
    )

    # The server's messages about the model are also in its status.
    for method in (types.WINDOW_SHOW_MESSAGE, types.WINDOW_LOG_MESSAGE):
        client.feature(method)(lambda _: None)
    if on_progress is not None:
        client.feature(types.WINDOW_WORK_DONE_PROGRESS_CREATE)(lambda _: None)
        # pygls sets attributes on the handler, which is not possible for a method.
        client.feature(types.PROGRESS)(lambda params: on_progress(params))  # noqa: PLW0108
    began = time.perf_counter()
    command = [sys.executable, "-m", "lsp_server", "serve", *server_arguments]
    options: dict[str, Any] = {} if environment is None else {"env": dict(environment)}
    await client.start_io(*command, **options)
    try:
        # These keys are not a user's, so they are not counted for the statistics.
        options = {"saved_prompts_mb": saved_prompts_mb, "stats": False}
        await client.initialize_async(types.InitializeParams(capabilities, initialization_options=options))
        seconds = time.perf_counter() - began
        client.initialized(types.InitializedParams())
        yield Editor(client, seconds)
    finally:
        await _end(client)


async def _end(client: LanguageClient) -> None:
    """Ends the server as editors do, and kills it if it does not end. Without this, pygls would wait for ever."""
    process = client._server
    if process is None:
        return
    with anyio.CancelScope(shield=True):
        try:
            if process.returncode is None:
                # Ctrl-C in a terminal also ends the server; that is no error.
                with suppress(RuntimeError), anyio.move_on_after(_END_SECONDS):
                    await client.shutdown_async(None)
                    client.exit(None)
                    await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
            await client.stop()  # type: ignore[no-untyped-call]
