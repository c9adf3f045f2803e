"""Handles the overlap of a completion with the rest of the cursor's line: the completion is cut, or replaces that text.

The model does not see the rest of the cursor's line, so it may write it again: `x)` before a bracket that the editor
has closed already, or `x).strip()`. The first is cut before the bracket. The second contains the bracket and replaces
it.
"""

from __future__ import annotations

import re

from lsp_server.core.brackets import CLOSING, OPENING, marks, open_quote, unmatched_closer

# A longer text right of the cursor is never replaced.
MOST_REPLACED = 80

# Characters right of the cursor that may stay behind a completion that does not repeat them.
TERMINATORS = ";"
_QUOTES = "\"'`"


# The units that a text may repeat: tags, words, white space, runs of one sign, and single brackets.
_UNITS = re.compile(r"</?[A-Za-z][\w.:-]*(?:\s[^<>]*)?>|\w+|\s+|[()\[\]{}]|([^\w\s])\1*")
_TAG = re.compile(r"<(/?)([A-Za-z][\w.:-]*)?(?:\s[^<>]*)?(/?)>")


def without_overlap(text: str, right: str, *, whole: bool = True) -> str:
    """`text` without the text that already stands right of it. If `text` closes a bracket that it has not opened and
    `right` begins with that bracket, it ends before it. Else it ends before a beginning of `right` that is repeated at
    its end. whole: whether the text is finished; an unfinished text may still continue differently from `right`."""
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
    """`text` without the longest beginning of `right` at its end, in whole units. Brackets and tags that `text` has
    opened itself do not count as repeated. `text` also ends before a tag that closes an element around it, if `right`
    closes the same element first. If `text` ends with the same words as `right` after a different beginning, it is a
    rewritten `right`, and nothing of it is inserted."""
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
    """Whether the last two words of both, and all signs after them, are the same."""
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
    """The number of brackets that `text` closes without having opened them."""
    depth = unopened = 0
    for _, mark in marks(text):
        if mark in CLOSING:
            unopened += depth == 0
            depth = max(0, depth - 1)
        elif mark in OPENING:
            depth += 1
    return unopened


def _unopened_tags(text: str) -> list[re.Match[str]]:
    """The closing tags in `text` whose elements it has not opened."""
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
    """`text` without the quote at its end, if that quote is right of it and closes a string opened before."""
    quote = right.strip()[0]
    if quote in _QUOTES and text.endswith(quote) and not open_quote(left + text, quote):
        return text[:-1]
    return text


def closers_behind(left: str, right: str, quotes: str = "\"'") -> str:
    """The beginning of `right` that an editor may have inserted: the quote that is open in `left`, and closing
    brackets."""
    opened = open_quote(left, quotes)
    start = len(opened) if opened and right.startswith(opened) else 0
    end = start
    while end < len(right) and right[end] in CLOSING:
        end += 1
    return right[:end]


def written_over(text: str, left: str, right: str, quotes: str = "\"'", comment: str = "") -> tuple[str, int] | None:
    """The part of `text` to insert, and how many characters of `right` it replaces. None if it replaces none.

    It replaces closing brackets and quotes that it contains itself and goes on after, if only those and a semicolon
    stand right of it, or a text that it repeats at its end. Or it replaces all of `right` if it repeats that and goes
    on.
    """
    right = right.rstrip()
    if len(right) > MOST_REPLACED:
        return None
    closers = closers_behind(left, right, quotes)
    opened = open_quote(left, quotes)
    if opened and not right.startswith(opened):
        quotes = quotes.replace(opened, "")  # in code inside a string, this quote ends the outer string
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


def overlap_start(text: str, over: str) -> int | None:
    """The offset in `text` where it begins to contain the replaced text `over`; None if it does not contain it."""
    if not over:
        return None
    first = over[0]
    if first in CLOSING:
        # In a text that begins inside a string, the quotes are paired wrongly.
        found = [_closings(text, first, quotes, "")[0] for quotes in ("\"'", "")]
        at = next((places[0] for places in found if places), -1)
    elif first in _QUOTES:
        at = _quote_end(text, first)
    else:
        at = text.find(over)
    return at if at >= 0 and contains(text[at:], over) else None


def contains(text: str, over: str) -> bool:
    """Whether `text` contains all characters of `over`, in the same order."""
    behind = iter(text)
    return all(character in behind for character in over)


def _closings(text: str, closers: str, quotes: str, comment: str) -> tuple[list[int], int]:
    """The offsets where `text` closes brackets that it has not opened, as far as they agree with `closers`; and the end
    of the usable text, which is before the first bracket that does not agree."""
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
    """Whether `text` has more than white space and a comment."""
    return bool(text.strip()) and not (comment and text.lstrip().startswith(comment))


def _quote_end(text: str, quote: str) -> int:
    """The end of the string that `text` begins inside; -1 if it does not end in the line."""
    match = re.match(rf"(?:\\.|[^{quote}\\\n])*{quote}", text)
    return match.end() - 1 if match else -1


def _repeated(text: str, right: str, quotes: str, comment: str) -> int | None:
    """The offset where `text`, a single line, contains all of `right` and goes on after it; None if it does not. The
    position is found by the first bracket that both close without having opened it."""
    closing, closed = unmatched_closer(right, quotes, comment), unmatched_closer(text, quotes, comment)
    if closing is None or closed is None or "\n" in text:
        return None
    at = closed - closing
    behind = text[at + len(right) :] if at >= 0 and text.startswith(right, at) else ""
    return at if _goes_on(behind, comment) else None
