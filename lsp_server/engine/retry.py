"""When a model that failed is tried again: once its files have changed, or after a pause that grows.

A file can appear or be completed, memory can become free, a GPU can be lost and come back. Nothing runs in the
background for that: a key asks, and is told whether it is time.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from lsp_server.backends.base import ModelSpec

# So many steps in a row that fail are no longer one request's trouble.
MOST_FAILURES = 3

# The first pauses, in seconds: where it may work without a change of the files, and where only that would help as far
# as we know. Each is twice the one before it.
PASSING_PAUSE_S, LASTING_PAUSE_S = 2.0, 60.0
LONGEST_PASSING_PAUSE_S, LONGEST_LASTING_PAUSE_S = 60.0, 600.0
# And between two looks at the files.
_LOOK_PAUSE_S, _LONGEST_LOOK_PAUSE_S = 0.5, 30.0

_PART = re.compile(r"-\d{5}-of-(\d{5})\.gguf$")
_MOST_PARTS = 512

# Size, times and inode of each file; None for one that cannot be seen.
FilesState = tuple[tuple[int, ...] | None, ...]


def files_state(spec: ModelSpec) -> FilesState:
    """What the files that a model is loaded from are like now."""
    return tuple(map(_state, _files(spec)))


def _files(spec: ModelSpec) -> Iterator[str]:
    for path in filter(None, (spec.path, spec.draft, *(adapter.path for adapter in spec.adapters))):
        whole = os.path.expanduser(path)  # noqa: PTH111 - never fails, unlike Path's
        part = _PART.search(whole)
        count = min(int(part[1]), _MOST_PARTS) if part else 0
        if part and count:
            yield from (f"{whole[: part.start()]}-{number:05}-of-{part[1]}.gguf" for number in range(1, count + 1))
        else:
            yield whole


def _state(path: str) -> tuple[int, ...] | None:
    try:
        entry = os.stat(path)  # noqa: PTH116
    except (OSError, ValueError):
        return None
    return entry.st_size, entry.st_mtime_ns, entry.st_ctime_ns, entry.st_ino


class Health:
    """Whether a loaded model's steps work. failures: how many have failed since the last one that worked. worked:
    whether any has."""

    def __init__(self) -> None:
        self.failures = 0
        self.worked = False

    @property
    def broken(self) -> bool:
        return self.failures >= MOST_FAILURES

    def told(self, name: str, why: str) -> str:
        """What a user is told when the model is given up."""
        return f"{name} failed {self.failures} times in a row and is unloaded; it is tried again as you type: {why}"

    def step(self, *, works: bool) -> None:
        self.failures = 0 if works else self.failures + 1
        self.worked = self.worked or works


class Retry:
    """What is known of one role's failures. Plain data on a clock that is passed in, in seconds.

    tries: how often loading has failed, or the loaded model, since it last worked for a while.
    """

    def __init__(self) -> None:
        self.tries = 0
        self._files: FilesState = ()
        self._due = 0.0
        self._look_at = 0.0
        self._looking = False
        self._pause = 0.0
        self._ready_at = 0.0

    def ready(self, now: float) -> None:
        self._ready_at = now

    def failed(self, now: float, files: FilesState, *, passing: bool, worked: bool) -> None:
        """Notes a failure. files: their state when they were read. passing: whether it may work with the same files.
        worked: whether the model had been loaded and worked."""
        if worked and now - self._ready_at > self._pause:
            self.tries = 0
        first = PASSING_PAUSE_S if passing else LASTING_PAUSE_S
        longest = LONGEST_PASSING_PAUSE_S if passing else LONGEST_LASTING_PAUSE_S
        self._pause = min(longest, first * 2**self.tries)
        self._due = now + self._pause
        self._look_at = now + (min(_LONGEST_LOOK_PAUSE_S, _LOOK_PAUSE_S * 2**self.tries) if self.tries else 0.0)
        self._files = files
        self.tries = min(self.tries + 1, 16)

    def due(self, now: float) -> bool:
        """Whether it is time to try again whatever has become of the files."""
        return now >= self._due

    def looks(self, now: float) -> bool:
        """Whether somebody should look at the files now; true for one at a time, who then tells `changed`."""
        if self._looking or now < self._look_at:
            return False
        self._looking = True
        return True

    def changed(self, now: float, files: FilesState) -> bool:
        """Whether the files are not what they were when it failed."""
        self._looking = False
        self._look_at = max(self._look_at, now + _LOOK_PAUSE_S)
        return files != self._files
