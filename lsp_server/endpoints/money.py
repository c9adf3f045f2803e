"""Today's cost of each endpoint, over all processes of the user: a file for each day in the state folder.

All processes append to the file of the day, one line for each request, and read what the others have appended. A day is
one of local time, so the sums begin anew at midnight. Lines that cannot be read are skipped.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import msgspec
from platformdirs import user_state_path

from lsp_server.system.regular_file import open_regular, open_to_append

logger = logging.getLogger(__name__)

# The files of this many days are kept. And the most bytes of one: far more than a day of typing makes.
_MOST_DAYS, _MOST_BYTES = 7, 64 << 20
_Line = tuple[str, Annotated[float, msgspec.Meta(ge=0, le=1e9)]]


class MoneyError(Exception):
    """The costs cannot be read. The message is one line."""


def costs_path() -> Path:
    return user_state_path("fimble") / "endpoint-costs"


def day_of(at: float) -> str:
    """The local date of a time in seconds since 1970."""
    return time.strftime("%Y-%m-%d", time.localtime(at))


class Spending:
    """The costs of this day. Safe to use on several threads. clock: the wall clock, in seconds since 1970."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._unwritten: defaultdict[tuple[str, str], float] = defaultdict(float)  # by day and endpoint
        self._read: tuple[str, int] = ("", -1)  # the day and the inode of the file that was read
        self._offset = 0
        self._sums: defaultdict[str, float] = defaultdict(float)

    def note(self, endpoint: str, cost: float, at: float) -> None:
        """Notes the cost of a request that was sent at that time. It counts at once. Call `write` afterwards."""
        with self._lock:
            self._unwritten[day_of(at), endpoint] += cost

    def write(self) -> None:
        """Appends the noted costs to the files. Costs that cannot be written still count in this process."""
        with self._lock:
            for (day, endpoint), cost in list(self._unwritten.items()):
                try:
                    _append(day, (endpoint, cost))
                except OSError as error:
                    logger.info("cannot write %s: %s", costs_path(), error.strerror)
                    return
                del self._unwritten[day, endpoint]

    def today(self) -> dict[str, float]:
        """The sum of each endpoint. Reads the disk. Raises MoneyError."""
        with self._lock:
            day = day_of(self._clock())
            try:
                self._follow(day)
            except OSError as error:
                raise MoneyError(f"{costs_path()} cannot be read: {error.strerror}") from None
            sums = self._sums.copy()
            for (noted, endpoint), cost in self._unwritten.items():
                if noted == day:
                    sums[endpoint] += cost
            return dict(sums)

    def _follow(self, day: str) -> None:
        """Reads the lines that were appended to a day's file since the last read. Raises OSError."""
        try:
            with open_regular(costs_path() / f"{day}.jsonl") as file:
                found = os.fstat(file.fileno())
                if (day, found.st_ino) != self._read or found.st_size < self._offset:
                    self._read, self._offset, self._sums = (day, found.st_ino), 0, defaultdict(float)
                if found.st_size > _MOST_BYTES:
                    raise OSError(0, "it is too large")
                file.seek(self._offset)
                data = file.read(_MOST_BYTES)
        except FileNotFoundError:
            self._read, self._offset, self._sums = ("", -1), 0, defaultdict(float)
            return
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.splitlines():
            try:
                endpoint, cost = msgspec.json.decode(line, type=_Line)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue
            self._sums[endpoint] += cost


def _append(day: str, line: tuple[str, float]) -> None:
    """Appends a line, readable for the user alone. Raises OSError."""
    folder = costs_path()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = folder / f"{day}.jsonl"
    is_new = not file.exists()
    descriptor = open_to_append(file)
    try:
        # The empty line in front separates it from a last line that was cut.
        os.write(descriptor, b"\n" + msgspec.json.encode(line) + b"\n")
    finally:
        os.close(descriptor)
    if is_new:
        for old in sorted(folder.glob("????-??-??.jsonl"))[:-_MOST_DAYS]:
            old.unlink(missing_ok=True)
