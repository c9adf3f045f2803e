"""Brackets in code that may be broken or unfinished, told apart from those in strings and comments by the line."""

from __future__ import annotations

import re
from collections.abc import Iterator

OPENING, CLOSING = "([{", ")]}"


def marks(text: str, quotes: str = "\"'", comment: str = "") -> Iterator[tuple[int, str]]:
    """The brackets and line ends of `text` with their places, except those in strings and line comments.

    quotes: what begins and ends a string; one that does not end goes on to the line's end, so that the text as
    far as it has been written has the marks of the whole. comment: how a line comment starts.
    """
    for match in _pattern(quotes, comment).finditer(text):
        if match.lastgroup == "mark":
            yield match.start(), match.group()


def _pattern(quotes: str, comment: str) -> re.Pattern[str]:
    # A character literal counts in every language; what is no quote of the language may stand alone.
    parts = [r"'(?:\\[^'\n]{1,8}|[^'\\\n])'"]
    parts += [rf"{quote}(?:\\.|[^{quote}\\\n])*(?:{quote}|\\?$)" for quote in quotes]
    if comment:
        parts.append(rf"(?:^|(?<=\s)){re.escape(comment)}.*")
    parts.append(r"(?P<mark>[()\[\]{}\n])")
    return re.compile("|".join(parts), re.MULTILINE)


def unmatched_closer(text: str, quotes: str = "\"'", comment: str = "") -> int | None:
    """Where `text` closes a bracket that it has not opened, or None."""
    depth = 0
    for index, mark in marks(text, quotes, comment):
        if mark in CLOSING:
            if depth == 0:
                return index
            depth -= 1
        elif mark in OPENING:
            depth += 1
    return None


def open_brackets(text: str, quotes: str = "\"'", comment: str = "") -> int:
    """How many brackets are open at the end of `text`, not counting those closed that it has not opened."""
    depth = 0
    for _, mark in marks(text, quotes, comment):
        if mark in OPENING:
            depth += 1
        elif mark in CLOSING:
            depth = max(0, depth - 1)
    return depth


def open_quote(text: str, quotes: str = "\"'") -> str:
    """The quote that is open at the end of `text`, a single line, or an empty string."""
    opened, escaped = "", False
    for character in text:
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = True
        elif opened:
            if character == opened:
                opened = ""
        elif character in quotes:
            opened = character
    return opened
