"""Finds the code in answers of instruction-tuned models, which write fences and sentences to the user around it.

This applies to documents whose own text has neither. The code is the content of the first fence or, without a fence,
everything up to the first sentence to the user.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# How many lines may stand between an announcing sentence and its fence.
_BETWEEN = 3

_FENCE = re.compile(r"[ \t]*(`{3,}|~{3,})[ \t]*([\w+#./-]*)[ \t]*$")
_BEGUN_FENCE = re.compile(r"[ \t]*(?:`{1,2}|~{1,2}|`{3,}|~{3,})[^`~\n]*$")
_THOUGHT = re.compile(r"\s*(<|\[)((?:think|thinking|thought|reasoning)>|THINK\])")
_LONG_QUOTES = '"""', "'''"

# How an answer begins, in the languages that models answer in. `_HERE` matches the words after it that announce the
# code.
_YES = (
    r"(?:Sure(?: thing)?|Certainly|Of course|Absolutely|No problem|Okay|OK|Ok|Got it|Great|Yes|"
    r"Natürlich|Selbstverständlich|Gerne?|Klar|Bien sûr|Certainement|D'accord|Por supuesto|Claro|Com certeza|Certo|"
    r"Конечно|Хорошо|当然可以|当然|好的|もちろん(?:です)?|물론(?:입니다|이죠)?)"
)
_HERE = (
    r"(?:[Hh]ere|[Bb]elow|[Ll]et(?:'s| me| us)|I(?:'ll|'ve|'m)?\s|[Tt]h(?:e|is|ese)\b|[Yy]ou(?:'ll|r)?\b|[Tt]o\b|hier|"
    r"voici|aquí|aqui|ecco|вот|以下|这|下面|我|こちら|여기)"
)
_WHAT = (
    r"(?:code|rest|complet\w+|continuation|updated|corrected|fixed|full|missing|remaining|implementation|solution|"
    r"function|snippet|file|answer|version|script|class|method|Dockerfile|Makefile|Code|Rest|reste|suite|código|resto|"
    r"codice|код|代码|コード)"
)
_HERE_IS = (
    r"(?:Here(?:'s|’s| is| are)|Below (?:is|are)|Hier (?:ist|sind)|Voici|Aquí (?:está|tienes)|Aqui está|Ecco|Вот)"
)
_TALK = re.compile(
    rf"{_YES}\s*[,.!:，。！、-]\s*{_HERE}"
    rf"|{_HERE_IS}\b.*{_WHAT}.*[:.]\s*$"
    r"|(?:以下是|下面是|这是|以下は|こちらが).*[:：。]\s*$"
    r"|I(?:'m|’m| am) (?:sorry, (?:but )?I\b|an AI\b)|As an AI\b"
)
# No line of code begins like this, but many lines of prose do.
_TALK_IN_CODE = re.compile(
    rf"{_HERE_IS}\s+\w|(?:This|The|These|That|Your|Our) (?:\w+ ){{0,3}}{_WHAT}\b.*[:.]\s*$|(?:In|With) this {_WHAT}\b"
    r"|(?:To (?:complete|finish|fix)|(?:You|We) (?:can|need|should|could|will)|I(?:'ll|'ve| will| have)) \w+ .*[:.]\s*$"
    rf"|{_YES}\s*[.!！。]\s*$|I (?:cannot|can't|apologi[sz]e|hope)\b|I(?:'m| am) (?:sorry|unable)\b|Let me\s"
    r"|[A-Z][\w'’]*(?: [\w'’,-]+){3,}:\s*$|Please \w+\b|Explanation:\s*$|(?:Please )?[Nn]ote that\s"
    r"|If you (?:want|need|have)\s.*[:.,]"
)
_BEGUN_TALK = re.compile(
    rf"(?:{_YES}|{_HERE_IS}|Here|Below|Hier|Aquí|Aqui|以下|下面|这|I|As an?|This|The|These|That|Your|Our|In|With"
    r"|To|You|We|Let|Please|Note|If|Explanation)(?:[\s,.!:'’，。！]|$)"
)

# What models write instead of code that they leave out.
_PLACEHOLDER = re.compile(
    r"\b(?:rest of (?:the|your)|existing code|(?:code|implementation|logic) (?:goes )?here|unchanged"
    r"|same as (?:before|above)|omitted|previous code|remaining code|your code|todo\W+implement)\b"
    r"|^\W*(?:\.\.\.|…)\W*$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Code:
    """The part `start:end` of a text. ended: whether the code ends there, so that later text cannot belong to it."""

    start: int
    end: int
    ended: bool = False


def code_in(text: str, *, prose: bool, inside: bool, whole: bool) -> Code:
    """The code in `text`; empty if there are only sentences to the user, or nothing else so far. prose: whether the
    document itself consists of sentences. inside: whether the text continues a line that is already begun, so that a
    fence cannot start in it. whole: whether the text is finished."""
    thought = _THOUGHT.match(text)
    if thought is not None:
        end = text.find(f"{thought[1]}/{thought[2]}")
        end = text.find("\n", end) + 1 if end >= 0 else 0
        code = code_in(text[end:], prose=prose, inside=inside, whole=whole) if end else Code(0, 0)
        return Code(end + code.start, end + code.end, code.ended)
    lines = text.split("\n")
    offset, talked, behind = 0, False, 0
    for number, line in enumerate(lines):
        is_last = number == len(lines) - 1
        fence = _FENCE.match(line)
        talks = _talks(line, prose=prose) or _announces_a_fence(lines, number)
        if inside and (fence is not None or talks):
            return Code(0, 0, ended=True)
        if fence is not None and (not is_last or whole):
            return _fenced(text, min(len(text), offset + len(line) + 1), fence[1], whole=whole)
        if line.strip():
            if not talked and not talks:
                unsure = is_last and not whole and _begins_like_talk(line)
                return Code(0, 0) if unsure else _up_to_talk(text, prose=prose, whole=whole)
            talked = True
            behind += not talks
            if behind > _BETWEEN:
                return Code(0, 0, ended=True)
        offset += len(line) + 1
    return Code(0, 0) if talked else Code(0, len(text))


def is_placeholder(comment: str) -> bool:
    """Whether a comment is a placeholder for code that the model has left out."""
    return _PLACEHOLDER.search(comment) is not None


def _talks(line: str, *, prose: bool) -> bool:
    content = line.strip()
    return bool(_TALK.match(content)) or (not prose and bool(_TALK_IN_CODE.match(content)))


def _announces_a_fence(lines: list[str], number: int) -> bool:
    if not lines[number].rstrip().endswith((":", "：")):
        return False
    below = next((line for line in lines[number + 1 :] if line.strip()), "")
    return _FENCE.match(below) is not None


def _begins_like_talk(line: str) -> bool:
    """Whether an unfinished line may become a fence or a sentence to the user."""
    content = line.strip()
    thinks = content != "" and any(mark.startswith(content) for mark in ("<thinking>", "<reasoning>", "[THINK]"))
    return thinks or bool(_BEGUN_FENCE.match(line) or _BEGUN_TALK.match(content))


def _fenced(text: str, start: int, fence: str, *, whole: bool) -> Code:
    """The code from `start` on; the line with the opening `fence` ends there."""
    depth, offset = 0, start
    lines = text[start:].split("\n")
    for number, line in enumerate(lines):
        other = _FENCE.match(line)
        if other is not None and other[1].startswith(fence):
            depth += 1 if other[2] else -1
            if depth < 0:
                return Code(start, max(start, offset - 1), ended=True)
        elif number == len(lines) - 1 and not whole and _BEGUN_FENCE.match(line):
            return Code(start, max(start, offset - 1))
        offset += len(line) + 1
    return Code(start, len(text))


def _up_to_talk(text: str, *, prose: bool, whole: bool) -> Code:
    """Code that no fence precedes, up to the first fence or sentence to the user."""
    offset = 0
    lines = text.split("\n")
    for number, line in enumerate(lines):
        if offset and line and not line[0].isspace():
            closes = _FENCE.match(line) is not None or (not prose and _talks(line, prose=prose))
            unsure = number == len(lines) - 1 and not whole and _begins_like_talk(line)
            if (closes or unsure) and not any(text.count(quote, 0, offset) % 2 for quote in _LONG_QUOTES):
                return Code(0, offset - 1, ended=closes)
        offset += len(line) + 1
    return Code(0, len(text))
