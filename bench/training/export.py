"""`export`: writes a checkpoint as GGUF: the model from scratch in F16 or Q8_0, or the adapter.

Besides llama.cpp's keys, the adapter has `fimble.fim_format` (the format's name in the server's table) and
`fimble.base_sha256` (the SHA-256 of the file it was trained with).
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.training.gguf_files import finish, write_copy
from bench.training.tokenizer import PRE_TOKENIZER, SPECIAL

MODEL_NAME = "fimble starter"
ADAPTER_NAME = "fimble FIM adapter for Gemma 3 270M"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--checkpoint", type=Path, required=True, metavar="FILE")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the .gguf file")
    parser.add_argument("--tokenizer", type=Path, metavar="FILE", help="tokenizer.json, for the model from scratch")
    parser.add_argument("--base", type=Path, metavar="FILE", help="the base's GGUF file, for the adapter")
    parser.add_argument("--merge", action="store_true", help="the adapter inside a copy of its base: a whole model")
    parser.add_argument("--type", choices=("f32", "f16", "q8_0", "q4_0"), default="f16", help="q4_0 takes llama.cpp")


def run(options: argparse.Namespace) -> int:
    state = torch.load(options.checkpoint, map_location="cpu", weights_only=True)
    about, weights = state["about"], {name: value.numpy() for name, value in state["model"].items()}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    if about["kind"] == "gemma-adapter":
        if options.base is None:
            raise ValueError("an adapter is exported with --base FILE, the file that it was trained over")
        if options.merge:
            write_merged(options.out, about, weights, options.base)
        else:
            write_adapter(options.out, about, weights, options.base, options.type)
    elif options.tokenizer is None:
        raise ValueError("the model is exported with --tokenizer FILE")
    elif options.type == "q4_0":
        whole = options.out.with_suffix(".f16.gguf")
        write_model(whole, about["config"], weights, options.tokenizer, "f16")
        quantise(whole, options.out)
        whole.unlink()
    else:
        write_model(options.out, about["config"], weights, options.tokenizer, options.type)
    print(
        f"{options.out}: {options.out.stat().st_size / 1e6:.1f} MB,"
        f" after {state['progress']['tokens'] / 1e6:.1f} M tokens"
    )
    return 0


def write_model(path: Path, config: dict[str, Any], weights: dict[str, np.ndarray], tokenizer: Path, kind: str) -> None:
    """Writes a `llama` with its byte-level BPE. kind: f32, f16 or q8_0, of the matrices; norms are F32."""
    import gguf

    fields = json.loads(tokenizer.read_text("utf-8"))
    vocabulary: dict[str, int] = fields["model"]["vocab"] | {t["content"]: t["id"] for t in fields["added_tokens"]}
    tokens = sorted(vocabulary, key=lambda spelling: vocabulary[spelling])
    if len(tokens) != config["vocabulary"]:
        raise ValueError(f"the tokenizer has {len(tokens)} tokens, the model {config['vocabulary']}")
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in fields["model"]["merges"]]
    control = set(SPECIAL)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name(MODEL_NAME)
    writer.add_context_length(int(config["context"]))
    writer.add_embedding_length(int(config["width"]))
    writer.add_block_count(int(config["layers"]))
    writer.add_feed_forward_length(int(config["hidden"]))
    writer.add_head_count(int(config["heads"]))
    writer.add_head_count_kv(int(config["kv_heads"]))
    writer.add_rope_dimension_count(int(config["width"]) // int(config["heads"]))
    writer.add_rope_freq_base(float(config["rope_base"]))
    writer.add_layer_norm_rms_eps(float(config["epsilon"]))
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(PRE_TOKENIZER)
    writer.add_token_list(tokens)
    types = [int(gguf.TokenType.CONTROL if token in control else gguf.TokenType.NORMAL) for token in tokens]
    writer.add_token_types(types)
    writer.add_token_merges(merges)
    writer.add_eos_token_id(vocabulary[SPECIAL[0]])
    writer.add_add_bos_token(False)
    for name, values in weights.items():
        _add(writer, name, values, "f32" if values.ndim == 1 else kind)
    finish(writer)


def write_adapter(
    path: Path, about: dict[str, Any], weights: dict[str, np.ndarray], base: Path | None, kind: str = "f16"
) -> None:
    """Writes a LoRA adapter as llama.cpp reads it: A of (rank, inputs) and B of (outputs, rank) for each matrix."""
    import gguf

    writer = gguf.GGUFWriter(path, "gemma3")
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_name(ADAPTER_NAME)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, float(about["alpha"]))
    writer.add_string("fimble.fim_format", about["format"])
    if base is not None:
        writer.add_string("fimble.base_sha256", hashlib.sha256(base.read_bytes()).hexdigest())
    for name, values in weights.items():
        matrix, _, which = name.rpartition(".lora_")
        _add(writer, f"{matrix}.weight.lora_{which}", values, kind)
    finish(writer)


def write_merged(path: Path, about: dict[str, Any], weights: dict[str, np.ndarray], base: Path) -> None:
    """Writes `base` with the adapter added to its matrices, in F16, for programs that cannot load adapters. The file
    has the adapter's name, so that the server finds its format."""

    def changed(name: str, values: np.ndarray) -> np.ndarray:
        matrix = name.removesuffix(".weight")
        if f"{matrix}.lora_a" not in weights:
            return values
        change: np.ndarray = weights[f"{matrix}.lora_b"] @ weights[f"{matrix}.lora_a"]
        return (values + about["alpha"] / about["rank"] * change).astype(np.float16)

    write_copy(base, path, changed, {"general.name": ADAPTER_NAME})


def read_adapter(path: Path) -> tuple[dict[str, np.ndarray], float]:
    """An adapter's matrices under the names of `GemmaModel`'s parameters, and its alpha."""
    from bench.training.gguf_files import field_of, open_gguf, tensors

    reader = open_gguf(path)
    found = {name.replace(".weight.lora_", ".lora_"): values for name, values in tensors(reader).items()}
    return found, float(field_of(reader, "adapter.lora.alpha"))


def quantise(source: Path, target: Path) -> None:
    """Writes `source` in Q4_0, the fastest type of llama.cpp on a CPU. The output layer is in Q8_0, because it is small
    and errors in it matter most."""
    import ctypes

    from lsp_server.backends.llama_library import load_library

    api = load_library().api
    parameters = api.llama_model_quantize_default_params()
    parameters.ftype = api.LLAMA_FTYPE_MOSTLY_Q4_0
    parameters.output_tensor_type = parameters.token_embedding_type = 8  # GGML_TYPE_Q8_0
    parameters.nthread = 2
    if api.llama_model_quantize(str(source).encode(), str(target).encode(), ctypes.byref(parameters)):
        raise ValueError(f"llama.cpp cannot quantise {source}")


def _add(writer: Any, name: str, values: np.ndarray, kind: str) -> None:
    import gguf

    if kind == "q8_0":
        quantised = gguf.quants.quantize(values.astype(np.float32), gguf.GGMLQuantizationType.Q8_0)
        writer.add_tensor(name, quantised, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    else:
        writer.add_tensor(name, np.ascontiguousarray(values, dtype=np.float32 if kind == "f32" else np.float16))
