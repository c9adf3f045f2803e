"""Runs work beside the engine's thread: on a new thread, or at once in a test or bench that drives the engine."""

from __future__ import annotations

import threading
from collections.abc import Callable

Spawn = Callable[[Callable[[], None]], None]


def in_thread(work: Callable[[], None]) -> None:
    threading.Thread(target=work, name="loader", daemon=True).start()


def at_once(work: Callable[[], None]) -> None:
    """Runs the work in the caller, for an engine that is driven without threads."""
    work()
