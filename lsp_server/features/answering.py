"""Turns a generation, finished or still running, into the answer to a request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import anyio

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.hole import Hole
from lsp_server.core.insertion import Insertion
from lsp_server.core.reuse import Remembered, SuggestionMemory, Typed
from lsp_server.engine.api import FinishReason
from lsp_server.features.dangers import Dangers
from lsp_server.features.generation import ANSWERS, WHOLE, RunningGeneration
from lsp_server.features.options import InlineOptions
from lsp_server.features.outcome import Outcome
from lsp_server.features.reasons import why_unsure
from lsp_server.features.request_times import Times

# How long the answer to an explicit request waits for further candidates when the first one is there. Most are decoded
# together with it; those that are not can be had by asking again.
_OTHERS_SECONDS = 0.5

# Most generations end by themselves at their deadline. One that was prepared has none, so the wait itself ends this
# much later.
_LATE_SECONDS = 0.5


async def wait_until_shown(
    generation: RunningGeneration,
    typed: Typed,
    budget_seconds: float,
    deadline_seconds: float,
    others: Sequence[RunningGeneration],
) -> None:
    """Waits for the end of a generation. After the budget it waits only until something can be shown. Then it waits a
    moment for `others`, the further candidates."""
    with anyio.move_on_after(deadline_seconds + _LATE_SECONDS):
        await generation.wait(typed, budget_seconds)
    with anyio.move_on_after(_OTHERS_SECONDS):
        for other in others:
            await other.wait(typed, _OTHERS_SECONDS)


def outcome_of(
    generation: RunningGeneration,
    hole: Hole,
    typed: Typed,
    times: Times | None = None,
    others: Sequence[RunningGeneration] = (),
    *,
    adopted: bool = False,
) -> Outcome:
    """The part of a generation and of `others`, further candidates for its place, that can be shown after `typed`.
    times: of the request; None if a different request asks now. adopted: whether an earlier request started it."""
    finished = generation.finished
    left = generation.visible(typed) if finished is None or finished.reason in ANSWERS else None
    whole = (other for other in others if other.finished and other.finished.reason in WHOLE)
    found = list(dict.fromkeys(shown for other in whole if (shown := other.visible(typed)) and shown != left))
    if left is None and generation.undefined and found:
        left = found.pop(0)
    suggestion = left.at(hole.cursor) if left else None
    ms, spent = (generation.usage.total_ms, {}) if times is None else (times.ms, times.parts(generation.spans()))
    return Outcome(
        suggestion,
        tuple(shown.at(hole.cursor) for shown in found),
        "" if suggestion else generation.why_nothing(typed),
        "model",
        hole,
        generation.prompt,
        generation.text,
        generation.cost(),
        finished.logprob if finished else 0.0,
        ms,
        finished is not None and finished.reason is FinishReason.DEADLINE,
        adopted,
        spent=spent,
    )


async def outcome_so_far(generation: RunningGeneration) -> Outcome | None:
    """The part of a stopped generation that can be shown; None if nothing was generated."""
    if not generation.text.strip():
        return None
    await generation.update_shown()
    return outcome_of(generation, generation.hole, Typed(b""))


def remember_asked(
    memory: SuggestionMemory, generation: RunningGeneration, document: DocumentSnapshot, outcome: Outcome
) -> None:
    """Remembers the finished answer to an explicit request without its confidence, so that it stays visible while the
    user types it."""
    shown = [Insertion.of(one, document) for one in (outcome.suggestion, *outcome.alternatives) if one]
    if shown and generation.finished is not None:
        others, superseded = tuple(shown[1:]), generation.superseded
        memory.remember(Remembered(generation.place, shown[0], alternatives=others, superseded=superseded))


def failed(generation: RunningGeneration) -> bool:
    """Whether the generation failed because the model, or the connection to it, does not work."""
    return generation.finished is not None and generation.finished.reason is FinishReason.FAILED


def remember_whole(memory: SuggestionMemory, generation: RunningGeneration) -> None:
    """Remembers the result of a finished generation, even if it is empty."""
    shown = generation.visible(Typed(b""))
    reason = "" if shown else generation.why_nothing(Typed(b""))
    sure, danger, prose = generation.token_confidence(), generation.danger, generation.rule.inside is not None
    text, superseded = shown or Insertion(""), generation.superseded
    memory.remember(Remembered(generation.place, text, reason, (), sure, prose, danger, superseded))


def outcome_remembered(entry: Remembered, left: Insertion, hole: Hole, options: InlineOptions, ms: float) -> Outcome:
    """The outcome of a remembered entry. left: the text of it that is not typed yet; it is shown only if the model was
    confident enough."""
    unsure = why_unsure(entry.confidence.behind(entry.shown.text, hole.cursor - entry.place.cursor), options)
    suggestion = left.at(hole.cursor) if left.text.strip() and not unsure else None
    reason = "" if suggestion else entry.reason or unsure
    return Outcome(suggestion, (), reason, "memory", hole, written=entry.shown.text, total_ms=ms)


def automatic_outcome(
    outcome: Outcome,
    generation: RunningGeneration,
    typed: Typed,
    options: InlineOptions,
    dangers: Dangers,
    *,
    warns: bool,
) -> Outcome:
    """The answer to an automatic request: nothing if the model is not confident, else the text before a finding. warns:
    whether a finding is shown beside the text."""
    if (suggestion := outcome.suggestion) is None:
        return outcome
    if unsure := why_unsure(generation.confidence(suggestion.start), options):
        return replace(outcome, suggestion=None, reason=unsure)
    return dangers.answer(outcome, generation.danger, typed, asked=warns)


def serves_explicit(generation: RunningGeneration, typed: Typed | None) -> bool:
    """Whether an explicit request can use this generation: it is running or complete, and nothing was typed since it
    began, so that its other candidates are valid, too."""
    finished = generation.finished
    if generation.hole.comment is not None and not generation.hole.comment.asked:
        return False  # it stops before improbable tokens, so it may be short
    return typed == Typed(b"") and (finished is None or finished.reason in WHOLE)
