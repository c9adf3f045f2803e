"""Keeps the prompts in use: the anchor and the context for each place, so that its prompt matches the KV cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lsp_server.core.anchor import AnchorBook
from lsp_server.core.context import ContextBook
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.fim_formats import FimFormat
from lsp_server.core.hole import Hole
from lsp_server.core.index_offer import Index, Why, no_index
from lsp_server.core.pieces import Piece
from lsp_server.core.prompt import Anchor, Context, FimPrompt, PromptBudget, lay_out, new_anchor


@dataclass(frozen=True, slots=True)
class BetterPrompt:
    """A prompt to evaluate while the user pauses, and its parts. context: None if the context does not change."""

    prompt: FimPrompt
    anchor: Anchor
    context: Context | None


@dataclass(frozen=True, slots=True)
class PromptChoice:
    """The prompts that a key can be answered from. quick: a smaller one, used until the full one is evaluated; None if
    it would not be much smaller."""

    full: FimPrompt
    quick: FimPrompt | None = None


# A quick prompt is used if it has at most this share of the full prompt's bytes.
_MOST_QUICK_SHARE = 0.6


class PromptBook:
    """Anchors and contexts together. In the methods, `buffers` are the open and recently closed documents, the most
    recent first. index: is asked only when a context is chosen: at a pause, or for a document that has none yet."""

    def __init__(self, index: Index = no_index) -> None:
        self._index = index
        self._anchors = AnchorBook()
        self._quick_anchors = AnchorBook(quick=True)
        self._contexts = ContextBook()

    def choose(
        self,
        document: DocumentSnapshot,
        hole: Hole,
        form: FimFormat,
        budget: PromptBudget,
        buffers: Sequence[DocumentSnapshot] = (),
        quick: PromptBudget | None = None,
    ) -> PromptChoice:
        """The prompts that a key at `hole` is answered from. quick: the budget of the smaller one; None for none."""
        context = self._contexts.choose(document, hole, budget.context, buffers, self._index)
        anchor = self._anchors.choose(document, hole, form, budget.beside(context.size))
        full = lay_out(document, anchor, hole.cursor, form, context)
        if quick is None or quick.before + quick.after > _MOST_QUICK_SHARE * (anchor.frozen_bytes + context.size):
            return PromptChoice(full)
        smaller = self._quick_anchors.choose(document, hole, form, quick)
        return PromptChoice(full, lay_out(document, smaller, hole.cursor, form))

    def at_rest(
        self,
        document: DocumentSnapshot,
        hole: Hole,
        form: FimFormat,
        budget: PromptBudget,
        buffers: Sequence[DocumentSnapshot] = (),
    ) -> BetterPrompt | None:
        """A better prompt for `hole` than the one in use, to evaluate while the user pauses; None if there is no better
        one. It is used only after `adopt` was called with it."""
        held = self._contexts.choose(document, hole, budget.context, buffers, self._index)
        current = self._anchors.choose(document, hole, form, budget.beside(held.size))
        context = self._contexts.at_rest(document, hole, budget.context, buffers, current.frozen_bytes, self._index)
        if context is not None:
            anchor = new_anchor(document, hole, form, budget.beside(context.size))
            return BetterPrompt(lay_out(document, anchor, hole.cursor, form, context), anchor, context)
        nearer = self._anchors.at_rest(document, hole, form, budget.beside(held.size))
        if nearer is None:
            return None
        return BetterPrompt(lay_out(document, nearer, hole.cursor, form, held), nearer, None)

    def adopt(self, better: BetterPrompt) -> None:
        """Puts an evaluated prompt into use. If it has another context, the document's earlier anchors are dropped:
        they would have to be evaluated again, and their windows may be too large beside that context."""
        uri = better.anchor.uri
        if better.context is not None:
            self._contexts.adopt(uri, better.context)
            self._anchors.forget(uri)
        self._anchors.adopt(better.anchor)

    def context(self, uri: str) -> Context:
        """The context that the prompts for a document show."""
        return self._contexts.held(uri)

    def why(self, uri: str) -> Mapping[Piece, Why]:
        """Why the prompts for a document show pieces of an index."""
        return self._contexts.why(uri)
