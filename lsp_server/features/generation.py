"""A generation under way: its text so far, who waits for it, and whether newer typing still agrees with it."""

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

from lsp_server.core.allowed_names import Bare
from lsp_server.core.confidence import Confidence, solid
from lsp_server.core.danger.verdict import NO_DANGER, Danger
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.hole import Hole
from lsp_server.core.indentation import IndentStyle
from lsp_server.core.insertion import Insertion
from lsp_server.core.prompt import FimPrompt
from lsp_server.core.prompt_book import PromptChoice
from lsp_server.core.reuse import Place, Typed
from lsp_server.core.shape import shape
from lsp_server.core.stopping import StopRule
from lsp_server.core.undefined_names import Checked, without_undefined
from lsp_server.engine.api import Finished, FinishReason, TextDelta, Usage
from lsp_server.features.background import Parse, parse_here
from lsp_server.features.dangers import look_for_danger
from lsp_server.features.name_check_counts import Checks
from lsp_server.features.reasons import NOTHING_YET, why_dangerous, why_nothing, why_undefined
from lsp_server.features.request_times import Span, model_spans

# Ends after which there is an answer: the whole text, or what there was in time.
WHOLE = (FinishReason.STOP, FinishReason.END, FinishReason.LENGTH)
ANSWERS = (*WHOLE, FinishReason.DEADLINE)

# Of one generation, the times of so many looks at what can be shown are kept: two for each.
_MOST_LOOKS = 64

_PARTIAL_WORD = re.compile(r"\w+$")


class RunningGeneration:
    """One request to the engine, which outlives the editor's request that started it: the next key's request
    adopts it if what was typed agrees with what it writes.

    others: further candidates for its place, which were asked for with it. shown: what can be shown of its text, as far
    as that has been looked at; it only ever grows. finished: how it ended, once the whole has been looked at. parse:
    where its text is fitted into the syntax. specials: how the model's special tokens are spelled. usual: how a
    document is indented that does not say so itself. checks: counts what the check of names finds; None for no check.
    undefined: a name in its text that is defined nowhere, in front of which what is shown ends; bare: where it stands
    in the text, and what could stand there. rewrites: how often such a name has been written anew. rules: whether
    dangerous patterns are looked for. danger: what was found in what can be shown.
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
        self.bare: Bare | None = None
        self.rewrites = 0
        self._before: tuple[Finished, str, list[tuple[int, float]]] | None = None  # in front of the name
        self.rules = rules
        self.danger = NO_DANGER
        self.place = Place.of(document, hole.cursor)
        self.text = ""
        self.usage = Usage()
        self.shown = Insertion("")
        self.finished: Finished | None = None
        self.waiting = 0
        self.others: tuple[RunningGeneration, ...] = ()
        self._end: Finished | None = None
        self._submitted = 0.0  # when its part under way was
        self._heard = math.inf  # when the engine has told of that for the last time
        self._earlier: list[Span] = []  # of the parts before
        self._looks: deque[Span] = deque(maxlen=_MOST_LOOKS)
        self._told_tokens = 0
        self._continued = False
        self._decoded_tokens = 0  # of the part under way
        self._tokens: list[tuple[int, float]] = []
        self._solid = 0  # the length of all tokens
        self._least = 0.0  # how probable each token must be that what is shown grows by
        self._parse = parse
        self._shaped = "", False
        self._shaping = anyio.Lock(fast_acquire=True)
        self._changed = anyio.Event()

    @property
    def prompt(self) -> FimPrompt:
        """The prompt that it is written from."""
        quick = self.prompts.quick
        return quick if quick is not None and self.usage.quick else self.prompts.full

    def submitted(self, id: int, now: float) -> None:
        """The engine has been asked for it, or for its next part."""
        if self._continued:
            self._earlier += model_spans(self.usage, self._submitted, self._heard)
        self.id, self._submitted, self._heard = id, now, math.inf

    def spans(self) -> Iterator[Span]:
        """Where its time went, as far as is known. While the model is at work, that is what who waits for it waits
        for."""
        yield from self._earlier
        yield from model_spans(self.usage, self._submitted, self._heard)
        for part, began, ended in self._looks:
            yield Span(part, max(began, self._heard), max(ended, self._heard))

    def on_text(self, event: TextDelta) -> None:
        self.text += event.text
        tokens = event.usage.decoded_tokens - self._decoded_tokens
        self._decoded_tokens = event.usage.decoded_tokens
        # Several tokens come at once where a draft was right; their mean stands for each.
        self._solid += solid(event.text)
        self._tokens.append((self._solid, event.logprob / max(1, tokens)))
        self.usage, self._heard = event.usage, time.monotonic()
        self._wake()

    async def read(self, event: Finished) -> None:
        """Takes the end of its text, and looks at what can be shown of the whole."""
        if event is not self._end:
            self._heard = time.monotonic()
        self._end, self.usage = event, event.usage
        if not self._continued:
            self.text = event.text
        if event.reason in ANSWERS:
            await self.look()

    async def finish(self, event: Finished) -> None:
        """Takes the end. Whoever waits goes on when it is known what can be shown of the whole."""
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
        """Takes its text back to `length` characters, behind which it is written anew. finished: how it has ended; None
        for what has been written anew already."""
        self.rewrites += 1
        if finished is not None:
            self._before = finished, self.text, self._tokens.copy()
        self.next_part(self.text[:length])

    def not_rewritten(self) -> Finished:
        """Takes its text as it was before it was to be written anew. Returns how that has ended."""
        assert self._before is not None
        finished, self.text, self._tokens = self._before
        self._solid = self._tokens[-1][0] if self._tokens else 0
        return replace(finished, usage=self.usage)

    def next_part(self, text: str) -> None:
        """Takes `text` as all that has been written so far; another part follows."""
        self.text, self._end = text, None
        self._solid = solid(text)
        while self._tokens and self._tokens[-1][0] > self._solid:
            begins = self._tokens[-2][0] if len(self._tokens) > 1 else 0
            _, logprob = self._tokens.pop()
            if begins < self._solid:
                self._tokens.append((self._solid, logprob))
        self._continued = True
        self._decoded_tokens = 0

    def cost(self) -> Usage:
        """Its cost so far, for one answer: prompt tokens that an earlier answer has told of count as reused."""
        usage, told = self.usage, self._told_tokens
        self._told_tokens = usage.evaluated_tokens
        new = max(0, usage.evaluated_tokens - told)
        return replace(usage, evaluated_tokens=new, reused_tokens=usage.reused_tokens + usage.evaluated_tokens - new)

    def agrees(self, typed: Typed | None) -> bool:
        """Whether it writes on from what has been typed since it began, as it was written or as it is shown."""
        if typed is None:
            return False
        # It may yet go on behind a bracket that has been typed over, if it may replace it.
        if typed.agrees_with(self.text) and self.rule.over.startswith(typed.passed.decode()):
            return True
        return typed.rest_of(self.shown) is not None

    def ended(self) -> bool:
        """Whether its text is whole: the model or the stop rule has ended it, not a limit."""
        return self._end is not None and self._end.reason in (FinishReason.STOP, FinishReason.END)

    async def look(self) -> None:
        """Looks at what can be shown of its text: of one that is not whole, up to the end of a word. One long word is
        shown as it is when nothing more comes. Who is cancelled leaves what has been found to the others.

        What could be shown once is never taken back: where more text only brings errors, or doubt, it stays at that.
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
            self.bare = checked.bare
            if whole and shaped is None and self.undefined:
                self.shown = Insertion("")  # a beginning of what is withheld is worth nothing, and may be half a call
            if shaped is not None and shaped.text.startswith(self.shown.text):
                size = len(self.shown.text.encode())
                if self.confidence().behind(shaped.text, size) >= self._least:
                    self.shown, self.danger = Insertion.of(shaped, self.document), danger

    def _shape_here(self, text: str, *, whole: bool) -> tuple[Checked, Danger, Span, Span]:
        shaped = partial(shape, specials=self.specials, usual=self.usual)
        place, began = (self.document, self.hole, self.rule), time.monotonic()
        checked, shaped_at = Checked(shaped(text, *place, whole=whole)), time.monotonic()
        if (fitting := checked.suggestion) is not None and self.checks is not None:
            checked = without_undefined(fitting, self.document)
            if (bare := checked.bare) is not None:
                checked = replace(checked, bare=bare.within(text, fitting.text))
        found = checked.suggestion
        danger = look_for_danger(found, self.document, lambda begun: shaped(begun, *place), rules=self.rules)
        return checked, danger, Span("shaping", began, shaped_at), Span("checks", shaped_at, time.monotonic())

    def why_nothing(self, typed: Typed) -> str:
        """Why nothing of it is shown behind `typed`, in words for the user."""
        if self.finished is None:
            return NOTHING_YET
        answers = self.finished.reason in ANSWERS
        if answers and (never := self.danger.left(len(typed.text), never=True)):
            return why_dangerous(never)
        return why_undefined(self.undefined) if answers and self.undefined else why_nothing(self.finished, self.hole)

    def told(self, least: float) -> None:
        """A beginning of it is on a screen, and stays there: what is shown grows by what is as sure as `least` only."""
        self._least = least

    def confidence(self) -> Confidence:
        return Confidence(tuple(self._tokens))

    def sureness(self, cursor: int | None = None) -> float:
        """How sure the model is of what is shown, from 0 to 1; of what is behind `cursor`, if one is given: the byte
        offset that typing the beginning has led to."""
        return self.confidence().behind(self.shown.text, 0 if cursor is None else cursor - self.place.cursor)

    def visible(self, typed: Typed) -> Insertion | None:
        """What can be shown behind `typed`, to one who asks for it."""
        never = self.danger.left(len(typed.text), never=True)
        left = typed.rest_of(self.danger.safe if never else self.shown)
        return left if left is not None and left.text.strip() else None

    def growth(self, document: DocumentSnapshot, offset: int) -> Callable[[], Awaitable[bool]] | None:
        """What waits until another line has been written, or all, and more can be shown at byte `offset` than now; it
        is then true, and false if no more comes. None if it is for another place, or at its end."""
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
                    await self.look()
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
        """Waits for the end, but once the budget is spent only until something can be shown behind `typed`."""
        with anyio.move_on_after(budget_seconds):
            while self.finished is None:
                await self._changed.wait()
        while self.finished is None:
            changed = self._changed
            await self.look()
            if self._end is None and self.visible(typed) is not None:
                return
            await changed.wait()
