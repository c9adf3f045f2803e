"""Inline completions: finds the hole, builds its prompt, and takes the suggestion from the model or from memory."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import anyio

from lsp_server.backends.base import ModelInfo
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.hole import Hole, find_hole
from lsp_server.core.index_offer import Index, no_index
from lsp_server.core.reuse import SuggestionMemory, Typed
from lsp_server.core.shape import Suggestion
from lsp_server.engine.api import Engine
from lsp_server.features import answering
from lsp_server.features.background import Background
from lsp_server.features.generation import RunningGeneration
from lsp_server.features.generations import Generations
from lsp_server.features.indentation import Indentations
from lsp_server.features.options import InlineOptions
from lsp_server.features.outcome import Outcome, Trigger
from lsp_server.features.preload import preload
from lsp_server.features.prompts import Prompts
from lsp_server.features.reasons import why_silent, why_unwanted
from lsp_server.features.request_times import Times
from lsp_server.features.rhythm import Rhythm

logger = logging.getLogger(__name__)

if TYPE_CHECKING:
    from lsp_server.features.python_modules import PythonModules


class InlineCompleter:
    """Answers requests for completions. options: called for each request, so that settings can change. buffers, index,
    modules: as for `Prompts`. background: where it parses; a thread of its own by default.

    It is told every change of a document. A generation that agrees with the new text goes on; any other is ended at
    once.
    """

    def __init__(
        self,
        engine: Engine,
        options: Callable[[], InlineOptions],
        clock: Callable[[], float] = time.monotonic,
        buffers: Callable[[], Sequence[DocumentSnapshot]] = tuple,
        index: Index = no_index,
        modules: Callable[[], PythonModules] | None = None,
        background: Background | None = None,
    ) -> None:
        self._engine = engine
        self._options = options
        self._clock = clock
        self._background = background or Background()
        self.prompts = Prompts(engine, self._background, buffers, index, modules)
        self._memory, self._rhythm = SuggestionMemory(), Rhythm()
        what = self.prompts, self._memory, self._rhythm, Indentations(buffers), clock
        self.generations = Generations(engine, self._background, *what)
        self.checks, self.dangers = self.generations.checks, self.generations.dangers

    async def complete(
        self,
        document: DocumentSnapshot,
        offset: int,
        trigger: Trigger = Trigger.AUTOMATIC,
        times: Times | None = None,
        *,
        warns: bool = False,
    ) -> Outcome:
        """The suggestion at byte `offset`: from memory, from a running generation, or from a new one.

        An automatic request waits at most `answer_ms` for the whole text, and then returns the text so far; the user
        gets the rest while typing. An explicit one waits for the whole text. If it is repeated, even after it was
        cancelled, it continues the same generation. times: of the request, if it arrived earlier. warns: whether an
        automatic answer with a finding is shown with the finding, as an explicit one is.
        """
        times = times or Times(self._clock)
        again = partial(self.complete, document, offset, trigger, times, warns=warns)
        options = self._options()
        explicit = trigger is Trigger.INVOKED
        reason = why_silent(self._engine, document, options, explicit=explicit)
        info = self._engine.model.info
        if reason or info is None:
            return Outcome(reason=reason)
        self._forget_other_setups(info, options)
        hole = find_hole(document, offset)
        if not explicit and (answer := self._from_memory(document, hole, info, options, times, warns)) is not None:
            return answer
        adopt = self.generations.adopt_asked if explicit else self.generations.adopt
        generation = adopt(document, hole)
        if generation is None:
            # Not earlier: answers from memory and from running generations must not wait for a parse.
            finding = self.prompts.hole_and_prompts(document, hole, info, options, asks=explicit)
            hole, prompts = await times.during("prompt", finding)
            if prompts is None:
                return Outcome(reason=why_unwanted(hole), hole=hole, total_ms=times.ms)
            if not explicit and options.debounce:
                await times.during("waiting", anyio.sleep(self._rhythm.delay_ms(document, hole) / 1000))
            if self._engine.model.info is not info:
                return await again()  # the model has changed meanwhile
            # Another request may have started the generation meanwhile.
            generation = adopt(document, hole) or self.generations.start(document, hole, prompts, options)
        if explicit and generation is not self.generations.asked:
            self.generations.ask(generation, options)
        others = generation.others if explicit else ()
        typed = generation.place.typed_since(document, hole.cursor) or Typed(b"")
        budget = (options.budget_ms(trigger) - times.ms) / 1000
        generation.waiting += 1
        try:
            await answering.wait_until_shown(generation, typed, max(0.0, budget), options.deadline_ms / 1000, others)
        finally:
            generation.waiting -= 1
            if generation.finished is None and not generation.waiting:
                self.generations.leave(generation)
        adopted = generation.document is not document
        outcome = answering.outcome_of(generation, hole, typed, times, others, adopted=adopted)
        over = outcome.suggestion is None and typed.passed and generation.finished and generation.ended()
        if over or (self._engine.model.info is not info and answering.failed(generation)):
            return await again()  # the text ends before the typed-over text, or another model must answer
        if not explicit:
            outcome = answering.automatic_outcome(outcome, generation, typed, options, self.dangers, warns=warns)
            self._shown_unasked(generation, document, outcome.suggestion, info, options)
            return outcome
        answering.remember_asked(self._memory, generation, document, outcome)
        return self.dangers.answer(outcome, generation.danger, typed, asked=True)

    def growth(self, document: DocumentSnapshot, offset: int) -> Callable[[], Awaitable[bool]] | None:
        """The `growth` of the document's running generation; None if there is none."""
        return found.growth(document, offset) if (found := self.generations.of(document.uri)) else None

    async def so_far(self, uri: str) -> Outcome | None:
        """The text so far of a document's running generation, which no request waits for any more and which this call
        ends; None if there is no text."""
        if (generation := self.generations.of(uri)) is not None:
            self.generations.end(generation)
        return await answering.outcome_so_far(generation) if generation is not None else None

    def _from_memory(
        self, document: DocumentSnapshot, hole: Hole, info: ModelInfo, options: InlineOptions, times: Times, warns: bool
    ) -> Outcome | None:
        """The answer to an automatic request from memory, if there is one for this place."""
        if (remembered := self._memory.find(document, hole.cursor)) is None:
            return None
        entry, left = remembered
        outcome = answering.outcome_remembered(entry, left, hole, options, times.ms)
        typed = entry.place.typed_since(document, hole.cursor) or Typed(b"")
        outcome = self.dangers.answer(outcome, entry.danger, typed, asked=warns)
        if outcome.suggestion is not None and not entry.in_comment:
            self._background.start(self.generations.prepare, document, outcome.suggestion, info, options)
        return outcome

    def document_changed(self, document: DocumentSnapshot) -> None:
        """Ends the generations that a change of the document has made useless."""
        self._rhythm.key(self._clock())
        self.generations.document_changed(document)

    def document_closed(self, uri: str) -> None:
        self.generations.document_closed(uri)

    async def preload(self) -> None:
        """Imports what the first request needs, on the parsing thread, while the model is loading."""
        await self._background.parse(preload)

    async def warm(self, document: DocumentSnapshot, offset: int) -> None:
        """Evaluates the prompt for `offset` in the background, so that a request there needs no prefill."""
        await self._evaluate(document, offset, at_rest=False)

    async def rest(self, document: DocumentSnapshot, offset: int) -> None:
        """While the user pauses, evaluates the full suffix and a nearer anchor for the place, in the background."""
        await self._evaluate(document, offset, at_rest=True)

    def close(self) -> None:
        """Ends the parsing thread."""
        self._background.close()

    async def _evaluate(self, document: DocumentSnapshot, offset: int, *, at_rest: bool) -> None:
        info, options = self._engine.model.info, self._options()
        if why_silent(self._engine, document, options, explicit=False) or info is None:
            return
        self._forget_other_setups(info, options)
        await self.prompts.evaluate(document, find_hole(document, offset), info, options, at_rest=at_rest)

    def _shown_unasked(
        self,
        generation: RunningGeneration,
        document: DocumentSnapshot,
        suggestion: Suggestion | None,
        info: ModelInfo,
        options: InlineOptions,
    ) -> None:
        """Records that a suggestion is on the screen, and prepares the text after it."""
        if suggestion is not None and generation.finished is None:
            generation.require_confidence(options.min_confidence)
        if suggestion is not None and generation.ended() and generation.rule.inside is None:
            self._background.start(self.generations.prepare, document, suggestion, info, options)

    def _forget_other_setups(self, info: ModelInfo, options: InlineOptions) -> None:
        """Drops everything from another model or from other settings, because it no longer answers a request."""
        if not self.generations.keep_only((info, options.decisive)):
            self._memory.clear()
            self.prompts.forget()
