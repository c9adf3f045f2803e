"""Starts llama-server with the settings of llama.vim: from the package xllamacpp, or the user's own binary."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench.arms.arm import Answer
from bench.arms.infill import InfillClient, answer_of
from bench.sessions.editor import ServerError
from bench.sessions.recordings import Change
from lsp_server.backends.llama_library import default_threads

# llama.vim's preset for llama-server, with one slot. The window does not change the time, because /infill fills one
# batch: three quarters of it with text before the cursor, the rest with text after it.
BATCH = 1024
SETTINGS = {"batch": BATCH, "ubatch": BATCH, "cache_reuse": 256, "slots": 1, "context": 4096, "swa_full": True}
_START_SECONDS, _ANSWER_SECONDS = 180, 120

# This script runs in a process of its own, which ends when its stdin ends.
_XLLAMACPP = """
import json, sys
import xllamacpp
given = json.loads(sys.argv[1])
params = xllamacpp.CommonParams()
params.model.path = given["model"]
params.hostnames = ["127.0.0.1"]
params.port = given["port"]
params.n_batch, params.n_ubatch = given["batch"], given["ubatch"]
params.n_cache_reuse, params.n_parallel, params.n_ctx = given["cache_reuse"], given["slots"], given["context"]
params.swa_full = given["swa_full"]
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = given["threads"]
params.verbosity = 0
server = xllamacpp.Server(params)
sys.stdin.read()
"""


class LlamaServer:
    """A running llama-server. Only one thread may use it at a time. url: its root, for clients of their own."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._connection = HTTPConnection("127.0.0.1", port, timeout=_ANSWER_SECONDS)

    def post(self, path: str, payload: dict[str, Any]) -> tuple[dict[str, Any], float]:
        """Returns the answer and the time until it came, in ms. Raises ServerError."""
        body = json.dumps(payload)
        try:
            status, text, ms = self._post(path, body)
        except (ConnectionError, HTTPException):
            # The server closes a connection that was not used for some seconds.
            self._connection.close()
            try:
                status, text, ms = self._post(path, body)
            except (OSError, HTTPException) as error:
                self._connection.close()
                raise ServerError(f"llama-server has failed: {error}") from None
        except OSError as error:
            self._connection.close()
            raise ServerError(f"llama-server has failed: {error}") from None
        if status != 200:
            raise ServerError(f"llama-server says {status}: {text.decode('utf-8', 'replace')[:200]}")
        return dict(json.loads(text)), ms

    def _post(self, path: str, body: str) -> tuple[int, bytes, float]:
        began = time.perf_counter()
        self._connection.request("POST", path, body, {"Content-Type": "application/json"})
        response = self._connection.getresponse()
        text = response.read()
        return response.status, text, 1000 * (time.perf_counter() - began)

    def ready(self) -> bool:
        try:
            self._connection.request("GET", "/health")
            response = self._connection.getresponse()
            response.read()
        except (OSError, HTTPException):
            self._connection.close()
            return False
        return response.status == 200

    def close(self) -> None:
        self._connection.close()


class InfillArm:
    """An `Arm` that sends a plug-in's requests to llama-server over a connection that stays open. cold: whether the
    prompt cache is not used. latest: the latest answer; None before the first.
    """

    def __init__(self, client: InfillClient, server: LlamaServer, *, cold: bool = False) -> None:
        self.name = client.name
        self.latest: Answer | None = None
        self._client = client
        self._server = server
        self._cold = cold

    async def answer(self, change: Change, tokens: int | None) -> Answer:
        payload = self._client.payload(change, tokens)
        if payload is None:
            return Answer(0, 0, 0, 0.0, 0.0, "none")
        if self._cold:
            payload["cache_prompt"] = False
        self.latest = answer_of(*self._server.post("/infill", payload))
        return self.latest

    async def rest(self, change: Change, pause_ms: float) -> None:
        return


def missing(binary: Path | None) -> str:
    """Why llama-server cannot be started; empty if it can."""
    if binary is not None:
        return "" if binary.is_file() else f"there is no {binary}"
    return (
        "" if find_spec("xllamacpp") else "llama-server comes with `pip install xllamacpp`, or name one: --llama-server"
    )


@contextmanager
def llama_server(model: Path, binary: Path | None, slots: int = 1) -> Iterator[LlamaServer]:
    """A context manager for a server with `slots` for prompts, on a port of this machine. It has as many threads as
    fimble, and they wait in the same way, so that two programs on the same cores do not spin against each other."""
    port = _free_port()
    context = SETTINGS["context"] * slots
    given = {**SETTINGS, "slots": slots, "context": context, "model": str(model), "port": port}
    given["threads"] = default_threads()
    if binary is None:
        command = [sys.executable, "-c", _XLLAMACPP, json.dumps(given)]
    else:
        command = [str(binary), *_arguments(given)]
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, env=environment, **pipes) as process:  # type: ignore[call-overload]
        server = LlamaServer(port)
        try:
            _wait(server, process)
            yield server
        finally:
            server.close()
            process.kill()


def _arguments(given: dict[str, Any]) -> list[str]:
    """The command line of the llama-server that llama.cpp builds."""
    pairs = {
        "--model": given["model"],
        "--host": "127.0.0.1",
        "--port": given["port"],
        "--batch-size": given["batch"],
        "--ubatch-size": given["ubatch"],
        "--cache-reuse": given["cache_reuse"],
        "--parallel": given["slots"],
        "--ctx-size": given["context"],
        "--threads": given["threads"],
    }
    return [*(str(part) for pair in pairs.items() for part in pair), "--swa-full"]


def _wait(server: LlamaServer, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not server.ready():
        if process.poll() is not None:
            raise ServerError(f"llama-server ended while it started, with status {process.returncode}")
        if time.monotonic() > deadline:
            raise ServerError(f"llama-server was not ready after {_START_SECONDS} s")
        time.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
