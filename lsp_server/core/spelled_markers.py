"""Removes special tokens that a model has spelled out in ordinary text tokens at the end of its text.

Real special tokens never become text, because the engine stops at them. Inside a text, the spelling of a special token
is text like any other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from lsp_server.core.brackets import open_quote

# Models do not spell out tokens that were never trained, and some vocabularies have thousands of them.
_MEANINGLESS = re.compile(r"unused|reserved|extra_|placeholder|\d\d|^\W*$", re.IGNORECASE)
_CLOSING_TAG = re.compile(r"</(\w+)>")
_APOSTROPHE = re.compile(r"(?<=\w)'(?=\w)")
_INDEX = re.compile(r"\[\w+\]")


def spellable(spellings: Iterable[str]) -> tuple[str, ...]:
    """The spellings of those special tokens of a vocabulary that a model may spell out."""
    bare = {spelling.lstrip("▁") for spelling in spellings if not _MEANINGLESS.search(spelling)}
    return tuple(sorted(spelling for spelling in bare if re.match(r"\W", spelling)))


def without_spelled(text: str, left: str, specials: Sequence[str], quotes: str) -> str:
    """`text`, which follows `left`, without special tokens spelled out at its very end."""
    while (spelling := next(filter(text.rstrip().endswith, specials), "")) != "":
        kept = text.rstrip()[: -len(spelling)]
        line = (left + kept).rpartition("\n")[2]
        tag = _CLOSING_TAG.fullmatch(spelling)
        closes = tag is not None and f"<{tag[1]}" in line
        indexes = _INDEX.fullmatch(spelling) is not None and re.search(r"[\w)\]]$", line) is not None
        if closes or indexes or open_quote(_APOSTROPHE.sub("", line), quotes):
            return text
        text = kept.rstrip()
    return text


def without_begun(text: str, specials: Sequence[str]) -> str:
    """An unfinished `text` without the beginning of a special token at its end."""
    longest = max(map(len, specials), default=0)
    for start in range(max(0, len(text) - longest), len(text)):
        if any(spelling.startswith(text[start:]) for spelling in specials):
            return text[:start]
    return text
