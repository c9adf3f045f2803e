"""Turns a model's answer into the new text of the window that the model was shown.

An answer that ends before the window does would delete the rest of the window, so it is discarded.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from lsp_server.core.chatter import Code, code_in
from lsp_server.core.next_edits.by_model.formats import NUMBERED, NUMBERED_END, EditFormat
from lsp_server.core.next_edits.by_model.prompts import EditPrompt, blocks
from lsp_server.core.next_edits.trees import language_of

_FENCE = re.compile(r"\s*```[\w+#./-]*[ \t]*\n")
_BLANK_LINES = re.compile(r"\A(?:[ \t]*\n)*")
_NUMBER = re.compile(rf"{re.escape(NUMBERED)}([0-9]{{1,4}}){re.escape(NUMBERED_END)}\n?")


def has_ended(prompt: EditPrompt, answer: str) -> bool:
    """Whether the answer is complete or worthless, so that decoding can stop. answer: the text after the lead."""
    if _reads_fences(prompt):
        others = any(ending in answer for ending in _ends(prompt.form))
        return others or ("```" in answer and _code(prompt, answer, whole=False).ended)
    return any(ending in answer for ending in prompt.form.ends)


def new_window(prompt: EditPrompt, answer: str) -> bytes | None:
    """The new text of the window, with the document's line endings. None if the answer is empty, changes nothing or
    does not reach the window's end. answer: the model's text after the lead."""
    form, old, answer = prompt.form, prompt.window.text, answer.replace("\r\n", "\n")
    for ending in _ends(form) if _reads_fences(prompt) else form.ends:
        answer = answer.partition(ending)[0]
    answer = answer.replace(form.cursor, "") if form.cursor else answer
    if form.nothing and answer.lstrip().startswith(form.nothing):
        return None
    if form.is_numbered:
        text = _between_markers(old, answer)
    else:
        if _reads_fences(prompt):
            code = _code(prompt, answer, whole=True)
            answer = answer[code.start : code.end]
        elif form.is_chat and (fence := _FENCE.match(answer)) is not None:
            answer = answer[fence.end() :].partition("\n```")[0]
        text = answer.removeprefix("<|code_to_edit|>\n")
    if text is None or not text.strip():
        return None
    # Models omit or add blank lines at both ends, so the document's blank lines are kept.
    first, end = len(old) - len(_BLANK_LINES.sub("", old, count=1)), len(old.rstrip())
    core, kept = _BLANK_LINES.sub("", text, count=1).rstrip(), old[first:end]
    # An answer that covers only the beginning or the end of the window says nothing about the rest.
    if kept.startswith(core) or kept.endswith(core) or ends_early(kept, core):
        return None
    if any(own in core for own in form.own_texts):
        return None
    return prompt.window.as_source(old[:first] + core + old[end:])


def ends_early(old: str, new: str) -> bool:
    """Whether `new` stops before the end of `old`, which it is to replace: it lacks the last lines of `old` and has
    fewer lines, or it ends with another line of `old`, or inside its last line. The compared last lines begin at the
    last one with a word, because brackets alone are ambiguous."""
    before, after = _lines(old), _lines(new)
    if not before:
        return False
    tail = before[_last_worded(before) :]
    if _times(tail, after) >= _times(tail, before):
        return False
    said = after[_last_worded(after)] if after else ""
    is_of_old = 0 < after.count(said) <= before.count(said)
    return len(after) < len(before) or is_of_old or tail[0].startswith(said)


def _last_worded(lines: Sequence[str]) -> int:
    """The index of the last line with a word; if none has one, of the last line."""
    last = len(lines) - 1
    return next((number for number in range(last, -1, -1) if re.search(r"\w", lines[number])), last)


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.split("\n") if line.strip()]


def _times(part: Sequence[str], whole: Sequence[str]) -> int:
    """How often the lines `part` occur in `whole`, directly one after the other."""
    return sum(whole[at : at + len(part)] == part for at in range(len(whole) - len(part) + 1))


def _reads_fences(prompt: EditPrompt) -> bool:
    """Whether fences in the answer, and sentences around them, are the model's own: the window has no fence."""
    return prompt.form.is_chat and "```" not in prompt.window.text


def _ends(form: EditFormat) -> list[str]:
    """The endings of a format except a fence, which may also begin the answer."""
    return [ending for ending in form.ends if "```" not in ending]


def _code(prompt: EditPrompt, answer: str, *, whole: bool) -> Code:
    return code_in(answer, prose=language_of(prompt.window.document).prose, inside=False, whole=whole)


def _between_markers(old: str, answer: str) -> str | None:
    """The window with the text between the first and the last marker of an answer put in place of these blocks. None if
    the markers name no such blocks, or if the text stops before the end of the blocks."""
    marks = list(_NUMBER.finditer(answer))
    parts = blocks(old)
    if len(marks) < 2:
        return None
    first, last = int(marks[0][1]), int(marks[-1][1])
    if not 1 <= first < last <= len(parts) + 1:
        return None
    text = _NUMBER.sub("", answer[marks[0].end() : marks[-1].start()])
    before, replaced, after = parts[: first - 1], "".join(parts[first - 1 : last - 1]), parts[last - 1 :]
    if ends_early(replaced, text):
        return None
    text = text.removesuffix("\n") + ("\n" if replaced.endswith("\n") else "") if text else ""
    return "".join((*before, text, *after))
