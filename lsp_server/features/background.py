"""What goes on beside the requests: parses on a worker thread, and tasks that no request waits for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol, TypeVar

import anyio
import anyio.lowlevel
import anyio.to_thread

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Parse(Protocol):
    """Awaits `function(*arguments)`, which may parse."""

    def __call__(self, function: Callable[..., T], *arguments: Any) -> Awaitable[T]: ...


async def parse_here(function: Callable[..., T], *arguments: Any) -> T:
    """On the thread that asks, where nothing else waits for it."""
    return function(*arguments)


class Background:
    """Of one event loop. A parse of broken code takes longer than a turn of the loop may, so those that a request needs
    happen on a worker thread: one at a time, because they share the trees that are kept."""

    def __init__(self) -> None:
        self._one = anyio.CapacityLimiter(1)
        self._tasks: set[asyncio.Task[None]] = set()

    async def parse(self, function: Callable[..., T], *arguments: Any) -> T:
        """`function(*arguments)`, on the worker thread. Once begun it is waited for, also by who is cancelled."""
        result = await anyio.to_thread.run_sync(function, *arguments, limiter=self._one)
        await anyio.lowlevel.checkpoint_if_cancelled()  # the document may be another by now
        return result

    def start(self, function: Callable[..., Coroutine[Any, Any, None]], *arguments: Any) -> None:
        """Runs a task; what goes wrong in it is logged."""
        task = asyncio.get_running_loop().create_task(function(*arguments))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    @property
    def running(self) -> int:
        """How many tasks have not ended."""
        return len(self._tasks)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a background task failed", exc_info=error)
