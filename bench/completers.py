"""What fills holes: fimble itself through its own path, the authors' answers, or anything else of this shape."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

import anyio

from bench.scores import Completion
from bench.tasks import Task
from lsp_server.backends.base import BackendFactory, ModelError, ModelInfo, ModelSpec
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.hole import find_hole
from lsp_server.core.prompt import FimPrompt, PromptBudget, Segment, build_prompt
from lsp_server.engine.client import EngineClient, ModelState
from lsp_server.engine.request import Finished, FinishReason, Role, TextDelta
from lsp_server.features.inline import InlineCompleter, InlineOptions, Trigger

# The names of the treatments.
SHOWN, SHOWN_LINE = "shown", "shown, its first line"
RAW, RAW_LINE = "raw output", "raw output, first line"
NOT_HEALED = "raw first line, not healed"
NO_SUFFIX = "raw first line, no suffix"
GOLD = "gold"

_LINE_END = re.compile(r"\n")
_BLANK_LINE = re.compile(r"(?<=\S)[ \t\r]*\n[ \t\r]*\n")  # not where the output begins

# Nothing is to end early because the machine is busy.
_PATIENT_MS = 3_600_000
_POLL_SECONDS = 0.005


@dataclass(frozen=True, slots=True)
class Answer:
    """What a completer makes of a hole: completions by the name of their treatment, and facts for the record."""

    completions: dict[str, Completion]
    facts: dict[str, Any] = field(default_factory=dict)


class Completer(Protocol):
    """Fills holes. Names of treatments must not clash with another completer's in the same run."""

    async def complete(self, task: Task) -> Answer:
        """The completions of one hole. Raises ModelError if there can be none for any hole any more."""
        ...


class Gold:
    """The authors' own answers: what the scorers must let pass."""

    async def complete(self, task: Task) -> Answer:
        return Answer({GOLD: Completion(task.reference, task.cursor, task.cursor)})


@dataclass(frozen=True, slots=True)
class History:
    """Where the user was before asking at the hole, which decides the anchor and the suffix it is asked with.

    fresh: nowhere. rested: at the hole, for so long that the place has got its full suffix. above: `lines` lines
    further up, and has typed these lines since. below: `lines` lines further down, and the suffix is frozen there.
    """

    kind: Literal["fresh", "rested", "above", "below"] = "fresh"
    lines: int = 0

    @classmethod
    def parse(cls, text: str) -> History:
        """From `rested`, `above=N` or `below=N`. Raises ValueError."""
        kind, _, lines = text.partition("=")
        if text == "rested":
            return cls("rested")
        if kind in ("above", "below") and lines.isdecimal() and int(lines) > 0:
            return cls("above" if kind == "above" else "below", int(lines))
        raise ValueError(f"{text!r} is none of rested, above=LINES, below=LINES")

    def __str__(self) -> str:
        return f"{self.kind}={self.lines}" if self.lines else self.kind


class Fimble:
    """The server's own path to an answer, as an explicit request takes it: hole, prompt, healing, stopping, shaping.

    What is shown and the raw output come from the same decoding: the raw output of a hole is decoded on from the
    very KV cells of the answer. `history` other than fresh gives the treatment `shown` alone, under its name.
    unhealed, no_suffix: further greedy decodings, without token healing and without the text after the hole.
    """

    def __init__(
        self,
        engine: EngineClient,
        options: InlineOptions,
        *,
        history: History | None = None,
        unhealed: bool = False,
        no_suffix: bool = False,
    ) -> None:
        self._engine = engine
        self._options = replace(options, enabled=True, answer_ms=_PATIENT_MS, deadline_ms=_PATIENT_MS)
        self._history = history or History()
        self._unhealed = unhealed
        self._no_suffix = no_suffix

    async def complete(self, task: Task) -> Answer:
        # One of its own, so that nothing is remembered from another hole.
        completer = InlineCompleter(self._engine, lambda: self._options)
        document, cursor = task.document(), task.cursor
        await self._arrive(completer, document, cursor)
        outcome = await completer.complete(document, cursor, Trigger.INVOKED)
        shown = outcome.suggestion
        place = Completion("", cursor, cursor)
        completion = Completion(shown.text, shown.start, shown.end) if shown else place
        facts = {"reason": outcome.reason, "logprob": round(outcome.logprob, 4)}
        if self._history.kind != "fresh":
            return Answer({f"{SHOWN}, {self._history}": completion})
        # Where fimble does not ask the model (inside a comment, say), the raw output is that of the usual prompt.
        prompt = outcome.prompt or self._prompt(document, cursor)
        raw = await self._raw(outcome.written, prompt, task)
        # It begins with what was written for the answer, unless rounding has decided a tie otherwise.
        departed = not (raw.startswith(outcome.written.rstrip()) or outcome.written.startswith(raw))
        raw = outcome.written if departed else raw
        facts |= {"written": outcome.written, "raw": raw, "prompt_tokens": outcome.usage.prompt_tokens}
        facts["departed"] = departed
        answer = {SHOWN: completion}
        if task.single_line:
            answer[SHOWN_LINE] = replace(completion, text=_first_line(completion.text))
        else:
            answer[RAW] = replace(place, text=raw)
        answer[RAW_LINE] = replace(place, text=_to_newline(raw))
        if self._unhealed:
            text = await self._decode(unhealed(prompt), _LINE_END)
            answer[NOT_HEALED] = replace(place, text=_to_newline(text))
        if self._no_suffix:
            prompt = self._prompt(document.edited(cursor, len(document.source), b""), cursor)
            answer[NO_SUFFIX] = replace(place, text=_to_newline(await self._decode(prompt, _LINE_END)))
        return Answer(answer, facts)

    def _prompt(self, document: DocumentSnapshot, cursor: int) -> FimPrompt:
        info = self._engine.model.info
        if info is None:
            raise ModelError(self._engine.model.message)
        return build_prompt(
            document, find_hole(document, cursor), info.format, PromptBudget.of_tokens(info.context_tokens)
        )

    async def _arrive(self, completer: InlineCompleter, document: DocumentSnapshot, cursor: int) -> None:
        """Does what the history says, so that the anchors are as they would be."""
        line = document.line_at(cursor)
        if self._history.kind == "below":
            below = min(document.line_count - 1, line + self._history.lines)
            completer.warm(document, document.line_end(below))
        elif self._history.kind == "above":
            start = document.line_start(max(0, line - self._history.lines))
            completer.warm(document.edited(start, document.line_end(line), b""), start)
        elif self._history.kind == "rested":
            completer.warm(document, cursor)
            completer.rest(document, cursor)
            while self._engine.running:  # the better anchor is used once it has been evaluated
                await anyio.sleep(_POLL_SECONDS)

    async def _raw(self, written: str, prompt: FimPrompt, task: Task) -> str:
        """The model's greedy output behind `prompt`: its first line where one line is asked for, else until the
        model ends it, a blank line, or `max_tokens`."""
        if task.single_line and "\n" in written:
            return written
        return await self._decode(prompt, _LINE_END if task.single_line else _BLANK_LINE)

    async def _decode(self, prompt: FimPrompt, end: re.Pattern[str]) -> str:
        """Greedy output without the rules of a hole, in front of the first match of `end`."""
        done = anyio.Event()
        finished: list[Finished] = []
        text = ""

        def listen(event: TextDelta | Finished) -> None:
            nonlocal text
            if isinstance(event, Finished):
                finished.append(event)
                done.set()
                return
            text += event.text
            if end.search(text):
                self._engine.cancel(event.id)

        self._engine.submit(prompt, None, self._options.max_tokens, listen)
        await done.wait()
        if finished[0].reason in (FinishReason.FAILED, FinishReason.REJECTED):
            raise ModelError(finished[0].message)
        text = finished[0].text  # a token or two may have come behind the end
        found = end.search(text)
        return text[: found.start()] if found else text


def unhealed(prompt: FimPrompt) -> FimPrompt:
    """The same prompt, with what was typed named as text that stood there before: the engine does not heal it."""
    return replace(
        prompt,
        segments=tuple(
            Segment("before", segment.text) if segment.kind == "typed" else segment for segment in prompt.segments
        ),
    )


def _to_newline(text: str) -> str:
    return text.split("\n", 1)[0].rstrip("\r")


def _first_line(text: str) -> str:
    """The first line that has something on it, with what stands before it: what accepting a line inserts."""
    stripped = text.lstrip("\r\n")
    return text[: len(text) - len(stripped)] + _to_newline(stripped)


@asynccontextmanager
async def loaded(factory: BackendFactory, spec: ModelSpec) -> AsyncIterator[tuple[EngineClient, ModelInfo]]:
    """An engine with its model. Raises ModelError if the model cannot be loaded."""
    known = anyio.Event()

    def changed(_: Role, model: ModelState) -> None:
        if model.kind in ("ready", "failed"):
            known.set()

    engine = EngineClient(factory, changed)
    engine.start()
    try:
        engine.load(spec)
        await known.wait()
        if engine.model.info is None:
            raise ModelError(engine.model.message)
        yield engine, engine.model.info
    finally:
        await engine.stop()
