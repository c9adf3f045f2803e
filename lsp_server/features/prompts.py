"""Builds the prompts for requests on the parsing thread, and evaluates prompts before a request needs them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import anyio

from lsp_server.backends.base import ModelInfo
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.fim_formats import FimFormat
from lsp_server.core.hole import Hole, HoleKind, for_automatic_request, for_explicit_request, refined
from lsp_server.core.index_offer import Index, Why, no_index
from lsp_server.core.pieces import Piece
from lsp_server.core.prompt import Context, FimPrompt, PromptBudget
from lsp_server.core.prompt_book import BetterPrompt, PromptBook, PromptChoice
from lsp_server.core.stopping import StopRule, stop_rule
from lsp_server.engine.api import Engine, Finished, FinishReason, Priority, TextDelta
from lsp_server.features.background import Background
from lsp_server.features.budget import budget_for, quick_budget
from lsp_server.features.options import Comments, InlineOptions

if TYPE_CHECKING:
    from lsp_server.features.python_modules import PythonModules

# Modules import others, so reading is repeated at most this often for one place.
_MOST_READINGS = 8


class Prompts:
    """The prompt book, which only the parsing thread changes. buffers: gives the open and recently closed documents,
    the most recent first, for prompts to show parts of. index: is asked on the parsing thread. modules: creates the
    reader of imported Python modules, which reads beside the requests; called only if `limit_imports` is on.
    """

    def __init__(
        self,
        engine: Engine,
        background: Background,
        buffers: Callable[[], Sequence[DocumentSnapshot]],
        index: Index = no_index,
        modules: Callable[[], PythonModules] | None = None,
    ) -> None:
        self._engine = engine
        self._make_modules = modules
        self._modules: PythonModules | None = None
        self._reads_modules = False
        self._background = background
        self._buffers = buffers
        self._index = index
        self._book = PromptBook(index)
        self._evaluated: int | None = None
        # The scopes of tasks that build prompts for evaluation, by whether they are for a pause.
        self._making = {True: anyio.CancelScope(), False: anyio.CancelScope()}

    def forget(self) -> None:
        """Drops all prompts, for another model or other settings."""
        self._book = PromptBook(self._index)

    def context(self, uri: str) -> Context:
        """The context that the prompts for a document show."""
        return self._book.context(uri)

    def why(self, uri: str) -> Mapping[Piece, Why]:
        """Why the prompts for a document show pieces of an index."""
        return self._book.why(uri)

    async def hole_and_prompts(
        self, document: DocumentSnapshot, hole: Hole, info: ModelInfo, options: InlineOptions, *, asks: bool = False
    ) -> tuple[Hole, PromptChoice | None]:
        """`hole` refined by the syntax tree, and the prompts for it; None if nothing is wanted there. asks: whether the
        user has requested a completion."""
        book, buffers = self._book, self._buffers()
        budget = budget_for(info, options)
        quick = quick_budget(self._engine.token_ms()) if options.quick else None

        def find() -> tuple[Hole, PromptChoice | None]:
            found = for_explicit_request(refined(document, hole)) if asks else _wanted(document, hole, options.comments)
            if found.kind is HoleKind.NONE:
                return found, None
            prompts = book.choose(document, found, info.format, budget, buffers, quick)
            if options.limit_names and found.comment is None:
                from lsp_server.core.names.receivers import (
                    members_at,  # imported here, so that a server starts without it
                )

                found = replace(found, members=members_at(document, found.cursor, modules))
            return found, prompts

        modules = self._modules_for(options)
        result = await self._background.parse(find)
        if modules is not None:
            self._read_modules(modules, document, hole)
        return result

    def _modules_for(self, options: InlineOptions) -> PythonModules | None:
        """The reader of modules; None if modules must not be read."""
        if not (options.limit_names and options.limit_imports):
            return None
        if self._modules is None and self._make_modules is not None:
            self._modules = self._make_modules()
        return self._modules

    def _read_modules(
        self, modules: PythonModules, document: DocumentSnapshot, hole: Hole, *, check: bool = False
    ) -> None:
        """Starts to read the modules that were looked up but are unknown, so that the next key has them. check: whether
        known modules are checked for changes as well."""
        if not self._reads_modules and (check or modules.wants()):
            self._reads_modules = True
            self._background.start(self._modules_read, modules, document, hole, check)

    async def _modules_read(self, modules: PythonModules, document: DocumentSnapshot, hole: Hole, check: bool) -> None:
        from lsp_server.core.names.python_receivers import members_at

        try:
            if check:
                await anyio.to_thread.run_sync(modules.check, abandon_on_cancel=True)
            for _ in range(_MOST_READINGS):  # modules that were read import others
                await self._background.parse(members_at, document, hole.cursor, modules)
                if not modules.wants():
                    break
                await anyio.to_thread.run_sync(modules.read, abandon_on_cancel=True)
        finally:
            self._reads_modules = False

    async def evaluate(
        self, document: DocumentSnapshot, hole: Hole, info: ModelInfo, options: InlineOptions, *, at_rest: bool
    ) -> None:
        """Evaluates the prompt for `hole`; an earlier such evaluation is cancelled. at_rest: only a prompt that is
        better than the one in use, which it then replaces. If nothing is wanted at the hole, nothing is evaluated, and
        a running evaluation is cancelled."""
        if at_rest and (modules := self._modules_for(options)) is not None:
            self._read_modules(modules, document, hole, check=True)
        for for_rest in (True,) if at_rest else (True, False):
            self._making[for_rest].cancel()
        with anyio.CancelScope() as self._making[at_rest]:
            book = self._book
            what = document, hole, info.format, budget_for(info, options), self._buffers()
            is_wanted, prompt, better = await self._background.parse(_ahead, book, options.comments, at_rest, *what)
            if self._engine.model.info is not info:
                return
            if prompt is None:
                if not is_wanted and self._evaluated is not None:
                    self._engine.cancel(self._evaluated)
                return

            def done(event: TextDelta | Finished) -> None:
                if better is not None and isinstance(event, Finished) and event.reason is FinishReason.LENGTH:
                    self._background.start(self._background.parse, book.adopt, better)

            rule = stop_rule(document, hole, options.max_lines, replaces=options.replaces)
            self.evaluate_full(prompt, rule, options, done)

    def evaluate_full(
        self,
        prompt: FimPrompt,
        rule: StopRule,
        options: InlineOptions,
        done: Callable[[TextDelta | Finished], None] = lambda _: None,
    ) -> None:
        """Evaluates `prompt` in the background; an earlier evaluation is cancelled. done: receives the events."""
        if self._evaluated is not None:
            self._engine.cancel(self._evaluated, keep=True)
        self._evaluated = self._engine.submit(
            prompt, rule, 0, done, priority=Priority.WARMING, reserve=options.max_tokens
        )


def _wanted(document: DocumentSnapshot, hole: Hole, comments: Comments) -> Hole:
    """`hole` for a user who has not requested a completion."""
    return for_automatic_request(refined(document, hole), comments=comments == "on", docs=comments != "off")


def _ahead(
    book: PromptBook,
    comments: Comments,
    at_rest: bool,
    document: DocumentSnapshot,
    hole: Hole,
    form: FimFormat,
    budget: PromptBudget,
    buffers: Sequence[DocumentSnapshot],
) -> tuple[bool, FimPrompt | None, BetterPrompt | None]:
    """Whether a completion is wanted at `hole`; and the prompt to evaluate for it. At a pause only a prompt that is
    better than the one in use."""
    if _wanted(document, hole, comments).kind is HoleKind.NONE:
        return False, None, None
    if not at_rest:
        return True, book.choose(document, hole, form, budget, buffers).full, None
    better = book.at_rest(document, hole, form, budget, buffers)
    return True, better.prompt if better else None, better
