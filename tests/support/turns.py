"""The CPU time that each turn of an event loop takes: what everything else in the server waits for."""

from __future__ import annotations

import asyncio
import heapq
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_KEPT = 200


@dataclass(frozen=True, order=True)
class Turn:
    """One callback or one step of a task. cpu_ms: of the loop's own thread, so that a busy machine and other threads
    do not count. notes: what was noted while it ran."""

    cpu_ms: float
    number: int
    name: str
    notes: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.cpu_ms:7.1f} ms  {self.name}  {', '.join(self.notes)}"


class TurnLoop(asyncio.SelectorEventLoop):
    """An event loop that keeps the longest of its turns."""

    def __init__(self) -> None:
        super().__init__()
        self.turns = 0
        self.thread = threading.get_ident()
        self.most_notes = self.parses = self.parses_beside = 0
        self._longest: list[Turn] = []
        self._notes: list[str] = []

    def note(self, text: str) -> None:
        """Notes something about the turn that is running."""
        self._notes.append(text)
        self.most_notes = max(self.most_notes, len(self._notes))

    def parsed(self) -> None:
        """Counts a parse, which stops no turn if it is on another thread."""
        if threading.get_ident() == self.thread:
            self.parses += 1
        else:
            self.parses_beside += 1

    def longest(self) -> list[Turn]:
        return sorted(self._longest, reverse=True)

    def forget(self) -> None:
        """Begins anew: what a server does when it starts does not count."""
        self._longest.clear()
        self.most_notes = 0

    def call_soon(self, callback: Callable[..., Any], *args: Any, context: Any = None) -> asyncio.Handle:
        return super().call_soon(self._timed(callback), *args, context=context)

    def call_soon_threadsafe(self, callback: Callable[..., Any], *args: Any, context: Any = None) -> asyncio.Handle:
        return super().call_soon_threadsafe(self._timed(callback), *args, context=context)

    def call_at(
        self, when: float, callback: Callable[..., Any], *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        return super().call_at(when, self._timed(callback), *args, context=context)

    def _timed(self, callback: Callable[..., Any]) -> Callable[..., Any]:
        def turn(*args: Any) -> None:
            self._notes = []
            began = time.thread_time()
            try:
                callback(*args)
            finally:
                cpu_ms = 1000 * (time.thread_time() - began)
                self.turns += 1
                if len(self._longest) < _KEPT or cpu_ms > self._longest[0].cpu_ms:
                    found = Turn(cpu_ms, self.turns, _name(callback), tuple(self._notes))
                    (heapq.heappush if len(self._longest) < _KEPT else heapq.heapreplace)(self._longest, found)

        return turn


def _name(callback: Callable[..., Any]) -> str:
    owner = getattr(callback, "__self__", None)
    if isinstance(owner, asyncio.Task):
        return str(getattr(owner.get_coro(), "__qualname__", owner))
    return str(getattr(callback, "__qualname__", callback))
