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
from lsp_server.core.uris import normal_uri
from lsp_server.engine.client import EngineClient
from lsp_server.features.outcome import Outcome

_RECENT = 50
STALE = Outcome(reason="the document changed, or a newer request came")


class RequestLog:
    """The last answers and how many there were of each kind."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._recent: deque[dict[str, Any]] = deque(maxlen=_RECENT)
        self._times: deque[float] = deque(maxlen=_RECENT)
        self._counts: Counter[str] = Counter()

    def add(self, uri: str, version: int | None, line: int, method: str, outcome: Outcome) -> None:
        """line: that of the request, from 0."""
        self._times.append(self._clock())
        self._counts["answered"] += 1
        self._counts["empty" if outcome.suggestion is None else outcome.source] += 1
        usage = outcome.usage
        self._recent.append(
            {
                "method": method,
                "uri": uri,
                "version": version,
                "line": line,
                "source": outcome.source,
                "empty": outcome.suggestion is None,
                "stale": outcome is STALE,
                "reason": outcome.reason,
                "hole": outcome.hole.kind.value if outcome.hole else None,
                "quick": usage.quick,
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
        recent = self._with_ages()
        times = sorted(entry["totalMs"] for entry in recent if not entry["empty"])
        empty = [entry for entry in recent if entry["empty"] and not entry["stale"]]
        last = recent[-1] if recent else None
        return {
            "counts": {key: self._counts[key] for key in ("answered", "model", "memory", "empty")},
            "latencyMs": {
                "last": last["totalMs"] if last else None,
                "median": statistics.median(times) if times else None,
                "p95": times[int(0.95 * (len(times) - 1))] if times else None,
            },
            "last": last,
            "whyLastEmpty": empty[-1]["reason"] if empty else None,
            "whyLastEmptyAgeSeconds": empty[-1]["ageSeconds"] if empty else None,
            "recent": recent,
        }

    def why(self, uri: str, line: int) -> str:
        """What became of the last request at a line of a document, else of the last one in that document, with its age;
        for a user who sees nothing there. uri: in its normal form."""
        found = [entry for entry in self._with_ages() if normal_uri(entry["uri"]) == uri and not entry["stale"]]
        here = [entry for entry in found if entry["line"] == line]
        if not found:
            return "nothing has been asked for in this file yet"
        last = (here or found)[-1]
        when = f"{'here' if here else 'on line ' + str(last['line'] + 1)}, {_ago(last['ageSeconds'])}"
        if last["empty"]:
            return f"{when}: {last['reason'] or 'nothing to show'}"
        return f"{when}: there was a suggestion, after {last['totalMs']:.0f} ms"

    def _with_ages(self) -> list[dict[str, Any]]:
        now = self._clock()
        aged = zip(self._recent, self._times, strict=True)
        return [{**entry, "ageSeconds": round(now - then, 1)} for entry, then in aged]


def _ago(seconds: float) -> str:
    if seconds < 1:
        return "just now"
    return f"{seconds:.0f} s ago" if seconds < 120 else f"{seconds / 60:.0f} min ago"


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
        del info["chat_template"], info["state_key"]
    return {
        "version": __version__,
        **more,
        "context": {
            uri: [{"path": piece.path, "defines": sorted(piece.defines), "bytes": len(piece.text)} for piece in pieces]
            for uri, pieces in context.items()
        },
        "model": {
            "state": model.kind,
            "progress": model.progress,
            "message": model.message,
            **info,
        },
        "queue": {"running": engine.running},
        "totals": {"evaluatedTokens": engine.evaluated_tokens, "decodedTokens": engine.decoded_tokens},
        "cache": {"residentTokens": resident, "forks": forks, "evictions": evictions},
        "requests": log.summary(),
    }
