"""`check`: compares PyTorch with llama.cpp: the logits on one text, and the tokens of real files.

Models are compared in F32 (a copy of the base with dequantised weights), where only rounding differs. The figures for
the quantised file, for which llama.cpp also rounds activations, are shown beside them.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.training import corpus, tokenizer
from bench.training.export import read_adapter
from bench.training.gemma_model import GemmaModel
from bench.training.gguf_files import field_of, open_gguf, tensors, write_f32_copy
from bench.training.llama_cpp_logits import loaded_model
from bench.training.llama_model import LlamaConfig, LlamaModel

# The largest difference in F32, for logits up to 75, from another order of summation and from llama.cpp's F16 table of
# GELU. A wrong formula differs by whole units.
LARGEST_DIFFERENCE = 0.15


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", type=Path, required=True, metavar="FILE", help="a GGUF file: Gemma, or our own")
    parser.add_argument("--adapter", type=Path, metavar="FILE", help="a LoRA adapter for it")
    parser.add_argument("--tokenizer", type=Path, metavar="FILE", help="our own model's tokenizer.json")
    parser.add_argument("--text", type=Path, default=Path(__file__), metavar="FILE", help="what to compare logits on")
    parser.add_argument("--most-tokens", type=int, default=700)
    parser.add_argument("--corpus", type=Path, metavar="DIR", help="compare the tokens of its held-out files")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the figures go")


def run(options: argparse.Namespace) -> int:
    result: dict[str, Any] = {"model": options.model.name, "text": options.text.name}
    source = options.tokenizer or options.model
    if options.corpus:
        texts = (file.text for file in corpus.read(options.corpus, "held-out"))
        result["tokens"] = token_differences(options.model, source, texts)
    with loaded_model(options.model, vocabulary_only=True) as model:
        tokens = model.tokenize(options.text.read_text("utf-8"))[: options.most_tokens - 1]
    reader = open_gguf(options.model)
    gemma = field_of(reader, "general.architecture") == "gemma3"
    tokens = [field_of(reader, "tokenizer.ggml.bos_token_id"), *tokens] if gemma else tokens
    result["length"] = len(tokens)
    ours = torch_logits(options.model, tokens, options.adapter)
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "f32.gguf"
        write_f32_copy(options.model, whole)
        with loaded_model(whole) as model:
            result["f32"] = differences(model.logits(tokens, options.adapter), ours)
    with loaded_model(options.model) as model:
        theirs = model.logits(tokens, options.adapter)
    result["as it is"] = differences(theirs, ours)
    text = json.dumps(result, indent=1)
    print(text)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(text + "\n", "utf-8")
    same_tokens = not result.get("tokens", {}).get("files_that_differ", 0)
    return 0 if result["f32"]["largest_difference"] < LARGEST_DIFFERENCE and same_tokens else 1


def torch_logits(path: Path, tokens: list[int], adapter: Path | None = None) -> np.ndarray:
    """PyTorch's logits of a GGUF file of either architecture, F32, (len(tokens), vocabulary)."""
    reader = open_gguf(path)
    model: LlamaModel | GemmaModel
    if field_of(reader, "general.architecture") == "gemma3":
        matrices, alpha = read_adapter(adapter) if adapter else ({}, 0.0)
        rank = next((len(values) for name, values in matrices.items() if name.endswith("lora_a")), 0)
        model = GemmaModel.from_gguf(path, rank=rank, alpha=alpha)
        _load(model, matrices)
    else:
        model = LlamaModel(llama_config(reader))
        _load(model, tensors(reader))
    with torch.no_grad():
        logits: np.ndarray = model.eval().logits(torch.tensor([tokens]))[0].numpy()
    return logits


def _load(model: torch.nn.Module, values: dict[str, np.ndarray]) -> None:
    unknown = model.load_state_dict(
        {k: torch.from_numpy(np.array(v)) for k, v in values.items()}, strict=False
    ).unexpected_keys
    if unknown:
        raise ValueError(f"tensors that the model does not have: {unknown[:4]}")


def llama_config(reader: Any) -> LlamaConfig:
    """The configuration of a model that `export` has written."""

    def number(key: str) -> Any:
        return field_of(reader, f"llama.{key}")

    return LlamaConfig(
        vocabulary=len(field_of(reader, "tokenizer.ggml.tokens")),
        width=number("embedding_length"),
        layers=number("block_count"),
        heads=number("attention.head_count"),
        kv_heads=number("attention.head_count_kv"),
        hidden=number("feed_forward_length"),
        context=number("context_length"),
        rope_base=number("rope.freq_base"),
        epsilon=number("attention.layer_norm_rms_epsilon"),
    )


def differences(theirs: np.ndarray, ours: np.ndarray) -> dict[str, float]:
    """The differences of two arrays of logits, and how often they have the same most probable token."""
    apart = np.abs(theirs - ours)
    return {
        "largest_difference": round(float(apart.max()), 6),
        "mean_difference": round(float(apart.mean()), 6),
        "largest_logit": round(float(np.abs(theirs).max()), 3),
        "same_best_token": round(float((theirs.argmax(1) == ours.argmax(1)).mean()), 4),
    }


def token_differences(model: Path, source: Path, texts: Iterable[str], most_bytes: int = 2_000_000) -> dict[str, int]:
    """How often the tokenizer of the training differs from llama.cpp's, and how often it does not restore the text."""
    ours = tokenizer.load(source)
    ours.encode_special_tokens = True
    counts = {"files": 0, "bytes": 0, "files_that_differ": 0, "files_not_given_back": 0}
    with loaded_model(model, vocabulary_only=True) as theirs:
        for text in texts:
            tokens = ours.encode(text, add_special_tokens=False).ids
            counts["files"] += 1
            counts["bytes"] += len(text.encode())
            counts["files_that_differ"] += tokens != theirs.tokenize(text)
            counts["files_not_given_back"] += ours.decode(tokens, skip_special_tokens=False) != text
            if counts["bytes"] > most_bytes:
                break
    return counts
