"""Loads the llama.cpp library, collects its log, and makes contexts to measure with. Only this imports `llama_cpp`."""

from __future__ import annotations

import ctypes
import logging
import os
import sys
import threading
import weakref
from typing import Any

from lsp_server.backends import calibration
from lsp_server.backends.base import ModelError
from lsp_server.system import control_groups

logger = logging.getLogger(__name__)

_ERROR_LEVEL = 4
_CONTINUED_LEVEL = 5


class _Log(threading.local):
    """llama.cpp's log. It goes to the logger instead of stdout or stderr; each thread's last errors are kept for
    messages."""

    def __init__(self) -> None:
        self.errors: list[str] = []
        self._level = 0

    def __call__(self, level: int, text: bytes, _: object) -> None:
        self._level = self._level if level == _CONTINUED_LEVEL else level
        line = text.decode("utf-8", "replace").strip()
        if not line:
            return
        if self._level >= _ERROR_LEVEL:
            self.errors = [*self.errors[-9:], line]
        logger.debug("%s", line)

    def reason(self) -> str:
        """The first logged error, which says why; the later ones only say where."""
        first = self.errors[0] if self.errors else "it does not say why"
        reason = first.split("error loading model: ")[-1].rstrip(".")
        broken = "gguf_" in reason or "file bounds" in reason
        return f"the file is damaged or incomplete ({reason})" if broken else reason


class Library:
    """The loaded library, and the objects that must live as long as it is used."""

    def __init__(self) -> None:
        # Waiting threads must not spin: with two cores and an editor that uses one, a decode step takes 114 ms with
        # spinning and 46 ms without. OpenMP reads this variable once, when the library loads.
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
        # Without this, an abort in llama.cpp starts gdb, which attaches itself to the server. The reason for the abort
        # goes to stderr in any case.
        os.environ.setdefault("GGML_NO_BACKTRACE", "1")
        try:
            import llama_cpp.llama_cpp as api
        except (ImportError, OSError, RuntimeError) as error:
            raise ModelError(
                f"llama.cpp cannot be loaded ({error}); install it again: "
                "pip install --force-reinstall --no-cache-dir llama-cpp-python"
            ) from None
        self.api = api
        self.log = _Log()
        self._callback = api.llama_log_callback(self.log)
        api.llama_log_set(self._callback, ctypes.c_void_p())
        api.llama_backend_init()


_library: Library | None = None


def load_library() -> Library:
    global _library  # noqa: PLW0603 - the library can be initialised once per process
    if _library is None:
        _library = Library()
    return _library


def give_back_memory() -> None:
    """Returns the freed memory of a closed model to the system; glibc would keep it otherwise."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def default_threads() -> int:
    """All cores of a small machine; half the cores of a larger one, since half of those are mostly second hardware
    threads. Never more than the control group's CPU quota allows."""
    cores = control_groups.visible_cores()
    return min(control_groups.usable_cores(), cores if cores <= 4 else max(4, min(cores // 2, 16)))


def thread_options(gpu: bool) -> tuple[int, ...]:
    """The numbers of threads worth trying: the usual one, and on a machine with few cores also one less, which leaves a
    core to the editor."""
    usual = default_threads()
    return (usual,) if gpu or usual < 2 or usual > 4 else (usual, usual - 1)


class MappedBytes:
    """How many bytes each loaded model has mapped from its file. One thread loads models and another closes them, so
    a lock guards everything. The models are held by weak references; a model that was garbage-collected no longer
    counts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bytes: dict[int, tuple[weakref.ref[object], int]] = {}

    def add(self, owner: object, count: int) -> None:
        with self._lock:
            self._bytes[id(owner)] = weakref.ref(owner), count

    def drop(self, owner: object) -> None:
        with self._lock:
            self._bytes.pop(id(owner), None)

    def total(self) -> int:
        with self._lock:
            self._bytes = {key: entry for key, entry in self._bytes.items() if entry[0]() is not None}
            return sum(count for _, count in self._bytes.values())


def put_token(batch: Any, index: int, sequence: int, position: int, token: int, *, wanted: bool) -> None:
    """Writes `token` into the batch at `index`. wanted: whether its logits are needed."""
    batch.token[index] = token
    batch.pos[index] = position
    batch.n_seq_id[index] = 1
    batch.seq_id[index][0] = sequence
    batch.logits[index] = wanted


class StopFlag:
    """Tells a running evaluation to stop. May be used on any thread.

    llama.cpp calls a C function at every node of its graph to ask whether to stop. A Python function would take the
    interpreter's lock each time. C's `atoi` on a string of one digit does the same: it returns 0 for "0" and 1 for "1".
    """

    def __init__(self) -> None:
        self._text = ctypes.create_string_buffer(b"0", 2)
        try:
            library = ctypes.cdll.msvcrt if sys.platform == "win32" else ctypes.CDLL(None)
            self._function: Any = library.atoi
        except (AttributeError, OSError):
            self._function = None

    @property
    def works(self) -> bool:
        return self._function is not None

    def watched_by(self, api: Any, context: Any) -> None:
        """Makes evaluations in `context` check this flag, which must outlive the context."""
        if self.works:
            callback = ctypes.cast(self._function, api.ggml_abort_callback)
            api.llama_set_abort_callback(context, callback, ctypes.cast(self._text, ctypes.c_void_p))

    def set(self, wanted: bool) -> None:
        self._text[0] = b"1" if wanted else b"0"


class Probe:
    """A context for measuring. Implements `calibration.Probe`."""

    def __init__(self, api: Any, vocabulary: int, context: Any) -> None:
        if not context:
            raise calibration.ProbeError("llama.cpp gives no context to measure with")
        self._api, self._context, self._length = api, context, 0
        self._memory = api.llama_get_memory(context)
        self._vocabulary = vocabulary
        self._batch = api.llama_batch_init(max(calibration.GPU_SIZES), 0, 1)

    def step(self, size: int, logits: int = 1) -> None:
        batch = self._batch
        batch.n_tokens = size
        for index in range(size):
            token = index * 7 % self._vocabulary
            put_token(batch, index, 0, self._length + index, token, wanted=index >= size - logits)
        if self._api.llama_decode(self._context, batch) != 0:
            raise calibration.ProbeError("llama.cpp fails in a context to measure with")
        self._api.llama_synchronize(self._context)
        self._length += size

    def back_to(self, depth: int) -> None:
        if self._length > depth:
            if not self._api.llama_memory_seq_rm(self._memory, 0, depth, -1):
                self._api.llama_memory_seq_rm(self._memory, 0, -1, -1)
            self._length = depth

    def use_threads(self, threads: int, batch_threads: int) -> None:
        self._api.llama_set_n_threads(self._context, threads, batch_threads)

    def close(self) -> None:
        self._api.llama_batch_free(self._batch)
        self._api.llama_free(self._context)
