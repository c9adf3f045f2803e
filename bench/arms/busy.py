"""Machines with less to spare: a core kept busy beside the model, and a process that gets half of one core."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from subprocess import DEVNULL, Popen

import psutil

# Until the scheduler has moved the others away from the busy core.
_SETTLE_SECONDS = 0.1

# For so long a process with half a core runs, and then stands still.
_HALF_SECONDS = 0.02


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


@contextmanager
def half_a_core(pid: int) -> Iterator[None]:
    """Puts a process on one core, where the system lets it be put there, and stops it half of the time."""
    process, ended = psutil.Process(pid), threading.Event()
    if hasattr(os, "sched_setaffinity"):
        one = {min(os.sched_getaffinity(0))}
        for thread in process.threads():
            os.sched_setaffinity(thread.id, one)

    def stop_and_go() -> None:
        with suppress(psutil.NoSuchProcess):
            while not ended.wait(_HALF_SECONDS):
                process.suspend()
                time.sleep(_HALF_SECONDS)
                process.resume()

    thread = threading.Thread(target=stop_and_go, name="half a core", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
