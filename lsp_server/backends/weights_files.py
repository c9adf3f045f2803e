"""The files from which a loaded model's weights are mapped; checked before each step.

If another program overwrites a mapped file, the weights are lost: an access after the new end ends the process, and
before it the model computes with wrong data. A file that is replaced, as by `mv`, keeps its content for us.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Sequence
from pathlib import Path

from lsp_server.backends.base import ModelError
from lsp_server.models.estimate import is_read_in

_PART = re.compile(r"-\d{5}(-of-\d{5}\.gguf)$")


class WeightsFiles:
    """Holds the files open, so that it checks the mapped files themselves and not new files with the same names."""

    def __init__(self, paths: Sequence[Path] = ()) -> None:
        self._open: list[tuple[Path, int, tuple[int, int]]] = []
        try:
            for path in paths:
                descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0))
                self._open.append((path, descriptor, _state(descriptor)))
        except OSError:
            self.close()
            raise

    @classmethod
    def mapped_from(cls, path: Path, *, on_gpu: bool) -> WeightsFiles:
        """The files of the model at `path`, with all its parts; empty if the weights are read into memory instead.
        Raises ModelError."""
        part = _PART.search(path.name)
        paths = sorted(path.parent.glob(f"{glob.escape(path.name[: part.start()])}-*{part[1]}")) if part else [path]
        try:
            read_in = is_read_in(sum(each.stat().st_size for each in paths), on_gpu=on_gpu)
            return cls(() if read_in else paths)
        except OSError as error:
            raise ModelError(f"model file {path} cannot be read: {error.strerror or error}") from None

    def check(self) -> None:
        """Raises ModelError if a file has changed since it was opened."""
        for path, descriptor, state in self._open:
            if _state(descriptor) != state:
                raise ModelError(f"{path} was written over while it was in use; it is loaded anew when it is whole")

    def __bool__(self) -> bool:
        return bool(self._open)

    def close(self) -> None:
        for _, descriptor, _ in self._open:
            os.close(descriptor)
        self._open.clear()


def _state(descriptor: int) -> tuple[int, int]:
    entry = os.fstat(descriptor)
    return entry.st_size, entry.st_mtime_ns
