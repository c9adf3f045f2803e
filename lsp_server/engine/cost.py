"""Counts the tokens and the time of one request, for the `Usage` in its events."""

from __future__ import annotations

from dataclasses import dataclass

from lsp_server.engine.request import Generate, Priority, PromptRead, Usage, Working


@dataclass(slots=True)
class Cost:
    """Token counts as in `Usage`, and times in seconds.

    submitted, started: on the engine's clock; started is None before the first step.
    read: how many tokens of the prompt are in the cache.
    logprob: the sum over all decoded tokens.
    """

    submitted: float
    started: float | None = None
    prompt: int = 0
    read: int = 0
    reused: int = 0
    evaluated: int = 0
    cut: int = 0
    decoded: int = 0
    drafted: int = 0
    accepted: int = 0
    prefill_seconds: float = 0.0
    decode_seconds: float = 0.0
    logprob: float = 0.0
    quick: bool = False

    def spend(self, seconds: float) -> None:
        """Adds the duration of a step, in seconds."""
        if self.decoded:
            self.decode_seconds += seconds
        else:
            self.prefill_seconds += seconds

    def prompt_done(self) -> None:
        """Notes that the whole prompt is in the cache: the tokens that were not evaluated count as reused."""
        self.reused = max(0, self.prompt - self.evaluated)

    def working(self, request: Generate, held: int) -> Working:
        """What the next step does for `request`, for the user to see. held: how many of its tokens are in the cache."""
        if request.priority in (Priority.PREPARED, Priority.EDIT):
            return Working()
        if self.decoded:
            return Working("writing", request.role)
        return Working("reading", request.role, min(1.0, held / max(1, self.prompt)))

    def prompt_read(self, id: int) -> PromptRead | None:
        """How much of the prompt of request `id` is in the cache; None if all of it is."""
        return PromptRead(id, self.read, self.prompt) if self.read < self.prompt else None

    def mean_logprob(self) -> float:
        return self.logprob / self.decoded if self.decoded else 0.0

    def usage(self, now: float) -> Usage:
        started = now if self.started is None else self.started
        return Usage(
            prompt_tokens=self.prompt,
            reused_tokens=self.reused,
            evaluated_tokens=self.evaluated,
            cut_tokens=self.cut,
            decoded_tokens=self.decoded,
            drafted_tokens=self.drafted,
            accepted_tokens=self.accepted,
            queued_ms=1000 * (started - self.submitted),
            prefill_ms=1000 * self.prefill_seconds,
            decode_ms=1000 * self.decode_seconds,
            total_ms=1000 * (now - self.submitted),
            quick=self.quick,
        )
