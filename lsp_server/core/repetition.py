"""Detects repetition loops in generated text: repeated text, stuttering names, imports that list names again."""

from __future__ import annotations

import re

# A loop: a unit of at most this many characters, at least this many times in a row, and this many characters in all.
# Three times are enough for a unit of words that is so long that nobody repeats it (`_WORDY`).
_LOOP_UNIT, _LOOP_ROUNDS, _LOOP_SIZE = 40, 5, 48
_WORDY = re.compile(r"(?=.*[A-Za-z]{4})(?=.*[\s,])[\w\s,.]{14,}", re.DOTALL)

# The same part of a name three times in a row.
_STUTTER = re.compile(r"(_[A-Za-z]\w{1,20}?|[A-Z][a-z]\w{1,20}?|(?<![A-Za-z])[a-z]{4,12})\1{2}")
# In an import, where the names exist elsewhere, twice in a row is enough.
_STUTTER_IN_IMPORT = re.compile(r"(_[A-Za-z]\w{1,20}?|[A-Z][a-z]\w{1,20}?)\1$")

# The start of an import up to its list of names.
_IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+[\w.]+[ \t]+import\b[ \t]*\(?|import[ \t]+(?=[\w.]+[ \t]*,)"
    r"|(?:import|export)[ \t]+(?:type[ \t]+)?\{|(?:pub[ \t]+)?use[ \t]+[\w:]+::\{|(?:const|let|var)[ \t]+\{)",
    re.MULTILINE,
)
_ITEM, _ITEM_IN_LINE = re.compile(r"[^,()\[\]{};]*"), re.compile(r"[^,()\[\]{};\n]*")


def end_of_loop(text: str, left: str) -> int | None:
    """The offset in `text` where the second round of a loop begins; None if there is no loop. `text` follows `left`. A
    repeated unit of text is found only at the end of `text`, where it is while the text is being generated."""
    ends = (_end_of_rounds(text), _end_of_stutter(text, left), _end_of_import(text, left))
    return min((end for end in ends if end is not None), default=None)


def _end_of_rounds(text: str) -> int | None:
    for size in range(1, _LOOP_UNIT + 1):
        unit = text[-size:]
        if len(unit) < size or not any(map(str.isalnum, unit)):
            continue
        rounds = 3 if _WORDY.fullmatch(unit) else max(_LOOP_ROUNDS, -(-_LOOP_SIZE // size))
        if text.endswith(unit * rounds):
            start = len(text) - size
            while text.startswith(unit, start - size) and start >= size:
                start -= size
            return start + size
    return None


def _end_of_stutter(text: str, left: str) -> int | None:
    for match in _STUTTER.finditer(left + text):
        if match.end() > len(left):
            return max(0, match.end(1) - len(left))
    return None


def _end_of_import(text: str, left: str) -> int | None:
    """The offset before the first name in an import that is listed already, or that stutters."""
    whole = left + text
    for begins in _IMPORT.finditer(whole):
        seen: set[str] = set()
        offset = begins.end()
        pattern = _ITEM if begins[0][-1] in "({" else _ITEM_IN_LINE
        while True:
            item = pattern.match(whole, offset)
            assert item is not None
            name = " ".join(item[0].split())
            is_whole = whole[item.end() : item.end() + 1] != ""
            stutters = _STUTTER_IN_IMPORT.search(name.partition(" ")[0]) is not None
            if name and is_whole and (name in seen or stutters) and item.end() > len(left):
                return max(0, _in_front(whole, offset) - len(left))
            seen.add(name)
            offset = item.end() + 1
            if whole[item.end() : offset] != ",":
                break
    return None


def _in_front(text: str, offset: int) -> int:
    """The end of the text before the comma that precedes `offset`."""
    return len(text[:offset].rstrip().rstrip(",").rstrip())
