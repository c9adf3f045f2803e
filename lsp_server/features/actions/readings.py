"""Finds the parts of an answer that may be the requested code: its fenced blocks, and the text around them.

Each reading is a run of whole lines: text is left out before it and after it, never inside. A fence inside the code, in
a string or a comment, is an ordinary line.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass

from lsp_server.features.actions.answer import LONGEST_MARKUP, is_prose

_FENCE_FORM = re.compile(r"^(\s{0,12})(?:>\s*)?(`{3,}|~{3,})\s*([\w+#.-]*)[^`]*$")
_NUMBERED = re.compile(r"^\s*\d+\s?[|:] ?")
_DIFF_LINE = re.compile(r"[ +-]|@@|\\ No newline|diff |index ")
# A fence with more additional indentation than this does not close the block.
_MOST_INDENT = 3
# Languages of a fence around a whole document, which may contain fences itself.
_DOCUMENTS = frozenset({"markdown", "md", "mdx", "rst", "text"})


@dataclass(frozen=True, slots=True)
class _Fence:
    """line: its number. mark: its characters. tag: the language after it; empty for a closing fence."""

    line: int
    indent: int
    mark: str
    tag: str

    def closes(self, opener: _Fence) -> bool:
        same = self.mark[0] == opener.mark[0] and len(self.mark) >= len(opener.mark)
        return same and not self.tag and self.indent <= opener.indent + _MOST_INDENT


def is_fence(line: str) -> bool:
    return _fence(line, 0) is not None


def _fence(line: str, number: int) -> _Fence | None:
    match = _FENCE_FORM.match(line) if len(line) <= LONGEST_MARKUP else None
    return None if match is None else _Fence(number, len(match[1]), match[2], match[3])


def _fences(lines: list[str]) -> list[_Fence]:
    return [fence for number, line in enumerate(lines) if (fence := _fence(line, number)) is not None]


def _spans(lines: list[str], fences: list[_Fence], *, nested: bool) -> list[tuple[int, int]]:
    """The lines between each fence and its closing fence, or the end of the text. nested: whether a fence with a
    language opens another block inside a block."""
    found: list[tuple[int, int]] = []
    opened: list[_Fence] = []
    for fence in fences:
        if opened and fence.closes(opened[-1]):
            opener = opened.pop()
            if not opened:
                found.append((opener.line + 1, fence.line))
        elif not opened or (nested and fence.tag and fence.indent <= opened[-1].indent + _MOST_INDENT):
            opened.append(fence)
    if opened:
        found.append((opened[0].line + 1, len(lines)))
    return found


def blocks(text: str) -> list[str]:
    """The fenced blocks of `text`; the last one may lack its end."""
    lines = text.split("\n")
    found = ["\n".join(lines[first:last]) for first, last in _spans(lines, _fences(lines), nested=True)]
    return [block for block in found if block.strip()]


def fenced_lines(text: str) -> frozenset[int]:
    """The numbers of the lines in fenced blocks."""
    lines = text.split("\n")
    spans = _spans(lines, _fences(lines), nested=True)
    return frozenset(number for first, last in spans for number in range(first, last))


def candidates(text: str, code: str = "") -> list[str]:
    """The texts that may be the code in an answer, the best guess first. Line endings are `\\n`. code: the text to be
    replaced; marks that its own lines have are not removed from the answer's lines.

    Fenced blocks come first. If there is half a fence or none, the text around fences follows, without prose at its
    beginning and end.
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    fences = _fences(lines)
    spans = _spans(lines, fences, nested=True)
    clean = _is_clean(lines, fences, spans)
    if fences:
        widest = (fences[0].line + 1, fences[-1].line)
        holds = any(is_fence(line) for line in code.split("\n"))
        spans = [widest, *spans, (0, len(lines))] if holds else [*spans, widest]
        if not clean and not holds:
            spans += _spans(lines, fences, nested=False)
            spans += [(one.line + 1, other.line) for one, other in zip(fences, fences[1:], strict=False) if one.tag]
            spans.append((0, fences[-1].line))
    texts = ["\n".join(lines[first:last]) for first, last in dict.fromkeys(spans)]
    found = [_bare(each, code) for each in texts]
    if fences:
        found += [_without_prose(each, code) for each in texts]
        found += [
            _without_prose("\n".join(part), code) for part in (lines[: fences[0].line], lines[fences[-1].line + 1 :])
        ]
    else:
        found += [_without_prose("\n".join(lines), code), _bare("\n".join(lines), code)]
    return list(dict.fromkeys(candidate for candidate in found if candidate.strip()))


def fenced(text: str, code: str) -> list[str]:
    """Only the fenced blocks, for text that no grammar distinguishes from the sentences about it. Empty if the fences
    can be paired in several ways, or if lines of `code` are outside them. code: the text to be replaced."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    fences = _fences(lines)
    spans = _spans(lines, fences, nested=True)
    if not fences:
        return []
    holds = any(is_fence(line) for line in code.split("\n"))
    if holds or len(spans) > 1:
        widest = (fences[0].line + 1, fences[-1].line)
        readings = [spans] if _is_clean(lines, fences, spans) else []
        pairs = zip(fences[1:-1:2], fences[2:-1:2], strict=True) if len(fences) % 2 == 0 else ()
        if fences[-1].closes(fences[0]) and len(fences) % 2 == 0 and not any(closer.tag for _, closer in pairs):
            readings += [[widest]] if _is_clean(lines, fences, [widest]) and [widest] not in readings else []
        if len(readings) > 1 and fences[0].tag.lower() in _DOCUMENTS:
            readings = readings[1:]
        if len(readings) != 1:
            return []
        spans = readings[0]
    own = {line.strip() for line in code.split("\n")} - {""}
    if any(line.strip() in own for line in _outside(lines, spans)):
        return []
    found = ["\n".join(lines[first:last]) for first, last in spans]
    return [block for block in found if block.strip() and (not holds or any(map(is_fence, block.split("\n"))))]


def shown_text(text: str) -> str:
    """An explanation as it is shown, without a fence around all of it."""
    text = text.strip()
    lines = text.split("\n")
    fence = _fence(lines[0], 0)
    if len(lines) > 1 and fence is not None and fence.tag.lower() in {"markdown", "md", ""}:
        spans = _spans(lines, _fences(lines), nested=True)
        if len(spans) == 1 and spans[0][1] >= len(lines) - 1:
            return textwrap.dedent("\n".join(lines[1 : spans[0][1]])).strip()
    return text


def _outside(lines: list[str], spans: list[tuple[int, int]]) -> list[str]:
    """The lines that are in no block, without the fences."""
    inside = {number for first, last in spans for number in range(first - 1, last + 1)}
    return [line for number, line in enumerate(lines) if number not in inside]


def _is_clean(lines: list[str], fences: list[_Fence], spans: list[tuple[int, int]]) -> bool:
    """Whether all blocks are closed, and there are only sentences around them."""
    if not fences or spans[-1][1] >= len(lines):
        return False
    rest = _outside(lines, spans)
    return all(not line.strip() or is_prose(line) or line.rstrip().endswith(":") for line in rest)


def _bare(block: str, code: str) -> str:
    """A block without the marks that models put before each line: numbers, quote marks, the signs of a diff."""
    lines = block.strip("\n").split("\n")
    filled = [line for line in lines if line.strip()]
    own = [line for line in code.split("\n") if line.strip()]
    if not filled:
        return ""
    if all(line.startswith(">") for line in filled):
        if not any(line.startswith(">") for line in own):
            lines = [line[2:] if line.startswith("> ") else line[1:] for line in lines]
    elif len(filled) > 1 and all(_NUMBERED.match(line) for line in filled):
        if not any(_NUMBERED.match(line) for line in own):
            lines = [_NUMBERED.sub("", line, count=1) for line in lines]
    elif _is_diff(filled) and not _is_diff(own):
        kept = (line for line in lines if not line.startswith(("-", "@@", "+++", "diff ", "index ", "\\")))
        lines = [line[1:] if line[:1] in {"+", " "} else line for line in kept]
    if any(line != line.rstrip() for line in own):  # white space at the ends of lines may have a meaning
        return "\n".join(lines)
    return "\n".join(line.rstrip() for line in lines)


def _is_diff(filled: list[str]) -> bool:
    """Whether the lines are a diff: each has a sign, and some have a plus or a position."""
    return all(_DIFF_LINE.match(line) for line in filled) and any(line.startswith(("+", "@@")) for line in filled)


def _without_prose(text: str, code: str) -> str:
    """`text` without sentences at its beginning and end."""
    lines = _bare(text, code).split("\n")
    while lines and (not lines[0].strip() or is_prose(lines[0])):
        lines.pop(0)
    while lines and (not lines[-1].strip() or is_prose(lines[-1])):
        lines.pop()
    return "\n".join(lines)
