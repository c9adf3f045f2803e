"""Gemma 3 (arXiv 2503.19786) in plain PyTorch, with the weights of a quantised GGUF file.

It computes the same as llama.cpp's architecture `gemma3`: embeddings times the root of the width, RMSNorm before and
after each of attention and feed-forward, RMSNorm on each head's q and k, five layers with a sliding window for each
global layer, GELU by its tanh formula. Norm weights are stored with the one already added.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from bench.training.gguf_files import field_of, open_gguf, tensors
from bench.training.layers import RMSNorm, attend, heads, in_working_type, rotate, rotations
from bench.training.loss import cross_entropy

# Constants of the architecture, which no file contains.
_GLOBAL_EVERY, _LOCAL_ROPE_BASE = 6, 10000.0

LINEAR = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")


@dataclass(frozen=True, slots=True)
class GemmaConfig:
    """window: how many positions, including its own, a position sees in a local layer."""

    vocabulary: int
    width: int
    layers: int
    heads: int
    kv_heads: int
    head_size: int
    hidden: int
    window: int
    rope_base: float
    epsilon: float

    @classmethod
    def of(cls, reader: Any, vocabulary: int) -> GemmaConfig:
        """The configuration in a GGUF file. Raises ValueError for another architecture."""
        if field_of(reader, "general.architecture") != "gemma3":
            raise ValueError("the base model has to be a Gemma 3")

        def number(key: str) -> Any:
            return field_of(reader, f"gemma3.{key}")

        return cls(
            vocabulary=vocabulary,
            width=number("embedding_length"),
            layers=number("block_count"),
            heads=number("attention.head_count"),
            kv_heads=number("attention.head_count_kv"),
            head_size=number("attention.key_length"),
            hidden=number("feed_forward_length"),
            window=number("attention.sliding_window"),
            rope_base=number("rope.freq_base"),
            epsilon=number("attention.layer_norm_rms_epsilon"),
        )


class AdaptedLinear(nn.Module):
    """A frozen matrix with a low-rank change: W + alpha / rank · B A (Hu et al., arXiv 2106.09685). At first A, (rank,
    inputs), is random and B, (outputs, rank), is zero, so an untrained adapter changes nothing. With rank 0 there is
    only the matrix.
    """

    weight: torch.Tensor

    def __init__(self, inputs: int, outputs: int, rank: int, alpha: float) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(outputs, inputs))
        self.rank, self.scale = rank, alpha / max(1, rank)
        if rank:
            self.lora_a = nn.Parameter(torch.randn(rank, inputs) * inputs**-0.5)
            self.lora_b = nn.Parameter(torch.zeros(outputs, rank))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result = functional.linear(x, self.weight.to(x.dtype))
        if self.rank:
            change = functional.linear(functional.linear(x, self.lora_a.to(x.dtype)), self.lora_b.to(x.dtype))
            result = result + self.scale * change
        return result


class _Block(nn.Module):
    def __init__(self, config: GemmaConfig, rank: int, alpha: float, *, local: bool) -> None:
        super().__init__()
        self.config, self.local = config, local
        q_width, kv_width = config.heads * config.head_size, config.kv_heads * config.head_size
        shapes = {
            "attn_q": (config.width, q_width),
            "attn_k": (config.width, kv_width),
            "attn_v": (config.width, kv_width),
            "attn_output": (q_width, config.width),
            "ffn_gate": (config.width, config.hidden),
            "ffn_up": (config.width, config.hidden),
            "ffn_down": (config.hidden, config.width),
        }
        for name, (inputs, outputs) in shapes.items():
            self.add_module(name, AdaptedLinear(inputs, outputs, rank, alpha))
        for name in ("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"):
            self.add_module(name, RMSNorm(config.width, config.epsilon))
        self.attn_q_norm = RMSNorm(config.head_size, config.epsilon)
        self.attn_k_norm = RMSNorm(config.head_size, config.epsilon)

    def forward(
        self, x: torch.Tensor, table: tuple[torch.Tensor, torch.Tensor], mask: torch.Tensor | None
    ) -> torch.Tensor:
        config = self.config
        inner = self.attn_norm(x)
        q = rotate(self.attn_q_norm(heads(self.attn_q(inner), config.heads)), table, interleaved=False)
        k = rotate(self.attn_k_norm(heads(self.attn_k(inner), config.kv_heads)), table, interleaved=False)
        v = heads(self.attn_v(inner), config.kv_heads)
        mixed = self.attn_output(attend(q, k, v, config.head_size**-0.5, mask if self.local else None))
        x = x + self.post_attention_norm(mixed)
        inner = self.ffn_norm(x)
        mixed = self.ffn_down(functional.gelu(self.ffn_gate(inner), approximate="tanh") * self.ffn_up(inner))
        return x + self.post_ffw_norm(mixed)


class GemmaModel(nn.Module):
    """Tokens, int64 (batch, length), to hidden states (batch, length, width). Only the adapter can be trained."""

    token_embd: torch.Tensor

    def __init__(self, config: GemmaConfig, rank: int = 0, alpha: float = 0.0) -> None:
        super().__init__()
        self.config, self.rank, self.alpha = config, rank, alpha
        self.register_buffer("token_embd", torch.zeros(config.vocabulary, config.width))
        self.blk = nn.ModuleList(
            _Block(config, rank, alpha, local=(layer + 1) % _GLOBAL_EVERY != 0) for layer in range(config.layers)
        )
        self.output_norm = RMSNorm(config.width, config.epsilon)
        for name, parameter in self.named_parameters():
            parameter.requires_grad_("lora_" in name)

    @classmethod
    def from_gguf(
        cls, path: Path, *, rank: int = 0, alpha: float = 0.0, dtype: torch.dtype = torch.float32
    ) -> GemmaModel:
        """The model of a GGUF file, dequantised; `dtype` is that of the frozen matrices."""
        reader = open_gguf(path)
        values = tensors(reader)
        model = cls(GemmaConfig.of(reader, len(values["token_embd.weight"])), rank, alpha)
        model.load_base(values)
        for module in model.modules():
            if isinstance(module, AdaptedLinear):
                module.weight = module.weight.to(dtype)
        model.token_embd = model.token_embd.to(dtype)
        return model

    def load_base(self, values: dict[str, np.ndarray]) -> None:
        """Sets all frozen weights, by llama.cpp's tensor names. Raises ValueError if the names differ."""
        frozen = {name: value for name, value in self.state_dict(keep_vars=True).items() if "lora_" not in name}
        frozen["token_embd.weight"] = frozen.pop("token_embd")
        if set(frozen) != set(values):
            raise ValueError(f"tensors differ: {sorted(set(frozen) ^ set(values))[:4]}")
        with torch.no_grad():
            for name, target in frozen.items():
                target.copy_(torch.from_numpy(np.array(values[name])))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        config, length = self.config, tokens.shape[1]
        near = rotations(length, config.head_size, _LOCAL_ROPE_BASE, tokens.device)
        far = rotations(length, config.head_size, config.rope_base, tokens.device)
        distance = torch.arange(length, device=tokens.device)[:, None] - torch.arange(length, device=tokens.device)
        # In a text that is shorter than the window, a local layer sees the same as a global one.
        mask = (distance >= 0) & (distance < config.window) if length > config.window else None
        x = in_working_type(functional.embedding(tokens, self.token_embd) * config.width**0.5)
        for block in self.blk:
            x = block(x, near if block.local else far, mask)
        return self.output_norm(x)

    def logits(self, tokens: torch.Tensor) -> torch.Tensor:
        return self(tokens) @ self.token_embd.t()

    def loss(self, hidden: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, chunk: int) -> torch.Tensor:
        return cross_entropy(hidden, self.token_embd, targets, weights, chunk)

    def flops_per_token(self, length: int, loss_share: float = 1.0) -> float:
        """Floating-point operations of training the adapter on one token of the input.

        4 for each frozen weight (2 forward, 2 for the gradient of its input), 6 for each weight of the adapter, 4 for
        the output layer at the positions that count in the loss (`loss_share` of all), and attention on average.
        """
        matrices = [module.weight.numel() for module in self.modules() if isinstance(module, AdaptedLinear)]
        adapter = sum(parameter.numel() for parameter in self.parameters() if parameter.requires_grad)
        seen = sum(min(length / 2, self.config.window) if block.local else length / 2 for block in self.blk)
        attention = 6 * 2 * self.config.heads * self.config.head_size * seen
        return 4 * sum(matrices) + 6 * adapter + 4 * self.token_embd.numel() * loss_share + attention
