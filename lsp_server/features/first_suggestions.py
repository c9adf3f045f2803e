"""Measures first suggestions on this machine: those at places whose prompt was not evaluated yet.

The last measurements are kept in the user's cache folder: times and numbers of tokens, but nothing of the code.
`fimble doctor` reports them.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
from platformdirs import user_cache_path

from lsp_server.backends.base import ModelInfo
from lsp_server.features.outcome import Outcome
from lsp_server.system.kept_files import read, write_whole

_KEPT = 40
# With fewer new tokens than these, or than this share of the prompt, the prompt was already in the cache.
_LEAST_TOKENS, _LEAST_SHARE = 32, 0.5


class FirstSuggestion(msgspec.Struct, frozen=True):
    """One measurement. model: the path of the model's file. ms: from the request until there was text to show. late:
    whether the time limit was reached without text; then ms is until the limit. prompt_tokens, evaluated_tokens,
    prefill_ms: the size of the prompt, and how much of it was evaluated in what time. quick: whether it was the smaller
    prompt. day: the time of the measurement, in seconds since 1970."""

    model: str
    ms: float
    late: bool
    quick: bool
    prompt_tokens: int
    evaluated_tokens: int
    prefill_ms: float
    day: float


def measured(outcome: Outcome, info: ModelInfo) -> FirstSuggestion | None:
    """The measurement in an outcome. None if it is no first suggestion: most of its prompt was in the cache, or the
    request did not wait for its end."""
    usage = outcome.usage
    late = outcome.suggestion is None and outcome.late
    cold = usage.evaluated_tokens >= max(_LEAST_TOKENS, _LEAST_SHARE * usage.prompt_tokens)
    if outcome.source != "model" or not cold or (outcome.suggestion is None and not late):
        return None
    # If an earlier request has started the generation, the user has waited since then.
    ms = max(outcome.total_ms, usage.total_ms)
    tokens = usage.prompt_tokens, usage.evaluated_tokens
    return FirstSuggestion(info.path, round(ms, 1), late, usage.quick, *tokens, round(usage.prefill_ms, 1), time.time())


def path() -> Path:
    return user_cache_path("fimble") / "first-suggestions.json"


def remembered() -> list[FirstSuggestion]:
    """The measurements of all models, the oldest first; empty if there is no file or it is not valid."""
    try:
        return msgspec.json.decode(read(path()), type=list[FirstSuggestion])
    except (OSError, msgspec.DecodeError, RecursionError):
        return []


def remember(found: FirstSuggestion) -> None:
    """Adds a measurement. If it cannot be written, or another server writes at the same time, it is lost."""
    with contextlib.suppress(OSError):
        write_whole(path(), msgspec.json.format(msgspec.json.encode([*remembered(), found][-_KEPT:])))


class Cost(msgspec.Struct, frozen=True):
    """The cost of first suggestions with one model. median_ms, worst_ms: over all; late ones count with the time that
    was waited. tokens: the median number of evaluated tokens. tokens_per_second: the prefill speed. last: the time of
    the newest."""

    count: int
    late: int
    median_ms: float
    worst_ms: float
    tokens: int
    tokens_per_second: float
    last: float


def cost(model: Path, found: Sequence[FirstSuggestion]) -> Cost | None:
    """The cost over all measurements with a model; None if there are none."""
    own = [one for one in found if Path(one.model) == model]
    if not own:
        return None
    seconds = sum(one.prefill_ms for one in own) / 1000
    return Cost(
        count=len(own),
        late=sum(one.late for one in own),
        median_ms=statistics.median(one.ms for one in own),
        worst_ms=max(one.ms for one in own),
        tokens=round(statistics.median(one.evaluated_tokens for one in own)),
        tokens_per_second=sum(one.evaluated_tokens for one in own) / seconds if seconds else 0.0,
        last=max(one.day for one in own),
    )
