"""The layers that both models share, in plain PyTorch: RMSNorm, rotary positions, grouped-query attention."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


class RMSNorm(nn.Module):
    """x / rms(x) · weight, computed in F32 (Zhang and Sennrich, arXiv 1910.07467)."""

    def __init__(self, width: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.epsilon = epsilon

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        wide = x.float()
        scaled = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.epsilon)
        return (scaled * self.weight.float()).to(x.dtype)


def in_working_type(x: torch.Tensor) -> torch.Tensor:
    """`x` in autocast's type, so that the residual stream needs half the bandwidth."""
    kind = x.device.type
    return x.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else x


def rotations(length: int, size: int, base: float, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines, F32, (length, size / 2), of rotary positions (Su et al., arXiv 2104.09864)."""
    frequencies = base ** (-torch.arange(0, size, 2, device=device, dtype=torch.float32) / size)
    angles = torch.arange(length, device=device, dtype=torch.float32)[:, None] * frequencies
    return angles.cos(), angles.sin()


def rotate(x: torch.Tensor, table: tuple[torch.Tensor, torch.Tensor], *, interleaved: bool) -> torch.Tensor:
    """`x`, (batch, heads, length, size), rotated. interleaved: whether pairs are neighbours, as in llama.cpp's
    architecture `llama`; else one element is in each half, as in `gemma3`."""
    cosines, sines = table
    wide = x.float()
    if interleaved:
        first, second = wide[..., 0::2], wide[..., 1::2]
        turned = torch.stack((first * cosines - second * sines, first * sines + second * cosines), dim=-1).flatten(-2)
    else:
        first, second = wide.chunk(2, dim=-1)
        turned = torch.cat((first * cosines - second * sines, first * sines + second * cosines), dim=-1)
    return turned.to(x.dtype)


def attend(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float, mask: torch.Tensor | None = None
) -> torch.Tensor:
    """Causal attention of (batch, heads, length, size); fewer heads in k and v are shared. mask: bool, (length,
    length), true where a position sees another one; None: it sees all before it. Returns (batch, length, heads ×
    size)."""
    if k.shape[1] != q.shape[1]:
        k = k.repeat_interleave(q.shape[1] // k.shape[1], dim=1)
        v = v.repeat_interleave(q.shape[1] // v.shape[1], dim=1)
    mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None, scale=scale)
    return mixed.transpose(1, 2).flatten(2)


def heads(x: torch.Tensor, count: int) -> torch.Tensor:
    """(batch, length, heads × size) to (batch, heads, length, size)."""
    return x.unflatten(-1, (count, -1)).transpose(1, 2)
