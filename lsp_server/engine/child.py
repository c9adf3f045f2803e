"""The main loop of an engine process. It serves one server by stdin and stdout, or several servers by a socket."""

from __future__ import annotations

import os
import queue
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from lsp_server import __version__
from lsp_server.backends.base import BackendFactory
from lsp_server.engine import wire
from lsp_server.engine.core import EngineCore
from lsp_server.engine.request import Event, Message, Ping, Pong, Shutdown
from lsp_server.engine.shared_hub import Hub
from lsp_server.system import user_sockets

# How many events may wait for one server. A server that leaves more unread is disconnected.
_MOST_EVENTS = 10_000
_ACCEPT_AGAIN_SECONDS = 0.1


def serve(factory: BackendFactory) -> int:
    """Runs a core for one server, until stdin ends or `Shutdown` comes. Returns the exit status: 0, or 1 after bytes
    that are no valid message.

    Other output to stdout (from a native library, or a stray print) goes to stderr.
    """
    events = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    writing = threading.Lock()  # events come from the core's thread and from loader threads

    def post(event: Event | wire.Hello | Pong) -> None:
        frame = memoryview(wire.encode(event))
        with writing:
            try:
                while frame:
                    frame = frame[events.write(frame) :]
            except OSError:  # the server has closed its end
                os._exit(0)

    post(wire.Hello(__version__))
    core = EngineCore(factory, post)
    status = 0

    def receive() -> None:
        nonlocal status
        with os.fdopen(0, "rb", buffering=1 << 16, closefd=False) as messages:
            status = _receive(messages, core.send, post)
        core.send(Shutdown())

    threading.Thread(target=receive, name="messages", daemon=True).start()
    core.run()
    return status


def _receive(messages: BinaryIO, take: Callable[[Message], None], answer: Callable[[Pong], None]) -> int:
    """Passes messages to `take` until `Shutdown` or the end of the stream, and answers pings. Returns 1 after an
    invalid message, else 0."""
    try:
        while (message := wire.read(messages.read)) is not None:
            if isinstance(message, Shutdown):
                break
            if isinstance(message, Ping):
                answer(Pong())
            else:
                take(message)
    except wire.WireError as error:
        print(f"fimble: the engine got {error}", file=sys.stderr)  # noqa: T201 - the process's own output
        return 1
    return 0


def serve_shared(factory: BackendFactory, path: Path, linger: float) -> int:
    """Runs a core for all servers that connect to the socket at `path`, until no server has been connected for `linger`
    seconds. Returns the exit status: 0, or 1 if the lock file cannot be locked."""
    alive = user_sockets.locked(
        path.with_suffix(".alive"), wait=True
    )  # wait until an older engine at this path has ended
    if alive is None:
        return 1
    listening = user_sockets.listening(path)
    hub = Hub()
    core = EngineCore(factory, hub.post)
    hub.serve(core)

    def end() -> None:
        path.unlink(missing_ok=True)  # first, so that no server joins an engine that is ending
        core.send(Shutdown())

    members = _Members(hub, linger, end)
    threading.Thread(target=members.accept, args=[listening], name="socket", daemon=True).start()
    core.run()
    os.close(alive)
    return 0


class _Members:
    """The connected servers. Each has two threads, one for each direction. end: called once, when no server has been
    connected for `linger` seconds. The lock guards the count and the timer."""

    def __init__(self, hub: Hub, linger: float, end: Callable[[], None]) -> None:
        self._hub = hub
        self._linger = linger
        self._end = end
        self._lock = threading.Lock()
        self._count = 0
        self._timer: threading.Timer | None = None
        self._left()

    def accept(self, listening: socket.socket) -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:  # for example too many open files; present connections go on
                time.sleep(_ACCEPT_AGAIN_SECONDS)
                continue
            if not user_sockets.is_ours(connection):
                connection.close()
                continue
            with self._lock:
                self._count += 1
                if self._timer is not None:
                    self._timer.cancel()
                    self._timer = None
            threading.Thread(target=self._serve, args=[connection], name="member in", daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        events: queue.Queue[bytes | None] = queue.Queue(_MOST_EVENTS)

        def post(event: Event | wire.Hello | Pong) -> None:
            try:
                events.put_nowait(wire.encode(event))
            except queue.Full:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

        post(wire.Hello(__version__))
        client = self._hub.join(post)
        threading.Thread(target=_write, args=[connection, events], name="member out", daemon=True).start()
        try:
            with connection.makefile("rb") as messages:
                _receive(messages, lambda message: self._hub.take(client, message), post)
        except OSError:
            pass
        self._hub.leave(client)
        with suppress(queue.Full):
            events.put_nowait(None)
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        connection.close()
        with self._lock:
            self._count -= 1
        self._left()

    def _left(self) -> None:
        """Starts the timer if no server is connected."""
        with self._lock:
            if self._count == 0:
                self._timer = threading.Timer(self._linger, self._expire)
                self._timer.daemon = True
                self._timer.start()

    def _expire(self) -> None:
        with self._lock:
            if self._count:
                return  # a server connected just before the timer ended
        self._end()


def _write(connection: socket.socket, events: queue.Queue[bytes | None]) -> None:
    with suppress(OSError):
        while (frame := events.get()) is not None:
            connection.sendall(frame)
