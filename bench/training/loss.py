"""Cross-entropy over a large vocabulary, without having all logits in memory.

The gradient is computed with the loss, one chunk of positions after the other, as fused implementations do (the idea
is in Wijmans et al., arXiv 2411.09009, and Hsu et al., arXiv 2410.10989; here it is plain PyTorch). Positions with
weight 0 cost nothing.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional


class _ChunkedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        table: torch.Tensor,
        targets: torch.Tensor,
        weights: torch.Tensor,
        chunk: int,
    ) -> torch.Tensor:
        total = weights.sum().clamp_min(1)
        loss = torch.zeros((), device=hidden.device, dtype=torch.float32)
        needs_table = ctx.needs_input_grad[1]
        hidden_gradient = torch.zeros_like(hidden)
        table_gradient = torch.zeros(table.shape, device=table.device, dtype=torch.float32) if needs_table else None
        in_use = table.to(hidden.dtype)
        for begin in range(0, len(hidden), chunk):
            part = slice(begin, begin + chunk)
            logits = (hidden[part] @ in_use.t()).float()
            normaliser = logits.logsumexp(1, keepdim=True)
            shares = weights[part, None] / total
            loss += ((normaliser - logits.gather(1, targets[part, None])) * shares).sum()
            gradient = logits.sub_(normaliser).exp_().mul_(shares)
            gradient.scatter_add_(1, targets[part, None], -shares)
            gradient = gradient.to(hidden.dtype)
            hidden_gradient[part] = gradient @ in_use
            if table_gradient is not None:
                table_gradient += gradient.t() @ hidden[part]
        ctx.save_for_backward(hidden_gradient, table_gradient)
        return loss

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        hidden_gradient, table_gradient = ctx.saved_tensors
        scale = gradients[0]
        table = None if table_gradient is None else table_gradient * scale
        return hidden_gradient * scale.to(hidden_gradient.dtype), table, None, None, None


def cross_entropy(
    hidden: torch.Tensor, table: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, chunk: int
) -> torch.Tensor:
    """The weighted mean, in nats, over positions with a weight.

    hidden: (..., width), the output layer's input. table: (vocabulary, width), the output layer. targets, weights:
    the shape of hidden without its last dimension. chunk: the number of positions at a time; each takes about 8 bytes
    per token of the vocabulary.
    """
    counted = weights.flatten() > 0
    flat = hidden.reshape(-1, hidden.shape[-1])[counted]
    loss: torch.Tensor = _ChunkedCrossEntropy.apply(
        flat, table, targets.flatten()[counted], weights.flatten()[counted], chunk
    )
    return loss


def plain_cross_entropy(
    hidden: torch.Tensor, table: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """The same, computed from all logits, for tests of `cross_entropy`."""
    losses = functional.cross_entropy((hidden @ table.t()).flatten(0, -2).float(), targets.flatten(), reduction="none")
    return (losses * weights.flatten()).sum() / weights.sum()
