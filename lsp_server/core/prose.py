"""Shapes the words that continue a comment: where they end, also while they are generated, and how lines are broken."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence

from lsp_server.core.comments import Comment, columns

# In comments a small model often guesses. If the user has not requested a completion, words are generated only while
# each token has at least this probability. This gives two thirds of the useful characters of whole texts, for a sixth
# of the tokens.
MIN_LOGPROB = math.log(0.6)

# The maximum number of characters that an unfinished word may still grow by.
_MORE = 16


def end_of_comment(text: str, comment: Comment, max_lines: int) -> int | None:
    """The length of the part of `text` that belongs to `comment`; None if the comment may continue."""
    closes = text.find(comment.closer) if comment.closer else -1
    offset = 0
    lines = text.split("\n")
    for number, line in enumerate(lines):
        complete = number < len(lines) - 1
        if 0 <= closes <= offset + len(line):
            return closes if not number or text[offset:closes].strip() else offset - 1
        if number and not _belongs(line, comment, complete=complete):
            return offset - 1
        if complete and (not comment.goes_on or number + 1 >= max_lines):
            return offset + len(line)
        offset += len(line) + 1
    return None


def _belongs(line: str, comment: Comment, *, complete: bool) -> bool:
    """Whether a line continues the paragraph above it, or may do so once it is complete."""
    content = line.strip()
    if not complete and len(content) <= len(comment.mark):
        return comment.mark.startswith(content)
    if not comment.mark:
        indent = len(comment.prefix.expandtabs(4))
        return bool(content) and len(line.expandtabs(4)) - len(line.expandtabs(4).lstrip()) >= indent
    words = comment.words(line)
    return words is not None and (bool(words) or not complete)


def written_in(text: str, left: str, comment: Comment, *, whole: bool) -> str:
    """`text`, which continues `comment` after `left`, with the prefix before further lines, and broken to the width.
    whole: whether the text is finished."""
    if not whole and comment.closer:
        text = _without_begun(text, comment.closer)
    lines = text.split("\n")
    while len(lines) > 1 and comment.mark.startswith(lines[-1].strip()):
        lines.pop()  # it has only the comment's mark, or the beginning of it
    made = [lines[0]]
    for line in lines[1:]:
        words = line.strip().removeprefix(comment.mark) if comment.mark else line.strip()
        if not comment.mark:
            deeper = len(line) - len(line.lstrip()) - len(comment.prefix)
            words = " " * max(0, deeper) + words
        made.append(comment.prefix + (words.lstrip() if comment.mark else words))
    if not comment.width:
        return "\n".join(made)
    return _wrapped(made, left, comment, whole=whole)


def _wrapped(lines: Sequence[str], left: str, comment: Comment, *, whole: bool) -> str:
    """The lines, broken at the comment's width. If no line may follow below, the text ends at the first break."""
    shown: list[str] = []
    rest = [*lines]
    while rest:
        line = rest.pop(0)
        lead, least = ("", len(comment.prefix)) if shown else (left, 0)
        wide = columns(lead + line)
        at = _break(line, lead, least, comment.width) if wide > comment.width else None
        if at is None:
            if not whole and not rest and comment.width - _MORE < wide <= comment.width:
                line = line[: max(least, line.rstrip().rfind(" "))]  # its last word may still move to the next line
            shown.append(line)
            continue
        if not comment.goes_on:
            return "\n".join([*shown, line[:at].rstrip()])
        shown.append(line[:at].rstrip())
        rest.insert(0, comment.prefix + line[at:].lstrip())
    return "\n".join(shown)


def _break(line: str, lead: str, least: int, width: int) -> int | None:
    """The offset where a too wide line is broken: before the first word beyond the width; None if it cannot be."""
    for match in re.finditer(r"[ \t]+", line):
        behind = line.find(" ", match.end())
        word_end = behind if behind >= 0 else len(line)
        if match.start() >= least and match.end() < len(line) and columns(lead + line[:word_end]) > width:
            return match.start()
    return None


def _without_begun(text: str, closer: str) -> str:
    """`text` without the beginning of the closer at its end."""
    for size in range(len(closer) - 1, 0, -1):
        if text.endswith(closer[:size]):
            return text[:-size]
    return text


def shorter(text: str) -> Iterator[str]:
    """`text`, then versions without its last one to three words, for when its end does not fit the text after it."""
    yield text
    for _ in range(3):
        text = text.rstrip().rpartition(" ")[0].rstrip()
        if text.strip():
            yield text
