"""The training loop of both models: a budget in tokens or seconds, checkpoints, and a log of JSON lines.

A run can be stopped at any time and continues from its checkpoint, which has the next rows, the learning rate and the
used time. `--time-limit-s` limits one command, not the run.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bench.training.batches import Batch, PackedRows
from bench.training.estimate import matrix_rate
from bench.training.optimizers import optimizers_of, set_learning_rate

# The time at the end of a command that is reserved for the last checkpoint, in seconds.
_SAVING_SECONDS = 10.0

# How many logits are in memory at a time, on a CPU and on a GPU; each takes 12 bytes in all.
_LOGITS_AT_ONCE = (1 << 25, 1 << 30)


@dataclass(slots=True)
class Progress:
    """The progress of the whole run, over all its commands. rows: how many rows were used for training."""

    step: int = 0
    rows: int = 0
    tokens: int = 0
    seconds: float = 0.0


def loop_arguments(parser: argparse.ArgumentParser, *, lr: float, batch_rows: int, micro_rows: int) -> None:
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="what the stage pack has written")
    parser.add_argument("--held-out", type=Path, metavar="DIR", help="packed held-out rows, for the loss on them")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="checkpoint.pt and log.jsonl")
    budget = parser.add_mutually_exclusive_group(required=True)
    budget.add_argument("--tokens", type=float, help="the whole run's length in tokens")
    budget.add_argument("--seconds", type=float, help="the whole run's length in seconds of training")
    parser.add_argument("--time-limit-s", type=float, default=0, help="stop this command in time, with a checkpoint")
    parser.add_argument("--batch-rows", type=int, default=batch_rows, help="rows in one step of the optimizer")
    parser.add_argument("--micro-rows", type=int, default=micro_rows, help="rows at a time, as memory allows")
    parser.add_argument("--lr", type=float, default=lr)
    parser.add_argument("--warm-up", type=float, default=0.02, help="share of the run")
    parser.add_argument("--optimizer", choices=("muon", "adamw"), default="muon")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--log-every", type=int, default=10, help="steps")
    parser.add_argument("--checkpoint-every-s", type=float, default=120)
    parser.add_argument("--no-compile", action="store_true", help="without torch.compile, which a GPU run uses")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")


def run_loop(
    model: nn.Module,
    options: argparse.Namespace,
    rows: PackedRows,
    describe: Callable[[], dict[str, Any]],
    flops_per_token: float,
    began: float,
) -> Progress:
    """Trains `model`, whose call returns hidden states, with `loss`, until the budget or the time limit is reached.
    describe: the description of the model in the checkpoint, for `export`. flops_per_token: of training, to compute the
    share of the measured matrix rate. began: `time.monotonic()` at which this command's time began.
    """
    device = torch.device(options.device)
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    model.to(device)
    torch.set_float32_matmul_precision("high")
    optimizers = optimizers_of(model, options.lr, options.optimizer)
    progress = _resume(out / "checkpoint.pt", model, optimizers, device)
    held_out = PackedRows(options.held_out, seed=options.seed) if options.held_out else None
    forward: Any = model if options.no_compile or device.type != "cuda" else torch.compile(model, dynamic=False)
    rate = matrix_rate(device)
    length = rows.meta["length"]
    chunk = max(16, _LOGITS_AT_ONCE[device.type == "cuda"] // rows.meta["vocabulary"])
    print(
        f"step {progress.step}; {len(rows)} rows of {length}; {rate / 1e12:.2f} TFLOP/s in matrix products", flush=True
    )

    def losses(batch: Batch) -> torch.Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            hidden = forward(batch.inputs)
        result: torch.Tensor = model.loss(hidden, batch.targets, batch.weights, chunk)
        return result

    def share_done() -> float:
        return progress.tokens / options.tokens if options.tokens else progress.seconds / options.seconds

    def save() -> None:
        _save(out / "checkpoint.pt", model, optimizers, progress, describe())

    log = (out / "log.jsonl").open("a", encoding="utf-8")
    last = saved = time.monotonic()
    first = progress.step
    longest_step, running = 0.0, torch.zeros((), device=device)
    since = (progress.step, progress.tokens, progress.seconds)
    with log:
        while share_done() < 1:
            late = options.time_limit_s and last + longest_step - began > options.time_limit_s - _SAVING_SECONDS
            if late and progress.step > first:
                break
            factor = set_learning_rate(optimizers, share_done(), options.warm_up)
            for begin in range(0, options.batch_rows, options.micro_rows):
                count = min(options.micro_rows, options.batch_rows - begin)
                loss = losses(rows.batch(progress.rows + begin, count, device)) * (count / options.batch_rows)
                loss.backward()
                running += loss.detach()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            progress.step += 1
            progress.rows += options.batch_rows
            progress.tokens += options.batch_rows * length
            if progress.step % options.log_every == 0 or progress.step <= 3:
                # The loop waits for the device only here. Without a wait, measured times would be those of queueing.
                mean = running.item() / (progress.step - since[0])
                now = time.monotonic()
                progress.seconds += now - last
                longest_step = max(longest_step, now - last)
                last = now
                speed = (progress.tokens - since[1]) / max(1e-9, progress.seconds - since[2])
                entry = {"step": progress.step, "tokens": progress.tokens, "seconds": round(progress.seconds, 2)}
                entry |= {"loss": round(mean, 5), "lr": options.lr * factor, "tokens_per_s": round(speed)}
                entry |= {"share_of_matrix_rate": round(speed * flops_per_token / rate, 4)}
                _write(log, entry)
                running.zero_()
                since = (progress.step, progress.tokens, progress.seconds)
                if last - saved > options.checkpoint_every_s:
                    save()
                    saved = time.monotonic()
        if since[0] < progress.step:
            running.item()
            progress.seconds += time.monotonic() - last
        if held_out is not None:
            _write(
                log,
                {"step": progress.step, "tokens": progress.tokens, "held_out_loss": _mean(losses, held_out, device)},
            )
        save()
    done = "complete" if share_done() >= 1 else f"{share_done():.0%} done; run the same command again to go on"
    print(f"{progress.tokens / 1e6:.2f} M tokens in {progress.seconds:.0f} s: {done}", flush=True)
    return progress


def _mean(
    losses: Callable[[Batch], torch.Tensor], rows: PackedRows, device: torch.device, most_rows: int = 64
) -> float:
    """The mean loss on the first rows. Each row is a batch, so any number of rows is possible."""
    count = min(most_rows, len(rows))
    with torch.no_grad():
        total = sum(losses(rows.batch(row, 1, device)).item() for row in range(count))
    return round(total / max(1, count), 5)


def _write(log: Any, entry: dict[str, Any]) -> None:
    line = json.dumps(entry)
    log.write(line + "\n")
    log.flush()
    print(line, flush=True)


def trained_state(model: nn.Module) -> dict[str, torch.Tensor]:
    """The trained parameters by name, on the CPU in F32."""
    return {name: p.detach().float().cpu() for name, p in model.named_parameters() if p.requires_grad}


def _save(
    path: Path, model: nn.Module, optimizers: list[torch.optim.Optimizer], progress: Progress, about: dict[str, Any]
) -> None:
    fields = {"step": progress.step, "rows": progress.rows, "tokens": progress.tokens, "seconds": progress.seconds}
    state = {
        "about": about,
        "progress": fields,
        "model": trained_state(model),
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
    }
    temporary = path.with_suffix(".tmp")
    torch.save(state, temporary)
    temporary.replace(path)


def _resume(path: Path, model: nn.Module, optimizers: list[torch.optim.Optimizer], device: torch.device) -> Progress:
    if not path.is_file():
        return Progress()
    state = torch.load(path, map_location=device, weights_only=True)
    missing = model.load_state_dict(state["model"], strict=False).unexpected_keys
    if missing:
        raise ValueError(f"{path} is of another model: it has {missing[0]}; use another --out")
    for optimizer, fields in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(fields)
    return Progress(**state["progress"])
