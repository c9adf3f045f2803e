"""When a failed model is loaded again: after its files have changed, or after a pause that grows.

A file can appear or become complete, memory can become free, a GPU can be lost and come back. Nothing polls for that in
the background: each key asks whether it is time. The pauses are lengthened at random, so that programs that wait for
the same server do not all come back in the same moment.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable, Iterator

from lsp_server.backends.base import ModelSpec

# A model counts as broken after this many failed steps in a row; fewer may be the fault of one request.
MOST_FAILURES = 3

# The first pauses, in seconds. Passing: loading may succeed with the same files. Lasting: as far as we know it needs
# other files. Each pause is twice the one before.
PASSING_PAUSE_S, LASTING_PAUSE_S = 2.0, 60.0
LONGEST_PASSING_PAUSE_S, LONGEST_LASTING_PAUSE_S = 60.0, 600.0
# A pause is longer than that by up to this share of it, at random.
_SPREAD_SHARE = 0.5
# The pause between two checks of the files.
_LOOK_PAUSE_S, _LONGEST_LOOK_PAUSE_S = 0.5, 30.0

_PART = re.compile(r"-\d{5}-of-(\d{5})\.gguf$")
_MOST_PARTS = 512

# Size, times and inode of each file; None for a file that cannot be read.
FilesState = tuple[tuple[int, ...] | None, ...]


def files_state(spec: ModelSpec) -> FilesState:
    """The present state of the files from which a model is loaded."""
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
    """Whether a loaded model's steps succeed. failures: how many steps have failed since the last success. worked:
    whether any step has succeeded."""

    def __init__(self) -> None:
        self.failures = 0
        self.worked = False

    @property
    def broken(self) -> bool:
        return self.failures >= MOST_FAILURES

    def message(self, name: str, why: str) -> str:
        """The message for the user when the model is unloaded."""
        return f"{name} failed {self.failures} times in a row and is unloaded; it is tried again as you type: {why}"

    def step(self, *, works: bool) -> None:
        self.failures = 0 if works else self.failures + 1
        self.worked = self.worked or works


class Retry:
    """The failures of one role. Plain data on a clock that is passed in, in seconds.

    tries: how often loading or the loaded model has failed since it last worked for a while. spread: gives a random
    number from 0 to 1.
    """

    def __init__(self, spread: Callable[[], float] = random.random) -> None:
        self._spread = spread
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
        """Notes a failure. files: the state of the files when they were read. passing: whether loading may succeed with
        the same files. worked: whether the model had been loaded and worked."""
        if worked and now - self._ready_at > self._pause:
            self.tries = 0
        first = PASSING_PAUSE_S if passing else LASTING_PAUSE_S
        longest = LONGEST_PASSING_PAUSE_S if passing else LONGEST_LASTING_PAUSE_S
        self._pause = min(longest, first * 2**self.tries)
        self._due = now + self._pause * (1 + _SPREAD_SHARE * self._spread())
        self._look_at = now + (min(_LONGEST_LOOK_PAUSE_S, _LOOK_PAUSE_S * 2**self.tries) if self.tries else 0.0)
        self._files = files
        self.tries = min(self.tries + 1, 16)

    def due(self, now: float) -> bool:
        """Whether the pause is over, so that loading is tried again with the same files too."""
        return now >= self._due

    def should_check_files(self, now: float) -> bool:
        """Whether the caller should check the files now. After True, it is False until that caller has called
        `changed`."""
        if self._looking or now < self._look_at:
            return False
        self._looking = True
        return True

    def changed(self, now: float, files: FilesState) -> bool:
        """Whether the files have changed since the failure."""
        self._looking = False
        self._look_at = max(self._look_at, now + _LOOK_PAUSE_S)
        return files != self._files
