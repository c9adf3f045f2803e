"""What a doc comment says: whether that is about the code, and not about the question, and not said twice."""

from __future__ import annotations

import re

# Words that say nothing of one piece of code rather than another.
_EMPTY_WORDS = """
    a above an and answer answered any are as at based be been below by called calls can class code comment
    created doc docstring documentation does each editor example file first following for from function
    functions given gives has have here how if in instance into is it its language method methods module new no
    not object of on or original program programmer programming provided question result return returns second
    should simple some that the their then there these this to type use used user uses value values version we
    when where which will with written you your
"""
_EMPTY = frozenset(_EMPTY_WORDS.split())
_ALIKE = 0.7
# Shorter lines may well be alike: those of a list of parameters, say.
_LONG_WORDS = 5
# Among this many words one should be of the code; words are the same if they begin alike.
_MANY_WORDS, _STEM = 6, 4
# What of an old comment's words a new one about the same must have.
_SAME_SUBJECT = 0.25
_TALK = re.compile(
    r"(?i)(?:the|this|your|my|an?|above)\s+(answer|question|response|request|instruction|prompt|model)\b"
)


def without_echoes(text: str, question: str, code: str) -> str:
    """`text` without the sentences that the question is made of, those about the talk instead of the code, those that
    say what one before them has said, and a last line that introduces nothing. Lines keep their places."""
    asked = _squeezed(question)
    told = map(_words, re.split(r"(?<=[.!?:])\s+|\n", question))
    seen = [set(words) for words in told if len(words) >= _LONG_WORDS]
    kept: list[str] = []
    for line in text.split("\n"):
        parts = re.split(r"(?<=[.!?])\s+", line.strip())
        if not line.strip():
            kept.append("")
            continue
        fresh = []
        for part in parts:
            words = _words(part)
            talk = _TALK.match(part)
            if talk and talk[1].lower() not in code.lower():
                continue
            if len(words) >= _LONG_WORDS and (
                _squeezed(part) in asked or any(_alike(set(words), other) for other in seen)
            ):
                continue
            fresh.append(part)
            if len(words) >= _LONG_WORDS:
                seen.append(set(words))
        if fresh:
            kept.append(line[: len(line) - len(line.lstrip())] + " ".join(fresh))
    while kept and (not kept[-1].strip() or kept[-1].rstrip().endswith(":")):
        kept.pop()
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip()


def says_nothing(text: str, code: str) -> bool:
    """Whether a comment could stand above any code: it has no word of its own, or many and none that has to do with
    a name in the code or a part of one."""
    words = {word for word in _words(text) if word not in _EMPTY}
    parts = {part.lower()[:_STEM] for name in re.findall(r"\w+", code) for part in _parts(name) if len(part) > 2}
    if len(words) < _MANY_WORDS or len(parts) < _MANY_WORDS:
        return not words
    return not any(word[:_STEM] in parts for word in words)


def says_less(text: str, old: str) -> bool:
    """Whether a new comment says less than half of what the old one said, by the number of its words, or something
    else altogether."""
    new, was = _stems(text), _stems(old)
    other = len(was) >= _MANY_WORDS and len(new & was) < _SAME_SUBJECT * len(was)
    return other or 2 * len(_words(text)) < len(_words(old))


def _stems(text: str) -> set[str]:
    return {word[:_STEM] for word in _words(text) if word not in _EMPTY}


def _parts(name: str) -> list[str]:
    return re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())


def _squeezed(text: str) -> str:
    return "".join(re.findall(r"\w+", text.lower()))


def _alike(one: set[str], other: set[str]) -> bool:
    return len(one & other) >= _ALIKE * len(one | other)
