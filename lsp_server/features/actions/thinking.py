"""Separates the thinking that a model writes before its answer, in the tags of its family, from the answer."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lsp_server.features.actions.readings import fenced_lines

# Openers and closers of the thinking of reasoning models.
_THOUGHTS = (
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("<reflection>", "</reflection>"),
    ("<seed:think>", "</seed:think>"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|channel|>analysis<|message|>", "<|channel|>final<|message|>"),
)
_OPENERS, _CLOSERS = (tuple(pair[side].lower() for pair in _THOUGHTS) for side in (0, 1))
# A tag next to one of these characters is mentioned, not used.
_QUOTES = "'\"`(=/\\|,"


def without_thinking(text: str, *, opened: bool = False, given: str = "") -> tuple[str, str]:
    """The thinking in `text`, and the answer. opened: whether the prompt has opened the thinking. given: the text that
    the model was given; tags that are in it belong to the answer.

    The answer is the text after the last end of thinking; unfinished thinking is not part of it. A tag that is quoted,
    or on a line of fenced code with other text, belongs to the answer.
    """
    thought = ""
    stripped = text.lstrip()
    for opener, closer in zip(_OPENERS, _CLOSERS, strict=True):
        begins = stripped[: len(opener)].lower() == opener
        if begins or (opened and closer in text.lower()):
            body = stripped[len(opener) :] if begins else text
            end = body.lower().find(closer)
            if end < 0:
                return body.strip(), ""
            thought, text, opened = body[:end].strip(), body[end + len(closer) :].lstrip("\n"), False
            break
    if opened:
        return text.strip(), ""
    more, answer = _without_later(text, given.lower())
    return "\n".join(filter(None, (thought, more))), answer


def may_begin_thinking(text: str) -> bool:
    """Whether `text` may be the beginning of a tag that opens thinking, so that more text is needed to decide."""
    start = text.strip().lower()
    return any(opener.startswith(start) for opener in _OPENERS)


def _without_later(text: str, given: str) -> tuple[str, str]:
    """The thinking that ends or begins somewhere in `text`, and the rest."""
    ends = max(_marks(text, _CLOSERS, given), default=None)
    begins = [at for at in _marks(text, _OPENERS, given) if ends is None or at < ends]
    if ends is None:
        return (text[begins[0][0] :].strip(), text[: begins[0][0]].rstrip()) if begins else ("", text)
    answer = text[ends[1] :]
    if answer.strip():
        more, answer = _without_later(answer.lstrip("\n"), given)
        return "\n".join(filter(None, (text[: ends[0]].strip(), more))), answer
    # The text ends with thinking. The answer is before it, if the thinking's beginning is marked.
    first = begins[0][0] if begins else 0
    return text[first : ends[0]].strip(), text[:first].rstrip()


def _marks(text: str, tags: tuple[str, ...], given: str) -> Iterator[tuple[int, int]]:
    """The starts and ends of tags that are really used, in order of the tags."""
    lowered = text.lower()
    found = [tag for tag in tags if tag in lowered and tag not in given]
    if not found:
        return
    fenced = fenced_lines(text)
    for tag in found:
        for match in re.finditer(re.escape(tag), lowered):
            start, end = match.span()
            before = text[text.rfind("\n", 0, start) + 1 : start].strip()
            after = text[end:].partition("\n")[0].strip()
            in_code = lowered.count("\n", 0, start) in fenced or before.startswith(("#", "//", "--", "*"))
            quoted = before[-1:] in tuple(_QUOTES) or after[:1] in tuple(_QUOTES[:3])
            if "|" in tag or not before or not (in_code or quoted):
                yield start, end
