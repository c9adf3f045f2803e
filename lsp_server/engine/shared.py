"""An engine process that several servers of one user share: joins a running one, or starts it."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from lsp_server.engine.home import Post
from lsp_server.engine.link import Link, LinkError, Opened
from lsp_server.engine.process import HERE, command_line
from lsp_server.engine.request import (
    EngineLost,
    Event,
    Finished,
    FinishReason,
    Generate,
    Keep,
    Load,
    Message,
    ModelIdle,
    Role,
    Usage,
)
from lsp_server.system import user_sockets

# How long a new engine may take to listen (it loads no model before that), and the pause between two tries.
_START_SECONDS, _LOOK_SECONDS = 30.0, 0.02
# How long the engine stays after its last server has left.
LINGER_SECONDS = 120.0


class SharedHome:
    """Connects to the engine for the model that is loaded first, and moves to another engine when another model is
    loaded in its place. A completion model decides which engine that is, also when it comes after models of other
    roles. Without one (completions may come from endpoints only) the first model of another role decides.

    arguments: those after `python -m lsp_server`; the path to listen at is appended.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        self._arguments = list(arguments)
        self._post: Post = lambda _: None
        self._first: Load | None = None  # of the model that decides which engine is used
        self._keep: Keep | None = None
        self._loads: dict[Role, Load] = {}  # the last load for each role
        self._stopping = False
        # The link in use and the requests that run there. The lock guards both, since events come on the link's
        # threads.
        self._lock = threading.Lock()
        self._link: Link | None = None
        self._ids: set[int] = set()

    def start(self, post: Post) -> None:
        self._post = post

    def send(self, message: Message) -> None:
        if self._stopping:
            return
        if isinstance(message, Keep):
            self._keep = message
        elif isinstance(message, Load):
            self._choose(message)
        if self._first is None:
            if isinstance(message, Generate):
                self._post(Finished(message.id, "", FinishReason.REJECTED, Usage(), message="no model is loaded"))
            return
        link = self._link
        if link is None or link.ended.is_set():
            link = self._joined()
        if isinstance(message, Generate):
            with self._lock:
                self._ids.add(message.id)
        link.send(message)

    async def stop(self) -> None:
        self._stopping = True
        self._leave()

    def _choose(self, load: Load) -> None:
        """Leaves the engine if this load needs another one."""
        first = self._first
        if first is None or load.role in ("completion", first.role):
            if first is not None and load.spec != first.spec:
                self._loads.pop(load.role, None)
                self._leave()
            self._first = load
        self._loads[load.role] = load

    def _joined(self) -> Link:
        link: Link | None = None

        def post(event: Event | EngineLost) -> None:
            with self._lock:
                if link is not self._link:
                    return  # from an engine that we have left
                if isinstance(event, Finished):
                    self._ids.discard(event.id)
                elif isinstance(event, EngineLost):
                    self._ids.clear()
            self._post(event)

        with self._lock:
            self._link = link = Link(self._open, post)
        if self._keep is not None:
            link.send(self._keep)
        return link

    def _leave(self) -> None:
        """Leaves the engine: its running requests end as cancelled, and its models count as unloaded."""
        with self._lock:
            link, self._link = self._link, None
            ids, self._ids = self._ids, set()
        if link is None:
            return
        link.leave()
        for id in ids:
            self._post(Finished(id, "", FinishReason.CANCELLED, Usage(), message="another model is loaded"))
        for role, load in self._loads.items():
            self._post(ModelIdle("the engine is another one now", load.number, role))

    def _open(self) -> Opened:
        assert self._first is not None
        spec = msgspec.json.encode(self._first.spec, order="deterministic").decode()
        try:
            path = user_sockets.folder() / user_sockets.name_of(*self._arguments, spec)
            return _opened(user_sockets.connected(path) or self._started(path))
        except (user_sockets.FolderError, OSError) as error:
            raise LinkError(f"cannot be shared: {error}") from None

    def _started(self, path: Path) -> socket.socket:
        """A connection to a new engine, or to one that another server has started meanwhile. Raises LinkError."""
        end = time.monotonic() + _START_SECONDS
        while (lock := user_sockets.locked(path.with_suffix(".start"), wait=False)) is None:
            if time.monotonic() > end:
                raise LinkError("cannot be shared: another server has begun to start it, and does not come to an end")
            time.sleep(_LOOK_SECONDS)
        try:
            if (connection := user_sockets.connected(path)) is not None:
                return connection
            if path.is_dir():
                raise LinkError(f"cannot be shared: {path}, where it is to listen, is a folder; remove it")
            nowhere = subprocess.DEVNULL
            command = command_line([*self._arguments, "--listen", str(path), "--linger", str(LINGER_SECONDS)])
            process = subprocess.Popen(
                command, stdin=nowhere, stdout=nowhere, stderr=nowhere, cwd=HERE, start_new_session=True
            )
            while time.monotonic() < end:
                if (connection := user_sockets.connected(path)) is not None:
                    return connection
                if process.poll() is not None:
                    raise LinkError(f"cannot be shared: it ended with status {process.returncode} at once")
                time.sleep(_LOOK_SECONDS)
            process.kill()
            raise LinkError(f"cannot be shared: it does not listen within {_START_SECONDS:.0f} s")
        finally:
            os.close(lock)


def _opened(connection: socket.socket) -> Opened:
    reader = connection.makefile("rb")

    def cut() -> None:
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)

    def finish() -> None:
        connection.shutdown(socket.SHUT_WR)

    def ended() -> str:
        reader.close()
        connection.close()
        return "has ended"

    return Opened(connection.sendall, reader.read, finish, cut, ended)
