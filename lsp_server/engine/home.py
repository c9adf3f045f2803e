"""The interface to an engine's core, wherever it runs; and its implementation on a thread of this process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

import anyio.to_thread

from lsp_server.backends.base import BackendFactory
from lsp_server.engine.core import EngineCore
from lsp_server.engine.request import EngineLost, Event, Message, Shutdown

# How long `stop` waits for the running step.
STOP_SECONDS = 5.0

Post = Callable[[Event | EngineLost], None]


class Home(Protocol):
    """Messages go in by `send`. Events come out by the function `post` that `start` gets, which may be called on any
    thread.

    If the core ends unasked, `EngineLost` is the last event. The next message starts a new core, which has no models.
    """

    def start(self, post: Post) -> None: ...

    def send(self, message: Message) -> None:
        """Hands the core a message. Never blocks."""
        ...

    async def stop(self) -> None:
        """Ends the core. Waits a few seconds for it at most."""
        ...


class ThreadHome:
    """A core on a thread of this process. factory: loads a model."""

    def __init__(self, factory: BackendFactory) -> None:
        self._factory = factory
        self._core: EngineCore | None = None
        self._thread: threading.Thread | None = None

    def start(self, post: Post) -> None:
        self._core = EngineCore(self._factory, post)
        self._thread = threading.Thread(target=self._core.run, name="model", daemon=True)
        self._thread.start()

    def send(self, message: Message) -> None:
        if self._core is not None:
            self._core.send(message)

    async def stop(self) -> None:
        if self._thread is not None and self._thread.is_alive():
            self.send(Shutdown())
            await anyio.to_thread.run_sync(self._thread.join, STOP_SECONDS)
