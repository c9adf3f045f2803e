"""Handles text in a model's answer that is not code: sentences and repetition."""

from __future__ import annotations

import re

# Longer lines are neither fences nor sentences. The patterns would take too long on them.
LONGEST_MARKUP = 1000
_LONGEST_TEXT = 4000
# A text that is repeated this often in a row, over this many characters, is an endless loop. Then: the longest unit.
_LOOP_TIMES, _LOOP_LENGTH, _LONGEST_PERIOD = 8, 80, 100
_PROSE = re.compile(
    r"^\s*(?:"
    r"(?:sure|certainly|of course|here(?:'s| is| are)|okay|ok|the |this |note|explanation|in this|i |i'|we |you |below|"
    r"output|result|answer|let me|let's|as you|hope|please|changes|improved|updated|refactored|simplified)\b.*"
    r"|[A-Z][\w'-]*(?:\s+[\w`'(),-]+){2,}.*[.:!?]"
    r")\s*$",
    re.IGNORECASE,
)
_BULLET = re.compile(r"^\s*(?:[-*+]\s+[A-Z*`]|\d+\.\s+|#{1,6}\s|\*\*)")


def is_prose(line: str) -> bool:
    """Whether a line reads like a sentence for a person and not like code."""
    text = line.rstrip()
    if text.endswith((";", "{", "}", ",", "):")) or "=" in text:
        return False
    if len(line) > LONGEST_MARKUP:
        return False
    if re.search(r"\w[(`]", text) and not text.endswith((".", ":", "!")):
        return False
    return bool(_PROSE.match(line) or _BULLET.match(line))


def repeats(text: str, known: str = "") -> bool:
    """Whether the answer has become an endless repetition or an endless line. known: the text that the model was given;
    repetition that is in it does not count."""
    if len(text) - text.rfind("\n") > _LONGEST_TEXT:
        return True
    start = _loop(text)
    if start < len(text) and text[-_LOOP_LENGTH:] not in known:
        return True
    return _without_repeated_end(text) != text


def without_repetition(text: str) -> str:
    """`text` up to the point from which it only repeats itself until the end."""
    return _without_repeated_end(text[: _loop(text)])


def without_cut_end(text: str) -> str:
    """`text`, which was cut off, up to its last complete sentence or line."""
    ends = [match.end() for match in re.finditer(r"[.!?](?=\s)|[。！？]|\n", text)]
    return text[: ends[-1]].rstrip() if ends else ""


def _loop(text: str) -> int:
    """The offset from which `text` only repeats one short unit until the end; its length if there is no such loop."""
    for period in range(1, min(_LONGEST_PERIOD, len(text) // _LOOP_TIMES) + 1):
        size = max(_LOOP_TIMES * period, _LOOP_LENGTH)
        tail = text[-size:]
        if len(tail) == size and tail[period:] == tail[:-period] and tail.strip():
            start = len(text) - size
            while start > 0 and text[start - 1] == text[start - 1 + period]:
                start -= 1
            return start + period
    return len(text)


def _without_repeated_end(text: str) -> str:
    """`text` without the lines or sentences at its end that repeat those before them."""
    parts = [
        match for match in re.finditer(r"[^\n]+?(?:(?<=[.!?])(?= )|(?<=[。！？])|(?=\n)|$)", text) if match[0].strip()
    ]
    filled = [match[0].strip() for match in parts]
    whole = len(filled) - 1  # the last one may be unfinished
    for period in (1, 2, 3, 4, 6, 8):
        first = whole
        while first > period and filled[first - 1] == filled[first - 1 - period]:
            first -= 1
        again = whole - first
        size = sum(map(len, filled[max(0, whole - period) : whole]))
        # Two long sentences in a row are enough. Short lines, such as closing braces, may repeat.
        if again >= 2 * period and again * size // period >= 160:
            return text[: parts[first].start()].rstrip()
    return text
