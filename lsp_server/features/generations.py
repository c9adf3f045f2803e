"""Manages the running generations of all documents: starts them, hands them to later requests, and ends them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace

import anyio.lowlevel

from lsp_server.backends.base import ModelInfo
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.hole import Hole, find_hole
from lsp_server.core.insertion import Insertion
from lsp_server.core.prompt_book import PromptChoice
from lsp_server.core.reuse import Place, SuggestionMemory, Typed
from lsp_server.core.shape import Suggestion
from lsp_server.core.stopping import stop_rule
from lsp_server.engine.api import Engine, Finished, FinishReason, Priority, TextDelta
from lsp_server.features import answering
from lsp_server.features.background import Background
from lsp_server.features.dangers import Dangers
from lsp_server.features.generation import ANSWERS, WHOLE, RunningGeneration
from lsp_server.features.indentation import Indentations
from lsp_server.features.name_check_counts import Checks
from lsp_server.features.options import InlineOptions
from lsp_server.features.prepared import Prepared, after_acceptance
from lsp_server.features.prompts import Prompts
from lsp_server.features.rhythm import Rhythm
from lsp_server.features.written_parts import Part, first_part, following, rewritten, written_with

logger = logging.getLogger(__name__)


class Generations:
    """At most one generation for each document, the one of the latest explicit request, and a prepared one for the text
    after the shown suggestion. Must only be used on the event loop.

    memory: receives the results. rhythm: learns the decode time of a token. clock: gives seconds, for deadlines
    and for spans; it is also called on the parsing thread.
    """

    def __init__(
        self,
        engine: Engine,
        background: Background,
        prompts: Prompts,
        memory: SuggestionMemory,
        rhythm: Rhythm,
        indentations: Indentations,
        clock: Callable[[], float],
    ) -> None:
        self._engine = engine
        self._background = background
        self._prompts = prompts
        self._memory = memory
        self._rhythm = rhythm
        self._indentations = indentations
        self._clock = clock
        self.checks, self.dangers = Checks(), Dangers()
        self.asked: RunningGeneration | None = None  # of the latest explicit request
        self._running: dict[str, RunningGeneration] = {}
        self._prepared: Prepared | None = None
        self._setup: object = None

    def of(self, uri: str) -> RunningGeneration | None:
        """The running generation of a document."""
        return self._running.get(uri)

    def keep_only(self, setup: object) -> bool:
        """Ends all generations unless they use `setup`, the model and the settings. Returns whether they use it."""
        if setup == self._setup:
            return True
        self._setup = setup
        for generation in [*self._all()]:
            self.end(generation)
        self._give_up_prepared()
        return False

    def adopt(self, document: DocumentSnapshot, hole: Hole) -> RunningGeneration | None:
        """The running generation of the document, or the prepared one, if its text agrees with the typed text."""
        if (generation := self._running.get(document.uri)) is not None:
            if generation.agrees(generation.place.typed_since(document, hole.cursor)):
                return generation
            self.end(generation)
        prepared = self._prepared
        if prepared is None or prepared.generation is None or not prepared.agrees(document, hole.cursor):
            return None
        self._prepared = None
        self._running[document.uri] = prepared.generation
        return prepared.generation

    def adopt_asked(self, document: DocumentSnapshot, hole: Hole) -> RunningGeneration | None:
        """The generation of the latest explicit request, or the document's running one, if it serves this request."""
        for known in (self.asked, self._running.get(document.uri)):
            if known is not None and answering.serves_explicit(known, known.place.typed_since(document, hole.cursor)):
                return known
        return None

    def start(
        self, document: DocumentSnapshot, hole: Hole, prompts: PromptChoice, options: InlineOptions
    ) -> RunningGeneration:
        """Starts a generation. Ends the document's earlier one and those without a waiting request, because the new one
        would have to wait for them."""
        for other in [o for o in self._all() if not o.waiting or o.document.uri == document.uri]:
            self.end(other)
        self._give_up_prepared()
        generation = self._made(document, hole, prompts, options)
        self._running[document.uri] = generation
        self._submit(generation, options)
        if prompts.quick is not None:

            def evaluated(event: TextDelta | Finished) -> None:
                if isinstance(event, Finished) and event.reason is FinishReason.LENGTH:
                    generation.full_is_evaluated = True
                    if generation.superseded:
                        self._memory.supersede(generation.place, generation.visible(Typed(b"")) or Insertion(""))

            self._prompts.evaluate_full(prompts.full, generation.rule, options, evaluated)
        return generation

    def ask(self, generation: RunningGeneration, options: InlineOptions) -> None:
        """Makes it the generation of the latest explicit request: requests further candidates, and allows text of low
        confidence."""
        if self.asked is not None and not self.asked.waiting:
            self.end(self.asked)
        self.asked = generation
        generation.require_confidence(0.0)
        what = generation.document, generation.hole, generation.prompts, options
        generation.others = tuple(self._made(*what) for _ in range(1, options.candidates))
        for rank, other in enumerate(generation.others, 1):
            self._submit(other, options, rank=rank)

    async def prepare(
        self, document: DocumentSnapshot, suggestion: Suggestion, info: ModelInfo, options: InlineOptions
    ) -> None:
        """Starts to generate the text after `suggestion`, unless it is known already."""
        await anyio.lowlevel.checkpoint()  # lets the current answer be sent first
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
            hole, prompts = await self._prompts.hole_and_prompts(accepted, find_hole(accepted, cursor), info, options)
            if prompts is not None and self._engine.model.info is info:
                prepared.generation = self._made(accepted, hole, prompts, options)
                self._submit(prepared.generation, options, priority=Priority.PREPARED)

    def document_changed(self, document: DocumentSnapshot) -> None:
        """Ends generations that a change of the document has made useless."""
        # The cursor is not known yet: it is at the edit, or before brackets that the editor has inserted.
        cursors = {document.edit_end - closers for closers in range(4)}
        prepared = self._prepared
        if prepared is not None and not prepared.still_possible(document, cursors):
            self._give_up_prepared()
        if (generation := self._running.get(document.uri)) is not None:
            grown = generation.hole.cursor + len(document.source) - len(generation.document.source)
            cursors.add(grown)
            if not any(generation.agrees(generation.place.typed_since(document, cursor)) for cursor in cursors):
                self.end(generation)
        if (asked := self.asked) is not None and asked.document.uri == document.uri and asked.finished is not None:
            self.end(asked)

    def document_closed(self, uri: str) -> None:
        """Ends all generations of a document."""
        for generation in [known for known in self._all() if known.document.uri == uri]:
            self.end(generation)
        if self._prepared is not None and self._prepared.place.uri == uri:
            self._give_up_prepared()

    def leave(self, generation: RunningGeneration) -> None:
        """No request waits for the generation any more. An explicit one goes on, because many clients cancel a request
        and send it again; so does one that has text. Its other candidates are cancelled."""
        asked = generation is self.asked
        self._end_others(generation)
        if not asked and not generation.text:
            self.end(generation)

    def end(self, generation: RunningGeneration) -> None:
        """Cancels a generation. Its prompt stays in the cache, because the next key's prompt is mostly the same."""
        self._engine.cancel(generation.id, keep=True)
        self._end_others(generation)
        if self._is_running(generation):
            del self._running[generation.document.uri]

    def _all(self) -> Iterator[RunningGeneration]:
        """All generations except the prepared one."""
        yield from self._running.values()
        if self.asked is not None:
            yield self.asked

    def _is_running(self, generation: RunningGeneration) -> bool:
        return self._running.get(generation.document.uri) is generation

    def _holds(self, generation: RunningGeneration) -> bool:
        """Whether its result can still be used."""
        prepared = self._prepared is not None and self._prepared.generation is generation
        return prepared or self._is_running(generation)

    def _end_others(self, generation: RunningGeneration) -> None:
        if generation is self.asked:
            self.asked = None
        for other in generation.others:
            self._engine.cancel(other.id)

    def _give_up_prepared(self) -> None:
        if self._prepared is not None:
            self._prepared.give_up(self._engine)
        self._prepared = None

    def _made(
        self, document: DocumentSnapshot, hole: Hole, prompts: PromptChoice, options: InlineOptions
    ) -> RunningGeneration:
        """A generation for `hole` that has not been submitted."""
        rule = stop_rule(document, hole, options.max_lines, replaces=options.replaces)
        info, checks = self._engine.model.info, self.checks if options.check_names else None
        what = prompts, self._background.parse, info.specials if info else (), self._indentations.of, checks
        return RunningGeneration(document, hole, rule, *what, rules=options.check_danger, clock=self._clock)

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
            again: Part | Finished = event
            try:
                if info is not None and written is not None and self._is_running(generation):
                    tokens = part.tokens_left(event)
                    again = await following(generation, written, tokens, info, options, self._prompts, parse)
                elif info is not None and info.is_ours and rank == 0 and self._holds(generation):
                    again = await rewritten(generation, part, event)
            except Exception:
                logger.exception("a text cannot be written on")
            if isinstance(again, Part):
                if self._holds(generation) and self._engine.model.info is info:
                    submit(again)
                    return
                again = replace(event, reason=FinishReason.CANCELLED)
            await self._finish(generation, again, setup if rank == 0 else None)

        def submit(one: Part) -> None:
            nonlocal part
            part = one
            id = self._engine.submit(
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
                written=part.written,
            )
            generation.submitted(id, self._clock())

        submit(part)

    async def _finish(self, generation: RunningGeneration, finished: Finished, setup: object) -> None:
        """Ends a generation. It can be adopted until its result is remembered; waiting requests go on after that.
        setup: the setup it was started with; None for candidates other than the first."""
        try:
            await generation.finish(finished)
            if finished.reason in ANSWERS:
                self.dangers.count(generation.danger)
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
