"""Shows on stderr what a command is doing while the user waits."""

from __future__ import annotations

import shutil
import time
from collections import defaultdict
from collections.abc import Callable
from typing import TextIO

import anyio

# How often the line on a terminal is rewritten, and how often a plain line is printed elsewhere. A call that ends
# before the first plain line is due prints none.
LINE_SECONDS, PLAIN_SECONDS = 0.1, 5.0
_BAR_CHARACTERS = 20


class Waiting:
    """One line that is rewritten on a terminal and cleared at the end; without a terminal, a plain line now and then.

    seconds: how long each phase took; for the present phase, until now.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._terminal = stream.isatty()
        self._pause = LINE_SECONDS if self._terminal else PLAIN_SECONDS
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._phase = ""
        self._fraction: float | None = None
        self._detail = ""
        self._began = self._written = clock()

    @property
    def seconds(self) -> dict[str, float]:
        self._count()
        return dict(self._seconds)

    def at(self, phase: str, fraction: float | None = None, detail: str = "") -> None:
        """Sets the present phase and its progress, from 0 to 1. detail: text after that."""
        if phase != self._phase:
            self._count()
            self._phase = phase
        self._fraction, self._detail = fraction, detail
        self._write()

    async def tick(self) -> None:
        """Updates the line until it is cancelled."""
        while True:
            await anyio.sleep(self._pause)
            self._write()

    def clear(self) -> None:
        """Removes the line from a terminal."""
        if self._terminal:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def _count(self) -> None:
        now = self._clock()
        if self._phase:
            self._seconds[self._phase] += now - self._began
        self._began = now

    def _write(self) -> None:
        now = self._clock()
        if not self._phase or now - self._written < self._pause:
            return
        self._written = now
        line = f"fimble: {self._phase}"
        if self._fraction is not None:
            full = round(_BAR_CHARACTERS * min(1.0, self._fraction))
            bar = f" [{'#' * full}{'-' * (_BAR_CHARACTERS - full)}]" if self._terminal else ""
            line += f"{bar} {self._fraction:.0%}"
        if self._detail:
            line += f", {self._detail}"
        line += f", {self._seconds[self._phase] + now - self._began:.0f} s"
        if self._terminal:
            columns = shutil.get_terminal_size().columns
            self._stream.write(f"\r\x1b[K{line[: columns - 1]}")
        else:
            self._stream.write(f"{line}\n")
        self._stream.flush()
