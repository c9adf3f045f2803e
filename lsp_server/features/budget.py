"""Sets the size of prompts, limited by the model's context and by the speed of the machine."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from lsp_server.backends.base import ModelInfo
from lsp_server.core.context import prompt_budget
from lsp_server.core.prompt import PromptBudget

if TYPE_CHECKING:
    from lsp_server.features.options import InlineOptions

# The smallest size of a full prompt: about 700 tokens before the hole and 150 after it.
_LEAST_WINDOW_TOKENS = 1000

_SMALL_PARAMETERS = 1_000_000_000

# A quick prompt has as many tokens as are evaluated in `_QUICK_SECONDS`. With fewer than `_GOOD_QUICK_TOKENS` its
# suggestions are much worse (`bench quality --quick`), so a slow machine takes up to `_SLOW_QUICK_SECONDS` for these.
# The possible sizes are far apart, so that the window stays the same while the measured speed changes a little.
_QUICK_SECONDS, _SLOW_QUICK_SECONDS = 0.9, 1.2
_GOOD_QUICK_TOKENS = 128
_QUICK_TOKENS = (48, 64, 80, 96, 112, 128, 160, 192, 256, 384, 512, 768)
_QUICK_BEFORE_SHARE, _QUICK_AFTER_SHARE = 0.50, 0.40

# A quick prompt is far from the context's end, so more bytes per token than `BYTES_PER_TOKEN` are assumed.
_QUICK_BYTES_PER_TOKEN = 3.5


def budget_for(info: ModelInfo, options: InlineOptions) -> PromptBudget:
    """How many bytes of the document and of other files a prompt for a model may show."""
    return prompt_budget(info.format, window_tokens(info, options.cold_ms), options.buffers_tokens)


def shows_index(info: ModelInfo | None, options: InlineOptions) -> bool:
    """Whether prompts for a model show parts of files that are not open, which requires an index. For a small model
    only if the user sets a budget for other files: no gain was measured (`bench project`)."""
    if info is None or not options.project_index or budget_for(info, options).context <= 0:
        return False
    return options.buffers_tokens >= 0 or not 0 < info.parameters < _SMALL_PARAMETERS


@lru_cache(maxsize=8)
def window_tokens(info: ModelInfo, cold_ms: int) -> int:
    """The size of prompts for a model, in tokens: its context size, but no more than this machine evaluates within
    `cold_ms` milliseconds, and at least `_LEAST_WINDOW_TOKENS`."""
    if info.token_ms <= 0:
        return info.context_tokens
    return min(info.context_tokens, max(_LEAST_WINDOW_TOKENS, int(cold_ms / info.token_ms)))


def quick_budget(token_ms: float) -> PromptBudget | None:
    """The budget of the smaller prompt for a place whose prompt is not evaluated yet. token_ms: the prefill time per
    token in ms; 0 if unknown. Then there is no smaller prompt, and the result is None."""
    if token_ms <= 0:
        return None
    affordable = max(1000 * _QUICK_SECONDS, min(1000 * _SLOW_QUICK_SECONDS, _GOOD_QUICK_TOKENS * token_ms)) / token_ms
    tokens = max((size for size in _QUICK_TOKENS if size <= affordable), default=_QUICK_TOKENS[0])
    size = tokens * _QUICK_BYTES_PER_TOKEN
    return PromptBudget(int(size * _QUICK_BEFORE_SHARE), int(size * _QUICK_AFTER_SHARE))
