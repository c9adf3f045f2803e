"""Finds brackets in code that may be broken or unfinished. Strings and comments are recognised line by line."""

from __future__ import annotations

import re
from collections.abc import Iterator

OPENING, CLOSING = "([{", ")]}"


def marks(text: str, quotes: str = "\"'", comment: str = "") -> Iterator[tuple[int, str]]:
    """The brackets and line ends of `text` with their offsets, except those in strings and line comments.

    quotes: the characters that begin and end a string. A string without an end reaches to the end of its line, so a
    text that is still being written has the same marks as its finished version. comment: how a line comment starts.
    """
    for match in _pattern(quotes, comment).finditer(text):
        if match.lastgroup == "mark":
            yield match.start(), match.group()


def _pattern(quotes: str, comment: str) -> re.Pattern[str]:
    # A character literal counts in every language, because `'` may stand alone where it is no quote of the language.
    parts = [r"'(?:\\[^'\n]{1,8}|[^'\\\n])'"]
    parts += [rf"{quote}(?:\\.|[^{quote}\\\n])*(?:{quote}|\\?$)" for quote in quotes]
    if comment:
        parts.append(rf"(?:^|(?<=\s)){re.escape(comment)}.*")
    parts.append(r"(?P<mark>[()\[\]{}\n])")
    return re.compile("|".join(parts), re.MULTILINE)


def unmatched_closer(text: str, quotes: str = "\"'", comment: str = "") -> int | None:
    """The offset where `text` closes a bracket that it has not opened, or None."""
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
    """How many brackets are open at the end of `text`. Closing brackets that `text` has not opened are ignored."""
    depth = 0
    for _, mark in marks(text, quotes, comment):
        if mark in OPENING:
            depth += 1
        elif mark in CLOSING:
            depth = max(0, depth - 1)
    return depth


def closers(text: str, quotes: str = "\"'", comment: str = "") -> str:
    """The brackets that close those that are open at the end of `text`, the innermost first. A closing bracket that
    does not match the innermost open one is ignored."""
    found = ""
    for _, mark in marks(text, quotes, comment):
        if mark in OPENING:
            found = CLOSING[OPENING.index(mark)] + found
        elif found[:1] == mark:
            found = found[1:]
    return found


def open_quote(text: str, quotes: str = "\"'") -> str:
    """The quote character of the string that is open at the end of `text`, a single line; else an empty string."""
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
