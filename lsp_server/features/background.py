"""What goes on beside the requests: parses on a thread of their own, and tasks that no request waits for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

import anyio.lowlevel

logger = logging.getLogger(__name__)

# What its thread is called.
PARSING = "parsing"

T = TypeVar("T")


class Parse(Protocol):
    """Awaits `function(*arguments)`, which may parse."""

    def __call__(self, function: Callable[..., T], *arguments: Any) -> Awaitable[T]: ...


async def parse_here(function: Callable[..., T], *arguments: Any) -> T:
    """On the thread that asks, where nothing else waits for it."""
    return function(*arguments)


class Background:
    """Of one event loop. A parse of broken code takes longer than a turn of the loop may, so those that a request needs
    happen on one thread, in the order in which they were asked for: they share prompts and the trees that are kept."""

    def __init__(self) -> None:
        self._thread: ThreadPoolExecutor | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def parse(self, function: Callable[..., T], *arguments: Any) -> T:
        """`function(*arguments)`, on the thread. Who is cancelled goes at once; what has not begun then never does, and
        what has begun keeps the thread to its end."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix=PARSING)
        result = await asyncio.wrap_future(self._thread.submit(function, *arguments))
        await anyio.lowlevel.checkpoint_if_cancelled()  # it can come together with the result
        return result

    def start(self, function: Callable[..., Coroutine[Any, Any, None]], *arguments: Any) -> None:
        """Runs a task; what goes wrong in it is logged."""
        task = asyncio.get_running_loop().create_task(function(*arguments))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def close(self) -> None:
        """Lets the thread end; what has not begun never does."""
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)

    @property
    def running(self) -> int:
        """How many tasks have not ended."""
        return len(self._tasks)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a background task failed", exc_info=error)
