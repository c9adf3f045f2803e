"""`train`: trains the model from scratch on packed rows."""

from __future__ import annotations

import argparse
import time
from typing import Any

import torch

from bench.training.batches import PackedRows
from bench.training.llama_model import LlamaConfig, LlamaModel
from bench.training.loop import loop_arguments, run_loop


def arguments(parser: argparse.ArgumentParser) -> None:
    loop_arguments(parser, lr=3e-3, batch_rows=256, micro_rows=64)
    for name in ("width", "layers", "heads", "kv-heads", "hidden"):
        default = getattr(LlamaConfig(), name.replace("-", "_"))
        parser.add_argument(f"--{name}", type=int, default=default)


def run(options: argparse.Namespace) -> int:
    began = time.monotonic()
    rows = PackedRows(options.data, seed=options.seed)
    config = LlamaConfig(
        vocabulary=rows.meta["vocabulary"],
        width=options.width,
        layers=options.layers,
        heads=options.heads,
        kv_heads=options.kv_heads,
        hidden=options.hidden,
        context=rows.meta["length"],
    )
    torch.manual_seed(options.seed)
    model = LlamaModel(config)
    count = sum(parameter.numel() for parameter in model.parameters())
    print(f"{count / 1e6:.1f} M parameters, {model.flops_per_token(config.context) / 1e6:.0f} MFLOP a token")

    def describe() -> dict[str, Any]:
        return {"kind": "llama", "config": config.as_dict(), "parameters": count}

    run_loop(model, options, rows, describe, model.flops_per_token(config.context), began)
    return 0
