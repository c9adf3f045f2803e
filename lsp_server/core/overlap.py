"""What a text and the rest of the cursor's line have in common: it ends in front of that, or is written over it.

The model does not see the rest of the cursor's line, so it writes it again: `x)` in front of the bracket that an
editor has closed, or `x).strip()`. The first is cut. The second replaces the bracket, which it contains, by itself.
"""

from __future__ import annotations

import re

from lsp_server.core.brackets import CLOSING, OPENING, marks, open_quote, unmatched_closer

# More than this right of the cursor is never replaced.
MOST_REPLACED = 80

# Of what is right of the cursor, what may stay there behind a text that does not repeat it.
TERMINATORS = ";"
_QUOTES = "\"'`"


# What a text repeats of another: tags, words, white space, runs of one sign, and each bracket by itself.
_UNITS = re.compile(r"</?[A-Za-z][\w.:-]*(?:\s[^<>]*)?>|\w+|\s+|[()\[\]{}]|([^\w\s])\1*")
_TAG = re.compile(r"<(/?)([A-Za-z][\w.:-]*)?(?:\s[^<>]*)?(/?)>")


def without_overlap(text: str, right: str, *, whole: bool = True) -> str:
    """`text` without what stands to its right already: it ends in front of a bracket or tag that it closes without
    having opened it, if that is the one that stands there, or else in front of the beginning of `right` that it has at
    its end. whole: whether nothing more comes, which could make that beginning another."""
    depth = 0
    for index, character in enumerate(text):
        if character in OPENING:
            depth += 1
        elif character in CLOSING:
            if depth == 0:
                return text[:index] if right.startswith(character) else _without_repeated(text, right, whole)
            depth -= 1
    return _without_repeated(text, right, whole) if right.strip(CLOSING) else text


def _without_repeated(text: str, right: str, whole: bool) -> str:
    """`text` without the longest beginning of `right` that it ends with, in whole units; what closes something that the
    text has opened itself is not that. It ends in front of a tag that closes what stands around it, if that is the
    first to be closed on the right. A text that comes to the same end as `right` by another way is that one rewritten:
    nothing of it goes in front."""
    if text.endswith(right):
        return text.removesuffix(right)
    ends = {0, *(unit.end() for unit in _UNITS.finditer(right))}
    for unit in _UNITS.finditer(text, max(0, len(text) - len(right))):
        part = text[unit.start() :]
        if not part.strip() or not right.startswith(part) or (whole and len(part) not in ends):
            continue
        opens = _unopened_brackets(part) > _unopened_brackets(text)
        if not opens and len(_unopened_tags(part)) <= len(_unopened_tags(text)):
            return text[: unit.start()]
    if _ends_alike(text, right):
        return ""
    closed, closing = _unopened_tags(text), _unopened_tags(right)
    return text[: closed[0].start()] if closed and closing and closed[0][2] == closing[0][2] else text


def _ends_alike(text: str, right: str) -> bool:
    """Whether the last two words of both, and all signs behind these, are the same."""
    ends = [
        [unit[0] for unit in _UNITS.finditer(part.rstrip()) if not unit[0].isspace()][-8:] for part in (text, right)
    ]
    words = 0
    for mine, theirs in zip(*map(reversed, ends), strict=False):
        if mine != theirs:
            return False
        words += mine[0].isalnum() or mine[0] == "_"
        if words == 2:
            return True
    return False


def _unopened_brackets(text: str) -> int:
    """How many brackets it closes without having opened them."""
    depth = unopened = 0
    for _, mark in marks(text):
        if mark in CLOSING:
            unopened += depth == 0
            depth = max(0, depth - 1)
        elif mark in OPENING:
            depth += 1
    return unopened


def _unopened_tags(text: str) -> list[re.Match[str]]:
    """The tags that close what it has not opened."""
    opened: list[str] = []
    unopened = []
    for tag in _TAG.finditer(text):
        if not tag[1]:
            opened += [] if tag[3] else [tag[2]]
        elif tag[2] in opened:
            while opened.pop() != tag[2]:
                pass
        else:
            unopened.append(tag)
    return unopened


def without_closed_quote(text: str, left: str, right: str) -> str:
    """`text` without the quote at its end that stands to its right, if it closes what was opened in front."""
    quote = right.strip()[0]
    if quote in _QUOTES and text.endswith(quote) and not open_quote(left + text, quote):
        return text[:-1]
    return text


def closers_behind(left: str, right: str, quotes: str = "\"'") -> str:
    """What `right` begins with that an editor may have closed: the quote that is open in `left`, and brackets."""
    opened = open_quote(left, quotes)
    start = len(opened) if opened and right.startswith(opened) else 0
    end = start
    while end < len(right) and right[end] in CLOSING:
        end += 1
    return right[:end]


def written_over(text: str, left: str, right: str, quotes: str = "\"'", comment: str = "") -> tuple[str, int] | None:
    """The part of `text` that goes in, and how many characters of `right` it then replaces. None if it replaces none.

    It replaces closing brackets and quotes that it writes itself before it goes on, if nothing but those and a
    semicolon stays behind it, or what it repeats at its end; or else all of `right` if it repeats it and goes on.
    """
    right = right.rstrip()
    if len(right) > MOST_REPLACED:
        return None
    closers = closers_behind(left, right, quotes)
    opened = open_quote(left, quotes)
    if opened and not right.startswith(opened):
        quotes = quotes.replace(opened, "")  # in code inside a string, that one ends the string around it
    tail = right[len(closers) :]
    repeats = bool(tail) and text.endswith(tail)
    shorter = text[: -len(tail)].rstrip() if repeats else text
    if closers and (repeats or not tail.strip(TERMINATORS)):
        places, end = _closings(shorter, closers, quotes, comment)
        if repeats and len(places) < len(closers):
            return None
        shorter = shorter[:end].rstrip()
        while places and not _goes_on(shorter[places[-1] + 1 :], comment):
            shorter = shorter[: places.pop()].rstrip()
        return (shorter, len(places)) if places else None
    at = None if repeats else _repeated(text, right, quotes, comment)
    return None if at is None else (text, len(right))


def meeting(text: str, over: str) -> int | None:
    """Where `text` comes to what it replaces, and goes on over it; None if it does not."""
    if not over:
        return None
    first = over[0]
    if first in CLOSING:
        # A text that begins inside a string has its quotes the wrong way round.
        found = [_closings(text, first, quotes, "")[0] for quotes in ("\"'", "")]
        at = next((places[0] for places in found if places), -1)
    elif first in _QUOTES:
        at = _quote_end(text, first)
    else:
        at = text.find(over)
    return at if at >= 0 and contains(text[at:], over) else None


def contains(text: str, over: str) -> bool:
    """Whether `text` has all the characters that it replaces, in their order."""
    behind = iter(text)
    return all(character in behind for character in over)


def _closings(text: str, closers: str, quotes: str, comment: str) -> tuple[list[int], int]:
    """Where `text` closes what it has not opened, as long as that is what `closers` has; and where it ends, which
    is in front of the first that is another."""
    places: list[int] = []
    start = 0
    if closers[0] not in CLOSING:
        start = _quote_end(text, closers[0])
        if start < 0:
            return [], len(text)
        places.append(start)
        start += 1
    depth = 0
    for index, mark in marks(text[start:], quotes, comment):
        if mark in OPENING:
            depth += 1
        elif mark in CLOSING and depth:
            depth -= 1
        elif mark in CLOSING and len(places) < len(closers):
            if mark != closers[len(places)]:
                return places, start + index
            places.append(start + index)
    return places, len(text)


def _goes_on(text: str, comment: str) -> bool:
    """Whether there is more in it than a comment."""
    return bool(text.strip()) and not (comment and text.lstrip().startswith(comment))


def _quote_end(text: str, quote: str) -> int:
    """Where the string ends that `text` begins inside of; -1 if it does not end in its line."""
    match = re.match(rf"(?:\\.|[^{quote}\\\n])*{quote}", text)
    return match.end() - 1 if match else -1


def _repeated(text: str, right: str, quotes: str, comment: str) -> int | None:
    """Where a text of one line has all of `right` and goes on behind it; None if nowhere. What `right` has to close
    is what tells it from its like elsewhere: it is the first that the text closes without having opened it."""
    closing, closed = unmatched_closer(right, quotes, comment), unmatched_closer(text, quotes, comment)
    if closing is None or closed is None or "\n" in text:
        return None
    at = closed - closing
    behind = text[at + len(right) :] if at >= 0 and text.startswith(right, at) else ""
    return at if _goes_on(behind, comment) else None
