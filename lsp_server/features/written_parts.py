"""Generates texts in parts: long texts, and texts in which an undefined name is generated again.

Each part of a long text gets an anchor of its own, after the part before it. The model then sees the earlier parts as
existing code, and not as an ever longer beginning of the hole's text. Decoding is greedy throughout, which is as low as
a temperature gets.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from lsp_server.backends.base import ModelInfo
from lsp_server.core.fim_formats import FimFormat
from lsp_server.core.hole import find_hole
from lsp_server.core.names.allowed import Members
from lsp_server.core.prompt import Context, PromptBudget, lay_out, new_anchor
from lsp_server.core.prompt_book import PromptChoice
from lsp_server.core.stopping import StopRule, find_end
from lsp_server.core.text import encode
from lsp_server.engine.api import Finished, FinishReason
from lsp_server.features.background import Parse
from lsp_server.features.budget import budget_for
from lsp_server.features.generation import RunningGeneration
from lsp_server.features.options import InlineOptions
from lsp_server.features.prompts import Prompts

PART_LINES = 30

# How many names of a text are generated again, how often each of them at most, and the minimum log-probability of the
# new name's first token. Less probable names were right in hardly one of ten cases.
_MOST_REWRITES, _MOST_TRIES, _MIN_LOGPROB = 6, 6, math.log(0.15)


@dataclass(frozen=True, slots=True)
class Part:
    """The next request to the model. rule: ends the part. max_tokens: the limit for this and all following parts.
    written: the beginning of the part, which exists already."""

    prompts: PromptChoice
    rule: StopRule
    max_tokens: int
    written: str = ""

    def tokens_left(self, finished: Finished) -> int:
        """The token limit for the parts after this one, which ended with `finished`."""
        return self.max_tokens - finished.usage.decoded_tokens


def first_part(generation: RunningGeneration, max_tokens: int) -> Part:
    rule = generation.rule
    return Part(generation.prompts, replace(rule, max_lines=min(rule.max_lines, PART_LINES)), max_tokens)


def written_with(generation: RunningGeneration, part: Part, finished: Finished) -> str | None:
    """The whole text after `part` has ended with `finished`, if another part must follow, because only the size of a
    part has ended this one. Else None."""
    end = find_end(finished.text, part.rule)
    if finished.reason is not FinishReason.STOP or end is None or _lines(finished.text[:end]) < part.rule.max_lines:
        return None
    whole = generation.text.removesuffix(finished.text) + finished.text[:end]
    rule = generation.rule
    if _lines(whole) >= rule.max_lines or part.tokens_left(finished) <= 0 or find_end(whole + "\n", rule) is not None:
        return None
    return whole


async def following(
    generation: RunningGeneration,
    written: str,
    max_tokens: int,
    info: ModelInfo,
    options: InlineOptions,
    prompts: Prompts,
    parse: Parse,
) -> Part:
    """The part of a long text that follows `written`. Its prompt is built on the parsing thread."""
    generation.next_part(written)
    budget, context = budget_for(info, options), prompts.context(generation.document.uri)
    return await parse(next_part, generation, written, max_tokens, info.format, budget, context)


async def rewritten(generation: RunningGeneration, part: Part, finished: Finished) -> Part | Finished:
    """The part again from its first undefined name on, restricted to defined names. If there is no such name, or no
    probable replacement: how the text has ended. (Restricting names to existing ones while decoding is the idea of
    monitor-guided decoding, Agrawal et al., arXiv 2306.10763.)"""
    limits = part.rule.members or Members("", ())
    if finished.reason in (FinishReason.REJECTED, FinishReason.FAILED) and limits.bare is not None:
        return generation.not_rewritten()
    if finished.reason not in (FinishReason.STOP, FinishReason.END):
        return finished
    before = len(generation.text.removesuffix(finished.text))
    bare, begun = limits.bare, limits.bare.so_far(finished.text) if limits.bare is not None else None
    again = begun is not None and finished.reason is FinishReason.STOP
    if bare is not None and again:
        # The continuation of the name is not probable enough, so other names are tried.
        bare = replace(bare, names=frozenset(name for name in bare.names if not name.startswith(begun or "")))
    else:
        await generation.read(finished)
        if generation.bare is None or generation.bare.at < before:
            return finished
        found = replace(generation.bare, at=generation.bare.at - before, min_logprob=_MIN_LOGPROB)
        if bare is not None and (bare.at, bare.then) == (found.at, found.then):
            return finished  # the name that replaced it does not exist either
        bare = found
    over = generation.tries >= _MOST_TRIES if again else generation.rewrites >= _MOST_REWRITES
    if over or not any(name.startswith(bare.begun) for name in bare.names):
        return generation.not_rewritten() if again else finished
    written = finished.text[: bare.at]
    generation.rewrite(before + bare.at, None if again else finished)
    spent = round(finished.usage.decoded_tokens * len(written) / max(1, len(finished.text)))
    rule = replace(part.rule, members=replace(limits, bare=bare))
    return replace(part, rule=rule, max_tokens=max(1, part.max_tokens - spent), written=written)


def next_part(
    generation: RunningGeneration,
    written: str,
    max_tokens: int,
    form: FimFormat,
    budget: PromptBudget,
    context: Context,
) -> Part:
    """The part that follows `written`."""
    document, cursor, rule = generation.document, generation.hole.cursor, generation.rule
    longer = document.edited(cursor, cursor, encode(written))
    hole = find_hole(longer, longer.edit_end)
    anchor = new_anchor(longer, hole, form, budget.beside(context.size), short=True)
    max_lines = min(rule.max_lines - _lines(written), PART_LINES)
    left = written.rpartition("\n")[2] or rule.left
    prompt = lay_out(longer, anchor, hole.cursor, form, context)
    return Part(
        PromptChoice(prompt), replace(rule, max_lines=max_lines, left=left, opening=None, members=None), max_tokens
    )


def _lines(text: str) -> int:
    """The number of lines that are not blank."""
    return sum(bool(line.strip()) for line in text.split("\n"))
