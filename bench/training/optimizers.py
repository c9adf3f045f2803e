"""The optimizers: Muon for the matrices, AdamW for the rest; and the schedule of the learning rate.

Muon: Jordan et al., 2024 (kellerjordan.github.io/posts/muon): the momentum of a matrix, made nearly orthogonal by
five Newton-Schulz steps. Scaled as in Liu et al. (arXiv 2502.16982), so that an update has the size of AdamW's, and
both use the same learning rate and weight decay.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

# The quintic's coefficients in Jordan et al., which move singular values from (0, 1] to about 1 in five steps.
_A, _B, _C = 3.4445, -4.7750, 2.0315


def orthogonalised(matrices: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """Matrices, (count, rows, columns), each with its singular values near 1."""
    wide = matrices.shape[1] <= matrices.shape[2]
    x = matrices if wide else matrices.mT
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = _A * x + (_B * gram + _C * gram @ gram) @ x
    return x if wide else x.mT


class Muon(torch.optim.Optimizer):
    """For two-dimensional parameters. Parameters of the same shape are updated together."""

    def __init__(
        self, parameters: Iterable[nn.Parameter], lr: float, momentum: float = 0.95, weight_decay: float = 0.1
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            shapes: dict[tuple[int, ...], list[nn.Parameter]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    shapes[tuple(parameter.shape)].append(parameter)
            for shape, parameters in shapes.items():
                directions = []
                for parameter in parameters:
                    state = self.state[parameter]
                    momentum = state.setdefault("momentum", torch.zeros_like(parameter))
                    momentum.lerp_(parameter.grad, 1 - group["momentum"])
                    directions.append(parameter.grad.lerp(momentum, group["momentum"]))
                stacked = torch.stack(directions)
                if stacked.is_cuda:
                    stacked = stacked.bfloat16()
                scale = group["lr"] * 0.2 * math.sqrt(max(shape))
                for parameter, update in zip(parameters, orthogonalised(stacked), strict=True):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.add_(update.to(parameter.dtype), alpha=-scale)


def optimizers_of(model: nn.Module, lr: float, kind: str) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of blocks and AdamW for the rest, or AdamW for all; `kind` is muon or adamw.

    Embeddings and norms have no weight decay: it would shrink the embedding of a rare token, which has hardly any
    gradient.
    """
    trainable = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    matrices = [parameter for name, parameter in trainable.items() if parameter.dim() == 2 and name.startswith("blk.")]
    others = [parameter for name, parameter in trainable.items() if parameter.dim() != 2 or not name.startswith("blk.")]
    options = {"lr": lr, "betas": (0.9, 0.95), "eps": 1e-8}
    found: list[torch.optim.Optimizer] = []
    if kind == "muon":
        found.append(Muon(matrices, lr))
    elif matrices:
        found.append(torch.optim.AdamW(matrices, weight_decay=0.1, **options))
    if others:
        found.append(torch.optim.AdamW(others, weight_decay=0.0, **options))
    for optimizer in found:
        for group in optimizer.param_groups:
            group["peak_lr"] = lr
    return found


def set_learning_rate(optimizers: list[torch.optim.Optimizer], progress: float, warm_up: float) -> float:
    """Sets all learning rates for `progress` (0 to 1) of a run: up to the peak by `warm_up`, then down to zero along
    a cosine. Returns the share of the peak."""
    rising = min(1.0, (progress + 1e-3) / warm_up) if warm_up else 1.0
    falling = 0.5 * (1 + math.cos(math.pi * min(1.0, max(0.0, (progress - warm_up) / (1 - warm_up)))))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["peak_lr"] * rising * falling
    return rising * falling
