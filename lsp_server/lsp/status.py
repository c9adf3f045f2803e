"""What the server tells about itself (`fimble/status`): model, queue, cache, and why a request gave nothing."""

from __future__ import annotations

import statistics
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Any

from lsp_server import __version__
from lsp_server.core.pieces import Piece
from lsp_server.engine.client import EngineClient
from lsp_server.features.outcome import Outcome

_RECENT = 50
STALE = Outcome(reason="the document changed, or a newer request came")


class RequestLog:
    """The last answers and how many there were of each kind."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._recent: deque[dict[str, Any]] = deque(maxlen=_RECENT)
        self._counts: Counter[str] = Counter()

    def add(self, uri: str, version: int | None, method: str, outcome: Outcome) -> None:
        self._counts["answered"] += 1
        self._counts["empty" if outcome.suggestion is None else outcome.source] += 1
        usage = outcome.usage
        self._recent.append(
            {
                "at": self._clock(),
                "method": method,
                "uri": uri,
                "version": version,
                "source": outcome.source,
                "empty": outcome.suggestion is None,
                "stale": outcome is STALE,
                "reason": outcome.reason,
                "hole": outcome.hole.kind.value if outcome.hole else None,
                "promptTokens": usage.prompt_tokens,
                "reusedTokens": usage.reused_tokens,
                "evaluatedTokens": usage.evaluated_tokens,
                "decodedTokens": usage.decoded_tokens,
                "draftedTokens": usage.drafted_tokens,
                "acceptedTokens": usage.accepted_tokens,
                "queuedMs": round(usage.queued_ms, 3),
                "prefillMs": round(usage.prefill_ms, 3),
                "decodeMs": round(usage.decode_ms, 3),
                "totalMs": round(outcome.total_ms, 3),
            }
        )

    def summary(self) -> dict[str, Any]:
        """The answer's age, `secondsAgo`, is as of now."""
        now = self._clock()
        recent = [
            {**{key: value for key, value in entry.items() if key != "at"}, "secondsAgo": int(now - entry["at"])}
            for entry in self._recent
        ]
        times = sorted(entry["totalMs"] for entry in self._recent if not entry["empty"])
        empty = [entry for entry in self._recent if entry["empty"] and not entry["stale"]]
        return {
            "counts": {key: self._counts[key] for key in ("answered", "model", "memory", "empty")},
            "latencyMs": {
                "last": self._recent[-1]["totalMs"] if self._recent else None,
                "median": statistics.median(times) if times else None,
                "p95": times[int(0.95 * (len(times) - 1))] if times else None,
            },
            "last": recent[-1] if recent else None,
            "whyLastEmpty": empty[-1]["reason"] if empty else None,
            "recent": recent,
        }


def status(
    engine: EngineClient, log: RequestLog, context: Mapping[str, Iterable[Piece]], **more: Any
) -> dict[str, Any]:
    """The answer to `fimble/status`, as JSON. Token counts are of the model's own tokens, times in ms. context: what
    each document's prompts show of other files."""
    model = engine.model
    resident, forks, evictions = engine.cache
    info: dict[str, Any] = {}
    if model.info is not None:
        info = asdict(model.info)
        info["format"] = model.info.format.name
        del info["chat_template"]
    return {
        "version": __version__,
        **more,
        "context": {
            uri: [{"path": piece.path, "defines": sorted(piece.defines), "bytes": len(piece.text)} for piece in pieces]
            for uri, pieces in context.items()
        },
        "model": {"state": model.kind, "progress": model.progress, "message": model.message, **info},
        "queue": {"running": engine.running},
        "totals": {"evaluatedTokens": engine.evaluated_tokens, "decodedTokens": engine.decoded_tokens},
        "cache": {"residentTokens": resident, "forks": forks, "evictions": evictions},
        "requests": log.summary(),
    }
