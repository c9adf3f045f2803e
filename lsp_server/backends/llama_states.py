"""Saves and restores llama.cpp's state of a sequence: for checkpoints of recurrent models, and for saved prompts."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lsp_server.backends.base import Adapter, SequenceState
from lsp_server.models import estimate, ledger


class SequenceStates:
    """The sequences of one context.

    recurrent: a sequence can be cut back only to lengths at which `checkpoint` was called.
    sliding: how many of the last tokens some layers see, 0 if all layers see all; llama.cpp saves no more for those.
    """

    def __init__(self, api: Any, context: Any, *, recurrent: bool, sliding: int = 0) -> None:
        self._api, self._context, self._recurrent, self._sliding = api, context, recurrent, sliding
        self._memory = api.llama_get_memory(context)
        self._checkpoints: dict[int, list[tuple[int, Any]]] = {}
        # The lengths below which restored sequences cannot be cut back, since earlier cells are missing. llama.cpp
        # would cut them without an error, and compute with the remaining cells.
        self._least: dict[int, int] = {}

    def length(self, sequence: int) -> int:
        return int(self._api.llama_memory_seq_pos_max(self._memory, sequence)) + 1

    def checkpoint(self, sequence: int) -> None:
        if not self._recurrent:
            return
        state = self._taken(sequence, self._api.LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY)
        if state is not None:
            length = self.length(sequence)
            kept = [entry for entry in self._checkpoints.get(sequence, []) if entry[0] < length]
            self._checkpoints[sequence] = [*kept, (length, state)][-estimate.CHECKPOINTS :]

    def truncate(self, sequence: int, length: int) -> int:
        held = self.length(sequence)
        if held <= length:
            return held
        kept = [entry for entry in self._checkpoints.get(sequence, []) if entry[0] <= length]
        self._checkpoints[sequence] = kept
        whole = length >= self._least.get(sequence, 0)
        removed = whole and self._api.llama_memory_seq_rm(self._memory, sequence, length, -1)
        if not removed and not (kept and self._back_to(sequence, *kept[-1])):
            self._empty(sequence)
        return self.length(sequence)

    def copy(self, source: int, target: int) -> None:
        self._api.llama_memory_seq_rm(self._memory, target, -1, -1)
        # Between streams only whole sequences can be copied; the caller cuts the copy.
        self._api.llama_memory_seq_cp(self._memory, source, target, -1, -1)
        self._checkpoints[target] = list(self._checkpoints.get(source, []))
        self._least[target] = self._least.get(source, 0)

    def save(self, sequence: int) -> SequenceState | None:
        length = self.length(sequence)
        state = self._taken(sequence, self._api.LLAMA_STATE_SEQ_FLAGS_NONE) if length else None
        if state is None:
            return None
        earlier = [(at, memoryview(kept).cast("B")) for at, kept in self._checkpoints.get(sequence, []) if at <= length]
        return SequenceState(length, memoryview(state).cast("B"), tuple(earlier))

    def restore(self, sequence: int, state: SequenceState) -> int:
        self._empty(sequence)
        if self._put(sequence, _array(state.data), self._api.LLAMA_STATE_SEQ_FLAGS_NONE):
            # Copied, so that the whole read buffer can be freed.
            earlier = [(at, (ctypes.c_uint8 * len(kept)).from_buffer_copy(kept)) for at, kept in state.checkpoints]
            self._checkpoints[sequence] = earlier if self._recurrent else []
            self._least[sequence] = state.length if 0 < self._sliding < state.length else 0
            if self.length(sequence) == state.length:
                return state.length
        self._empty(sequence)
        return 0

    def _empty(self, sequence: int) -> None:
        self._checkpoints[sequence] = []
        self._least[sequence] = 0
        self._api.llama_memory_seq_rm(self._memory, sequence, -1, -1)

    def _back_to(self, sequence: int, length: int, state: Any) -> bool:
        """Restores a recurrent model's sequence from a checkpoint."""
        restored = self._put(sequence, state, self._api.LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY)
        # A hybrid model also has attention layers, whose cells can be cut.
        return restored and bool(self._api.llama_memory_seq_rm(self._memory, sequence, length, -1))

    def _taken(self, sequence: int, flags: int) -> Any:
        """The state of a sequence as a ctypes array; None if llama.cpp does not give it."""
        size = self._api.llama_state_seq_get_size_ext(self._context, sequence, flags)
        state = (ctypes.c_uint8 * size)()
        written = self._api.llama_state_seq_get_data_ext(self._context, state, size, sequence, flags)
        return state if size and written == size else None

    def _put(self, sequence: int, state: Any, flags: int) -> bool:
        size = len(state)
        return bool(self._api.llama_state_seq_set_data_ext(self._context, state, size, sequence, flags) == size)


def _array(data: memoryview) -> Any:
    """The bytes as a ctypes array, without a copy if possible."""
    kind = ctypes.c_uint8 * len(data)
    return kind.from_buffer_copy(data) if data.readonly else kind.from_buffer(data)


def state_key(api: Any, paths: Sequence[Path], adapters: Sequence[Adapter], *, flash: bool, gpu: bool) -> str:
    """A name for everything that a saved state depends on: the model's files (SHA-256 if known, else size and times),
    the adapters, the types of the KV cache, and the llama.cpp build. Empty if a file cannot be examined."""
    params = api.llama_context_default_params()
    try:
        library = Path(api._lib._name).stat()
        files = [_identity(path) for path in paths]
        changes = [(_identity(Path(adapter.path)), adapter.scale) for adapter in adapters]
    except (OSError, AttributeError):
        return ""
    build = version("llama-cpp-python"), library.st_size, library.st_mtime_ns, api.LLAMA_STATE_SEQ_VERSION
    return repr((files, changes, params.type_k, params.type_v, flash, gpu, build))


def _identity(path: Path) -> str:
    known = ledger.known_sha256(path)
    if known is not None:
        return known
    entry = path.stat()
    return repr((str(path.absolute()), entry.st_size, entry.st_mtime_ns, entry.st_ctime_ns, entry.st_ino))
