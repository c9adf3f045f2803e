"""An engine's core in a process of its own: a crash of a driver ends that process, and the editor's session goes on."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import anyio.to_thread

from lsp_server import __version__
from lsp_server.children import Child, Limits
from lsp_server.engine import wire
from lsp_server.engine.home import STOP_SECONDS, Post
from lsp_server.engine.request import EngineLost, Message, Shutdown

# Messages on the way to the process. It reads at once, so more wait only if it hangs.
_MOST_WAITING = 1024
# Where our own package lies: Python loads modules from the folder that it is started in.
_HERE = Path(__file__).resolve().parents[2]


class ProcessHome:
    """Starts the process with the first message, and again with the first one after it was lost.

    command: the arguments behind `python -m lsp_server`. Each process has two threads here: `engine out` starts it and
    writes its messages, `engine in` reads its events and tells of its end.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._command = [sys.executable, "-m", "lsp_server", *command, "--folder", str(Path.cwd())]
        self._post: Post = lambda _: None
        self._process: _Process | None = None
        self._stopping = False

    def start(self, post: Post) -> None:
        self._post = post

    def send(self, message: Message) -> None:
        if self._stopping:
            return
        if self._process is None or self._process.ended.is_set():
            self._process = _Process(self._command, self._post)
        self._process.send(message)

    async def stop(self) -> None:
        self._stopping = True
        if self._process is not None:
            await anyio.to_thread.run_sync(self._process.stop)


class _Process:
    """One process. ended: set when it has ended, before anybody is told."""

    def __init__(self, command: Sequence[str], post: Post) -> None:
        self.ended = threading.Event()
        self._command = command
        self._post = post
        self._messages: queue.Queue[Message | None] = queue.Queue(_MOST_WAITING)
        self._lock = threading.Lock()  # for the two below
        self._child: Child | None = None
        self._why = ""  # why we have ended it
        self._asked = False  # whether it has been asked to end; by the event loop's thread or one it waits for
        threading.Thread(target=self._write, name="engine out", daemon=True).start()

    def send(self, message: Message) -> None:
        try:
            self._messages.put_nowait(message)
        except queue.Full:
            self._end("does not read what it is sent")

    def stop(self) -> None:
        """Asks it to end, waits a few seconds, and ends it."""
        self._asked = True
        self.send(Shutdown())
        if not self.ended.wait(STOP_SECONDS):
            self._end("does not end")
            self.ended.wait(STOP_SECONDS)

    def _end(self, why: str) -> None:
        with self._lock:
            self._why, child = self._why or why, self._child
        if child is not None:
            child.cut()

    def _write(self) -> None:
        try:
            child = Child(
                self._command, Limits(), cwd=_HERE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=None
            )
        except OSError as error:
            self._has_ended(f"cannot be started: {error.strerror or error}")
            return
        with self._lock:
            self._child = child
        threading.Thread(target=self._read, args=[child], name="engine in", daemon=True).start()
        assert child.stdin is not None
        with suppress(OSError, ValueError):  # it has ended, which `engine in` finds out
            while (message := self._messages.get()) is not None:
                child.stdin.write(wire.encode(message))
                if self._messages.empty():
                    child.stdin.flush()
        with suppress(OSError, ValueError):
            child.stdin.close()

    def _read(self, child: Child) -> None:
        assert child.stdout is not None
        try:
            while (event := wire.read(child.stdout.read)) is not None:
                if not isinstance(event, wire.Hello):
                    self._post(event)
                elif event.version != __version__:
                    self._end(f"is of version {event.version}, this server of {__version__}; restart the editor")
                    break
        except wire.WireError as error:
            self._end(f"sent {error}")
        status = child.wait()
        child.stdout.close()
        self._has_ended(_how(status))

    def _has_ended(self, how: str) -> None:
        self.ended.set()
        with suppress(queue.Full):
            self._messages.put_nowait(None)
        if not self._asked:
            self._post(EngineLost(self._why or how))


def _how(status: int) -> str:
    """How a process has ended, in words."""
    if status >= 0 or os.name == "nt":
        return f"ended with status {status}"
    with suppress(ValueError):
        return f"was ended by {signal.Signals(-status).name}"
    return f"was ended by signal {-status}"
