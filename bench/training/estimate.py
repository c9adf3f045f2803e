"""`estimate`: estimates how many tokens can be trained in a time, from the matrix rate of this machine."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--minutes", type=float, required=True, help="minutes of training")
    parser.add_argument("--share", type=float, default=0.4, help="of the matrix rate that training reaches")
    parser.add_argument("--base", type=Path, metavar="FILE", help="the Gemma GGUF: plan the adapter, not the model")
    parser.add_argument("--rank", type=int, default=32)
    parser.add_argument("--loss-share", type=float, default=0.25, help="of the positions, those that count in the loss")
    parser.add_argument("--length", type=int, default=2048)
    parser.add_argument("--rate-tflops", type=float, default=0, help="a rate measured elsewhere, instead")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")


def run(options: argparse.Namespace) -> int:
    rate = options.rate_tflops * 1e12 or matrix_rate(torch.device(options.device))
    flops = _flops(options)
    per_minute = 60 * rate * options.share / flops
    plan = {
        "tflops": round(rate / 1e12, 3),
        "mflop_per_token": round(flops / 1e6, 1),
        "share": options.share,
        "million_tokens_per_minute": round(per_minute / 1e6, 3),
        "minutes": options.minutes,
        "million_tokens": round(per_minute * options.minutes / 1e6, 2),
    }
    print(json.dumps(plan, indent=1))
    return 0


def matrix_rate(device: torch.device) -> float:
    """FLOP/s of products of random square matrices: BF16, 8192 wide, on a GPU; F32, 768 wide, on a CPU. The best of
    three tries, so that other programs matter less."""
    cuda = device.type == "cuda"
    size, kind, repeats = (8192, torch.bfloat16, 10) if cuda else (768, torch.float32, 3)
    a = torch.randn(size, size, device=device, dtype=kind)
    b = torch.randn(size, size, device=device, dtype=kind)

    def seconds() -> float:
        began = time.perf_counter()
        for _ in range(repeats):
            a @ b
        if cuda:
            torch.cuda.synchronize()
        return (time.perf_counter() - began) / repeats

    seconds()
    return 2 * size**3 / min(seconds() for _ in range(3))


def _flops(options: argparse.Namespace) -> float:
    from bench.training.gemma_model import GemmaConfig, GemmaModel
    from bench.training.gguf_files import field_of, open_gguf
    from bench.training.llama_model import LlamaConfig, LlamaModel

    with torch.device("meta"):
        if options.base is None:
            return LlamaModel(LlamaConfig()).flops_per_token(options.length)
        reader = open_gguf(options.base)
        config = GemmaConfig.of(reader, len(field_of(reader, "tokenizer.ggml.tokens")))
        return GemmaModel(config, options.rank, 1.0).flops_per_token(options.length, options.loss_share)
