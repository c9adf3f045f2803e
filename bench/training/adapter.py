"""`adapter`: trains a LoRA adapter that teaches the Gemma starter model to fill in the middle.

It is trained over the dequantised weights of the very file that will run. The format's markers are unused tokens of
the vocabulary, those that the stage `markers` finds.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import torch

from bench.training.batches import PackedRows
from bench.training.gemma_model import GemmaModel
from bench.training.loop import loop_arguments, run_loop


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--base", type=Path, required=True, metavar="FILE", help="the GGUF file of the starter model")
    loop_arguments(parser, lr=1e-3, batch_rows=64, micro_rows=16)
    parser.add_argument("--rank", type=int, default=32)
    parser.add_argument("--alpha", type=float, default=32.0)
    parser.add_argument("--context-share", type=float, default=0.1, help="of prompts' tokens, how many are learned too")


def run(options: argparse.Namespace) -> int:
    began = time.monotonic()
    rows = PackedRows(options.data, options.context_share, seed=options.seed)
    torch.manual_seed(options.seed)
    dtype = torch.bfloat16 if options.device.startswith("cuda") else torch.float32
    model = GemmaModel.from_gguf(options.base, rank=options.rank, alpha=options.alpha, dtype=dtype)
    counts = rows.meta["counts"]
    middle = counts["middle tokens"] / (counts["rows"] * rows.meta["length"])
    full = counts["tokens"] / (counts["rows"] * rows.meta["length"])
    loss_share = middle + options.context_share * (full - middle)
    flops = model.flops_per_token(rows.meta["length"], loss_share)
    print(f"{flops / 1e6:.0f} MFLOP a token; the loss is of {loss_share:.0%} of the positions")

    def describe() -> dict[str, Any]:
        markers = rows.meta["markers"]
        return {
            "kind": "gemma-adapter",
            "format": rows.meta["format"],
            "markers": markers,
            "rank": options.rank,
            "alpha": options.alpha,
        }

    run_loop(model, options, rows, describe, flops, began)
    return 0
