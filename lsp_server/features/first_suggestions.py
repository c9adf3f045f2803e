"""What first suggestions have taken on this machine: those at places whose prompt was not evaluated yet.

The last of them are kept in the user's cache folder: times and numbers of tokens, nothing of the code. `fimble doctor`
tells what they come to.
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
# Fewer new tokens than these, or than this share of the prompt, are not a place that was new to the cache.
_LEAST_TOKENS, _LEAST_SHARE = 32, 0.5


class FirstSuggestion(msgspec.Struct, frozen=True):
    """One of them. model: the path of its file. ms: from the request until there was something to show; late: until the
    time was up with nothing. prompt_tokens: of these prefill_ms were spent on evaluated_tokens. quick: whether the
    prompt was the smaller one. day: when, as seconds since 1970."""

    model: str
    ms: float
    late: bool
    quick: bool
    prompt_tokens: int
    evaluated_tokens: int
    prefill_ms: float
    day: float


def measured(outcome: Outcome, info: ModelInfo) -> FirstSuggestion | None:
    """What an outcome tells of first suggestions; None if it is none: much of its prompt was there, or nobody waited
    for its end."""
    usage = outcome.usage
    late = outcome.suggestion is None and outcome.late
    cold = usage.evaluated_tokens >= max(_LEAST_TOKENS, _LEAST_SHARE * usage.prompt_tokens)
    if outcome.source != "model" or not cold or (outcome.suggestion is None and not late):
        return None
    # One that an earlier request has begun has been waited for since then.
    ms = max(outcome.total_ms, usage.total_ms)
    tokens = usage.prompt_tokens, usage.evaluated_tokens
    return FirstSuggestion(info.path, round(ms, 1), late, usage.quick, *tokens, round(usage.prefill_ms, 1), time.time())


def path() -> Path:
    return user_cache_path("fimble") / "first-suggestions.json"


def remembered() -> list[FirstSuggestion]:
    """Those of all models, the oldest first; none if there is no file or it cannot be understood."""
    try:
        return msgspec.json.decode(read(path()), type=list[FirstSuggestion])
    except (OSError, msgspec.DecodeError, RecursionError):
        return []


def remember(found: FirstSuggestion) -> None:
    """Adds one. What cannot be written, or is overtaken by another server's, is one measurement fewer."""
    with contextlib.suppress(OSError):
        write_whole(path(), msgspec.json.format(msgspec.json.encode([*remembered(), found][-_KEPT:])))


class Cost(msgspec.Struct, frozen=True):
    """What first suggestions cost with one model. median_ms, worst_ms: of all, the late ones with the time that they
    were waited for. tokens_per_second: of prompts. last: the day of the newest."""

    count: int
    late: int
    median_ms: float
    worst_ms: float
    tokens: int
    tokens_per_second: float
    last: float


def cost(model: Path, found: Sequence[FirstSuggestion]) -> Cost | None:
    """What those that were measured with a model come to; None if there are none."""
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
