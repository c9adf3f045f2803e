"""Simulates weak machines: a busy core beside the model, and a process that gets half of one core."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from subprocess import DEVNULL, Popen

import psutil

# The time until the scheduler has moved other threads away from the busy core, in seconds.
_SETTLE_SECONDS = 0.1

# How long a process with half a core runs, and then how long it is stopped.
_HALF_SECONDS = 0.02


class Spinner:
    """A process that only spins. It is stopped at first; `on` continues it and `off` stops it."""

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
    """A context manager for a spinner, on one core if the system allows that."""
    with Popen([sys.executable, "-c", "while True: pass"], stdin=DEVNULL) as child:
        try:
            if hasattr(os, "sched_setaffinity"):
                os.sched_setaffinity(child.pid, {max(os.sched_getaffinity(0))})
            yield Spinner(psutil.Process(child.pid))
        finally:
            child.kill()


@contextmanager
def half_a_core(pid: int) -> Iterator[None]:
    """Puts a process on one core, if the system allows that, and stops it half of the time."""
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
