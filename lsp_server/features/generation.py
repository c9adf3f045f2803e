"""A running generation: its text so far, the requests that wait for it, and whether new typing still agrees with it."""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from functools import partial

import anyio

from lsp_server.core.confidence import Confidence, solid_length
from lsp_server.core.danger.verdict import NO_DANGER, Danger
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.hole import Hole
from lsp_server.core.indentation import IndentStyle
from lsp_server.core.insertion import Insertion
from lsp_server.core.names.allowed import Bare
from lsp_server.core.names.undefined import Checked, without_undefined
from lsp_server.core.prompt import FimPrompt
from lsp_server.core.prompt_book import PromptChoice
from lsp_server.core.reuse import Place, Typed
from lsp_server.core.shape import shape
from lsp_server.core.stopping import StopRule
from lsp_server.engine.api import Finished, FinishReason, TextDelta, Usage
from lsp_server.features.background import Parse, parse_here
from lsp_server.features.dangers import look_for_danger
from lsp_server.features.name_check_counts import Checks
from lsp_server.features.reasons import NOTHING_YET, why_dangerous, why_nothing, why_undefined
from lsp_server.features.request_times import Span, model_spans

# Reasons of an end with an answer: the whole text, or the text until the deadline.
WHOLE = (FinishReason.STOP, FinishReason.END, FinishReason.LENGTH)
ANSWERS = (*WHOLE, FinishReason.DEADLINE)

# How many times of shaping and checking are kept for one generation: two for each look.
_MOST_LOOKS = 64

_PARTIAL_WORD = re.compile(r"\w+$")


class RunningGeneration:
    """One request to the engine, which can outlive the editor's request that started it: the request of the next key
    adopts it if the typed text agrees with its text.

    others: further candidates for its place, requested together with it. shown: the shaped part of its text that can be
    shown; it only grows. finished: how it ended, set after the whole text was shaped. parse: runs the shaping on the
    right thread. specials: the spellings of the model's special tokens. usual: gives the indentation for a document
    that does not show one. checks: counts the results of the check of names; None for no check. undefined: an undefined
    name in its text, before which the shown text ends. function: if it is the name of a keyword argument, the function
    that does not have it. bare: where that name stands, and the defined names that could replace it. rewrites: how many
    such names were generated again. tries: how often the last of them was. rules: whether dangerous patterns are looked
    for. danger: the findings in the shown text. clock: gives seconds, for spans; it is also called on the parsing
    thread.
    """

    def __init__(
        self,
        document: DocumentSnapshot,
        hole: Hole,
        rule: StopRule,
        prompts: PromptChoice,
        parse: Parse = parse_here,
        specials: tuple[str, ...] = (),
        usual: Callable[[DocumentSnapshot], IndentStyle | None] = lambda _: None,
        checks: Checks | None = None,
        *,
        rules: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.id = 0
        self.document = document
        self.hole = hole
        self.rule = rule
        self.prompts = prompts
        self.specials = specials
        self.usual = usual
        self.checks = checks
        self.undefined = ""
        self.function = ""
        self.bare: Bare | None = None
        self.rewrites = self.tries = 0
        self._before: tuple[Finished, str, list[tuple[int, float]]] | None = None  # the state before a rewrite
        self.rules = rules
        self.danger = NO_DANGER
        self.place = Place.of(document, hole.cursor)
        self.text = ""
        self.usage = Usage()
        self.shown = Insertion("")
        self.finished: Finished | None = None
        self.waiting = 0
        self.full_is_evaluated = False  # beside an answer from a quick prompt
        self.others: tuple[RunningGeneration, ...] = ()
        self._end: Finished | None = None
        self._submitted = 0.0  # the time when the current part was submitted
        self._heard = math.inf  # the time of the engine's last event for that part
        self._earlier: list[Span] = []  # the spans of earlier parts
        self._looks: deque[Span] = deque(maxlen=_MOST_LOOKS)
        self._reported_tokens = 0
        self._continued = False
        self._decoded_tokens = 0  # in the current part
        self._tokens: list[tuple[int, float]] = []
        self._solid = 0  # the length of all tokens together
        self._min_confidence = 0.0  # the minimum probability of tokens that extend the shown text
        self._parse, self._clock = parse, clock
        self._shaped = "", False
        self._shaping = anyio.Lock(fast_acquire=True)
        self._changed = anyio.Event()

    @property
    def superseded(self) -> bool:
        """Whether the text comes from the quick prompt, while the full one is evaluated by now."""
        return self.full_is_evaluated and self.usage.quick

    @property
    def prompt(self) -> FimPrompt:
        """The prompt that the text is generated from."""
        quick = self.prompts.quick
        return quick if quick is not None and self.usage.quick else self.prompts.full

    def submitted(self, id: int, now: float) -> None:
        """Records that it, or its next part, was submitted to the engine."""
        if self._continued:
            self._earlier += model_spans(self.usage, self._submitted, self._heard)
        self.id, self._submitted, self._heard = id, now, math.inf

    def spans(self) -> Iterator[Span]:
        """How its time was spent, as far as is known. While the model runs, a request that waits for it waits for the
        model."""
        yield from self._earlier
        yield from model_spans(self.usage, self._submitted, self._heard)
        for part, began, ended in self._looks:
            yield Span(part, max(began, self._heard), max(ended, self._heard))

    def on_text(self, event: TextDelta) -> None:
        self.text += event.text
        tokens = event.usage.decoded_tokens - self._decoded_tokens
        self._decoded_tokens = event.usage.decoded_tokens
        # If a draft was accepted, several tokens come at once; each gets their mean log-probability.
        self._solid += solid_length(event.text)
        self._tokens.append((self._solid, event.logprob / max(1, tokens)))
        self.usage, self._heard = event.usage, self._clock()
        self._wake()

    async def read(self, event: Finished) -> None:
        """Records the end of its text, and shapes the whole text."""
        if event is not self._end:
            self._heard = self._clock()
        self._end, self.usage = event, event.usage
        if not self._continued:
            self.text = event.text
        if event.reason in ANSWERS:
            await self.update_shown()

    async def finish(self, event: Finished) -> None:
        """Records the end. Waiting requests go on after the whole text was shaped."""
        try:
            await self.read(event)
            if event.reason in ANSWERS and self.checks is not None:
                self.checks.count(self.undefined, shown=bool(self.shown.text.strip()))
        finally:
            self.finished = event
            self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    def rewrite(self, length: int, finished: Finished | None) -> None:
        """Cuts its text to `length` characters, so that the rest can be generated again. finished: how it had ended;
        None if this is a further try for the same name."""
        self.tries += 1
        if finished is not None:
            self.rewrites, self.tries = self.rewrites + 1, 1
            self._before = finished, self.text, self._tokens.copy()
        self.next_part(self.text[:length])

    def not_rewritten(self) -> Finished:
        """Restores the text from before the rewrite. Returns how that text had ended."""
        assert self._before is not None
        finished, self.text, self._tokens = self._before
        self._solid = self._tokens[-1][0] if self._tokens else 0
        return replace(finished, usage=self.usage)

    def next_part(self, text: str) -> None:
        """Sets `text` as everything that was generated so far; another part follows."""
        self.text, self._end = text, None
        self._solid = solid_length(text)
        while self._tokens and self._tokens[-1][0] > self._solid:
            begins = self._tokens[-2][0] if len(self._tokens) > 1 else 0
            _, logprob = self._tokens.pop()
            if begins < self._solid:
                self._tokens.append((self._solid, logprob))
        self._continued = True
        self._decoded_tokens = 0

    def cost(self) -> Usage:
        """Its cost so far, for one answer. Prompt tokens that an earlier answer has reported count as reused."""
        usage, reported = self.usage, self._reported_tokens
        self._reported_tokens = usage.evaluated_tokens
        new = max(0, usage.evaluated_tokens - reported)
        return replace(usage, evaluated_tokens=new, reused_tokens=usage.reused_tokens + usage.evaluated_tokens - new)

    def agrees(self, typed: Typed | None) -> bool:
        """Whether the typed text since its start agrees with its text, either as generated or as shown."""
        if typed is None:
            return False
        # Later text may replace a bracket that was typed over, if the rule allows that.
        if typed.agrees_with(self.text) and self.rule.over.startswith(typed.passed.decode()):
            return True
        return typed.rest_of(self.shown) is not None

    def ended(self) -> bool:
        """Whether its text is complete: the model or the stop rule has ended it, not a limit."""
        return self._end is not None and self._end.reason in (FinishReason.STOP, FinishReason.END)

    async def update_shown(self) -> None:
        """Shapes the current text to find the part that can be shown. Of an unfinished text the last word is left out,
        unless it is the only one when the generation ends. Cancelling the caller does not cancel the shaping.

        Text that was shown is never taken back: if more text only adds errors or low confidence, `shown` stays.
        """
        await asyncio.shield(asyncio.ensure_future(self._shape_for_all()))

    async def _shape_for_all(self) -> None:
        async with self._shaping:
            whole = self._end is not None
            text = self.text if self.ended() else _PARTIAL_WORD.sub("", self.text)
            if whole and not text.strip():
                text = self.text
            if (text, whole) == self._shaped:
                return
            checked, danger, *looks = await self._parse(partial(self._shape_here, text, whole=whole))
            self._looks.extend(looks)
            self._shaped, self.undefined, shaped = (text, whole), checked.undefined, checked.suggestion
            self.bare, self.function = checked.bare, checked.function
            if whole and shaped is None and self.undefined:
                self.shown = Insertion("")  # the beginning of a withheld text is useless, and may be half a call
            if shaped is not None and shaped.text.startswith(self.shown.text):
                size = len(self.shown.text.encode())
                if self.token_confidence().behind(shaped.text, size) >= self._min_confidence:
                    self.shown, self.danger = Insertion.of(shaped, self.document), danger

    def _shape_here(self, text: str, *, whole: bool) -> tuple[Checked, Danger, Span, Span]:
        shaped = partial(shape, specials=self.specials, usual=self.usual)
        place, began = (self.document, self.hole, self.rule), self._clock()
        checked, shaped_at = Checked(shaped(text, *place, whole=whole)), self._clock()
        if (fitting := checked.suggestion) is not None and self.checks is not None:
            checked = without_undefined(fitting, self.document)
            if (bare := checked.bare) is not None:
                checked = replace(checked, bare=bare.within(text, fitting.text))
        found = checked.suggestion
        danger = look_for_danger(found, self.document, lambda begun: shaped(begun, *place), rules=self.rules)
        return checked, danger, Span("shaping", began, shaped_at), Span("checks", shaped_at, self._clock())

    def why_nothing(self, typed: Typed) -> str:
        """The reason why nothing is shown after `typed`, in words for the user."""
        if self.finished is None:
            return NOTHING_YET
        answers = self.finished.reason in ANSWERS
        if answers and (never := self.danger.left(len(typed.text), never=True)):
            return why_dangerous(never)
        if answers and self.undefined:
            return why_undefined(self.undefined, self.function)
        return why_nothing(self.finished, self.hole)

    def require_confidence(self, min_confidence: float) -> None:
        """From now on, extends the shown text only with tokens whose probability is at least `min_confidence`. Called
        when the beginning of the text is on the screen, because text that was shown stays."""
        self._min_confidence = min_confidence

    def token_confidence(self) -> Confidence:
        return Confidence(tuple(self._tokens))

    def confidence(self, cursor: int | None = None) -> float:
        """The model's confidence in the shown text, from 0 to 1. cursor: a byte offset; only the text after it counts.
        The user has reached it by typing the beginning of the text."""
        return self.token_confidence().behind(self.shown.text, 0 if cursor is None else cursor - self.place.cursor)

    def visible(self, typed: Typed) -> Insertion | None:
        """The text that can be shown after `typed` to a user who has requested it."""
        never = self.danger.left(len(typed.text), never=True)
        left = typed.rest_of(self.danger.safe if never else self.shown)
        return left if left is not None and left.text.strip() else None

    def growth(self, document: DocumentSnapshot, offset: int) -> Callable[[], Awaitable[bool]] | None:
        """A function that waits for another line or the end of the generation, until more text can be shown at byte
        `offset` than now. It returns True then, and False if no more text comes. None if the generation is for another
        place or has ended."""
        typed = self.place.typed_since(document, offset)
        if typed is None or not self.agrees(typed) or self.finished is not None:
            return None
        before, lines = self._visible_text(typed), self.text.count("\n")

        async def grows() -> bool:
            nonlocal lines
            while self.finished is None:
                changed = self._changed
                if self.text.count("\n") > lines:
                    lines = self.text.count("\n")
                    await self.update_shown()
                    if self._visible_text(typed) != before:
                        return True
                if self.finished is None:
                    await changed.wait()
            return self.finished.reason in WHOLE and self._visible_text(typed) != before

        return grows

    def _visible_text(self, typed: Typed) -> str:
        visible = self.visible(typed)
        return visible.text if visible is not None else ""

    async def wait(self, typed: Typed, budget_seconds: float) -> None:
        """Waits for the end; after the budget only until something can be shown after `typed`."""
        with anyio.move_on_after(budget_seconds):
            while self.finished is None:
                await self._changed.wait()
        while self.finished is None:
            changed = self._changed
            await self.update_shown()
            if self._end is None and self.visible(typed) is not None:
                return
            await changed.wait()
