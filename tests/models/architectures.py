"""Writes models of random weights in several architectures, large enough for their memory to be measured."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np

from tests.support.tiny_gguf import byte_characters

Shapes = dict[str, tuple[int, ...]]

LAYERS, WIDTH, HIDDEN, VOCABULARY = 6, 512, 1536, 30_000
HEADS, KV_HEADS, HEAD = 8, 4, 64
DISTINCT_ROWS = 512  # of a matrix: more would take long, and their memory is the same
INNER, STATE, CONVOLUTION, RANK = 1024, 16, 4, 32  # of Mamba


def write_model(path: Path, architecture: str, type: str = "F16", context: int = 32768) -> Path:
    """Writes a model of `architecture` whose matrices have the tensor type called `type`."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name(f"random {architecture}")
    writer.add_context_length(context)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_vocab_size(VOCABULARY)
    writer.add_layer_norm_rms_eps(1e-5)
    if architecture == "mamba":
        writer.add_feed_forward_length(0)
        writer.add_head_count(0)
        writer.add_ssm_conv_kernel(CONVOLUTION)
        writer.add_ssm_inner_size(INNER)
        writer.add_ssm_state_size(STATE)
        writer.add_ssm_time_step_rank(RANK)
    else:
        writer.add_feed_forward_length(HIDDEN)
        writer.add_head_count(HEADS)
        writer.add_head_count_kv(KV_HEADS)
        writer.add_key_length(HEAD)
        writer.add_value_length(HEAD)
        if architecture == "gemma3":
            writer.add_sliding_window(512)
    _add_vocabulary(writer)
    random = np.random.default_rng(0)
    wanted = gguf.GGMLQuantizationType[type]
    for name, shape in {**_outer(architecture), **_layers(architecture)}.items():
        if len(shape) == 1 or ".ssm_conv1d" in name or ".ssm_a" in name:
            values = -np.ones(shape, np.float32) if ".ssm_a" in name else np.ones(shape, np.float32)
            writer.add_tensor(name, values)
        else:
            rows, columns = min(shape[0], DISTINCT_ROWS), shape[-1]
            values = random.standard_normal((rows, columns), np.float32) / columns**0.5
            written = gguf.quantize(values.astype(np.float32), wanted)
            writer.add_tensor(name, np.resize(written, (shape[0], written.shape[1])), raw_dtype=wanted)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_vocabulary(writer: gguf.GGUFWriter) -> None:
    characters = byte_characters()
    letters = [characters[byte] for byte in range(256)]
    words = [f"{letters[97 + n % 26]}{letters[97 + n // 26 % 26]}{n}" for n in range(VOCABULARY - 257)]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list([*letters, *words, "<|endoftext|>"])
    writer.add_token_types([1] * (VOCABULARY - 1) + [3])
    writer.add_token_merges([f"{a} {b}" for a in letters[97:123] for b in letters[97:123]])
    writer.add_eos_token_id(VOCABULARY - 1)
    writer.add_add_bos_token(False)


def _outer(architecture: str) -> Shapes:
    tied = architecture in ("gemma3", "mamba")
    outer: Shapes = {"token_embd.weight": (VOCABULARY, WIDTH), "output_norm.weight": (WIDTH,)}
    return outer if tied else {**outer, "output.weight": (VOCABULARY, WIDTH)}


def _layers(architecture: str) -> Shapes:
    shapes: Shapes = {}
    for layer in range(LAYERS):
        for name, shape in (_mamba() if architecture == "mamba" else _transformer(architecture)).items():
            shapes[f"blk.{layer}.{name}"] = shape
    return shapes


def _transformer(architecture: str) -> Shapes:
    query, key = HEADS * HEAD, KV_HEADS * HEAD
    shapes: Shapes = {
        "attn_norm.weight": (WIDTH,),
        "attn_q.weight": (query, WIDTH),
        "attn_k.weight": (key, WIDTH),
        "attn_v.weight": (key, WIDTH),
        "attn_output.weight": (WIDTH, query),
        "ffn_norm.weight": (WIDTH,),
        "ffn_gate.weight": (HIDDEN, WIDTH),
        "ffn_up.weight": (HIDDEN, WIDTH),
        "ffn_down.weight": (WIDTH, HIDDEN),
    }
    if architecture == "qwen2":
        shapes |= {"attn_q.bias": (query,), "attn_k.bias": (key,), "attn_v.bias": (key,)}
    if architecture == "gemma3":
        shapes |= {"attn_q_norm.weight": (HEAD,), "attn_k_norm.weight": (HEAD,)}
        shapes |= {"post_attention_norm.weight": (WIDTH,), "post_ffw_norm.weight": (WIDTH,)}
    return shapes


def _mamba() -> Shapes:
    return {
        "attn_norm.weight": (WIDTH,),
        "ssm_in.weight": (2 * INNER, WIDTH),
        "ssm_conv1d.weight": (INNER, CONVOLUTION),
        "ssm_conv1d.bias": (INNER,),
        "ssm_x.weight": (RANK + 2 * STATE, INNER),
        "ssm_dt.weight": (INNER, RANK),
        "ssm_dt.bias": (INNER,),
        "ssm_a": (INNER, STATE),
        "ssm_d": (INNER,),
        "ssm_out.weight": (WIDTH, INNER),
    }
