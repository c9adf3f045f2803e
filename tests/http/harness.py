"""A real server at a free port with a scripted model, and a client that can send anything."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
import anyio.abc
import h11

from lsp_server.backends.base import Backend, ModelSpec
from lsp_server.backends.scripted import ScriptedBackend
from lsp_server.engine.api import RoutedEngine
from lsp_server.engine.client import EngineClient, in_this_process
from lsp_server.engine.endpoint import Endpoint
from lsp_server.engine.switch import Switch
from lsp_server.http.guard import Address, Guard
from lsp_server.http.metrics import Metrics
from lsp_server.http.serve import serve_at
from lsp_server.settings.fields import Settings

TOKEN = "the-token-of-these-tests"
SECONDS = 20  # a wait this long has failed; no passing test comes near it
# Automatic requests take what there is after `answer_ms` of real time; here they wait for all of it.
PATIENT = Settings(
    answer_ms=1000 * SECONDS, deadline_ms=1000 * SECONDS, prepare_next=False, engine="in-process", saved_prompts_mb=0
)
Factory = Callable[[ModelSpec, Callable[[float], bool]], Backend]


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        return str(self.json()["error"]["message"])

    @property
    def events(self) -> list[Any]:
        """What stands in the events of a stream; the text of those that are not JSON."""
        lines = [line.removeprefix("data: ") for line in self.body.decode().split("\n\n") if line]
        return [line if line == "[DONE]" else json.loads(line) for line in lines]


class Client:
    """Connects anew for each request."""

    def __init__(self, address: Address, engine: RoutedEngine) -> None:
        self.address = address
        self.engine = engine

    @property
    def headers(self) -> dict[str, str]:
        """As llama.vim's curl and Zed send them."""
        return {
            "Host": f"{self.address.host}:{self.address.port}",
            "Authorization": f"Bearer {TOKEN}",
            "Content-Type": "application/json",
        }

    async def post(self, path: str, body: Any, headers: Mapping[str, str | None] | None = None) -> Reply:
        """headers: in place of the usual ones; None for none."""
        return await self.request("POST", path, body if isinstance(body, bytes) else json.dumps(body).encode(), headers)

    async def infill(self, body: Any) -> Reply:
        return await self.post("/infill", body)

    async def complete(self, body: Any) -> Reply:
        return await self.post("/v1/completions", body)

    async def request(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str | None] | None = None
    ) -> Reply:
        found = {**self.headers, **(headers or {}), "Content-Length": str(len(body))}
        async with await self.connect() as stream:
            http = h11.Connection(h11.CLIENT)
            sent = [(name, value.encode("latin-1")) for name, value in found.items() if value is not None]
            await stream.send(http.send(h11.Request(method=method, target=path, headers=sent)) or b"")
            with_body = http.send(h11.Data(data=body)) or b""
            await stream.send(with_body + (http.send(h11.EndOfMessage()) or b""))
            return await reply(stream, http)

    async def connect(self) -> anyio.abc.SocketStream:
        return await anyio.connect_tcp(self.address.host, self.address.port)

    def head(self, path: str, size: int) -> bytes:
        """The head of a POST with the usual headers."""
        lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in self.headers.items())]
        return "\r\n".join([*lines, f"Content-Length: {size}", "", ""]).encode()

    async def raw(self, data: bytes) -> bytes:
        """Sends these bytes and no more, and returns all that comes back."""
        found = b""
        async with await self.connect() as stream:
            try:
                await stream.send(data)
                await stream.send_eof()
                while True:
                    found += await stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                return found


async def reply(stream: anyio.abc.ByteStream, http: h11.Connection) -> Reply:
    status, headers, parts = 0, {}, []
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            try:
                http.receive_data(await stream.receive())
            except anyio.EndOfStream:
                http.receive_data(b"")
        elif isinstance(event, h11.Response):
            status = event.status_code
            headers = {name.decode().lower(): value.decode() for name, value in event.headers}
        elif isinstance(event, h11.Data):
            parts.append(bytes(event.data))
        elif isinstance(event, h11.EndOfMessage):
            return Reply(status, headers, b"".join(parts))
        elif isinstance(event, h11.ConnectionClosed):
            raise AssertionError("the server has closed the connection without an answer")


def knowing(*texts: str, words: Sequence[bytes] = ()) -> Factory:
    """A model that knows texts."""
    known = [text.replace("$0", "").encode() for text in texts]
    return lambda spec, progress: ScriptedBackend(spec, progress, texts=known, words=words)


def _no_remote(name: str, endpoint: Endpoint) -> EngineClient:
    raise AssertionError(f"{name} at {endpoint.url} was asked")


@asynccontextmanager
async def serving(
    factory: Factory | None = None,
    settings: Settings = PATIENT,
    *,
    rest_seconds: float = 3600,
    is_ready: bool = True,
    tells_metrics: bool = False,
) -> AsyncIterator[Client]:
    """A server with a scripted model, and a client of it. is_ready: whether to wait for the model."""
    engine = Switch(in_this_process(factory or knowing()), _no_remote)
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    address = Address("127.0.0.1", port)
    with anyio.fail_after(SECONDS):
        async with listener, anyio.create_task_group() as tasks:
            guard = Guard(address.names(), TOKEN)
            metrics = Metrics(engine) if tells_metrics else None
            tasks.start_soon(serve_at, listener, engine, settings, guard, rest_seconds, metrics)
            while is_ready and engine.model.kind != "ready":
                await anyio.lowlevel.checkpoint()
            failure: BaseException | None = None
            try:
                yield Client(address, engine)
            except BaseException as error:  # alone, not in a group
                failure = error
            tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure
