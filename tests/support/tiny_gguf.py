"""Writes a tiny Llama model of random weights as a GGUF file: real llama.cpp, in F32, in a few milliseconds.

Its text is nonsense, but its logits depend on every token and position in the KV cache, which is what tests
of reuse need. The vocabulary is the 256 bytes, a few merges, and Qwen's FIM tokens.
"""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np

MARKERS = (
    "<|endoftext|>",
    "<|fim_prefix|>",
    "<|fim_middle|>",
    "<|fim_suffix|>",
    "<|fim_pad|>",
    "<|repo_name|>",
    "<|file_sep|>",
)
_MERGES = (
    "r e",
    "t u",
    "tu r",
    "re tur",
    "retur n",
    "s e",
    "l f",
    "se lf",
    "d e",
    "de f",
    "Ġ Ġ",
    "ĠĠ ĠĠ",
    "i n",
    "e r",
)


def byte_characters() -> dict[int, str]:
    """The printable character that stands for each byte in a byte-level BPE vocabulary (GPT-2's table)."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    table = {byte: chr(byte) for byte in plain}
    for byte in range(256):
        if byte not in table:
            table[byte] = chr(256 + len(table) - len(plain))
    return table


def write_tiny_gguf(
    path: Path,
    *,
    seed: int = 0,
    markers: tuple[str, ...] = MARKERS,
    name: str = "tiny",
    architecture: str = "llama",
    context: int = 2048,
) -> Path:
    """Writes the model to `path` and returns it: 2 layers of width 64, 4 heads, 2 KV heads."""
    width, layers, heads, kv_heads, hidden = 64, 2, 4, 2, 128
    head = width // heads
    characters = byte_characters()
    merged = [merge.replace(" ", "") for merge in _MERGES]
    tokens = [*(characters[byte] for byte in range(256)), *merged, *markers]
    normal, control = int(gguf.TokenType.NORMAL), int(gguf.TokenType.CONTROL)
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name(name)
    writer.add_context_length(context)
    writer.add_embedding_length(width)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(hidden)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(head)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types([normal] * (len(tokens) - len(markers)) + [control] * len(markers))
    writer.add_token_merges(list(_MERGES))
    writer.add_eos_token_id(len(tokens) - len(markers))
    writer.add_add_bos_token(False)
    random = np.random.default_rng(seed)

    def matrix(rows: int, columns: int, scale: float = 1.0) -> np.ndarray:
        return (random.standard_normal((rows, columns)) * scale / columns**0.5).astype(np.float32)

    norm = np.ones(width, dtype=np.float32)
    writer.add_tensor("token_embd.weight", matrix(len(tokens), width, 8.0))
    writer.add_tensor("output.weight", matrix(len(tokens), width, 4.0))
    writer.add_tensor("output_norm.weight", norm)
    for layer in range(layers):
        shapes = {
            "attn_q": (width, width),
            "attn_k": (kv_heads * head, width),
            "attn_v": (kv_heads * head, width),
            "attn_output": (width, width),
            "ffn_gate": (hidden, width),
            "ffn_up": (hidden, width),
            "ffn_down": (width, hidden),
        }
        for tensor, (rows, columns) in shapes.items():
            writer.add_tensor(f"blk.{layer}.{tensor}.weight", matrix(rows, columns, 2.0))
        writer.add_tensor(f"blk.{layer}.attn_norm.weight", norm)
        writer.add_tensor(f"blk.{layer}.ffn_norm.weight", norm)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
