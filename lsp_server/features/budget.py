"""How large prompts are: what the model's window holds, and what the machine evaluates in time."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from lsp_server.backends.base import ModelInfo
from lsp_server.core.context import prompt_budget
from lsp_server.core.prompt import BYTES_PER_TOKEN, PromptBudget

if TYPE_CHECKING:
    from lsp_server.features.options import InlineOptions

# About 700 tokens before the hole and 150 after it.
_LEAST_WINDOW_TOKENS = 1000

# How long a quick prompt may take to evaluate, and the sizes that it has, in tokens. The sizes are far apart, so that
# the window stays where it is while the pace changes a little.
_QUICK_SECONDS = 0.9
_QUICK_TOKENS = (48, 64, 80, 96, 128, 192, 256, 384, 512, 768)
_QUICK_BEFORE_SHARE, _QUICK_AFTER_SHARE = 0.70, 0.20


def budget_for(info: ModelInfo, options: InlineOptions) -> PromptBudget:
    """What a prompt for a model may show of the document and of others."""
    return prompt_budget(info.format, window_tokens(info, options.cold_ms), options.buffers_tokens)


@lru_cache(maxsize=8)
def window_tokens(info: ModelInfo, cold_ms: int) -> int:
    """The size of prompts for a model, in tokens: as large as its window, but no larger than what this machine
    evaluates within `cold_ms`, and never too small to be of use."""
    if info.token_ms <= 0:
        return info.context_tokens
    return min(info.context_tokens, max(_LEAST_WINDOW_TOKENS, int(cold_ms / info.token_ms)))


def quick_budget(token_ms: float) -> PromptBudget | None:
    """What the smaller prompt may show that a cold place is answered from. token_ms: what a token of a prompt takes;
    0 if nobody knows, and then there is no such prompt."""
    if token_ms <= 0:
        return None
    affordable = 1000 * _QUICK_SECONDS / token_ms
    tokens = max((size for size in _QUICK_TOKENS if size <= affordable), default=_QUICK_TOKENS[0])
    size = tokens * BYTES_PER_TOKEN
    return PromptBudget(int(size * _QUICK_BEFORE_SHARE), int(size * _QUICK_AFTER_SHARE))
