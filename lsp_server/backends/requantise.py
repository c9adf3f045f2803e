"""Makes a copy of a model in a quantisation that llama.cpp computes faster on CPUs.

Some quantisations have a second, interleaved memory layout for CPUs; of the others, some take much longer to unpack.
`bench copies` compares them.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lsp_server.backends.base import ModelError
from lsp_server.backends.llama_library import default_threads, load_library
from lsp_server.models import admission, estimate
from lsp_server.models.gguf import Header, Tensor, read_header
from lsp_server.models.gguf_types import TENSOR_TYPES

# The types of copies, by their number in `TENSOR_TYPES`. Q8_0 is larger than most others and simple to compute, and a
# value loses next to nothing in it; Q4_0 is small, and has an interleaved layout.
TYPES = {"Q8_0": 8, "Q4_0": 2}
# Metadata keys of a copy that name its source file.
SOURCE_KEY, SHA256_KEY = "fimble.source", "fimble.source.sha256"
_LONGEST_VALUE = 127
_POLL_S = 0.05


def can_be_faster(header: Header, type_name: str) -> bool:
    """Whether a copy in one of `TYPES` may be faster on this CPU. In Q8_0, if most layer weights have other types
    without an interleaved layout. In Q4_0, if there is a layout for it, and most layer weights have other types, which
    are not smaller on average."""
    rows = _layer_weights(header)
    elements, others = sum(tensor.elements for tensor in rows), [t for t in rows if t.type_name != type_name]
    if type_name == "Q8_0":
        others = [tensor for tensor in others if not estimate.has_cpu_layout(tensor.type_name)]
    elif not estimate.has_cpu_layout(type_name) or _bytes_as(rows, type_name) > sum(tensor.bytes for tensor in rows):
        return False
    return 2 * sum(tensor.elements for tensor in others) > elements


def copy_bytes(header: Header, type_name: str) -> int:
    """The size of a copy's file, about."""
    rows = _layer_weights(header)
    return header.file_bytes - sum(tensor.bytes for tensor in rows) + _bytes_as(rows, type_name)


def _layer_weights(header: Header) -> list[Tensor]:
    return [tensor for tensor in header.tensors if len(tensor.shape) > 1 and tensor.name.startswith("blk.")]


def _bytes_as(tensors: Sequence[Tensor], type_name: str) -> int:
    """The bytes of the tensors' values in this type."""
    block, block_bytes = TENSOR_TYPES[TYPES[type_name]][1:]
    return sum(tensor.elements for tensor in tensors) * block_bytes // block


def quantise(source: Header, target: Path, entries: Mapping[str, str], type_name: str) -> None:
    """Writes a copy of `source` in the llama.cpp mixture named `type_name`. entries: metadata to add. Raises
    ModelError."""
    library = load_library()
    api = library.api
    params = api.llama_model_quantize_default_params()
    params.nthread = default_threads()
    params.ftype = getattr(api, f"LLAMA_FTYPE_MOSTLY_{type_name}")
    params.allow_requantize = True
    # The embeddings keep their type; often they are the output layer too.
    kept = {tensor.name: tensor.type for tensor in source.tensors}
    params.token_embedding_type = kept["token_embd.weight"]
    params.output_tensor_type = kept.get("output.weight", kept["token_embd.weight"])
    overrides = (api.llama_model_kv_override * (len(entries) + 1))()  # an empty last entry ends the list
    for override, (key, value) in zip(overrides, entries.items(), strict=False):
        override.tag = api.LLAMA_KV_OVERRIDE_TYPE_STR
        override.key = key.encode()
        override.value.val_str = value.encode()[:_LONGEST_VALUE]
    params.kv_overrides = ctypes.cast(overrides, ctypes.POINTER(api.llama_model_kv_override))
    library.log.errors.clear()
    if api.llama_model_quantize(os.fsencode(source.path), os.fsencode(target), ctypes.byref(params)) != 0:
        raise ModelError(library.log.reason())


def quantise_in_child(
    source: Path, target: Path, entries: Mapping[str, str], type_name: str, progress: Callable[[float], bool]
) -> None:
    """Runs `quantise` in a process of its own, which may crash and can be killed at any time. Raises ModelError, also
    if `progress` returns False."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        arguments = [__name__, str(source.absolute()), str(target.absolute()), type_name, json.dumps(dict(entries))]
        child = admission.start_module(arguments, out, errors)
        try:
            while child.poll() is None:
                if not progress(0.0):
                    raise ModelError("quantising was given up")
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(_POLL_S)
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
        out.seek(0)
        errors.seek(0)
        answers = admission.read_answers(out.read())
        said = errors.read().decode("utf-8", "replace")
    refusal = answers[0] if answers else admission.describe_end(child.returncode, said)
    if refusal:
        raise ModelError(f"{source.name} cannot be quantised as {type_name}: {refusal}")


def main(arguments: Sequence[str]) -> int:
    """Quantises one file into another. Prints one line of JSON to stdout, with the reason if it failed, else an empty
    string."""
    source, target, type_name, entries = arguments
    out = os.dup(1)
    os.dup2(2, 1)  # output of the native library must not mix with the answer
    refusal = ""
    try:
        quantise(read_header(Path(source)), Path(target), json.loads(entries), type_name)
    except ModelError as error:
        refusal = str(error)
    os.write(out, json.dumps({"refusal": refusal}).encode() + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
