"""A core kept busy beside the model, as an editor that indexes or a compiler does it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import DEVNULL, Popen

import psutil

# Until the scheduler has moved the others away from the busy core.
_SETTLE_SECONDS = 0.1


class Spinner:
    """A process that does nothing but spin, stopped at first; `on` and `off` let it go and hold it."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self.off()

    def on(self) -> None:
        self._process.resume()
        time.sleep(_SETTLE_SECONDS)

    def off(self) -> None:
        self._process.suspend()
        time.sleep(_SETTLE_SECONDS)


@contextmanager
def spinner() -> Iterator[Spinner]:
    """A spinner on one core, where the system lets a process be put there; it is ended at the end."""
    with Popen([sys.executable, "-c", "while True: pass"], stdin=DEVNULL) as child:
        try:
            if hasattr(os, "sched_setaffinity"):
                os.sched_setaffinity(child.pid, {max(os.sched_getaffinity(0))})
            yield Spinner(psutil.Process(child.pid))
        finally:
            child.kill()
