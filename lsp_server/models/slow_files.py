"""Reads files on a thread of its own, so that a file on a lost network disk does not block the caller for ever."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from lsp_server.backends.base import ModelError

Progress = Callable[[float], bool]
Result = TypeVar("Result")

# A disk that has to spin up takes ten seconds.
SILENT_SECONDS = 30.0
_POLL_SECONDS = 0.05


def patiently(work: Callable[[Progress], Result], path: Path, progress: Progress = lambda _: True) -> Result:
    """Runs `work` on a thread of its own and returns its result, or raises its error.

    work: gets a function to call while it makes progress; False from that means to give up. progress: called with 0
    meanwhile. Raises ModelError if `progress` returns False, or if `work` has shown no progress for SILENT_SECONDS. The
    thread is then abandoned; it ends when the file answers, or with the process.
    """
    outcome: queue.SimpleQueue[tuple[bool, Result | BaseException]] = queue.SimpleQueue()
    waits = True
    heard = time.monotonic()

    def beat(_: float) -> bool:
        nonlocal heard
        heard = time.monotonic()
        return waits

    def run() -> None:
        try:
            outcome.put((True, work(beat)))
        except BaseException as error:
            outcome.put((False, error))

    threading.Thread(target=run, name="model files", daemon=True).start()
    try:
        while True:
            try:
                good, value = outcome.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                if not progress(0.0):
                    raise ModelError("loading was given up") from None
                if time.monotonic() - heard > SILENT_SECONDS:
                    raise ModelError(
                        f"{path} has not answered for {SILENT_SECONDS:g} s, as files on a network do whose server has "
                        "gone; connect it again, or name a file on a disk of this machine"
                    ) from None
                continue
            if good:
                return value  # type: ignore[return-value]
            assert isinstance(value, BaseException)
            raise value
    finally:
        waits = False
