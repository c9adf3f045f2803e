"""A server on the test's own event loop that speaks each kind of protocol as it is documented, faults included."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lsp_server.engine.endpoint import Endpoint, Kind

MODELS = {
    "llama-server": "qwen2.5-coder-0.5b.gguf",
    "openai": "Qwen/Qwen2.5-Coder-7B",
    "ollama": "qwen2.5-coder:7b",
    "mistral": "codestral-latest",
    "deepseek": "deepseek-chat",
    "chat": "some-chat-model",
    "mercury": "mercury-edit-2",
}
# Those that write as they go.
KINDS: tuple[Kind, ...] = ("llama-server", "openai", "ollama", "mistral", "deepseek", "chat")
PATHS = {
    "llama-server": "/completion",
    "openai": "/v1/completions",
    "ollama": "/api/generate",
    "mistral": "/v1/fim/completions",
    "deepseek": "/beta/completions",
    "chat": "/v1/chat/completions",
    "mercury": "/v1/edit/completions",
}
_TOKENS = {"<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|file_sep|>", "<|repo_name|>"}


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class Server:
    """What a server does. pieces: the texts of an answer's events; a function gets the request's body. answer: what to
    answer to a completion instead: the whole response, as bytes. stall: whether to write no more after the head, until
    the client goes away. die: whether to close the connection after the pieces, without an end. cut: how many bytes go
    out at a time; 0 for each event in one. probe: what to answer to everything else than a completion."""

    kind: Kind
    pieces: list[str] | Callable[[Any], list[str]] = field(default_factory=lambda: ["ea(wi", "dth)", "\n"])
    answer: bytes | None = None
    probe: bytes | None = None
    stall: bool = False
    die: bool = False
    cut: int = 0
    requests: list[Request] = field(default_factory=list)
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0

    def endpoint(self, **more: Any) -> Endpoint:
        given = {"url": f"http://127.0.0.1:{self.port}", "kind": self.kind, "model": MODELS[self.kind], **more}
        return Endpoint(**given)

    @property
    def completions(self) -> list[Any]:
        """The bodies of the completions that it has been asked for."""
        return [request.body for request in self.requests if request.path == PATHS[self.kind]]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (request := await _request(reader)) is not None:
                self.requests.append(request)
                if request.path == PATHS[self.kind]:
                    if not await self._complete(request, reader, writer):
                        return
                else:
                    writer.write(self.probe or self._told(request))
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            self.gone.set()
        finally:
            writer.close()

    def _told(self, request: Request) -> bytes:
        model = MODELS[self.kind]
        found: Any = {
            "/props": {"model_path": f"/models/{model}", "default_generation_settings": {"n_ctx": 2048}},
            "/v1/models": {"object": "list", "data": [{"id": model}, {"id": "another"}]},
            "/models": {"object": "list", "data": [{"id": model}]},
            "/api/version": {"version": "0.40"},
            "/api/tags": {"models": [{"name": model}]},
        }.get(request.path)
        if request.path == "/tokenize":
            spelling = request.body["content"]
            found = {"tokens": [1] if spelling in _TOKENS else [1, 2, 3]}
        return response(200, found) if found is not None else response(404, {"error": "no such path"})

    async def _complete(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answers a completion. Returns whether the connection goes on."""
        if self.answer is not None:
            writer.write(self.answer)
            return True
        pieces = self.pieces(request.body) if callable(self.pieces) else self.pieces
        if self.kind == "mercury":
            message = {"role": "assistant", "content": "".join(pieces)}
            choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
            writer.write(response(200, {"object": "edit.completion", "choices": choices}, indent=2))
            return True
        kind = "application/x-ndjson" if self.kind == "ollama" else "text/event-stream"
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        if self.stall:
            await writer.drain()
            await reader.read()  # until the client goes away
            self.gone.set()
            return False
        for data in self._cut(b"".join(self._events(pieces))) if self.cut else self._events(pieces):
            writer.write(b"%x\r\n%s\r\n" % (len(data), data))
            await writer.drain()
        if self.die:
            return False
        writer.write(b"0\r\n\r\n")
        return True

    def _cut(self, data: bytes) -> Iterator[bytes]:
        yield from (data[at : at + self.cut] for at in range(0, len(data), self.cut))

    def _events(self, pieces: list[str]) -> Iterator[bytes]:
        for piece in pieces:
            yield self._line(self._event(piece, ""))
        if not self.die:
            yield self._line(self._event("", "stop"))
            if self.kind not in ("ollama", "llama-server"):
                yield b"data: [DONE]\n\n"

    def _line(self, event: Any) -> bytes:
        text = json.dumps(event, ensure_ascii=False)
        return (f"{text}\n" if self.kind == "ollama" else f"data: {text}\n\n").encode()

    def _event(self, text: str, reason: str) -> dict[str, Any]:
        if self.kind == "llama-server":
            probabilities = [{"token": text, "logprob": -0.5}] if text else []
            end = {"stop": True, "stop_type": "eos"} if reason else {"stop": False}
            return {"content": text, "completion_probabilities": probabilities, "timings": {"prompt_n": 7}, **end}
        if self.kind == "ollama":
            end = {"done": True, "done_reason": reason, "prompt_eval_count": 7} if reason else {"done": False}
            return {"model": MODELS[self.kind], "response": text, **end}
        choice: dict[str, Any] = {"index": 0, "finish_reason": reason or None}
        if self.kind in ("openai", "deepseek"):
            choice["text"] = text
        else:
            choice["delta"] = {"role": "assistant", "content": text}
        return {"choices": [choice], **({"usage": {"prompt_tokens": 7}} if reason else {})}


async def _request(reader: asyncio.StreamReader) -> Request | None:
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    method, path, _ = first.split(" ")
    return Request(method, path, headers, json.loads(body) if body else None)


def response(status: int, body: Any, indent: int | None = None, **headers: str) -> bytes:
    """A whole response. body: JSON, or text as it is."""
    text = body.encode() if isinstance(body, str) else json.dumps(body, indent=indent).encode()
    told = {"Content-Type": "text/html" if isinstance(body, str) else "application/json", **headers}
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in told.items())
    return f"HTTP/1.1 {status} X\r\nContent-Length: {len(text)}\r\n{lines}\r\n".encode() + text


def stream(body: bytes) -> bytes:
    """A whole response of server-sent events."""
    head = f"HTTP/1.1 200 X\r\nContent-Length: {len(body)}\r\nContent-Type: text/event-stream\r\n\r\n"
    return head.encode() + body


@asynccontextmanager
async def serving(kind: Kind, **behaviour: Any) -> AsyncIterator[Server]:
    server = Server(kind, **behaviour)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()


@contextmanager
def serving_apart(kind: Kind, **behaviour: Any) -> Iterator[Server]:
    """A server on an event loop of its own, in a thread."""
    found: list[Server] = []
    ends: list[Callable[[], object]] = []
    ready = threading.Event()

    async def main() -> None:
        loop, done = asyncio.get_running_loop(), asyncio.Event()
        ends.append(lambda: loop.call_soon_threadsafe(done.set))
        async with serving(kind, **behaviour) as server:
            found.append(server)
            ready.set()
            await done.wait()

    thread = threading.Thread(target=lambda: asyncio.run(main()), daemon=True)
    thread.start()
    ready.wait()
    try:
        yield found[0]
    finally:
        ends[0]()
        thread.join()


def endpoint(server: Server, **more: object) -> str:
    given = {"kind": "openai", "url": f"http://127.0.0.1:{server.port}", "model": MODELS["openai"], **more}
    rows = [f"{name} = {value!r}" for name, value in given.items()]
    return "\n".join(["[endpoints.team]", *rows, ""])


def user_file(home: Path, text: str) -> None:
    folder = home / "config" / "fimble"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "fimble.toml").write_text(text)
