"""Makes a copy of a model in a quantisation that llama.cpp computes faster on CPUs.

Only some quantisations have a second, interleaved memory layout for CPUs. `bench copies` compares them.
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
from lsp_server.models.gguf import Header, read_header
from lsp_server.models.gguf_types import TENSOR_TYPES

TYPE, _TYPE_NUMBER = "Q4_0", 2
# Metadata keys of a copy that name its source file.
SOURCE_KEY, SHA256_KEY = "fimble.source", "fimble.source.sha256"
_LONGEST_VALUE = 127
_POLL_S = 0.05


def can_be_faster(header: Header) -> bool:
    """Whether a copy in `TYPE` may be faster on this CPU: the CPU has a layout for it, most layer weights have other
    types, and they are not smaller than `TYPE` on average."""
    rows = [tensor for tensor in header.tensors if len(tensor.shape) > 1 and tensor.name.startswith("blk.")]
    block, block_bytes = TENSOR_TYPES[_TYPE_NUMBER][1:]
    elements, size = sum(tensor.elements for tensor in rows), sum(tensor.bytes for tensor in rows)
    same = sum(tensor.elements for tensor in rows if tensor.type == _TYPE_NUMBER)
    return 2 * same < elements and size * block >= elements * block_bytes and estimate.has_cpu_layout(TYPE)


def quantise(source: Header, target: Path, entries: Mapping[str, str], type_name: str = TYPE) -> None:
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
    source: Path, target: Path, entries: Mapping[str, str], progress: Callable[[float], bool]
) -> None:
    """Runs `quantise` in a process of its own, which may crash and can be killed at any time. Raises ModelError, also
    if `progress` returns False."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        arguments = [__name__, str(source.absolute()), str(target.absolute()), json.dumps(dict(entries))]
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
        raise ModelError(f"{source.name} cannot be quantised as {TYPE}: {refusal}")


def main(arguments: Sequence[str]) -> int:
    """Quantises one file into another. Prints one line of JSON to stdout, with the reason if it failed, else an empty
    string."""
    source, target, entries = arguments
    out = os.dup(1)
    os.dup2(2, 1)  # output of the native library must not mix with the answer
    refusal = ""
    try:
        quantise(read_header(Path(source)), Path(target), json.loads(entries))
    except ModelError as error:
        refusal = str(error)
    os.write(out, json.dumps({"refusal": refusal}).encode() + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
