"""Texts that are written in parts: long ones, and those in which a name is written anew.

Each part of a long text is asked for from an anchor of its own, behind the part before it. What a part begins with is
then read as code that stands there, instead of as ever more of a hole's beginning. The likeliest token is taken
throughout, which is as low as a temperature gets.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from lsp_server.backends.base import ModelInfo
from lsp_server.core.allowed_names import Members
from lsp_server.core.fim_formats import FimFormat
from lsp_server.core.hole import find_hole
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

# How often a name in a text is written anew, and how probable the new one's first token has to be. Of those less
# probable, hardly one in ten was the author's.
_MOST_REWRITES, _DOUBT = 6, math.log(0.15)


@dataclass(frozen=True, slots=True)
class Part:
    """What is asked of the model next. rule: ends the part; max_tokens: what is left for all that follows. written: how
    the part begins, which stands already."""

    prompts: PromptChoice
    rule: StopRule
    max_tokens: int
    written: str = ""

    def tokens_left(self, finished: Finished) -> int:
        """What is left for the parts behind this one, which has `finished`."""
        return self.max_tokens - finished.usage.decoded_tokens


def first_part(generation: RunningGeneration, max_tokens: int) -> Part:
    rule = generation.rule
    return Part(generation.prompts, replace(rule, max_lines=min(rule.max_lines, PART_LINES)), max_tokens)


def written_with(generation: RunningGeneration, part: Part, finished: Finished) -> str | None:
    """All that has been written once `part` has `finished`, if another part follows: more than the size of a part would
    have ended this one. Else None."""
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
    """The part of a long text behind what is `written`, laid out where parses happen."""
    generation.next_part(written)
    budget, context = budget_for(info, options), prompts.context(generation.document.uri)
    return await parse(next_part, generation, written, max_tokens, info.format, budget, context)


async def rewritten(generation: RunningGeneration, part: Part, finished: Finished) -> Part | Finished:
    """The part again from the first name in it on that is defined nowhere: the model is to write one that is. Without
    such a name, or where nothing likely can stand in its place, how the text has ended. (Choosing among the names that
    there are while decoding is the idea of monitor-guided decoding, Agrawal et al., arXiv 2306.10763.)"""
    limits = part.rule.members or Members("", ())
    if finished.reason in (FinishReason.REJECTED, FinishReason.FAILED) and limits.bare is not None:
        return generation.not_rewritten()
    if finished.reason not in (FinishReason.STOP, FinishReason.END):
        return finished
    before = len(generation.text.removesuffix(finished.text))
    bare, begun = limits.bare, limits.bare.so_far(finished.text) if limits.bare is not None else None
    again = begun is not None and finished.reason is FinishReason.STOP
    if bare is not None and again:
        # What goes on with the name is not likely enough: another one may be.
        bare = replace(bare, names=frozenset(name for name in bare.names if not name.startswith(begun or "")))
    else:
        await generation.read(finished)
        if generation.bare is None or generation.bare.at < before:
            return finished
        bare = replace(generation.bare, at=generation.bare.at - before, doubt=_DOUBT)
    if not any(name.startswith(bare.begun) for name in bare.names) or generation.rewrites >= _MOST_REWRITES:
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
    """The part behind what has been `written`."""
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
    """How many lines that are not blank it has."""
    return sum(bool(line.strip()) for line in text.split("\n"))
