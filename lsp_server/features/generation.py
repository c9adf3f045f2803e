"""A generation under way: its text so far, who waits for it, and whether newer typing still agrees with it."""

from __future__ import annotations

import re

import anyio

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.hole import Hole
from lsp_server.core.prompt import Anchor, FimPrompt
from lsp_server.core.reuse import Place, Typed
from lsp_server.core.stopping import StopRule
from lsp_server.engine.request import Finished, TextDelta, Usage

_PARTIAL_WORD = re.compile(r"\w+$")


class RunningGeneration:
    """One request to the engine, which outlives the editor's request that started it: the next key's request
    adopts it if what was typed agrees with what it writes."""

    def __init__(
        self, document: DocumentSnapshot, hole: Hole, rule: StopRule, anchor: Anchor, prompt: FimPrompt
    ) -> None:
        self.id = 0
        self.document = document
        self.hole = hole
        self.rule = rule
        self.anchor = anchor
        self.prompt = prompt
        self.place = Place.of(document, hole.cursor)
        self.text = ""
        self.usage = Usage()
        self.finished: Finished | None = None
        self.waiting = 0
        self._changed = anyio.Event()

    def on_event(self, event: TextDelta | Finished) -> None:
        if isinstance(event, Finished):
            self.finished, self.text = event, event.text
        else:
            self.text += event.text
        self.usage = event.usage
        self._changed.set()
        self._changed = anyio.Event()

    def agrees(self, typed: Typed | None) -> bool:
        """Whether it writes on from what has been typed since it began."""
        return typed is not None and (not typed.text or bool(typed.rest_of(self.text)))

    def sensible(self) -> str:
        """The text so far up to the end of a word: what can be shown before the rest has come."""
        if self.finished is not None:
            return self.text
        return _PARTIAL_WORD.sub("", self.text)

    async def wait(self, typed: Typed, budget_seconds: float) -> None:
        """Waits for the end, but once the budget is spent only until something can be shown behind `typed`."""
        with anyio.move_on_after(budget_seconds):
            while self.finished is None:
                await self._changed.wait()
        while self.finished is None and not (typed.rest_of(self.sensible()) or "").strip():
            await self._changed.wait()
