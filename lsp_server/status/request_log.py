"""The last requests of a server: the result of each, the parts of its time, and the reason if it had no result."""

from __future__ import annotations

import os
import statistics
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lsp_server import __version__
from lsp_server.core.document import Document
from lsp_server.core.languages import find_language
from lsp_server.core.uris import normal_uri
from lsp_server.engine.api import LOCAL, Engine, ModelState, Usage
from lsp_server.features.outcome import Outcome
from lsp_server.features.reasons import OVERTAKEN, reason_without_code
from lsp_server.settings.last_run import without_paths

_RECENT = 50
# For how many requests the reason is kept why nothing appeared.
_WHY = 10
STALE = Outcome(reason=OVERTAKEN)


class RequestLog:
    """The last answers, and the number of answers of each kind. clock: in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._explained: deque[_Explained] = deque(maxlen=_WHY)
        self._recent: deque[dict[str, Any]] = deque(maxlen=_RECENT)
        self._times: deque[float] = deque(maxlen=_RECENT)
        self._counts: Counter[str] = Counter()
        self._acted: deque[tuple[float, str, Usage]] = deque(maxlen=_WHY)
        self.from_endpoint = ""  # in words: the endpoint that the last answer came from; empty for the local model

    def add(self, document: Document, line: int, method: str, outcome: Outcome, waited_ms: float) -> None:
        """Adds an answer. line: of the request, from 0. waited_ms: from when the request was read until its answer or
        its end."""
        self._times.append(self._clock())
        self._counts["answered"] += 1
        self._counts["empty" if outcome.suggestion is None else outcome.source] += 1
        if (asked := _asked(outcome)) is not None:
            self.from_endpoint = asked_in_words(asked) if outcome.usage.place else ""
        usage = outcome.usage
        self._recent.append(
            {
                "method": method,
                "uri": document.uri,
                "version": document.version,
                "line": line,
                "source": outcome.source,
                "asked": _asked(outcome),
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
        language = find_language(document.language_id, document.path).name
        self._explained.append(_Explained(method, self._clock(), waited_ms, outcome, language))

    def suggested(self, id: int | None) -> None:
        """Sets the id that the last answer's suggestion has in the counts."""
        if self._explained:
            self._explained[-1].id = id

    def acted(self, action: str, usage: Usage) -> None:
        """Notes that an action was answered. action: its identifier."""
        self._acted.append((self._clock(), action, usage))
        self.from_endpoint = asked_in_words(usage.summary()) if usage.place else ""

    def last_actions(self) -> list[dict[str, Any]]:
        """The last answers to actions, the latest first: who was asked, how long it took, tokens and cost."""
        return [
            {"action": action, "secondsAgo": round(self._clock() - at, 1), "asked": usage.summary()}
            for at, action, usage in reversed(self._acted)
        ]

    def refused(self, method: str, reason: str) -> None:
        """Notes a request that could not be handled."""
        self._explained.append(_Explained(method, self._clock(), 0.0, Outcome(reason=reason)))

    def last_ten(self, seen: Callable[[int], str]) -> list[dict[str, Any]]:
        """The results of the last requests with the parts of their times, the latest first. seen: what is known of a
        suggestion by its id: "shown", "unseen", or "" if nothing yet."""
        return [each.as_json(self._clock(), seen) for each in reversed(self._explained)]

    def last_ten_without_code(self, seen: Callable[[int], str], known: Sequence[str]) -> list[dict[str, Any]]:
        """The same, with reasons reduced to what may leave the editor. known: paths that a reason may contain."""
        found = zip(reversed(self._explained), self.last_ten(seen), strict=True)
        return [{**told, "why": each.why_without_code(told["why"], known)} for each, told in found]

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
        """The result of the last request at a line of a document, or else of the last one in that document, with its
        age; for a user who sees nothing there. uri: in its normal form."""
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


def _asked(outcome: Outcome) -> dict[str, Any] | None:
    """Who was asked for an outcome, at what cost; None if it came from memory, or nobody was asked."""
    return outcome.usage.summary() if outcome.source == "model" else None


def asked_in_words(asked: Mapping[str, Any]) -> str:
    """Who was asked, for how long, how many tokens and at what cost, in words."""
    prompt = f"{asked['promptTokens']:,} tokens read and " if asked["promptTokens"] else ""
    cost = f", cost {asked['costText']}" if asked["costText"] else ""
    return f"{asked['place']}: {asked['roundTripMs']:,.0f} ms, {prompt}{asked['answerTokens']:,} written{cost}"


def _ago(seconds: float) -> str:
    if seconds < 1:
        return "just now"
    return f"{seconds:.0f} s ago" if seconds < 120 else f"{seconds / 60:.0f} min ago"


@dataclass(slots=True)
class _Explained:
    """One of the last requests. at: when it was answered. language: of its document; empty if unknown. id: of its
    suggestion, in the counts."""

    method: str
    at: float
    waited_ms: float
    outcome: Outcome
    language: str = ""
    id: int | None = None

    def as_json(self, now: float, seen: Callable[[int], str]) -> dict[str, Any]:
        outcome, usage = self.outcome, self.outcome.usage
        known = seen(self.id) if outcome.suggestion is not None and self.id is not None else ""
        if outcome.suggestion is None:
            appeared, why = "no", outcome.reason or "the server gave no reason"
            if outcome is STALE:
                why += f", after {self.waited_ms:.0f} ms"
        elif known == "unseen":
            appeared, why = "no", "the next key came before the editor could draw it, or the editor had no place for it"
        else:
            appeared, why = ("yes", "") if known == "shown" else ("unknown", "answered; the editor has not said more")
        spent = {"queuedMs": usage.queued_ms, "prefillMs": usage.prefill_ms, "decodeMs": usage.decode_ms}
        return {
            "method": self.method,
            "language": self.language,
            "secondsAgo": round(now - self.at, 1),
            "appeared": appeared,
            "why": why,
            "source": outcome.source,
            "asked": _asked(outcome),
            "waitedMs": round(self.waited_ms, 1),
            **{name: round(ms, 1) for name, ms in spent.items()},
            "partsMs": {part: round(ms, 1) for part, ms in self._parts().items()},
        }

    def _parts(self) -> dict[str, float]:
        """The time of each part. transport is the rest of the whole: reading messages, and passing them between threads
        and processes. Empty if no model was asked, or the request was given up."""
        spent = {str(part): ms for part, ms in self.outcome.spent.items()}
        return {**spent, "transport": max(0.0, self.waited_ms - sum(spent.values()))} if spent else {}

    def why_without_code(self, why: str, known: Sequence[str]) -> str:
        """Why nothing appeared, without paths and names from the code."""
        if self.outcome.suggestion is not None or self.outcome is STALE:
            return why
        if not self.language:
            return "the document is not open, or the place is not in it"
        return without_paths(reason_without_code(self.outcome), known)


def fimble_status(
    engine: Engine, log: RequestLog, seen: Callable[[int], str], known: Sequence[str], **more: Any
) -> dict[str, Any]:
    """The data of a server for `fimble status`, as JSON, without text, names from the code, or paths. known: paths that
    messages may contain, also with spaces."""
    now, requests = engine.working, log.summary()
    return {
        "version": __version__,
        "pid": os.getpid(),
        **more,
        "models": {
            role: _model_without_paths(model, known) for role, model in engine.models.items() if model.kind != "none"
        },
        "engine": {
            "home": engine.home,
            "requests": engine.running,
            "doing": {"kind": now.kind, "role": now.role, "done": round(now.done, 2)},
            "residentTokens": list(engine.cache.resident),
            "evaluatedTokens": engine.evaluated_tokens,
            "decodedTokens": engine.decoded_tokens,
        },
        "requests": {"counts": requests["counts"], "latencyMs": requests["latencyMs"]},
        "lastTen": log.last_ten_without_code(seen, known),
        "lastActions": log.last_actions(),
    }


def _model_without_paths(model: ModelState, known: Sequence[str]) -> dict[str, Any]:
    told: dict[str, Any] = {
        "state": model.kind,
        "progress": round(model.progress, 2),
        "message": without_paths(model.message, known),
    }
    if (info := model.info) is not None:
        told |= {
            "name": info.name.replace("\\", "/").rpartition("/")[2],
            "bytes": info.bytes,
            "device": info.device,
            "contextTokens": info.context_tokens,
        }
    return told


def why_text(entries: list[dict[str, Any]]) -> str:
    """The results of the last requests, a line each, for the user to read."""
    if not entries:
        return "No completion has been asked for yet."
    lines = []
    for entry in entries:
        shown = {"yes": "appeared", "no": "nothing appeared", "unknown": "may have appeared"}[entry["appeared"]]
        parts = [f"{ms:.0f} {part}" for part, ms in entry["partsMs"].items() if ms >= 0.5]
        took = f"{entry['waitedMs']:.0f} ms" + (f": {', '.join(parts)}" if parts else "")
        reason = f": {entry['why']}" if entry["why"] else ""
        asked = entry["asked"]
        took += f"; {asked_in_words(asked)}" if asked is not None and asked["place"] != LOCAL else ""
        lines.append(f"- {entry['secondsAgo']:.0f} s ago, {shown}{reason} ({took})")
    return "\n".join(lines)
