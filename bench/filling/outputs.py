"""Keeps a model's outputs piece by piece, so that stopping and shaping can be repeated without the model."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.filling.tasks import Task
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.hole import Hole, HoleKind, find_hole, for_explicit_request, refined
from lsp_server.core.prompt import FimPrompt
from lsp_server.core.prompt_book import PromptChoice
from lsp_server.core.reuse import Typed
from lsp_server.core.shape import Suggestion
from lsp_server.core.stopping import StopRule, find_end, stop_rule
from lsp_server.engine.request import Finished, FinishReason, TextDelta, Usage
from lsp_server.features.generation import RunningGeneration
from lsp_server.features.name_check_counts import Checks
from lsp_server.features.reasons import why_unwanted

_NO_PROMPT = FimPrompt("", ())


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of an output: its text, its number of tokens, and the sum of their log-probabilities."""

    text: str
    logprob: float
    tokens: int = 1


@dataclass(frozen=True, slots=True)
class Output:
    """A greedy output. end: `end` if the model ended it, `length` at the token limit, `enough` if no treatment needs
    more. prompt: a digest of the prompt, which has `prompt_tokens` tokens."""

    pieces: tuple[Piece, ...]
    end: str
    prompt: str = ""
    prompt_tokens: int = 0

    @property
    def text(self) -> str:
        return "".join(piece.text for piece in self.pieces)

    def as_dict(self) -> dict[str, Any]:
        pieces = [[piece.text, round(piece.logprob, 4), piece.tokens] for piece in self.pieces]
        return {"pieces": pieces, "end": self.end, "prompt": self.prompt, "prompt_tokens": self.prompt_tokens}

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Output:
        pieces = tuple(Piece(*piece) for piece in record["pieces"])
        return cls(pieces, record["end"], record["prompt"], record["prompt_tokens"])


@dataclass(frozen=True, slots=True)
class Place:
    """The hole and the rules of an explicit request at a task's hole."""

    document: DocumentSnapshot
    hole: Hole
    rule: StopRule

    @classmethod
    def of(cls, task: Task, max_lines: int) -> Place:
        document = task.document()
        hole = for_explicit_request(refined(document, find_hole(document, task.cursor)))
        return cls(document, hole, stop_rule(document, hole, max_lines))

    def is_enough(self, text: str) -> bool:
        """Whether `text` has one more line after its end, so that slightly different stop rules can be applied to it
        too."""
        end = find_end(text, self.rule)
        return end is not None and any(line.strip() for line in text[end:].split("\n")[:-1])


@dataclass(frozen=True, slots=True)
class Answered:
    """The result of an output. confidence: of the shown text. written: the text that the engine would have decoded.
    short: whether the output is too short for the rules. undefined: a name in it that is defined nowhere."""

    suggestion: Suggestion | None
    reason: str
    confidence: float
    written: str
    tokens: int
    short: bool
    undefined: str = ""


async def answered(output: Output, place: Place, *, checks_names: bool = True) -> Answered:
    """The server's result for `output`: each piece is processed as if the engine had just decoded it. checks_names: the
    setting `check_names`."""
    checks, prompts = Checks() if checks_names else None, PromptChoice(_NO_PROMPT)
    generation = RunningGeneration(place.document, place.hole, place.rule, prompts, checks=checks)
    usage, written = Usage(), ""
    reason = FinishReason.END if output.end == "end" else FinishReason.LENGTH
    wanted = place.hole.kind is not HoleKind.NONE
    for piece in output.pieces if wanted else ():
        usage = Usage(decoded_tokens=usage.decoded_tokens + piece.tokens)
        written += piece.text
        generation.on_text(TextDelta(0, piece.text, piece.logprob, usage))
        if find_end(written, place.rule) is not None:
            reason = FinishReason.STOP
            break
    finished = Finished(0, written, reason, usage)
    await generation.finish(finished)
    shown = generation.shown
    suggestion = shown.at(place.hole.cursor) if shown.text.strip() else None
    nothing = generation.why_nothing(Typed(b"")) if wanted else why_unwanted(place.hole)
    return Answered(
        suggestion,
        "" if suggestion else nothing,
        round(generation.confidence(), 4),
        written,
        usage.decoded_tokens,
        wanted and output.end == "enough" and reason is not FinishReason.STOP,
        generation.undefined,
    )


def digest(prompt: FimPrompt) -> str:
    """A digest that identifies a prompt."""
    parts: Sequence[bytes] = [segment.kind.encode() + b"\0" + segment.text for segment in prompt.segments]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]
