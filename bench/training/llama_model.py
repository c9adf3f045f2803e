"""The model from scratch: a small Llama (Touvron et al., arXiv 2302.13971) with grouped-query attention and a tied
output layer. Parameters carry llama.cpp's tensor names, so that export and import are by name."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import nn
from torch.nn import functional

from bench.training.layers import RMSNorm, attend, heads, in_working_type, rotate, rotations
from bench.training.loss import cross_entropy


@dataclass(frozen=True, slots=True)
class LlamaConfig:
    """Widths should be multiples of 256, so that all of llama.cpp's quantisations are possible. The defaults give 39.9
    million parameters, 42 MB in Q8_0."""

    vocabulary: int = 16384
    width: int = 512
    layers: int = 10
    heads: int = 8
    kv_heads: int = 2
    hidden: int = 1536
    context: int = 2048
    rope_base: float = 10000.0
    epsilon: float = 1e-5

    def as_dict(self) -> dict[str, float]:
        return asdict(self)


class _Block(nn.Module):
    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        width, kv_width = config.width, config.width // config.heads * config.kv_heads
        self.config = config
        self.attn_norm = RMSNorm(width, config.epsilon)
        self.attn_q = nn.Linear(width, width, bias=False)
        self.attn_k = nn.Linear(width, kv_width, bias=False)
        self.attn_v = nn.Linear(width, kv_width, bias=False)
        self.attn_output = nn.Linear(width, width, bias=False)
        self.ffn_norm = RMSNorm(width, config.epsilon)
        self.ffn_gate = nn.Linear(width, config.hidden, bias=False)
        self.ffn_up = nn.Linear(width, config.hidden, bias=False)
        self.ffn_down = nn.Linear(config.hidden, width, bias=False)

    def forward(self, x: torch.Tensor, table: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        config = self.config
        inner = self.attn_norm(x)
        q = rotate(heads(self.attn_q(inner), config.heads), table, interleaved=True)
        k = rotate(heads(self.attn_k(inner), config.kv_heads), table, interleaved=True)
        v = heads(self.attn_v(inner), config.kv_heads)
        x = x + self.attn_output(attend(q, k, v, (config.width // config.heads) ** -0.5))
        inner = self.ffn_norm(x)
        return x + self.ffn_down(functional.silu(self.ffn_gate(inner)) * self.ffn_up(inner))


class LlamaModel(nn.Module):
    """Tokens, int64 (batch, length), to hidden states (batch, length, width)."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.config = config
        self.token_embd = nn.Embedding(config.vocabulary, config.width)
        self.blk = nn.ModuleList(_Block(config) for _ in range(config.layers))
        self.output_norm = RMSNorm(config.width, config.epsilon)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                nn.init.normal_(parameter, std=0.02)
            if name.endswith(("attn_output.weight", "ffn_down.weight")):
                nn.init.zeros_(parameter)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        config = self.config
        table = rotations(tokens.shape[1], config.width // config.heads, config.rope_base, tokens.device)
        x = in_working_type(self.token_embd(tokens))
        for block in self.blk:
            x = block(x, table)
        return self.output_norm(x)

    def logits(self, tokens: torch.Tensor) -> torch.Tensor:
        return self(tokens) @ self.token_embd.weight.t()

    def loss(self, hidden: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, chunk: int) -> torch.Tensor:
        return cross_entropy(hidden, self.token_embd.weight, targets, weights, chunk)

    def flops_per_token(self, length: int) -> float:
        """Floating-point operations of training on one token: 6 for each weight (2 forward, 4 backward), including the
        output layer, and attention over half of `length` on average."""
        multiplied = sum(parameter.numel() for parameter in self.parameters() if parameter.dim() == 2)
        return 6 * multiplied + 6 * 2 * self.config.layers * self.config.width * length / 2
