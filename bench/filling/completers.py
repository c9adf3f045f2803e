"""The completers that fill holes: fimble through its own code path, the authors' answers, and others."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

import anyio

from bench.filling.outputs import Output, Piece, Place, answered, digest
from bench.filling.scores import Completion
from bench.filling.store import Store
from bench.filling.tasks import CLOSED, Task
from lsp_server.backends.base import ModelError
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.hole import Hole, find_hole
from lsp_server.core.names.allowed import Members
from lsp_server.core.opening import Opening
from lsp_server.core.prompt import FimPrompt, Segment
from lsp_server.core.prompt_book import PromptBook
from lsp_server.core.shape import without_replacing
from lsp_server.engine.client import EngineClient
from lsp_server.engine.request import Finished, FinishReason, TextDelta
from lsp_server.features.budget import budget_for, quick_budget
from lsp_server.features.inline import InlineCompleter
from lsp_server.features.options import InlineOptions
from lsp_server.features.outcome import Trigger

# The names of the treatments.
SHOWN, SHOWN_LINE = "shown", "shown, its first line"
UNCHECKED = "shown, names not checked"
RAW, RAW_LINE = "raw output", "raw output, first line"
NOT_HEALED = "raw first line, not healed"
NO_SUFFIX = "raw first line, no suffix"
QUICK = "shown, quick prompt"
# Further prompts, and how each differs from the first, which is the prompt of the simplest plug-in.
OTHER_PROMPTS = ("plain", "path", "repository", "short-suffix", "no-break")
_SHORT_SUFFIX = 180
NOTHING_REPLACED = "shown, replacing nothing"
GOLD = "gold"

_LINE_END = re.compile(r"\n")
_BLANK_LINE = re.compile(r"(?<=\S)[ \t\r]*\n[ \t\r]*\n")  # not at the beginning of the output

# No answer must end early because the machine is busy.
_PATIENT_MS = 3_600_000
_POLL_SECONDS = 0.005


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of a completer for a hole: completions by treatment, and further facts for the record."""

    completions: dict[str, Completion]
    facts: dict[str, Any] = field(default_factory=dict)


class Completer(Protocol):
    """Fills holes. Names of treatments must not clash with another completer's in the same run."""

    async def complete(self, task: Task) -> Answer:
        """The completions of one hole. Raises ModelError if no further hole can be filled."""
        ...


class Gold:
    """The authors' own answers. Every scorer must accept them."""

    async def complete(self, task: Task) -> Answer:
        return Answer({GOLD: Completion(task.reference, task.cursor, task.cursor)})


@dataclass(frozen=True, slots=True)
class History:
    """Where the user was before the request at the hole. The anchor and the suffix of the prompt depend on it. fresh:
    nowhere. rested: at the hole, for so long that the place has its full suffix. above: `lines` lines above, and then
    typed these lines. below: `lines` lines below, where the suffix was frozen.
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
    """Answers with the server's own code path for an explicit request: hole, prompt, healing, stopping, shaping.

    Each hole is decoded once, greedily, somewhat further than the stop rules allow; the shown text and the raw output
    are both made from that (`outputs.answered`). outputs: earlier outputs, reused if the prompt is the same. history:
    if it is not fresh, `InlineCompleter` itself answers, with only the treatment `shown`, under the history's name.
    unhealed, no_suffix: whether to decode also without token healing, and without the text after the hole. prompts:
    names of further prompts, from `OTHER_PROMPTS`. quick_rate: if it is not 0, also decodes with the quick prompt of a
    machine that evaluates this many tokens a second.
    """

    def __init__(
        self,
        engine: EngineClient,
        options: InlineOptions,
        *,
        outputs: Store | None = None,
        history: History | None = None,
        unhealed: bool = False,
        no_suffix: bool = False,
        prompts: Sequence[str] = (),
        quick_rate: float = 0,
    ) -> None:
        self._engine = engine
        self._options = replace(
            options,
            enabled=True,
            answer_ms=_PATIENT_MS,
            deadline_ms=_PATIENT_MS,
            candidates=1,
            prepare_next=False,
            cold_ms=_PATIENT_MS,
        )
        self._outputs = outputs or Store(None, {})
        self._history = history or History()
        self._unhealed = unhealed
        self._no_suffix = no_suffix
        self._prompts = prompts
        self._quick = quick_budget(1000 / quick_rate) if quick_rate > 0 else None

    async def complete(self, task: Task) -> Answer:
        if self._history.kind != "fresh":
            return await self._elsewhere(task)
        place = Place.of(task, self._options.max_lines)
        prompt = self.prompt(place.document, place.hole)
        answer = await treatments(task, place, await self._output(task, place, prompt))
        cursor = Completion("", task.cursor, task.cursor)
        if self._quick is not None:
            quick = self.prompt(place.document, place.hole, quick=True)
            again = (
                answer if quick == prompt else await treatments(task, place, await self._decoded(task, place, quick))
            )
            answer.completions[QUICK] = again.completions[SHOWN]
        if self._unhealed:
            text = (await self.decode(unhealed(prompt), _LINE_END.search)).text
            answer.completions[NOT_HEALED] = replace(cursor, text=_to_newline(text))
        for kind in self._prompts:
            text = (await self.decode(other_prompt(task, kind), _LINE_END.search)).text
            answer.completions[f"prompt {kind}, first line"] = replace(cursor, text=_to_newline(text))
        if self._no_suffix:
            document = place.document.edited(task.cursor, len(place.document.source), b"")
            prompt = self.prompt(document, find_hole(document, task.cursor))
            text = (await self.decode(prompt, _LINE_END.search)).text
            answer.completions[NO_SUFFIX] = replace(cursor, text=_to_newline(text))
        return answer

    async def _elsewhere(self, task: Task) -> Answer:
        """The answer for a user with a history that is not fresh."""
        # A new completer for each hole, so that nothing is remembered from another hole.
        completer = InlineCompleter(self._engine, lambda: self._options)
        document, cursor = task.document(), task.cursor
        await self._arrive(completer, document, cursor)
        shown = (await completer.complete(document, cursor, Trigger.INVOKED)).suggestion
        completion = Completion(shown.text, shown.start, shown.end) if shown else Completion("", cursor, cursor)
        return Answer({f"{SHOWN}, {self._history}": completion})

    def prompt(self, document: DocumentSnapshot, hole: Hole, *, quick: bool = False) -> FimPrompt:
        """The prompt for a hole at a new place. quick: the quick prompt, if the full one is much larger. Raises
        ModelError."""
        info = self._engine.model.info
        if info is None:
            raise ModelError(self._engine.model.message)
        budget = budget_for(info, self._options)
        prompts = PromptBook().choose(document, hole, info.format, budget, quick=self._quick if quick else None)
        return prompts.quick or prompts.full

    async def _arrive(self, completer: InlineCompleter, document: DocumentSnapshot, cursor: int) -> None:
        """Does the steps of the history, so that the anchors are the same as for such a user."""
        line = document.line_at(cursor)
        if self._history.kind == "below":
            below = min(document.line_count - 1, line + self._history.lines)
            await completer.warm(document, document.line_end(below))
        elif self._history.kind == "above":
            start = document.line_start(max(0, line - self._history.lines))
            await completer.warm(document.edited(start, document.line_end(line), b""), start)
        elif self._history.kind == "rested":
            await completer.warm(document, cursor)
            await completer.rest(document, cursor)
            while self._engine.running:  # the better anchor is used only after it was evaluated
                await anyio.sleep(_POLL_SECONDS)

    async def _output(self, task: Task, place: Place, prompt: FimPrompt) -> Output:
        """The model's greedy output at the hole, long enough for every treatment."""
        known = self._outputs.records.get((task.set, task.id))
        if known is not None and known["prompt"] == digest(prompt):
            output = Output.from_dict(known)
            if not (await answered(output, place)).short:
                return output
        output = await self._decoded(task, place, prompt)
        self._outputs.add({"set": task.set, "id": task.id, **output.as_dict()})
        return output

    async def _decoded(self, task: Task, place: Place, prompt: FimPrompt) -> Output:
        """The greedy output after a prompt, long enough for every treatment."""
        raw_end = _LINE_END if task.single_line else _BLANK_LINE
        return await self.decode(
            prompt, lambda text: raw_end.search(text) and place.is_enough(text), place.rule.opening
        )

    async def decode(
        self,
        prompt: FimPrompt,
        enough: Callable[[str], object],
        opening: Opening | None = None,
        members: Members | None = None,
    ) -> Output:
        """Greedy output without stop rules, but with the restrictions of its beginning and of names. It ends when it is
        `enough`, when the model ends it, or at `max_tokens`."""
        done = anyio.Event()
        finished: list[Finished] = []
        pieces: list[Piece] = []
        text, tokens = "", 0

        def listen(event: TextDelta | Finished) -> None:
            nonlocal text, tokens
            if isinstance(event, Finished):
                finished.append(event)
                done.set()
                return
            pieces.append(Piece(event.text, event.logprob, event.usage.decoded_tokens - tokens))
            text, tokens = text + event.text, event.usage.decoded_tokens
            if enough(text):
                self._engine.cancel(event.id)

        self._engine.submit(prompt, None, self._options.max_tokens, listen, opening=opening, members=members)
        await done.wait()
        reason = finished[0].reason
        if reason in (FinishReason.FAILED, FinishReason.REJECTED):
            raise ModelError(finished[0].message)
        end = {FinishReason.END: "end", FinishReason.LENGTH: "length"}.get(reason, "enough")
        return Output(tuple(pieces), end, digest(prompt), finished[0].usage.prompt_tokens)


class Replay:
    """Applies fimble's present rules to the outputs of an earlier run. No model is asked."""

    def __init__(self, outputs: Store, max_lines: int) -> None:
        self._outputs = outputs
        self._max_lines = max_lines

    async def complete(self, task: Task) -> Answer:
        place = Place.of(task, self._max_lines)
        return await treatments(task, place, Output.from_dict(self._outputs.records[task.set, task.id]))


async def treatments(task: Task, place: Place, output: Output) -> Answer:
    """The shown part of `output`, and the parts that simpler rules would show."""
    found = await answered(output, place)
    cursor, shown, text = Completion("", task.cursor, task.cursor), found.suggestion, output.text
    completion = Completion(shown.text, shown.start, shown.end) if shown else cursor
    completions = {SHOWN: completion}
    if found.undefined:
        unchecked = (await answered(output, place, checks_names=False)).suggestion
        completions[UNCHECKED] = Completion(unchecked.text, unchecked.start, unchecked.end) if unchecked else cursor
    else:
        completions[UNCHECKED] = completion
    if task.single_line:
        completions[SHOWN_LINE] = replace(completion, text=_first_line(completion.text))
    else:
        blank = _BLANK_LINE.search(text)
        completions[RAW] = replace(cursor, text=text[: blank.start()] if blank else text)
    completions[RAW_LINE] = replace(cursor, text=_to_newline(text))
    if task.group == CLOSED:
        cut = without_replacing(shown, place.document) if shown else None
        completions[NOTHING_REPLACED] = replace(cursor, text=cut.text if cut else "")
    facts = {"reason": found.reason, "confidence": found.confidence, "tokens": found.tokens, "written": found.written}
    return Answer(completions, {**facts, "short": found.short, "prompt_tokens": output.prompt_tokens})


def other_prompt(task: Task, kind: str) -> FimPrompt:
    """A prompt in Qwen's format that is not fimble's. plain: all text before the cursor and after it, as the simplest
    plug-in sends it. path, repository: the same after the path or the repository's name. short-suffix: with a short
    suffix. no-break: with a suffix without the line break at its start."""
    after = task.after
    if kind == "no-break":
        after = after.removeprefix("\n")
    elif kind == "short-suffix" and len(after) > _SHORT_SUFFIX:
        after = after[:_SHORT_SUFFIX].rpartition("\n")[0] or after[:_SHORT_SUFFIX]
    parts = [("<|fim_prefix|>", task.before), ("<|fim_suffix|>", after), ("<|fim_middle|>", "")]
    if kind in ("path", "repository"):
        parts.insert(0, ("<|file_sep|>", f"{task.path}\n"))
    if kind == "repository":
        parts.insert(0, ("<|repo_name|>", "project\n"))
    both = ((Segment("marker", marker.encode()), Segment("before", text.encode())) for marker, text in parts)
    return FimPrompt(kind, tuple(segment for pair in both for segment in pair if segment.text))


def unhealed(prompt: FimPrompt) -> FimPrompt:
    """The same prompt, but the typed text counts as text before the hole, so that the engine does not heal it."""
    return replace(
        prompt,
        segments=tuple(
            Segment("before", segment.text) if segment.kind == "typed" else segment for segment in prompt.segments
        ),
    )


def _to_newline(text: str) -> str:
    return text.split("\n", 1)[0].rstrip("\r")


def _first_line(text: str) -> str:
    """The text up to the end of the first line that is not blank: the text that accepting one line inserts."""
    stripped = text.lstrip("\r\n")
    return text[: len(text) - len(stripped)] + _to_newline(stripped)
