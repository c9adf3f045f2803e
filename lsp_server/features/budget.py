"""How large prompts are: what the model's window holds, and what the machine evaluates in time."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from lsp_server.backends.base import ModelInfo
from lsp_server.core.context import prompt_budget
from lsp_server.core.prompt import PromptBudget
from lsp_server.engine.model import STEP_MS

if TYPE_CHECKING:
    from lsp_server.features.options import InlineOptions

# About 1,000 tokens before the hole and 200 after it.
_LEAST_WINDOW_TOKENS = 1800


def budget_for(info: ModelInfo, options: InlineOptions) -> PromptBudget:
    """What a prompt for a model may show of the document and of others."""
    return prompt_budget(info.format, window_tokens(info, options.cold_ms), options.buffers_tokens)


@lru_cache(maxsize=8)
def window_tokens(info: ModelInfo, cold_ms: int) -> int:
    """The size of prompts for a model, in tokens: as large as its window, but no larger than what is evaluated
    within `cold_ms` on a machine that has been measured, and never too small to be of use."""
    if info.costs is None:
        return info.context_tokens
    affordable = info.costs.prompt_tokens(cold_ms, STEP_MS)
    return min(info.context_tokens, max(_LEAST_WINDOW_TOKENS, affordable))
