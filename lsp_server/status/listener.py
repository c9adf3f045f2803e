"""Answers `fimble status`, a process of the same user, over a Unix socket: one answer per connection."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
import socket
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from lsp_server.system import user_sockets

logger = logging.getLogger(__name__)

# A connection that has not read its answer after this time is closed.
_READ_SECONDS = 2.0
_MOST_CONNECTIONS = 8
# Requests within this time get the same answer, so that nobody can keep the event loop busy.
_SAME_SECONDS = 0.1


class StatusListener:
    """The listener of one server, on its event loop. start: runs a task in the background. answer: returns the answer,
    as JSON."""

    def __init__(
        self, start: Callable[[Callable[[], Coroutine[Any, Any, None]]], object], answer: Callable[[], dict[str, Any]]
    ) -> None:
        self._start, self._make_answer = start, answer
        self._wanted = False
        self._changing = anyio.Lock()
        self._path: Path | None = None
        self._server: asyncio.Server | None = None
        self._answer, self._answered = b"", float("-inf")
        self._connections: set[asyncio.Transport] = set()

    def switch(self, wanted: bool) -> None:
        """Starts or stops listening."""
        wanted = wanted and user_sockets.is_possible()
        if wanted != self._wanted:
            self._wanted = wanted
            self._start(self._follow)

    async def _follow(self) -> None:
        async with self._changing:
            if not self._wanted:
                await self._close()
            elif self._server is None:
                try:
                    path, listening = await anyio.to_thread.run_sync(_listen)
                except (user_sockets.FolderError, OSError) as error:
                    logger.info("`fimble status`, which says the same, cannot ask this server: %s", error)
                    return
                self._path = path
                loop = asyncio.get_running_loop()
                self._server = await loop.create_unix_server(lambda: _Connection(self), sock=listening)

    async def _close(self) -> None:
        server, path = self._server, self._path
        self._server = self._path = None
        if server is not None:
            server.close()
        if path is not None:
            await anyio.to_thread.run_sync(_remove, path)
        for connection in list(self._connections):
            connection.abort()

    async def close(self) -> None:
        """Stops listening, because the server ends."""
        self._wanted = False
        await self._follow()

    def take(self, connection: asyncio.Transport) -> None:
        """Answers a connection and closes it."""
        if len(self._connections) >= _MOST_CONNECTIONS or not user_sockets.is_ours(connection.get_extra_info("socket")):
            connection.abort()
            return
        self._connections.add(connection)
        now = time.monotonic()
        if now - self._answered >= _SAME_SECONDS:
            self._answer, self._answered = json.dumps(self._make_answer()).encode(), now
        connection.write(self._answer)
        connection.close()  # after the answer is written
        asyncio.get_running_loop().call_later(_READ_SECONDS, connection.abort)

    def gone(self, connection: asyncio.Transport) -> None:
        self._connections.discard(connection)


class _Connection(asyncio.Protocol):
    """A connection. Nothing is read from it."""

    def __init__(self, listener: StatusListener) -> None:
        self._listener = listener
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._listener.take(transport)

    def connection_lost(self, error: Exception | None) -> None:
        if self._transport is not None:
            self._listener.gone(self._transport)


def _listen() -> tuple[Path, socket.socket]:
    """A listening socket of this process, and its path. Raises FolderError and OSError."""
    folder = user_sockets.folder()
    user_sockets.sweep(folder.glob(f"*{user_sockets.STATUS}"))
    # Another process may have the same process id, in a container that shares the folder.
    path = folder / f"{os.getpid()}-{secrets.token_hex(2)}{user_sockets.STATUS}"
    return path, user_sockets.listening(path)


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
