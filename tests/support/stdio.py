"""A raw client: writes any bytes to a server's stdin, keeps every message that comes out, and waits for some.

It has a frame parser of its own, stricter than the server's, so that a stray byte on stdout fails the test.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

Message = dict[str, Any]
# FIMBLE_TEST_ENGINE: another home for the engine of all servers, to run their tests there too.
ENGINE = os.environ.get("FIMBLE_TEST_ENGINE", "")
SERVE = ("serve", "--backend", "scripted", *(("--engine", ENGINE) if ENGINE else ()))
# For tests that count on an engine that ends with its server.
needs_own_engine = pytest.mark.skipif(ENGINE == "shared", reason="a shared engine outlives its servers")
SECONDS = 30.0  # how long to wait for anything; far beyond what anything takes, on a busy machine too
AGAIN = 0.05  # how often a condition is looked at again that no message need make true
LIFETIME = 120.0  # no server outlives this, so that a blocked write cannot hang the tests


def frame(message: Any) -> bytes:
    """A message as it goes over the wire. `message` may be any JSON value, or the body's bytes."""
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    return b"Content-Length: %d\r\n\r\n%s" % (len(body), body)


def request(id: Any, method: str, params: Any = None) -> Message:
    return {"jsonrpc": "2.0", "id": id, "method": method, "params": params}


def notification(method: str, params: Any = None) -> Message:
    return {"jsonrpc": "2.0", "method": method, "params": params}


class StdioClient:
    """A server process and all it has said.

    answers: what to answer to the server's requests, by method; without an entry a request stays unanswered,
    and an exception is answered as an error.
    reading: whether to read the server's output from the start, or only when `read` is called.
    command: the whole command line, if it is not `python -m lsp_server` with `arguments`. process: what runs the server
    instead of a process of its own.
    """

    def __init__(
        self,
        *arguments: str,
        cwd: Path | None = None,
        env: dict[str, str] | None = None,
        reading: bool = True,
        command: Sequence[str] | None = None,
        process: Any = None,
    ) -> None:
        command = command or [sys.executable, "-m", "lsp_server", *(arguments or SERVE)]
        self.messages: list[Message] = []
        self.framing_error = ""
        self.answers: dict[str, Callable[[Any], Any]] = {
            "window/workDoneProgress/create": lambda params: None,
            "client/registerCapability": lambda params: None,
            "workspace/configuration": lambda params: [None for _ in params["items"]],
        }
        self.stderr = ""
        self._ids = itertools.count(1_000_000)  # no recording has such ids
        self._heard = threading.Condition()
        self._ended = False
        self._writing = threading.Lock()
        self.process = process or subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=cwd, env=env, bufsize=0
        )
        self.seconds = SECONDS
        self._watchdog = threading.Timer(LIFETIME, self.process.kill)
        self._watchdog.daemon = True
        if process is None:
            self._watchdog.start()
        self._threads = [threading.Thread(target=self._drain, daemon=True)]
        self._threads[0].start()
        if reading:
            self.read()

    # Writing --------------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Writes bytes as they are, in one write if the pipe takes them."""
        stdin = self.process.stdin
        assert stdin is not None
        with self._writing:
            view = memoryview(data)
            while view:
                view = view[stdin.write(view) :]

    def send(self, *messages: Any) -> None:
        """Sends messages in one write."""
        self.write(b"".join(map(frame, messages)))

    def notify(self, method: str, params: Any = None) -> None:
        self.send(notification(method, params))

    def ask(self, method: str, params: Any = None) -> int:
        """Sends a request and returns its id."""
        id = next(self._ids)
        self.send(request(id, method, params))
        return id

    def call(self, method: str, params: Any = None) -> Message:
        """Sends a request and waits for its answer, the whole message."""
        return self.response(self.ask(method, params))

    def close_stdin(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()

    # Reading --------------------------------------------------------------------------------------------

    def read(self) -> None:
        """Starts to read what the server writes."""
        self._threads.append(threading.Thread(target=self._read, daemon=True))
        self._threads[-1].start()

    def wait(self, condition: Callable[[], Any], what: str = "it", seconds: float | None = None) -> Any:
        """Waits until `condition` is true, which may ask the server something, and returns its value."""
        seconds = self.seconds if seconds is None else seconds
        deadline = time.monotonic() + seconds
        with self._heard:
            while not (value := condition()):
                assert not self._ended, f"the server ended before {what} came; stderr: {self.stderr[-2000:]}"
                remaining = deadline - time.monotonic()
                assert remaining > 0, f"{what} did not come in {seconds} s; last: {self.messages[-3:]}"
                self._heard.wait(min(remaining, AGAIN))
            return value

    def message(self, matches: Callable[[Message], Any], what: str = "a message", count: int = 1) -> Message:
        """Waits for the `count`-th message that matches."""
        return self.wait(lambda: [m for m in list(self.messages) if matches(m)][count - 1 : count], what)[0]

    def response(self, id: Any) -> Message:
        return self.message(lambda m: "method" not in m and m.get("id") == id, f"the answer to {id}")

    def responses(self) -> dict[Any, list[Message]]:
        """All answers so far, by id."""
        found: dict[Any, list[Message]] = {}
        for message in list(self.messages):
            if "method" not in message:
                found.setdefault(message.get("id"), []).append(message)
        return found

    def notifications(self, method: str) -> list[Any]:
        """The parameters of all messages of that method so far."""
        return [message["params"] for message in list(self.messages) if message.get("method") == method]

    # The usual course of things -------------------------------------------------------------------------

    def initialize(self, capabilities: Message | None = None, *, ready: bool = True, **params: Any) -> Message:
        """Goes through the handshake and waits for the model. Returns the server's capabilities."""
        params = {"processId": None, "rootUri": None, "capabilities": capabilities or {}, **params}
        result = self.call("initialize", params)["result"]
        self.notify("initialized", {})
        if ready:
            self.model_ready()
        return result["capabilities"]

    def model_ready(self, count: int = 1) -> None:
        """Waits until a model has become ready for the `count`-th time."""
        self.message(
            lambda m: m.get("method") == "window/logMessage" and "is ready" in m["params"]["message"],
            "the model",
            count,
        )

    def open(self, uri: str, text: str, language: str = "python", version: int = 1) -> None:
        item = {"uri": uri, "languageId": language, "version": version, "text": text}
        self.notify("textDocument/didOpen", {"textDocument": item})

    def change(self, uri: str, version: int, *changes: Any) -> None:
        """Sends content changes; a string is a new text for the whole document."""
        events = [{"text": change} if isinstance(change, str) else change for change in changes]
        document = {"uri": uri, "version": version}
        self.notify("textDocument/didChange", {"textDocument": document, "contentChanges": events})

    def inline(self, uri: str, line: int, character: int, **more: Any) -> list[Message]:
        """The items of an inline completion, without the number that each has for the counts."""
        answer = self.call("textDocument/inlineCompletion", inline_params(uri, line, character, **more))
        assert "result" in answer, answer
        return [{name: item[name] for name in item if name != "command"} for item in answer["result"]["items"]]

    def context(self, uri: str) -> list[Message]:
        """What the prompts for a document show of others, once one has been made."""
        self.inline(uri, 0, 0)
        pieces: list[Message] = self.status()["context"][uri]
        return pieces

    def status(self) -> Message:
        return self.call("fimble/status")["result"]

    def finish(self, seconds: float = SECONDS) -> int:
        """Shuts the server down, waits for its end and returns its exit status. Then `messages` is complete."""
        if self.process.poll() is None:
            self.call("shutdown")
            self.notify("exit")
        return self.ended(seconds)

    def ended(self, seconds: float = SECONDS) -> int:
        """Waits for the process and its output to end; every byte of stdout must have been a frame."""
        code = self.process.wait(seconds)
        for thread in self._threads:
            thread.join(seconds)
        assert not self.framing_error, self.framing_error
        return code

    def kill(self) -> None:
        self._watchdog.cancel()
        self.process.kill()
        self.process.wait()
        for thread in self._threads:
            thread.join(5)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()

    # Threads --------------------------------------------------------------------------------------------

    def _drain(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.stderr += line.decode("utf-8", "replace")

    def _read(self) -> None:
        stdout = self.process.stdout
        assert stdout is not None
        buffer = b""
        try:
            while data := stdout.read(1 << 16):
                buffer += data
                buffer, bodies = _frames(buffer)
                self._receive(map(json.loads, bodies))
            if buffer:
                raise ValueError(f"stdout ends inside a message: {buffer[:200]!r}")
        except ValueError as error:
            self.framing_error = f"stdout is not made of messages: {error}"
        finally:
            with self._heard:
                self._ended = True
                self._heard.notify_all()

    def _receive(self, messages: Iterable[Message]) -> None:
        for message in messages:
            with self._heard:
                self.messages.append(message)
                self._heard.notify_all()
            if "method" in message and "id" in message and message["method"] in self.answers:
                try:
                    answer = {"result": self.answers[message["method"]](message["params"])}
                except Exception as error:
                    answer = {"error": {"code": -32603, "message": str(error)}}
                try:
                    self.send({"jsonrpc": "2.0", "id": message["id"], **answer})
                except (OSError, ValueError):
                    return  # the server has gone, or the test has closed its stdin


def _frames(buffer: bytes) -> tuple[bytes, list[bytes]]:
    """The rest of the buffer, and the bodies in front of it. Raises ValueError at anything but a header."""
    bodies = []
    while True:
        head, separator, rest = buffer.partition(b"\r\n\r\n")
        if not b"Content-Length: ".startswith(head[:16]) and not head.startswith(b"Content-Length: "):
            raise ValueError(f"{head[:200]!r}")
        if not separator:
            return buffer, bodies
        length = int(head.split(b"\r\n")[0].removeprefix(b"Content-Length: "))
        if len(rest) < length:
            return buffer, bodies
        bodies.append(rest[:length])
        buffer = rest[length:]


def inline_params(uri: str, line: int, character: int, trigger: int = 2) -> Message:
    position = {"line": line, "character": character}
    return {"textDocument": {"uri": uri}, "position": position, "context": {"triggerKind": trigger}}


def offers(*encodings: str) -> Message:
    """The capabilities of a client that can count positions in these encodings."""
    return {"general": {"positionEncodings": list(encodings)}}
