"""Special tokens that a model has spelled out in tokens of text, at the end of what it wrote.

Those that it wrote as tokens never become text: the engine ends there. Elsewhere in a text a special token's spelling
is text like any other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from lsp_server.core.brackets import open_quote

# Tokens that no training has given a meaning to are not spelled out, and some vocabularies have thousands of them.
_MEANINGLESS = re.compile(r"unused|reserved|extra_|placeholder|\d\d|^\W*$", re.IGNORECASE)
_CLOSING_TAG = re.compile(r"</(\w+)>")
_APOSTROPHE = re.compile(r"(?<=\w)'(?=\w)")
_INDEX = re.compile(r"\[\w+\]")


def worth_knowing(spellings: Iterable[str]) -> tuple[str, ...]:
    """Of a vocabulary's special tokens, how those are spelled that a model may spell out."""
    bare = {spelling.lstrip("▁") for spelling in spellings if not _MEANINGLESS.search(spelling)}
    return tuple(sorted(spelling for spelling in bare if re.match(r"\W", spelling)))


def without_spelled(text: str, left: str, specials: Sequence[str], quotes: str) -> str:
    """`text`, which stands behind `left`, without the special tokens spelled out at its very end."""
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
    """`text`, of which more is to come, without what may become a special token at its end."""
    longest = max(map(len, specials), default=0)
    for start in range(max(0, len(text) - longest), len(text)):
        if any(spelling.startswith(text[start:]) for spelling in specials):
            return text[:start]
    return text
