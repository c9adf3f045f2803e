"""The arms of a comparison: each answers keys. Also the cost of an answer, and the ratios of two arms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any, Protocol

from bench.sessions.recordings import Change


@dataclass(frozen=True, slots=True)
class Answer:
    """The cost of one key. prompt_tokens: in the whole prompt. evaluated_tokens: those that were not in the cache.
    prompt_ms: the time to evaluate them. ms: from the key to the whole answer. source: model, memory or none. anew:
    whether all decoded tokens were computed for this key, and none was in the cache from the key before."""

    prompt_tokens: int
    evaluated_tokens: int
    decoded_tokens: int
    prompt_ms: float
    ms: float
    source: str = "model"
    anew: bool = True

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class Arm(Protocol):
    """One side of a comparison. tokens: the exact number of tokens to decode; None: as in normal use."""

    @property
    def name(self) -> str: ...

    async def answer(self, change: Change, tokens: int | None) -> Answer:
        """Returns the whole answer to a key."""
        ...

    async def rest(self, change: Change, pause_ms: float) -> None:
        """The user pauses after the key: does the background work that fits into the pause."""
        ...


def quantile(values: Sequence[float], percent: float) -> float:
    """The smallest value that `percent` of the values do not exceed (nearest rank); 0 without values."""
    if not values:
        return 0.0
    rank = -(-len(values) * percent // 100)
    return sorted(values)[max(0, int(rank) - 1)]


def summary(answers: Sequence[Answer], tokens: int | None) -> dict[str, Any]:
    """The figures of one arm. Keys without an answer of the model, or with a wrong number of tokens, are counted and
    left out."""
    counted = [answer for answer in answers if comparable(answer, tokens)]
    prompts = [answer.prompt_ms for answer in counted]
    whole = [answer.ms for answer in counted]
    evaluated = [answer.evaluated_tokens for answer in counted]
    return {
        "keys": len(answers),
        "counted": len(counted),
        "prompt_tokens_p50": quantile([answer.prompt_tokens for answer in counted], 50),
        "evaluated_p50": quantile(evaluated, 50),
        "evaluated_p95": quantile(evaluated, 95),
        "evaluated_mean": round(fmean(evaluated), 2) if evaluated else 0.0,
        "decoded_mean": round(fmean(answer.decoded_tokens for answer in counted), 2) if counted else 0.0,
        "prompt_ms_p50": round(quantile(prompts, 50), 2),
        "prompt_ms_p95": round(quantile(prompts, 95), 2),
        "ms_p50": round(quantile(whole, 50), 2),
        "ms_p95": round(quantile(whole, 95), 2),
    }


def comparable(answer: Answer, tokens: int | None) -> bool:
    return answer.source == "model" and tokens in (None, answer.decoded_tokens)


def ratios(ours: Sequence[Answer], theirs: Sequence[Answer], tokens: int | None) -> dict[str, Any]:
    """How many times longer the other arm took, over the keys that both answered in the same way. `anew` has the same
    figures for the keys for which neither had decoded tokens in its cache. prompt_p50, whole_p50, whole_p95: the ratios
    of the arms' percentiles. key_whole_p50, key_whole_p5: the median and the 5th percentile of the ratio at each key.
    """
    pairs = [(a, b) for a, b in zip(ours, theirs, strict=True) if comparable(a, tokens) and comparable(b, tokens)]
    return {**_ratios(pairs), "anew": _ratios([(a, b) for a, b in pairs if a.anew and b.anew])}


def _ratios(pairs: Sequence[tuple[Answer, Answer]]) -> dict[str, Any]:
    each = [b.ms / a.ms for a, b in pairs if a.ms > 0]

    def of(percent: float, name: str) -> float | None:
        mine, other = ([getattr(pair[side], name) for pair in pairs] for side in (0, 1))
        divisor = quantile(mine, percent)
        return round(quantile(other, percent) / divisor, 2) if divisor else None

    return {
        "keys": len(pairs),
        "evaluated_p50": of(50, "evaluated_tokens"),
        "prompt_p50": of(50, "prompt_ms"),
        "prompt_p95": of(95, "prompt_ms"),
        "whole_p50": of(50, "ms"),
        "whole_p95": of(95, "ms"),
        "key_whole_p50": round(quantile(each, 50), 2),
        "key_whole_p5": round(quantile(each, 5), 2),
    }
