"""Runs work beside the requests: parses on a thread of their own, and tasks that no request waits for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

import anyio.lowlevel

logger = logging.getLogger(__name__)

# The name of the parsing thread.
PARSING = "parsing"

T = TypeVar("T")


class Parse(Protocol):
    """Runs `function(*arguments)`, which may parse, and awaits its result."""

    def __call__(self, function: Callable[..., T], *arguments: Any) -> Awaitable[T]: ...


async def parse_here(function: Callable[..., T], *arguments: Any) -> T:
    """Runs the function directly, for callers that do not share their thread."""
    return function(*arguments)


class Background:
    """Background work of one event loop. A parse of broken code takes longer than the loop may be blocked. So parses
    that requests need run on one thread, in the order of submission: they share prompts and cached trees."""

    def __init__(self) -> None:
        self._thread: ThreadPoolExecutor | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def parse(self, function: Callable[..., T], *arguments: Any) -> T:
        """Runs `function(*arguments)` on the parsing thread and returns its result. Cancelling returns at once; queued
        work is dropped, and running work finishes on the thread."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix=PARSING)
        result = await asyncio.wrap_future(self._thread.submit(function, *arguments))
        await anyio.lowlevel.checkpoint_if_cancelled()  # a cancellation may arrive together with the result
        return result

    def start(self, function: Callable[..., Coroutine[Any, Any, None]], *arguments: Any) -> None:
        """Starts a task; exceptions in it are logged."""
        task = asyncio.get_running_loop().create_task(function(*arguments))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def close(self) -> None:
        """Ends the thread after its running work; queued work is dropped."""
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)

    @property
    def running(self) -> int:
        """The number of tasks that have not ended."""
        return len(self._tasks)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a background task failed", exc_info=error)
