"""Inline completions: the hole, its prompt, the model or the memory, and the suggestion made of it."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.hole import Hole, find_hole
from lsp_server.core.languages import find_language
from lsp_server.core.prompt import FimPrompt, PromptBudget, build_prompt
from lsp_server.core.shape import Suggestion, shape
from lsp_server.core.stopping import stop_rule
from lsp_server.engine.client import EngineClient
from lsp_server.engine.request import Finished, FinishReason, Priority, Usage

_REMEMBERED = 200


class Trigger(str, Enum):
    AUTOMATIC = "automatic"
    INVOKED = "invoked"


@dataclass(frozen=True, slots=True)
class InlineOptions:
    """What a user can set about completions. disabled_languages: LSP identifiers or names."""

    enabled: bool = True
    disabled_languages: frozenset[str] = frozenset()
    max_tokens: int = 64
    max_lines: int = 8
    deadline_ms: int = 8000


@dataclass(frozen=True, slots=True)
class Outcome:
    """An answer and how it came about. Without a suggestion, `reason` says why, in words for the user."""

    suggestion: Suggestion | None = None
    reason: str = ""
    source: Literal["model", "memory", "none"] = "none"
    hole: Hole | None = None
    prompt: FimPrompt | None = None
    written: str = ""
    usage: Usage = field(default_factory=Usage)
    logprob: float = 0.0
    total_ms: float = 0.0


class InlineCompleter:
    """Answers requests for a completion. options: called at each request, so that settings can change."""

    def __init__(
        self,
        engine: EngineClient,
        options: Callable[[], InlineOptions],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._options = options
        self._clock = clock
        self._memory: OrderedDict[tuple[object, ...], Finished] = OrderedDict()

    async def complete(self, document: DocumentSnapshot, offset: int, trigger: Trigger = Trigger.AUTOMATIC) -> Outcome:
        """The suggestion at byte `offset`. Cancelling the caller cancels the model's work for it."""
        began = self._clock()
        options = self._options()
        reason = self._silent(document, options, trigger)
        info = self._engine.model.info
        if reason or info is None:
            return Outcome(reason=reason)
        hole = find_hole(document, offset)
        prompt = build_prompt(document, hole, info.format, PromptBudget.of_tokens(info.context_tokens))
        rule = stop_rule(document, hole, options.max_lines)
        key = (info.path, prompt, rule, options.max_tokens)
        finished = self._memory.get(key)
        source: Literal["model", "memory"] = "model"
        if finished is not None:
            self._memory.move_to_end(key)
            source = "memory"
        else:
            deadline = began + options.deadline_ms / 1000
            with self._engine.generate(
                prompt, rule, options.max_tokens, priority=Priority.INLINE, deadline=deadline
            ) as stream:
                finished = await stream.result()
            self._remember(key, finished)
        suggestion = shape(finished.text, document, hole, rule)
        return Outcome(
            suggestion,
            "" if suggestion else _why_nothing(finished),
            source,
            hole,
            prompt,
            finished.text,
            finished.usage if source == "model" else Usage(),
            finished.logprob,
            1000 * (self._clock() - began),
        )

    def _silent(self, document: DocumentSnapshot, options: InlineOptions, trigger: Trigger) -> str:
        """Why nothing is to be asked of the model, or an empty string."""
        model = self._engine.model
        if model.kind == "loading":
            return f"the model is loading ({model.progress:.0%})"
        if model.kind == "failed":
            return model.message
        if model.kind == "none":
            return "no model has been asked for yet"
        if not options.enabled:
            return "completions are switched off (setting `enabled`)"
        language = find_language(document.language_id, document.path)
        if trigger is Trigger.AUTOMATIC and options.disabled_languages & {
            document.language_id,
            language.name,
        }:
            return f"completions are switched off for {language.name} (setting `disabled_languages`)"
        return ""

    def _remember(self, key: tuple[object, ...], finished: Finished) -> None:
        if finished.reason not in (FinishReason.STOP, FinishReason.END, FinishReason.LENGTH):
            return
        self._memory[key] = finished
        while len(self._memory) > _REMEMBERED:
            self._memory.popitem(last=False)


def _why_nothing(finished: Finished) -> str:
    if finished.message:
        return finished.message
    if finished.reason is FinishReason.DEADLINE:
        return "the model took longer than `deadline_ms`"
    if finished.text.strip():
        return "what the model wrote already stands right of the cursor"
    return "the model wrote nothing"
