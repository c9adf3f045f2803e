"""The prompts in use: for each place the anchor and the context that make it the one whose KV cache is there."""

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
    """A prompt to be evaluated while the user rests, and what it was made of. context: None if that stays."""

    prompt: FimPrompt
    anchor: Anchor
    context: Context | None


@dataclass(frozen=True, slots=True)
class PromptChoice:
    """The prompts that a key can be answered from. quick: a smaller one, for as long as the full one is not evaluated;
    None where it would not be much smaller."""

    full: FimPrompt
    quick: FimPrompt | None = None


# A quick prompt is laid out where it is at most this share of the full one.
_MOST_QUICK_SHARE = 0.6


class PromptBook:
    """Anchors and contexts together. buffers: the documents open and lately closed, the most recent first. index:
    looked into when what is shown of other files is chosen, never for a key."""

    def __init__(self, index: Index = no_index) -> None:
        self._index = index
        self._anchors = AnchorBook()
        self._quick_anchors = AnchorBook(short_only=True)
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
        """The prompts that a key at `hole` is answered from. quick: the budget of the smaller one, if one is wanted."""
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
        """A better prompt for `hole` than the one in use, to be evaluated while the user rests; None if that one
        is as good. It is used once `adopt` has been called with it."""
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
        """Answers from a prompt that has been evaluated. With another context, the document's earlier anchors
        would have to be evaluated anew, and their windows may be too large beside it: they go."""
        uri = better.anchor.uri
        if better.context is not None:
            self._contexts.adopt(uri, better.context)
            self._anchors.forget(uri)
        self._anchors.adopt(better.anchor)

    def context(self, uri: str) -> Context:
        """What the prompts for a document show of others."""
        return self._contexts.held(uri)

    def why(self, uri: str) -> Mapping[Piece, Why]:
        """Why they show what an index has offered."""
        return self._contexts.why(uri)
