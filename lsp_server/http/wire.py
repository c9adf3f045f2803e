"""One client's connection: HTTP/1.1 by h11, with limits on everything that a client can send.

h11 parses the bytes and rejects what is not HTTP; this module reads and writes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import anyio
import anyio.abc
import h11
import msgspec

from lsp_server.http.request import RefusedError

MOST_HEAD_BYTES = 16 << 10
MOST_BODY_BYTES = 4 << 20
# How many bytes a client may send while it waits for an answer.
_MOST_AHEAD_BYTES = 64 << 10

_READ_BYTES = 64 << 10
_LAST_SECONDS = 1.0
# The errors of a stream when the client has gone, or does not read in time.
GONE = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, ConnectionError, TimeoutError)
_SAFE = (("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"), ("Server", "fimble"))


@dataclass(frozen=True, slots=True)
class Head:
    """A request without its body. headers: names in lower case."""

    method: str
    path: str
    headers: dict[str, list[str]] = field(default_factory=dict)


class Connection:
    """The requests and answers of one connection, one after the other. Used by one task, except `left`, for which
    another task may wait during the answer."""

    def __init__(self, stream: anyio.abc.ByteStream) -> None:
        self._stream = stream
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MOST_HEAD_BYTES)
        self._method = ""

    async def head(self) -> Head | None:
        """The next request; None if the client has gone. Raises RefusedError for what is not HTTP."""
        event = await self._event()
        if not isinstance(event, h11.Request):
            return None
        headers: dict[str, list[str]] = {}
        for name, value in event.headers:
            headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
        target = event.target.decode("latin-1")
        self._method = event.method.decode("latin-1")
        length = headers.get("content-length", ["0"])[0]
        if int(length) > MOST_BODY_BYTES:
            raise _too_large()
        return Head(self._method, target.partition("?")[0], headers)

    async def body(self) -> bytes | None:
        """The request's body; None if the client has gone. Raises RefusedError."""
        if self._http.they_are_waiting_for_100_continue:
            await self._send(h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue"))
        parts: list[bytes] = []
        size = 0
        while True:
            event = await self._event()
            if isinstance(event, h11.EndOfMessage):
                return b"".join(parts)
            if not isinstance(event, h11.Data):
                return None
            size += len(event.data)
            if size > MOST_BODY_BYTES:
                raise _too_large()
            parts.append(bytes(event.data))

    async def left(self) -> None:
        """Returns when the client has gone. Bytes that it sends meanwhile are kept for its next request, up to a
        limit."""
        ahead = 0
        while ahead < _MOST_AHEAD_BYTES:
            try:
                data = await self._stream.receive(_READ_BYTES)
            except GONE:
                return
            ahead += len(data)
            self._http.receive_data(data)
        await anyio.sleep_forever()

    async def answer(
        self, status: int, value: Any, headers: Sequence[tuple[str, str]] = (), *, last: bool = False
    ) -> None:
        """Sends one line of JSON. last: no further request is accepted on this connection."""
        body = msgspec.json.encode(value) + b"\n"
        await self._whole(status, body, [*headers, ("Content-Type", "application/json")], last=last)

    async def answer_text(self, body: bytes, content_type: str) -> None:
        """Sends a text."""
        await self._whole(200, body, [("Content-Type", content_type)])

    async def _whole(self, status: int, body: bytes, headers: Sequence[tuple[str, str]], *, last: bool = False) -> None:
        await self._begin(status, [*headers, ("Content-Length", str(len(body)))], last=last)
        if self._method != "HEAD":
            await self._send(h11.Data(data=body))
        await self._send(h11.EndOfMessage())

    async def begin_events(self) -> None:
        """Begins a stream of server-sent events."""
        await self._begin(200, [("Content-Type", "text/event-stream")])

    async def send_event(self, data: bytes) -> None:
        await self._send(h11.Data(data=data))

    async def end_events(self) -> None:
        await self._send(h11.EndOfMessage())

    async def close_gently(self) -> None:
        """After the last answer, reads for a moment and drops the bytes. Otherwise a client that is still sending could
        lose the connection before it reads the answer."""
        with anyio.move_on_after(_LAST_SECONDS), suppress(*GONE):
            await self._stream.send_eof()
            left = MOST_BODY_BYTES
            while left > 0:
                left -= len(await self._stream.receive(_READ_BYTES))

    def next(self) -> bool:
        """Prepares for the next request. False if this connection cannot have another one."""
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            return False
        self._http.start_next_cycle()
        return True

    def can_answer(self) -> bool:
        """Whether a response can still begin."""
        return self._http.our_state in (h11.IDLE, h11.SEND_RESPONSE)

    async def _begin(self, status: int, headers: Sequence[tuple[str, str]], *, last: bool = False) -> None:
        about = [*_SAFE, *headers, *([("Connection", "close")] if last else [])]
        await self._send(h11.Response(status_code=status, headers=about))

    async def _event(self) -> object:
        """The next event from the client. Raises RefusedError for bytes that are not HTTP."""
        while True:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                raise RefusedError(error.error_status_hint or 400, f"this is not HTTP/1.1: {error}") from None
            if event is h11.PAUSED:
                return None
            if event is not h11.NEED_DATA:
                return event
            try:
                data = await self._stream.receive(_READ_BYTES)
            except GONE:
                data = b""
            self._http.receive_data(data)

    async def _send(self, event: h11.Event) -> None:
        data = self._http.send(event)
        if data:
            await self._stream.send(data)


def _too_large() -> RefusedError:
    return RefusedError(413, f"the body is larger than {MOST_BODY_BYTES >> 20} MB")
