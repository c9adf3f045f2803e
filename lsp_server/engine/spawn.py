"""How work is done beside the engine's own: on a thread, or at once where a test or a bench drives the engine."""

from __future__ import annotations

import threading
from collections.abc import Callable

Spawn = Callable[[Callable[[], None]], None]


def in_thread(work: Callable[[], None]) -> None:
    threading.Thread(target=work, name="loader", daemon=True).start()


def at_once(work: Callable[[], None]) -> None:
    """Instead of a thread, for an engine that is driven by hand."""
    work()
