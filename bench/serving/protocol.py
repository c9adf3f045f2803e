"""The simulated server's protocol: what an HTTP client sends to vLLM, answered without a socket, on the loop's time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx2

from bench.serving.inference import BROKEN, InferenceServer, Request

MODEL = "Qwen/Qwen2.5-Coder-7B"
_PATH = "/v1/completions"

# What the model writes for a client's prompt: tokens and their texts.
Answers = Callable[[str], Sequence[tuple[int, str]]]


@dataclass(slots=True)
class Outage:
    """The server is ended at `begin` and answers 503 until `end`, in seconds of the loop; its cache is empty then.
    retry_after: the seconds that it asks to be left alone for, at the end of the outage at most. asked: how many
    requests it got meanwhile. disregarded: how many came from a client that it had asked to leave it alone."""

    begin: float
    end: float
    retry_after: float
    asked: int = 0
    disregarded: int = 0


class SimulatedServer:
    """Runs an inference server on the loop's time. tokenize: the tokens of a prompt. outage: if there has been one, or
    will be. arrivals: the times of all completions that were asked for, in seconds."""

    def __init__(self, inference: InferenceServer, tokenize: Callable[[str], list[int]]) -> None:
        self.inference = inference
        self.outage: Outage | None = None
        self.arrivals: list[float] = []
        self._tokenize = tokenize
        self._work = asyncio.Event()
        self._told: dict[int, float] = {}  # until when each client was asked to leave it alone

    async def run(self) -> None:
        """Works until it is cancelled."""
        while True:
            ms = self.inference.begin()
            if ms is None:
                self._work.clear()
                await self._work.wait()
                continue
            await asyncio.sleep(ms / 1000)
            self.inference.end()

    def fail(self, outage: Outage) -> None:
        """Plans an outage, at whose begin all requests are broken off."""
        self.outage = outage
        asyncio.get_running_loop().call_at(outage.begin, self.inference.restart)

    def client(self, number: int, answers: Answers) -> httpx2.AsyncClient:
        """A client of the server. number: whose it is. answers: what the model writes for its prompts."""
        return httpx2.AsyncClient(transport=_Transport(self, number, answers))

    def submit(self, request: Request) -> None:
        self.inference.submit(request)
        self._work.set()

    def refusal(self, client: int, *, completes: bool) -> httpx2.Response | None:
        """The answer to a request during an outage; None if it is served."""
        now = asyncio.get_running_loop().time()
        if completes:
            self.arrivals.append(now)
        if self.outage is None:
            return None
        if now < self._told.get(client, 0.0):
            self.outage.disregarded += 1
        if not self.outage.begin <= now < self.outage.end:
            return None
        self.outage.asked += 1
        wait = max(1, round(min(self.outage.retry_after, self.outage.end - now)))
        self._told[client] = now + wait - 0.001
        return httpx2.Response(503, headers={"Retry-After": str(wait)}, json={"error": "the model is being loaded"})

    def tokens(self, prompt: str) -> list[int]:
        return self._tokenize(prompt)


class _Transport(httpx2.AsyncBaseTransport):
    def __init__(self, server: SimulatedServer, number: int, answers: Answers) -> None:
        self._server = server
        self._number = number
        self._answers = answers

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        completes = request.url.path == _PATH
        if (refusal := self._server.refusal(self._number, completes=completes)) is not None:
            return refusal
        if not completes:
            return httpx2.Response(200, json={"object": "list", "data": [{"id": MODEL}]})
        body = json.loads(await request.aread())
        prompt, most = str(body["prompt"]), int(body["max_tokens"])
        events = _Events(self._server, Request([], (), most, lambda text, reason: None, self._number))
        asked = events.request
        asked.tokens, asked.answer, asked.on_text = self._server.tokens(prompt), self._answers(prompt), events.add
        self._server.submit(asked)
        return httpx2.Response(200, headers={"Content-Type": "text/event-stream"}, stream=events)


class _Events(httpx2.AsyncByteStream):
    """The events of one answer, as they come. Closing it ends the request, as hanging up does."""

    def __init__(self, server: SimulatedServer, request: Request) -> None:
        self.request = request
        self._server = server
        self._events: asyncio.Queue[tuple[str, str]] = asyncio.Queue()

    def add(self, text: str, reason: str) -> None:
        self._events.put_nowait((text, reason))

    async def __aiter__(self) -> AsyncIterator[bytes]:
        reason = ""
        while not reason:
            text, reason = await self._events.get()
            if reason == BROKEN:
                raise httpx2.ReadError("the server was ended")
            yield _event(text, reason)
        yield b"data: [DONE]\n\n"

    async def aclose(self) -> None:
        self._server.inference.abort(self.request)


def _event(text: str, reason: str) -> bytes:
    choice: dict[str, Any] = {"index": 0, "text": text, "finish_reason": reason or None}
    choice["logprobs"] = {"token_logprobs": [-0.05]} if text else None
    return f"data: {json.dumps({'choices': [choice]})}\n\n".encode()
