"""The LoRA adapters of a loaded llama.cpp model: adds and removes them without loading the model again."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lsp_server.backends.base import Adapter, ModelError
from lsp_server.backends.llama_library import Library
from lsp_server.models import admission
from lsp_server.models.gguf_parts import read_model
from lsp_server.models.slow_files import patiently

# A file's path, size and modification time.
_Stamp = tuple[str, int, int]


class LoadedAdapters:
    """The adapters that are loaded for one model and set on its context. llama.cpp frees them with the model.

    model, context: llama.cpp's pointers. path: the model's file.
    """

    def __init__(self, library: Library, model: Any, context: Any, path: Path) -> None:
        self._api, self._log = library.api, library.log
        self._model, self._context, self._path = model, context, path
        self._loaded: dict[_Stamp, Any] = {}

    def use(self, adapters: Sequence[Adapter]) -> None:
        """Replaces the adapters in use by these. The content of the KV cache is invalid afterwards. The adapters must
        have been admitted: llama.cpp ends the process on some well-formed files.

        Raises ModelError, one line, if one cannot be used; then nothing is changed.
        """
        wanted: dict[_Stamp, Any] = {}
        scales: list[float] = []
        try:
            for adapter in adapters:
                path = Path(adapter.path)
                stamp = _stamp(path)
                if stamp in wanted:
                    raise ModelError(f"the LoRA adapter {path} is named twice in `lora`")
                wanted[stamp] = self._loaded.get(stamp) or self._open(path)
                scales.append(adapter.scale)
            self._set(list(wanted.values()), scales)
        except ModelError:
            self._free({stamp: pointer for stamp, pointer in wanted.items() if stamp not in self._loaded})
            raise
        unused = {stamp: pointer for stamp, pointer in self._loaded.items() if stamp not in wanted}
        self._loaded = wanted
        self._free(unused)

    def admit(self, adapters: Sequence[Adapter], progress: Callable[[float], bool], gpu_layers: int) -> None:
        """Raises ModelError, one line, if an adapter is missing, damaged, for another model, or does not work with this
        one. It does not touch llama.cpp in this process, so it may run beside the thread that uses the model."""
        base = patiently(lambda _: read_model(self._path), self._path, progress) if adapters else []
        for adapter in adapters:
            admission.admit_adapter(adapter, base, progress, gpu_layers=gpu_layers)

    def _open(self, path: Path) -> Any:
        self._log.errors.clear()
        pointer = self._api.llama_adapter_lora_init(self._model, os.fsencode(path))
        if not pointer:
            raise ModelError(f"llama.cpp cannot load the LoRA adapter {path}: {self._log.reason()}")
        return pointer

    def _set(self, pointers: list[Any], scales: list[float]) -> None:
        count = len(pointers)
        array = (self._api.llama_adapter_lora_p_ctypes * count)(*pointers)
        values = (ctypes.c_float * count)(*scales)
        if self._api.llama_set_adapters_lora(self._context, array, count, values) != 0:
            raise ModelError("llama.cpp does not take these LoRA adapters together; take one out of `lora`")

    def _free(self, adapters: dict[_Stamp, Any]) -> None:
        for pointer in adapters.values():
            self._api.llama_adapter_lora_free(pointer)


def _stamp(path: Path) -> _Stamp:
    try:
        entry = path.stat()
    except OSError as error:
        raise ModelError(f"the LoRA adapter {path} cannot be read: {error.strerror or error}") from None
    return str(path), entry.st_size, entry.st_mtime_ns
