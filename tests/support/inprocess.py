"""The real server in the test's own process, on a thread whose event loop records its turns."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Mapping
from typing import Any

import anyio

from lsp_server.backends.base import BackendFactory
from lsp_server.engine.client import in_this_process
from lsp_server.engine.switch import Switch
from lsp_server.lsp.server import FimbleServer
from tests.support.stdio import SECONDS, StdioClient
from tests.support.turns import TurnLoop


class ServerThread:
    """Has what a client wants of a process."""

    def __init__(self, factory: BackendFactory, overrides: Mapping[str, Any]) -> None:
        self._descriptors = [*os.pipe(), *os.pipe()]
        self.stdin = os.fdopen(self._descriptors[1], "wb", buffering=0)
        self.stdout = os.fdopen(self._descriptors[2], "rb", buffering=0)
        self.stderr = io.BytesIO()  # what the server logs goes where the test's own log goes
        self.loop: Any = None
        self.server: Any = None
        self._status: int | None = None
        # Servers in one process share its user folders, and what one evaluates must not help the next.
        # A slow machine answers with the whole text, too, unless a test is about parts of it.
        self._factory, self._overrides = factory, {"saved_prompts_mb": 0, "answer_ms": 20_000, **overrides}
        self._readers: list[threading.Thread] = []
        self._thread = threading.Thread(target=self._run, name="server", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        async def main() -> int:
            self.server = FimbleServer(Switch(in_this_process(self._factory), _no_remote), self._overrides)
            receive = self.server.protocol.receive

            def noted(body: bytes) -> None:
                self.loop.note(f"{_method(body)} ({len(body)} bytes)")
                receive(body)

            self.server.protocol.receive = noted
            others = threading.enumerate()
            try:
                return await self.server.serve(self._descriptors[0], self._descriptors[3])
            finally:
                new = (thread for thread in threading.enumerate() if thread not in others)
                self._readers = [thread for thread in new if thread.name == "stdin"]

        def made() -> TurnLoop:
            self.loop = TurnLoop()
            return self.loop

        try:
            self._status = anyio.run(main, backend_options={"loop_factory": made})
        finally:
            os.close(self._descriptors[3])

    def poll(self) -> int | None:
        return None if self._thread.is_alive() else self._status

    def wait(self, seconds: float = SECONDS) -> int | None:
        self._thread.join(seconds)
        return self._status

    def kill(self) -> None:
        if self._thread.is_alive():
            self.loop.call_soon_threadsafe(self.server.stop)
            self._thread.join(SECONDS)
        self.stdin.close()
        for thread in self._readers:
            thread.join(SECONDS)  # or it would read from whatever has the descriptor's number next
        os.close(self._descriptors[0])


def _no_remote(name: str, endpoint: object) -> Any:
    raise AssertionError("no test of a server in this process names an endpoint")


def _method(body: bytes) -> str:
    start = body.find(b'"method": "') + 11
    return body[start : body.find(b'"', start)].decode() if start > 10 else "answer"


def served(factory: BackendFactory, **settings: Any) -> tuple[StdioClient, ServerThread]:
    """A client of a server in this process, and the thread that it runs on."""
    process = ServerThread(factory, settings)
    return StdioClient(process=process), process
