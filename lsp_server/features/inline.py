"""Inline completions: the hole, its prompt, the model or the memory, and the suggestion made of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial

import anyio
import anyio.lowlevel

from lsp_server.backends.base import ModelInfo
from lsp_server.core.danger.danger import NO_DANGER
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.hole import Hole, find_hole
from lsp_server.core.offers import Index, no_index
from lsp_server.core.prompt_book import PromptChoice
from lsp_server.core.reuse import Place, SuggestionMemory, Typed
from lsp_server.core.shape import Suggestion
from lsp_server.core.stopping import stop_rule
from lsp_server.engine.api import Engine, Finished, FinishReason, Priority, TextDelta
from lsp_server.features import answering
from lsp_server.features.background import Background
from lsp_server.features.checks import Checks
from lsp_server.features.dangers import Dangers
from lsp_server.features.generation import ANSWERS, WHOLE, RunningGeneration
from lsp_server.features.indentation import Indentations
from lsp_server.features.options import InlineOptions
from lsp_server.features.outcome import Outcome, Trigger
from lsp_server.features.parts import Part, first_part, following, written_with
from lsp_server.features.prepared import Prepared, after_acceptance
from lsp_server.features.prompts import Prompts
from lsp_server.features.reasons import why_silent, why_unwanted
from lsp_server.features.rhythm import Rhythm

logger = logging.getLogger(__name__)


class InlineCompleter:
    """Answers requests for a completion. options: called at each request, so that settings can change. buffers:
    gives the documents open and lately closed, the most recent first, for prompts to show parts of. index: has more.

    Sees every change of a document, so that a generation that agrees with new typing goes on, and one that
    does not is ended at once.
    """

    def __init__(
        self,
        engine: Engine,
        options: Callable[[], InlineOptions],
        clock: Callable[[], float] = time.monotonic,
        buffers: Callable[[], Sequence[DocumentSnapshot]] = tuple,
        index: Index = no_index,
    ) -> None:
        self._engine = engine
        self._options = options
        self._clock = clock
        self._background = Background()
        self.prompts = Prompts(engine, self._background, buffers, index)
        self.checks, self.dangers = Checks(), Dangers()
        self._indentations = Indentations(buffers)
        self._memory = SuggestionMemory()
        self._running: dict[str, RunningGeneration] = {}
        self._asked: RunningGeneration | None = None  # that of the latest explicit request
        self._prepared: Prepared | None = None
        self._rhythm = Rhythm()
        self._setup: object = None

    async def complete(
        self,
        document: DocumentSnapshot,
        offset: int,
        trigger: Trigger = Trigger.AUTOMATIC,
        began: float | None = None,
        *,
        warns: bool = False,
    ) -> Outcome:
        """The suggestion at byte `offset`: from memory, from a generation under way, or from a new one.

        An automatic request waits `answer_ms` for the whole of it, and then takes what there is; the rest
        comes as the user types into it. An explicit one waits for the whole; one that is made again, also after it has
        been cancelled, waits on for the same. began: when the request came, if not now; its times count from there.
        warns: whether one with a finding is shown with it, as those that are asked for are.
        """
        began = self._clock() if began is None else began
        again = partial(self.complete, document, offset, trigger, began, warns=warns)
        options = self._options()
        explicit = trigger is Trigger.INVOKED
        reason = why_silent(self._engine, document, options, explicit=explicit)
        info = self._engine.model.info
        if reason or info is None:
            return Outcome(reason=reason)
        self._forget_other_setups(info, options)
        hole = find_hole(document, offset)
        if not explicit and (answer := self._from_memory(document, hole, info, options, began, warns)) is not None:
            return answer
        adopt = self._adopt_asked if explicit else self._adopt
        generation = adopt(document, hole)
        if generation is None:
            # Only now: what is in memory, or under way, does not wait for a parse.
            hole, prompts = await self.prompts.look(document, hole, info, options, asks=explicit)
            if prompts is None:
                return Outcome(reason=why_unwanted(hole), hole=hole, total_ms=1000 * (self._clock() - began))
            if not explicit and options.debounce:
                await anyio.sleep(self._rhythm.delay_ms(document, hole) / 1000)
            if self._engine.model.info is not info:
                return await again()  # there is another model now
            # Another request may have begun it meanwhile.
            generation = adopt(document, hole) or self._start(document, hole, prompts, options)
        if explicit and generation is not self._asked:
            self._ask(generation, options)
        others = generation.others if explicit else ()
        typed = generation.place.typed_since(document, hole.cursor) or Typed(b"")
        budget = options.budget_ms(trigger) / 1000 - (self._clock() - began)
        generation.waiting += 1
        try:
            await answering.waited(generation, typed, max(0.0, budget), options.deadline_ms / 1000, others)
        finally:
            generation.waiting -= 1
            if generation.finished is None and not generation.waiting:
                self._leave(generation)
        adopted = generation.document is not document
        outcome = answering.outcome_of(generation, hole, typed, 1000 * (self._clock() - began), others, adopted=adopted)
        over = outcome.suggestion is None and typed.passed and generation.finished and generation.ended()
        if over or (self._engine.model.info is not info and answering.failed(generation)):
            return await again()  # it ends before what was typed over, or another model answers in its place
        if not explicit:
            outcome = answering.unasked(outcome, generation, typed, options, self.dangers, warns=warns)
            self._shown_unasked(generation, document, outcome.suggestion, info, options)
            return outcome
        answering.remember_asked(self._memory, generation, document, outcome)
        return self.dangers.answer(outcome, generation.danger, typed, asked=True)

    def growth(self, document: DocumentSnapshot, offset: int) -> Callable[[], Awaitable[bool]] | None:
        """As that of the generation under way for the document."""
        return found.growth(document, offset) if (found := self._running.get(document.uri)) else None

    async def so_far(self, uri: str) -> Outcome | None:
        """What has been written in a document for a request that nobody waits for any more, which that ends; None if
        nothing has."""
        if (generation := self._running.get(uri)) is not None:
            self._end(generation)
        return await answering.outcome_so_far(generation) if generation is not None else None

    def _from_memory(
        self, document: DocumentSnapshot, hole: Hole, info: ModelInfo, options: InlineOptions, began: float, warns: bool
    ) -> Outcome | None:
        """The answer to an automatic request, if one is remembered for this place."""
        if (remembered := self._memory.find(document, hole.cursor)) is None:
            return None
        entry, left = remembered
        outcome = answering.outcome_remembered(entry, left, hole, options, 1000 * (self._clock() - began))
        typed = entry.place.typed_since(document, hole.cursor) or Typed(b"")
        outcome = self.dangers.answer(outcome, entry.danger or NO_DANGER, typed, asked=warns)
        if outcome.suggestion is not None and not entry.in_comment:
            self._background.start(self._prepare, document, outcome.suggestion, info, options)
        return outcome

    def document_changed(self, document: DocumentSnapshot) -> None:
        """Ends the generations for a document that the change makes useless."""
        self._rhythm.key(self._clock())
        # The cursor is not known yet: by the edit, or in front of brackets that the editor has closed.
        cursors = {document.edit_end - closers for closers in range(4)}
        prepared = self._prepared
        if prepared is not None and not prepared.still_possible(document, cursors):
            self._give_up_prepared()
        if (generation := self._running.get(document.uri)) is not None:
            grown = generation.hole.cursor + len(document.source) - len(generation.document.source)
            cursors.add(grown)
            if not any(generation.agrees(generation.place.typed_since(document, cursor)) for cursor in cursors):
                self._end(generation)
        if (asked := self._asked) is not None and asked.document.uri == document.uri and asked.finished is not None:
            self._end(asked)

    def document_closed(self, uri: str) -> None:
        if self._asked is not None and self._asked.document.uri == uri:
            self._end(self._asked)
        if self._prepared is not None and self._prepared.place.uri == uri:
            self._give_up_prepared()
        if (generation := self._running.get(uri)) is not None:
            self._end(generation)

    async def warm(self, document: DocumentSnapshot, offset: int) -> None:
        """Has the prompt for `offset` evaluated in the background, so that a request there finds it done."""
        await self._evaluate(document, offset, at_rest=False)

    async def rest(self, document: DocumentSnapshot, offset: int) -> None:
        """While the user rests: gives the place the full suffix and a nearer anchor, in the background."""
        await self._evaluate(document, offset, at_rest=True)

    def close(self) -> None:
        """Lets its thread end."""
        self._background.close()

    async def _evaluate(self, document: DocumentSnapshot, offset: int, *, at_rest: bool) -> None:
        info, options = self._engine.model.info, self._options()
        if why_silent(self._engine, document, options, explicit=False) or info is None:
            return
        self._forget_other_setups(info, options)
        await self.prompts.evaluate(document, find_hole(document, offset), info, options, at_rest=at_rest)

    def _adopt(self, document: DocumentSnapshot, hole: Hole) -> RunningGeneration | None:
        """The generation under way for the document, if it writes on from what was typed."""
        if (generation := self._running.get(document.uri)) is not None:
            if generation.agrees(generation.place.typed_since(document, hole.cursor)):
                return generation
            self._end(generation)
        prepared = self._prepared
        if prepared is None or prepared.generation is None or not prepared.agrees(document, hole.cursor):
            return None
        self._prepared = None
        self._running[document.uri] = prepared.generation
        return prepared.generation

    def _adopt_asked(self, document: DocumentSnapshot, hole: Hole) -> RunningGeneration | None:
        """What the latest explicit request has begun, or what goes on unasked, if this one asks for the same."""
        for known in (self._asked, self._running.get(document.uri)):
            if known is not None and answering.goes_on(known, known.place.typed_since(document, hole.cursor)):
                return known
        return None

    def _ask(self, generation: RunningGeneration, options: InlineOptions) -> None:
        """Makes it that of the latest explicit request: asks for other candidates too, and shows what is unsure."""
        if self._asked is not None and not self._asked.waiting:
            self._end(self._asked)
        self._asked = generation
        generation.told(0.0)
        what = generation.document, generation.hole, generation.prompts, options
        generation.others = tuple(self._generation(*what) for _ in range(1, options.candidates))
        for rank, other in enumerate(generation.others, 1):
            self._submit(other, options, rank=rank)

    def _start(
        self, document: DocumentSnapshot, hole: Hole, prompts: PromptChoice, options: InlineOptions
    ) -> RunningGeneration:
        known = [*self._running.values(), *filter(None, [self._asked])]
        for other in [o for o in known if not o.waiting or o.document.uri == document.uri]:
            self._end(other)  # nobody waits for it, and this one would have to
        self._give_up_prepared()
        generation = self._generation(document, hole, prompts, options)
        self._running[document.uri] = generation
        self._submit(generation, options)
        if prompts.quick is not None:
            self.prompts.evaluate_full(prompts.full, generation.rule, options)
        return generation

    def _generation(
        self, document: DocumentSnapshot, hole: Hole, prompts: PromptChoice, options: InlineOptions
    ) -> RunningGeneration:
        """A generation for `hole` that has not been submitted."""
        rule = stop_rule(document, hole, options.max_lines, replaces=options.replaces)
        info, checks = self._engine.model.info, self.checks if options.check_names else None
        what = prompts, self._background.parse, info.specials if info else (), self._indentations.of, checks
        return RunningGeneration(document, hole, rule, *what, rules=options.check_danger)

    def _submit(
        self,
        generation: RunningGeneration,
        options: InlineOptions,
        *,
        priority: Priority = Priority.INLINE,
        rank: int = 0,
    ) -> None:
        parse = self._background.parse
        part, setup, info = first_part(generation, options.max_tokens), self._setup, self._engine.model.info
        deadline = self._clock() + options.deadline_ms / 1000 if priority is Priority.INLINE else None

        def on_event(event: TextDelta | Finished) -> None:
            if isinstance(event, TextDelta):
                generation.on_text(event)
            else:
                self._background.start(ended, event)

        async def ended(event: Finished) -> None:
            written = None if rank else written_with(generation, part, event)
            if written is not None and info is not None and self._is_running(generation):
                try:
                    tokens = part.tokens_left(event)
                    behind = await following(generation, written, tokens, info, options, self.prompts, parse)
                except Exception:
                    logger.exception("a long text cannot be written on")
                else:
                    if self._is_running(generation) and self._engine.model.info is info:
                        submit(behind)
                        return
                    event = replace(event, reason=FinishReason.CANCELLED)
            await self._finish(generation, event, setup if rank == 0 else None)

        def submit(one: Part) -> None:
            nonlocal part
            part = one
            generation.id = self._engine.submit(
                part.prompts.full,
                part.rule,
                part.max_tokens,
                on_event,
                priority=priority,
                deadline=deadline,
                rank=rank,
                quick=part.prompts.quick,
                opening=part.rule.opening,
                members=part.rule.members,
            )

        submit(part)

    def _is_running(self, generation: RunningGeneration) -> bool:
        return self._running.get(generation.document.uri) is generation

    async def _prepare(
        self, document: DocumentSnapshot, suggestion: Suggestion, info: ModelInfo, options: InlineOptions
    ) -> None:
        """Begins with what comes after `suggestion`, unless that is known."""
        await anyio.lowlevel.checkpoint()  # until the answer that is being given has been sent
        if not options.prepare_next:
            return
        accepted, cursor = after_acceptance(document, suggestion)
        there = Place.of(accepted, cursor)
        known = self._prepared is not None and self._prepared.there == there
        if known or self._memory.find(accepted, cursor) is not None:
            return
        self._give_up_prepared()
        inserted = accepted.source[suggestion.start : cursor].decode().replace("\r\n", "\n")
        self._prepared = prepared = Prepared(Place.of(document, suggestion.start), inserted, there)
        with prepared.scope:
            hole, prompts = await self.prompts.look(accepted, find_hole(accepted, cursor), info, options)
            if prompts is not None and self._engine.model.info is info:
                prepared.generation = self._generation(accepted, hole, prompts, options)
                self._submit(prepared.generation, options, priority=Priority.PREPARED)

    def _give_up_prepared(self) -> None:
        if self._prepared is not None:
            self._prepared.give_up(self._engine)
        self._prepared = None

    def _leave(self, generation: RunningGeneration) -> None:
        """Nobody waits for it any more. What was asked for goes on, since many cancel a request and ask again; and what
        has been begun to be written. The other candidates do not."""
        asked = generation is self._asked
        self._end_others(generation)
        if not asked and not generation.text:
            self._end(generation)

    def _end_others(self, generation: RunningGeneration) -> None:
        if generation is self._asked:
            self._asked = None
        for other in generation.others:
            self._engine.cancel(other.id)

    def _end(self, generation: RunningGeneration) -> None:
        # What its prompt needs is mostly what the next key's prompt needs.
        self._engine.cancel(generation.id, keep=True)
        self._end_others(generation)
        if self._is_running(generation):
            del self._running[generation.document.uri]

    async def _finish(self, generation: RunningGeneration, finished: Finished, setup: object) -> None:
        """Ends a generation. It can be adopted until it is remembered, and who waits for it goes on after that. setup:
        what it was written under, if it is the likeliest for its place."""
        try:
            await generation.finish(finished)
            if finished.reason in ANSWERS:
                self.dangers.looked(generation.danger)
        finally:
            if self._is_running(generation):
                del self._running[generation.document.uri]
            if self._prepared is not None and self._prepared.generation is generation:
                self._prepared = None
        if setup is None:
            return
        self._rhythm.decoded(finished.usage)
        if finished.reason in WHOLE and setup == self._setup:
            answering.remember_whole(self._memory, generation)

    def _shown_unasked(
        self,
        generation: RunningGeneration,
        document: DocumentSnapshot,
        suggestion: Suggestion | None,
        info: ModelInfo,
        options: InlineOptions,
    ) -> None:
        """Notes what is on the screen now, and begins with what follows it."""
        if suggestion is not None and generation.finished is None:
            generation.told(options.min_confidence)
        if suggestion is not None and generation.ended() and generation.rule.inside is None:
            self._background.start(self._prepare, document, suggestion, info, options)

    def _forget_other_setups(self, info: ModelInfo, options: InlineOptions) -> None:
        """What another model, or this one under other settings, has written is no answer any more."""
        setup = info, options.decisive
        if setup != self._setup:
            self._setup = setup
            self._memory.clear()
            for generation in [*self._running.values(), *filter(None, [self._asked])]:
                self._end(generation)
            self._give_up_prepared()
            self.prompts.forget()
