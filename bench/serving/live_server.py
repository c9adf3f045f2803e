"""A team in real time on one llama-server: the same developers and clients, and a real server."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from typing import Any

import anyio
import httpx2

from bench.serving.clients import Key, client_of, play
from bench.serving.developers import Developer
from bench.serving.figures import Run, run_of
from bench.serving.inference import Totals
from lsp_server.engine.endpoint import Endpoint

NAME = "llama-server"
_COUNTS = re.compile(rb'"(cache_n|prompt_n|predicted_n)":\s*(\d+)')
_SECONDS = 60.0
_CONNECTIONS = 6


async def live(arm: str, team: Sequence[Developer], url: str, warm_up: float) -> Run:
    """The figures of a team from `warm_up` seconds on. url: of a running llama-server.

    Raises ValueError if the server cannot be used."""
    loop = asyncio.get_running_loop()
    totals, keys = Totals(), list[Key]()
    endpoint = Endpoint(url=url, kind="llama-server")

    def make(endpoint: Endpoint, environ: Any) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(transport=_Counting(totals), timeout=_SECONDS)

    clients = [client_of(arm, developer, endpoint, make, threads=True) for developer in team]
    try:
        await asyncio.gather(*(client.start() for client in clients))
        began = loop.time()

        async def work(developer: Developer, client: Any) -> None:
            await anyio.sleep(developer.begins_share * warm_up / 2)
            keys.extend(await play(developer, client))

        async with anyio.create_task_group() as group:
            for developer, client in zip(team, clients, strict=True):
                group.start_soon(work, developer, client)
            await anyio.sleep(warm_up)
            totals.clear()
        seconds = max(0.001, loop.time() - began - warm_up)
    finally:
        for client in clients:
            await client.stop()
    counted = [key for key in keys if key.began >= began + warm_up]
    return run_of(NAME, arm, len(team), seconds, counted, totals, knows_busy=False)


class _Counting(httpx2.AsyncBaseTransport):
    """Counts what the server says of each completion, as far as it was read."""

    def __init__(self, totals: Totals) -> None:
        self._totals = totals
        # As many connections as the client for endpoints has by default (endpoints/http.py).
        self._transport = httpx2.AsyncHTTPTransport(limits=httpx2.Limits(max_connections=_CONNECTIONS))
        self._in_flight = 0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.url.path != "/completion":
            return await self._transport.handle_async_request(request)
        self._totals.requests += 1
        self.entered()
        try:
            response = await self._transport.handle_async_request(request)
        except BaseException:
            self.left({})
            raise
        stream = response.stream
        assert isinstance(stream, httpx2.AsyncByteStream)
        return httpx2.Response(response.status_code, headers=response.headers, stream=_Read(self, stream))

    def entered(self) -> None:
        self._in_flight += 1
        self._totals.in_flight += 1
        self._totals.most_of_a_client = max(self._totals.most_of_a_client, self._in_flight)
        self._totals.most_in_flight = max(self._totals.most_in_flight, self._totals.in_flight)

    def left(self, counts: dict[bytes, int]) -> None:
        self._in_flight -= 1
        self._totals.in_flight -= 1
        self._totals.cached_tokens += counts.get(b"cache_n", 0)
        self._totals.evaluated_tokens += counts.get(b"prompt_n", 0)
        self._totals.prompt_tokens += counts.get(b"cache_n", 0) + counts.get(b"prompt_n", 0)
        self._totals.decoded_tokens += counts.get(b"predicted_n", 0)

    async def aclose(self) -> None:
        await self._transport.aclose()


class _Read(httpx2.AsyncByteStream):
    """A stream that is read through, and remembers the last counts in it."""

    def __init__(self, counting: _Counting, stream: httpx2.AsyncByteStream) -> None:
        self._counting = counting
        self._stream = stream
        self._counts: dict[bytes, int] = {}
        self._open = True

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._stream:
            self._counts.update({name: int(count) for name, count in _COUNTS.findall(chunk)})
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()
        if self._open:
            self._open = False
            self._counting.left(self._counts)
