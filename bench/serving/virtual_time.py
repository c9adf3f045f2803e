"""An event loop on virtual time: nobody waits, the clock goes on to the next timer at once."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")


class _Selector(selectors.DefaultSelector):
    """Looks for events of other threads, and lets the clock go on where the loop would wait for a timer."""

    def __init__(self, go_on: Callable[[float], None]) -> None:
        super().__init__()
        self._go_on = go_on

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:  # no timer: only another thread can have something to do
            return list(super().select(None))
        if timeout > 0:
            self._go_on(timeout)
        return list(super().select(0))


class VirtualLoop(asyncio.SelectorEventLoop):
    """Its time begins at 0 and is in seconds."""

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__(_Selector(self._wait))

    def time(self) -> float:
        return self._now

    def _wait(self, seconds: float) -> None:
        self._now += seconds


def run(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Runs `main` on virtual time. Ctrl-C raises KeyboardInterrupt, after all tasks were cancelled."""
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(main())
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        loop.run_until_complete(_ended(left))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


async def _ended(tasks: Iterable[asyncio.Task[Any]]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)
