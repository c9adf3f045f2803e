"""The words that go on with a comment: where they end, while they are being written, and how they are laid out."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence

from lsp_server.core.comments import Comment, columns

# In a comment a small model often guesses. Where nobody has asked, it writes on as long as each token is at least so
# probable: that serves two thirds of the characters that the whole texts would, for a sixth of the tokens.
DOUBT = math.log(0.6)

# How much longer a word may become of which more may come.
_MORE = 16


def end_of_comment(text: str, comment: Comment, max_lines: int) -> int | None:
    """The length of the part of `text` that is words of `comment`; None if it may still go on."""
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
    """Whether a line goes on with the paragraph above it, or may, once it is complete."""
    content = line.strip()
    if not complete and len(content) <= len(comment.mark):
        return comment.mark.startswith(content)
    if not comment.mark:
        indent = len(comment.prefix.expandtabs(4))
        return bool(content) and len(line.expandtabs(4)) - len(line.expandtabs(4).lstrip()) >= indent
    words = comment.words(line)
    return words is not None and (bool(words) or not complete)


def written_in(text: str, left: str, comment: Comment, *, whole: bool) -> str:
    """`text`, words of `comment` behind `left`, with its prefix in front of further lines, and none too wide. whole:
    whether nothing more comes."""
    if not whole and comment.closer:
        text = _without_begun(text, comment.closer)
    lines = text.split("\n")
    while len(lines) > 1 and comment.mark.startswith(lines[-1].strip()):
        lines.pop()  # nothing but its mark, or the beginning of that
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
    """The lines, each broken where it would be wider than the comment's are; up to there if it may not go on below."""
    shown: list[str] = []
    rest = [*lines]
    while rest:
        line = rest.pop(0)
        lead, least = ("", len(comment.prefix)) if shown else (left, 0)
        wide = columns(lead + line)
        at = _break(line, lead, least, comment.width) if wide > comment.width else None
        if at is None:
            if not whole and not rest and comment.width - _MORE < wide <= comment.width:
                line = line[: max(least, line.rstrip().rfind(" "))]  # its last word may yet go to the next line
            shown.append(line)
            continue
        if not comment.goes_on:
            return "\n".join([*shown, line[:at].rstrip()])
        shown.append(line[:at].rstrip())
        rest.insert(0, comment.prefix + line[at:].lstrip())
    return "\n".join(shown)


def _break(line: str, lead: str, least: int, width: int) -> int | None:
    """Where a line that is too wide ends: in front of the first word that goes beyond; None if it cannot end sooner."""
    for match in re.finditer(r"[ \t]+", line):
        behind = line.find(" ", match.end())
        word_end = behind if behind >= 0 else len(line)
        if match.start() >= least and match.end() < len(line) and columns(lead + line[:word_end]) > width:
            return match.start()
    return None


def _without_begun(text: str, closer: str) -> str:
    """`text` without what may become the closer at its end."""
    for size in range(len(closer) - 1, 0, -1):
        if text.endswith(closer[:size]):
            return text[:-size]
    return text


def shorter(text: str) -> Iterator[str]:
    """`text`, and what is left of it without its last words: for where its end does not fit what is behind it."""
    yield text
    for _ in range(3):
        text = text.rstrip().rpartition(" ")[0].rstrip()
        if text.strip():
            yield text
