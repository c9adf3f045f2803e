"""Estimates a model's memory from its header and the settings, before it is loaded.

Follows llama.cpp's own sums: weights, the copies in a layout that is faster on this CPU, KV cells, recurrent states,
the buffers of one chunk, and the vocabulary. tests/models/test_estimate.py compares them with the growth of a real
process.
"""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lsp_server.backends.base import ModelSpec, NoRoomError
from lsp_server.models.gguf import Header, LargeArray, Tensor
from lsp_server.system import control_groups

CPU_CHUNK, GPU_CHUNK = 128, 256
_CALIBRATED_GPU_CHUNK = 512  # the largest that a calibration may choose
_ROWS = 32  # rows of logits returned at once
CHECKPOINTS = 4  # saved states for each sequence of a recurrent model, besides its present one

READ_IN_BYTES = 256 << 20
_CELLS = 256  # KV cells come in multiples of this
_KV_BYTES = 2  # F16
_PER_TOKEN, _PER_MERGE = 160, 150  # bytes of llama.cpp's tables for one entry of the vocabulary, measured
_FIXED = 4 << 20  # the graph, the thread pool

# Tensor types of which llama.cpp keeps a second, interleaved copy, and the number of which their rows must be a
# multiple.
_REPACKED_X86 = {"Q4_0": 8, "Q4_K": 8, "IQ4_NL": 8, "MXFP4": 8}
_REPACKED_ARM = {"Q4_0": 4, "Q4_K": 8, "Q5_K": 8, "Q6_K": 8, "IQ4_NL": 4, "MXFP4": 4, "Q8_0": 4}

# The files with a control group's memory limit and usage, by the version of the interface.
_MEMORY_FILES = {1: ("memory.limit_in_bytes", "memory.usage_in_bytes"), 2: ("memory.max", "memory.current")}

# Tensors from which only rows are read; they are never multiplied.
_LOOKED_UP = ("token_embd", "per_layer_token_embd", "position_embd", "token_types")


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """All in bytes. weights: as in the file. repacked: copies for the CPU. kv: of all sequences, with recurrent states.
    compute: the buffers of a chunk and its logits. vocabulary: token tables and other fixed parts. device: how much of
    the total is in a GPU's memory."""

    weights: int
    repacked: int
    kv: int
    compute: int
    vocabulary: int
    device: int = 0

    @property
    def total(self) -> int:
        return self.weights + self.repacked + self.kv + self.compute + self.vocabulary

    @property
    def host(self) -> int:
        return self.total - self.device


@dataclass(frozen=True, slots=True)
class Room:
    """The free memory for a model, in bytes. device: on the GPU; None without one."""

    host: int
    device: int | None = None

    def without(self, taken: int) -> Room:
        """The same room with `taken` bytes less on the host."""
        return Room(max(0, self.host - taken), self.device)


def estimate(
    headers: Sequence[Header],
    spec: ModelSpec,
    *,
    gpu: bool = False,
    kv_bytes: float = _KV_BYTES,
    checkpoints: int = CHECKPOINTS,
) -> MemoryEstimate:
    """The memory of a model with these settings. headers: one for each part of the file.

    gpu: whether llama.cpp can offload; `spec.gpu_layers` is then the number of layers on the GPU. kv_bytes: of one
    value in the KV cache, 2 for F16. checkpoints: saved states of a recurrent model for each sequence.
    """
    main = headers[0]
    tensors = [tensor for header in headers for tensor in header.tensors]
    layers = main.hyper("block_count")
    offloaded = 0
    if gpu:
        offloaded = layers + 1 if spec.gpu_layers < 0 else min(spec.gpu_layers, layers + 1)
    usual = CPU_CHUNK if not offloaded else _CALIBRATED_GPU_CHUNK if spec.calibrate else GPU_CHUNK
    chunk = max(spec.chunk_tokens or usual, spec.sequences)
    weights = sum(tensor.bytes for tensor in tensors)
    repacked = 0 if offloaded > layers else _repacked_bytes(tensors, read_in=is_read_in(weights, on_gpu=offloaded > 0))
    kv = kv_cache_bytes(main, spec, kv_bytes, checkpoints)
    flash = {"on": True, "off": False, "auto": bool(offloaded)}[spec.flash_attention]
    compute = _compute_bytes(main, spec, chunk, flash=flash)
    share = offloaded / (layers + 1)
    looked_up = sum(tensor.bytes for tensor in tensors if tensor.name.startswith(_LOOKED_UP))
    device = round(share * (weights - looked_up + kv)) + (compute if offloaded else 0)
    return MemoryEstimate(weights, round(repacked * (1 - share)), kv, compute, _vocabulary_bytes(main), device)


def window_tokens(header: Header, spec: ModelSpec) -> int:
    """The actual window of a sequence: at most what the model was trained for."""
    trained = header.hyper("context_length")
    return min(spec.context_tokens, trained) if trained > 0 else spec.context_tokens


def kv_cache_bytes(header: Header, spec: ModelSpec, kv_bytes: float = _KV_BYTES, checkpoints: int = CHECKPOINTS) -> int:
    """KV cells and recurrent states of all sequences, with the greatest possible number of saved states.

    Sliding-window layers keep a full cache, so they save nothing.
    """
    layers = header.hyper("block_count") - header.hyper("nextn_predict_layers")
    heads = header.per_layer("attention.head_count", layers)
    kv_heads = header.per_layer("attention.head_count_kv", layers, -1)
    kv_heads = [many if own < 0 else own for own, many in zip(kv_heads, heads, strict=True)]
    width = header.hyper("embedding_length")
    head = width // max(1, max(heads, default=1))
    key, value = header.hyper("attention.key_length", head), header.hyper("attention.value_length", head)
    if header.hyper("attention.key_length_mla"):
        value = 0  # in a latent cache (MLA) the values are a part of the keys
    cells = -(-window_tokens(header, spec) // _CELLS) * _CELLS
    values = sum(count * (key + value) for count in kv_heads)
    total = round(values * cells * spec.sequences * kv_bytes)
    recurrent = sum(not count for count in kv_heads) if header.hyper("ssm.state_size") else 0
    return total + recurrent * spec.sequences * (1 + checkpoints) * _state_bytes(header)


def _state_bytes(header: Header) -> int:
    """The size of one layer's recurrent state for one sequence, in F32: the tail of the convolution, and the state."""
    inner, state = header.hyper("ssm.inner_size"), header.hyper("ssm.state_size")
    tail = max(0, header.hyper("ssm.conv_kernel") - 1)
    return 4 * (tail * (inner + 2 * header.hyper("ssm.group_count") * state) + inner * state)


def has_cpu_layout(type_name: str) -> bool:
    """Whether llama.cpp has a faster layout for this quantisation on this machine's CPU."""
    return type_name in _cpu_layouts()


def _cpu_layouts() -> dict[str, int]:
    return _REPACKED_ARM if platform.machine().lower() in ("arm64", "aarch64") else _REPACKED_X86


def is_read_in(file_bytes: int, *, on_gpu: bool) -> bool:
    """Whether a model's weights are read into memory, so that changes of the file do not matter. Larger models stay
    mapped: several servers share the pages, and the system can drop them when memory is short."""
    return file_bytes <= READ_IN_BYTES and not on_gpu


def _repacked_bytes(tensors: Sequence[Tensor], *, read_in: bool) -> int:
    """The size of the copies in another layout. Weights that are read in are read into that layout at once; only
    embeddings that are also the output layer are stored twice."""
    rows = _cpu_layouts()
    tied = not any(tensor.name == "output.weight" for tensor in tensors)
    total = 0
    for tensor in tensors:
        multiple = rows.get(tensor.type_name)
        if multiple is None or len(tensor.shape) < 2 or tensor.shape[1] % multiple:
            continue
        multiplied = not tensor.name.startswith(_LOOKED_UP) or (tied and tensor.name == "token_embd.weight")
        if multiplied and (not read_in or tensor.name == "token_embd.weight"):
            total += tensor.bytes
    return total


def _compute_bytes(header: Header, spec: ModelSpec, chunk: int, *, flash: bool) -> int:
    """The largest step of the graph, the residual, and the returned logits."""
    vocabulary, width = header.vocabulary, header.hyper("embedding_length")
    layers = header.hyper("block_count")
    heads = max(header.per_layer("attention.head_count", layers), default=0)
    hidden = max(header.per_layer("feed_forward_length", layers), default=0)
    hidden = max(hidden, header.hyper("expert_feed_forward_length") * header.hyper("expert_used_count"))
    inner = header.hyper("ssm.inner_size")
    cells = -(-window_tokens(header, spec) // _CELLS) * _CELLS
    scores = 0 if flash else 2 * cells * heads * chunk * 4
    mask = cells * chunk * (2 if flash else 4)
    rows = max(min(chunk, _ROWS), spec.sequences)  # the buffers are larger, but only this part is used
    steps = (scores, 3 * hidden * chunk * 4, 6 * inner * chunk * 4, vocabulary * rows * 4)
    handed_out = vocabulary * rows * 4
    return max(steps) + mask + 4 * width * chunk * 4 + handed_out


def _vocabulary_bytes(header: Header) -> int:
    merges = header.metadata.get("tokenizer.ggml.merges")
    count = merges.count if isinstance(merges, LargeArray) else 0
    return _FIXED + header.vocabulary * _PER_TOKEN + count * _PER_MERGE


# Free memory ---------------------------------------------------------------------------------------------


def available_bytes() -> int:
    """The memory that is available without swapping: the system's value, or a control group's if that is lower."""
    import psutil

    free = int(psutil.virtual_memory().available)
    return min([free, *_group_room()])


def _group_room() -> list[int]:
    """The memory that each control group above this process still allows, in bytes."""
    found = []
    for version, group in control_groups.groups("memory"):
        limit, used = _MEMORY_FILES[version]
        most = control_groups.number(group / limit)
        if most is not None:
            reclaimable = _field(group / "memory.stat", "inactive_file")
            found.append(max(0, most - (control_groups.number(group / used) or 0) + reclaimable))
    return found


def _field(path: Path, name: str) -> int:
    try:
        lines = path.read_text("utf-8").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{name} ")), 0)


# Refusals ------------------------------------------------------------------------------------------------


def fits(need: MemoryEstimate, room: Room) -> bool:
    return need.host <= room.host and (room.device is None or need.device <= room.device)


def largest_context(headers: Sequence[Header], spec: ModelSpec, room: Room) -> int:
    """The largest `context_tokens`, a multiple of 256, with which the model fits; 0 if none fits."""
    low, high = 0, max(1, window_tokens(headers[0], spec) // _CELLS)
    while low < high:
        middle = (low + high + 1) // 2
        if fits(estimate(headers, with_context(spec, middle * _CELLS), gpu=room.device is not None), room):
            low = middle
        else:
            high = middle - 1
    return low * _CELLS


def layers_that_fit(headers: Sequence[Header], spec: ModelSpec, device_bytes: int) -> int:
    """How many layers fit on a GPU with this much free memory."""
    layers = headers[0].hyper("block_count") + 1
    for count in range(layers, 0, -1):
        need = estimate(headers, dataclasses.replace(spec, gpu_layers=count), gpu=True)
        if need.device <= device_bytes:
            return count
    return 0


def fit_layers(headers: Sequence[Header], spec: ModelSpec, room: Room) -> ModelSpec:
    """The settings with as many layers on the GPU as fit into its memory, unless the user has set a number."""
    if spec.gpu_layers >= 0 or room.device is None or estimate(headers, spec, gpu=True).device <= room.device:
        return spec
    return dataclasses.replace(spec, gpu_layers=layers_that_fit(headers, spec, room.device))


def with_context(spec: ModelSpec, context_tokens: int) -> ModelSpec:
    return dataclasses.replace(spec, context_tokens=context_tokens)


def check_room(headers: Sequence[Header], spec: ModelSpec, room: Room) -> MemoryEstimate:
    """The estimate for a model. Raises NoRoomError, with the largest context that fits, if there is not enough
    memory."""
    gpu = room.device is not None
    need = estimate(headers, spec, gpu=gpu)
    if fits(need, room):
        return need
    path = headers[0].path
    on_device = room.device is not None and need.device > room.device
    wants, has = (need.device, room.device or 0) if on_device else (need.host, room.host)
    where = "of the GPU's memory" if on_device else "of memory"
    sizes = f"{path} needs {megabytes(wants)} MB {where} ({_parts(need)}) and {megabytes(has)} MB are free"
    context = largest_context(headers, spec, room)
    if context >= _CELLS:
        raise NoRoomError(f"{sizes}; the largest context_tokens that fits is {context}")
    advice = "lower gpu_layers, or " if on_device else "lower resident_prompts, or "
    raise NoRoomError(f"{sizes}; no context fits: {advice}set `model` to a smaller one")


def _parts(need: MemoryEstimate) -> str:
    return (
        f"weights {megabytes(need.weights + need.repacked)}, KV cache {megabytes(need.kv)}, "
        f"the rest {megabytes(need.compute + need.vocabulary)}"
    )


def megabytes(count: int) -> int:
    return -(-count // (1 << 20))
