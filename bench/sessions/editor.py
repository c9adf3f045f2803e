"""A scripted editor: starts the real server over stdio, and types into it as an editor would."""

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

# How long a server may take to end, before it is ended by force.
_END_SECONDS = 10.0


class ServerError(Exception):
    """The server could not do what was asked; the message says why."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What an editor shows after a key: the ghost text, the time until it came, and what it cost.

    cost is the request's entry in `fimble/status`.
    """

    text: str
    seconds: float
    cost: dict[str, Any]


def plain(value: Any) -> Any:
    """A custom answer as dicts and lists; pygls gives it as nested named tuples."""
    if hasattr(value, "_asdict"):
        return {key: plain(item) for key, item in value._asdict().items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


class Editor:
    """One buffer and its cursor, at a server. Positions are offsets in characters of the text."""

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
        except RuntimeError as error:  # pygls ends what it waits for with this
            raise ServerError(f"the server does not answer: {error}") from None

    @staticmethod
    def read_status(answer: Any) -> dict[str, Any]:
        """The answer to `fimble/status` as dicts and lists."""
        return dict(plain(answer))

    async def ready(self, on_progress: Callable[[float], None] = lambda _: None) -> dict[str, Any]:
        """Waits until the model is loaded, and returns what the server says of it."""
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
    """An editor connected to a fresh `fimble serve`, shut down at the end however that comes. on_progress: gets every
    `$/progress`, which the client then says it can show. environment: the server's, if it is not ours.
    saved_prompts_mb: the setting; with 0 what is cold stays cold in every run."""
    client = LanguageClient("fimble-bench", "1")
    capabilities = types.ClientCapabilities(
        general=types.GeneralClientCapabilities(position_encodings=[types.PositionEncodingKind.Utf32]),
        text_document=types.TextDocumentClientCapabilities(
            inline_completion=types.InlineCompletionClientCapabilities()
        ),
        window=types.WindowClientCapabilities(work_done_progress=on_progress is not None),
    )

    # What the server says of the model is in its status too.
    for method in (types.WINDOW_SHOW_MESSAGE, types.WINDOW_LOG_MESSAGE):
        client.feature(method)(lambda _: None)
    if on_progress is not None:
        client.feature(types.WINDOW_WORK_DONE_PROGRESS_CREATE)(lambda _: None)
        # pygls writes on what it is given, which a method does not allow.
        client.feature(types.PROGRESS)(lambda params: on_progress(params))  # noqa: PLW0108
    began = time.perf_counter()
    command = [sys.executable, "-m", "lsp_server", "serve", *server_arguments]
    options: dict[str, Any] = {} if environment is None else {"env": dict(environment)}
    await client.start_io(*command, **options)
    try:
        # What is typed here is no user's, and is not counted as such.
        options = {"saved_prompts_mb": saved_prompts_mb, "stats": False}
        await client.initialize_async(types.InitializeParams(capabilities, initialization_options=options))
        seconds = time.perf_counter() - began
        client.initialized(types.InitializedParams())
        yield Editor(client, seconds)
    finally:
        await _end(client)


async def _end(client: LanguageClient) -> None:
    """Has the server end as editors do, and ends it if it does not. pygls waits for a server that nobody has told."""
    process = client._server
    if process is None:
        return
    with anyio.CancelScope(shield=True):
        try:
            if process.returncode is None:
                # Ctrl-C on a terminal ends the server too, which is no error then.
                with suppress(RuntimeError), anyio.move_on_after(_END_SECONDS):
                    await client.shutdown_async(None)
                    client.exit(None)
                    await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
            await client.stop()  # type: ignore[no-untyped-call]
