"""The devices that this build of llama.cpp can compute on, and their free memory, from ggml's registry."""

from __future__ import annotations

import ctypes
import logging
from dataclasses import dataclass
from typing import Any

from lsp_server.backends.base import ModelSpec
from lsp_server.backends.llama_library import load_library
from lsp_server.models import estimate

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Device:
    """A device that llama.cpp can compute on. backend: CPU, CUDA, Vulkan, … kind: CPU, GPU or other."""

    name: str
    description: str
    backend: str
    kind: str
    free_bytes: int
    total_bytes: int


_DEVICE_KINDS = {0: "CPU", 1: "GPU", 2: "GPU", 3: "other"}  # integrated GPUs are GPUs


def devices() -> list[Device]:
    """All devices of this build, from ggml's registry. Empty if the library lacks the functions."""
    load_library()
    try:
        return _devices()
    except (AttributeError, OSError, ImportError) as error:
        logger.debug("no list of devices: %s", error)
        return []


def _devices() -> list[Device]:
    from llama_cpp import _ggml

    ggml = _ggml.libggml

    def function(name: str, result: Any, *arguments: Any) -> Any:
        found = getattr(ggml, name)
        found.restype, found.argtypes = result, list(arguments)
        return found

    pointer, size = ctypes.c_void_p, ctypes.c_size_t
    count = function("ggml_backend_dev_count", size)
    get = function("ggml_backend_dev_get", pointer, size)
    name = function("ggml_backend_dev_name", ctypes.c_char_p, pointer)
    description = function("ggml_backend_dev_description", ctypes.c_char_p, pointer)
    kind = function("ggml_backend_dev_type", ctypes.c_int, pointer)
    registry = function("ggml_backend_dev_backend_reg", pointer, pointer)
    registry_name = function("ggml_backend_reg_name", ctypes.c_char_p, pointer)
    memory = function("ggml_backend_dev_memory", None, pointer, ctypes.POINTER(size), ctypes.POINTER(size))
    found = []
    for index in range(count()):
        device = get(index)
        free, total = size(), size()
        memory(device, ctypes.byref(free), ctypes.byref(total))
        named, described, backend = (
            text.decode("utf-8", "replace")
            for text in (name(device), description(device), registry_name(registry(device)))
        )
        what = _DEVICE_KINDS.get(kind(device), "other")
        found.append(Device(named, described, backend, what, free.value, total.value))
    return found


def system_info() -> str:
    """llama.cpp's own line about the CPU features that it was compiled for."""
    return str(load_library().api.llama_print_system_info().decode("utf-8", "replace"))


def room(spec: ModelSpec) -> estimate.Room:
    """The free memory for a model; with that of the GPU if this build and these settings use one."""
    library = load_library()
    if spec.gpu_layers == 0 or not library.api.llama_supports_gpu_offload():
        return estimate.Room(estimate.available_bytes())
    free = sum(device.free_bytes for device in devices() if device.kind == "GPU")
    return estimate.Room(estimate.available_bytes(), free or None)
