"""What a model's answer makes of the window that it was shown: the text without what stands around it, if it is whole.

An answer that ends before the window does would take away all that follows, so nothing is made of it.
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
    """Whether nothing more of an answer is wanted. answer: what was written so far behind the lead."""
    if _reads_fences(prompt):
        others = any(ending in answer for ending in _ends(prompt.form))
        return others or ("```" in answer and _code(prompt, answer, whole=False).ended)
    return any(ending in answer for ending in prompt.form.ends)


def new_window(prompt: EditPrompt, answer: str) -> bytes | None:
    """What the window becomes by an answer, with the document's line ends; None if the answer is none, changes
    nothing, or does not reach the window's end. answer: what was written behind the lead."""
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
    # Models leave blank lines at both ends out, or add some: those of the document stay.
    first, end = len(old) - len(_BLANK_LINES.sub("", old, count=1)), len(old.rstrip())
    core, kept = _BLANK_LINES.sub("", text, count=1).rstrip(), old[first:end]
    # One that begins late or ends early says nothing of the rest.
    if kept.startswith(core) or kept.endswith(core) or ends_early(kept, core):
        return None
    if any(own in core for own in form.own_texts):
        return None
    return prompt.window.as_source(old[:first] + core + old[end:])


def ends_early(old: str, new: str) -> bool:
    """Whether `new` has not got to the end of `old`, which it is to replace: the last lines of that are not in it, and
    it has fewer lines, or ends with another line of `old` or in the midst of the last one. Brackets alone do not tell,
    so that the last line with a word is among those."""
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
    """The number of the last line that has a word; of the last one, if none has."""
    last = len(lines) - 1
    return next((number for number in range(last, -1, -1) if re.search(r"\w", lines[number])), last)


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.split("\n") if line.strip()]


def _times(part: Sequence[str], whole: Sequence[str]) -> int:
    """How often lines stand in others, one behind the other."""
    return sum(whole[at : at + len(part)] == part for at in range(len(whole) - len(part) + 1))


def _reads_fences(prompt: EditPrompt) -> bool:
    """Whether fences in the answer, and sentences before and behind them, are the model's: none are in the window."""
    return prompt.form.is_chat and "```" not in prompt.window.text


def _ends(form: EditFormat) -> list[str]:
    """The ends of a format but for a fence, which may also be where the answer begins."""
    return [ending for ending in form.ends if "```" not in ending]


def _code(prompt: EditPrompt, answer: str, *, whole: bool) -> Code:
    return code_in(answer, prose=language_of(prompt.window.document).prose, inside=False, whole=whole)


def _between_markers(old: str, answer: str) -> str | None:
    """The window with the text between the first and the last marker of an answer in the place of what it has there;
    None if that is no such part, or the text does not get to its end."""
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
