"""Writes tiny models of random weights as GGUF files: real llama.cpp, in F32, in a few milliseconds.

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


WIDTH, HEADS, KV_HEADS, HIDDEN = 64, 4, 2, 128
_ATTENTION = {
    "attn_q": (WIDTH, WIDTH),
    "attn_k": (KV_HEADS * WIDTH // HEADS, WIDTH),
    "attn_v": (KV_HEADS * WIDTH // HEADS, WIDTH),
    "attn_output": (WIDTH, WIDTH),
}
_FEED_FORWARD = {"ffn_gate": (HIDDEN, WIDTH), "ffn_up": (HIDDEN, WIDTH), "ffn_down": (WIDTH, HIDDEN)}


def byte_characters() -> dict[int, str]:
    """The printable character that stands for each byte in a byte-level BPE vocabulary (GPT-2's table)."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    table = {byte: chr(byte) for byte in plain}
    for byte in range(256):
        if byte not in table:
            table[byte] = chr(256 + len(table) - len(plain))
    return table


def _matrix(random: np.random.Generator, rows: int, columns: int, scale: float) -> np.ndarray:
    return (random.standard_normal((rows, columns)) * scale / columns**0.5).astype(np.float32)


def _begin(
    path: Path,
    architecture: str,
    name: str,
    context: int,
    layers: int,
    markers: tuple[str, ...],
    merges: tuple[str, ...] = _MERGES,
    spm: bool = False,
    added: tuple[str, ...] = (),
) -> tuple[gguf.GGUFWriter, int]:
    """A writer with what all architectures have, the vocabulary among it, and how many tokens that has."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name(name)
    writer.add_context_length(context)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(layers)
    writer.add_layer_norm_rms_eps(1e-5)
    size = _add_spm(writer, markers, merges) if spm else _add_bpe(writer, markers, merges, added)
    writer.add_vocab_size(size)
    return writer, size


def _add_bpe(
    writer: gguf.GGUFWriter, markers: tuple[str, ...], merges: tuple[str, ...], added: tuple[str, ...] = ()
) -> int:
    """A vocabulary of bytes and merges. Returns how many tokens it has."""
    characters = byte_characters()
    merged = dict.fromkeys(merge.replace(" ", "") for merge in merges)
    text = [*(characters[byte] for byte in range(256)), *merged]
    tokens = [*text, *markers, *added]
    kinds = gguf.TokenType
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    types = [kinds.NORMAL] * len(text) + [kinds.CONTROL] * len(markers) + [kinds.USER_DEFINED] * len(added)
    writer.add_token_types(list(map(int, types)))
    writer.add_token_merges(list(merges))
    writer.add_eos_token_id(len(text))
    writer.add_add_bos_token(False)
    return len(tokens)


def _add_spm(writer: gguf.GGUFWriter, markers: tuple[str, ...], merges: tuple[str, ...]) -> int:
    """A vocabulary like Gemma's: special tokens, tokens for bytes, then text with scores. Returns its size."""
    kinds = gguf.TokenType
    special = [("<pad>", kinds.CONTROL), ("<eos>", kinds.CONTROL), ("<bos>", kinds.CONTROL), ("<unk>", kinds.UNKNOWN)]
    single = [(f"<0x{byte:02X}>", kinds.BYTE) for byte in range(256)]
    spelled = dict.fromkeys(character for merge in merges for character in merge if character != " ")
    letters = [chr(code) for code in range(0x21, 0x7F)]
    text = dict.fromkeys([*spelled, *letters, "▁", *(merge.replace(" ", "") for merge in merges)])
    defined = [("\n\n", kinds.USER_DEFINED), *((marker, kinds.CONTROL) for marker in markers)]
    tokens = [*special, *single, *((one, kinds.NORMAL) for one in text), *defined]
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([one for one, _ in tokens])
    writer.add_token_scores([-float(index) for index in range(len(tokens))])
    writer.add_token_types([int(kind) for _, kind in tokens])
    for add, token in ((writer.add_bos_token_id, 2), (writer.add_eos_token_id, 1), (writer.add_unk_token_id, 3)):
        add(token)
    writer.add_add_bos_token(True)
    writer.add_add_space_prefix(False)
    return len(tokens)


def _end(writer: gguf.GGUFWriter, path: Path) -> Path:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_tiny_gguf(
    path: Path,
    *,
    seed: int = 0,
    markers: tuple[str, ...] = MARKERS,
    name: str = "tiny",
    architecture: str = "llama",
    context: int = 2048,
    quantisation: gguf.GGMLQuantizationType = gguf.GGMLQuantizationType.F32,
    noise: float = 0.0,
    outer: gguf.GGMLQuantizationType = gguf.GGMLQuantizationType.F32,
    merges: tuple[str, ...] = _MERGES,
    spm: bool = False,
    added: tuple[str, ...] = (),
) -> Path:
    """Writes a Llama to `path` and returns it: 2 layers of width 64, 4 heads, 2 KV heads. quantisation: of the
    layers' matrices; outer: of the embeddings and the output. noise: what is added to the layers' matrices, of the
    size of what they hold; with a little, it mostly writes what it writes without. merges: what the vocabulary is
    made of. spm: whether it is one of text with scores and not of bytes with merges. added: tokens that are marked as
    added to those of text, and not as special ones."""
    layers = 2
    writer, vocabulary = _begin(path, architecture, name, context, layers, markers, merges, spm, added)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    random, other = np.random.default_rng(seed), np.random.default_rng(seed + 1000)
    norm = np.ones(WIDTH, dtype=np.float32)
    for tensor, scale in (("token_embd", 8.0), ("output", 4.0)):
        matrix = gguf.quants.quantize(_matrix(random, vocabulary, WIDTH, scale), outer)
        writer.add_tensor(f"{tensor}.weight", matrix, raw_dtype=outer)
    writer.add_tensor("output_norm.weight", norm)
    for layer in range(layers):
        for tensor, (rows, columns) in (_ATTENTION | _FEED_FORWARD).items():
            matrix = _matrix(random, rows, columns, 2.0) + _matrix(other, rows, columns, 2.0 * noise)
            matrix = gguf.quants.quantize(matrix, quantisation)
            writer.add_tensor(f"blk.{layer}.{tensor}.weight", matrix, raw_dtype=quantisation)
        writer.add_tensor(f"blk.{layer}.attn_norm.weight", norm)
        writer.add_tensor(f"blk.{layer}.ffn_norm.weight", norm)
    return _end(writer, path)


def write_tiny_lora(
    path: Path,
    *,
    seed: int = 0,
    strength: float = 4.0,
    architecture: str = "llama",
    kind: str = "lora",
    changes: tuple[str, ...] = ("attn_q", "attn_v", "ffn_down"),
    width: int = WIDTH,
    dtype: type[np.generic] = np.float32,
    more: tuple[int, ...] = (),
    alpha: float | str = 4.0,
) -> Path:
    """Writes a LoRA adapter of rank 4 for the tiny Llama to `path` and returns it. changes: the matrices, in both
    layers. width: of the model it is for. dtype: of its numbers. more: dimensions beyond two. alpha: its own scale."""
    rank = 4
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_type("adapter")
    writer.add_string("adapter.type", kind)
    writer.add_name("tiny adapter")
    if isinstance(alpha, str):
        writer.add_string("adapter.lora.alpha", alpha)
    else:
        writer.add_float32("adapter.lora.alpha", alpha)
    random = np.random.default_rng(seed)
    for layer in range(2):
        for tensor in changes:
            rows, columns = (_ATTENTION | _FEED_FORWARD).get(tensor, (WIDTH, WIDTH))
            rows, columns = (width if size == WIDTH else size for size in (rows, columns))
            for end, size in (("lora_a", (rank, columns)), ("lora_b", (rows, rank))):
                matrix = np.broadcast_to(_matrix(random, *size, strength), (*more, *size)).astype(dtype)
                writer.add_tensor(f"blk.{layer}.{tensor}.weight.{end}", matrix)
    return _end(writer, path)


def write_tiny_mamba(path: Path, *, seed: int = 0) -> Path:
    """Writes a Mamba to `path` and returns it: 2 layers, whose state cannot be cut back."""
    layers, inner, state, kernel, rank = 2, 2 * WIDTH, 16, 4, 8
    writer, vocabulary = _begin(path, "mamba", "tiny mamba", 2048, layers, MARKERS)
    writer.add_feed_forward_length(0)
    writer.add_head_count(0)
    writer.add_ssm_conv_kernel(kernel)
    writer.add_ssm_inner_size(inner)
    writer.add_ssm_state_size(state)
    writer.add_ssm_time_step_rank(rank)
    random = np.random.default_rng(seed)
    norm = np.ones(WIDTH, dtype=np.float32)
    writer.add_tensor("token_embd.weight", _matrix(random, vocabulary, WIDTH, 8.0))
    writer.add_tensor("output.weight", _matrix(random, vocabulary, WIDTH, 4.0))
    writer.add_tensor("output_norm.weight", norm)
    for layer in range(layers):
        block = f"blk.{layer}"
        writer.add_tensor(f"{block}.attn_norm.weight", norm)
        writer.add_tensor(f"{block}.ssm_in.weight", _matrix(random, 2 * inner, WIDTH, 2.0))
        writer.add_tensor(f"{block}.ssm_conv1d.weight", _matrix(random, inner, kernel, 2.0))
        writer.add_tensor(f"{block}.ssm_conv1d.bias", np.zeros(inner, dtype=np.float32))
        writer.add_tensor(f"{block}.ssm_x.weight", _matrix(random, rank + 2 * state, inner, 2.0))
        writer.add_tensor(f"{block}.ssm_dt.weight", _matrix(random, inner, rank, 1.0))
        writer.add_tensor(f"{block}.ssm_dt.bias", np.full(inner, -2.0, dtype=np.float32))
        writer.add_tensor(f"{block}.ssm_a", -np.tile(np.linspace(0.05, 1, state, dtype=np.float32), (inner, 1)))
        writer.add_tensor(f"{block}.ssm_d", np.ones(inner, dtype=np.float32))
        writer.add_tensor(f"{block}.ssm_out.weight", _matrix(random, WIDTH, inner, 2.0))
    return _end(writer, path)


def write_tiny_sliding(path: Path, *, seed: int = 0, window: int = 32) -> Path:
    """Writes a Gemma 2 to `path` and returns it: a layer that sees the last `window` tokens only, and one that sees
    all."""
    layers = 2
    writer, vocabulary = _begin(path, "gemma2", "tiny sliding", 2048, layers, MARKERS)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_key_length(WIDTH // HEADS)
    writer.add_value_length(WIDTH // HEADS)
    writer.add_sliding_window(window)
    random = np.random.default_rng(seed)
    norm = np.ones(WIDTH, dtype=np.float32)
    writer.add_tensor("token_embd.weight", _matrix(random, vocabulary, WIDTH, 8.0))
    writer.add_tensor("output_norm.weight", norm)
    for layer in range(layers):
        for tensor, (rows, columns) in (_ATTENTION | _FEED_FORWARD).items():
            writer.add_tensor(f"blk.{layer}.{tensor}.weight", _matrix(random, rows, columns, 2.0))
        for tensor in ("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"):
            writer.add_tensor(f"blk.{layer}.{tensor}.weight", norm)
    return _end(writer, path)


def write_tiny_hybrid(path: Path, *, seed: int = 0) -> Path:
    """Writes an LFM2 to `path` and returns it: a layer of short convolutions, whose state cannot be cut back,
    and one of attention."""
    kernel = 3
    writer, vocabulary = _begin(path, "lfm2", "tiny hybrid", 2048, 2, MARKERS)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv([0, KV_HEADS])
    writer.add_shortconv_l_cache(kernel)
    writer.add_rope_freq_base(10000.0)
    random = np.random.default_rng(seed)
    norm = np.ones(WIDTH, dtype=np.float32)
    head_norm = np.ones(WIDTH // HEADS, dtype=np.float32)
    writer.add_tensor("token_embd.weight", _matrix(random, vocabulary, WIDTH, 8.0))
    writer.add_tensor("token_embd_norm.weight", norm)
    for layer in range(2):
        block = f"blk.{layer}"
        writer.add_tensor(f"{block}.attn_norm.weight", norm)
        writer.add_tensor(f"{block}.ffn_norm.weight", norm)
        for tensor, (rows, columns) in _FEED_FORWARD.items():
            writer.add_tensor(f"{block}.{tensor}.weight", _matrix(random, rows, columns, 2.0))
        if layer == 0:
            writer.add_tensor(f"{block}.shortconv.conv.weight", _matrix(random, WIDTH, kernel, 2.0))
            writer.add_tensor(f"{block}.shortconv.in_proj.weight", _matrix(random, 3 * WIDTH, WIDTH, 2.0))
            writer.add_tensor(f"{block}.shortconv.out_proj.weight", _matrix(random, WIDTH, WIDTH, 2.0))
        else:
            for tensor, (rows, columns) in _ATTENTION.items():
                writer.add_tensor(f"{block}.{tensor}.weight", _matrix(random, rows, columns, 2.0))
            writer.add_tensor(f"{block}.attn_q_norm.weight", head_norm)
            writer.add_tensor(f"{block}.attn_k_norm.weight", head_norm)
    return _end(writer, path)
