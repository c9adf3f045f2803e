"""Makes templates of what the last edits have in common: patterns with the white space of an example."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lsp_server.core.languages.entry import Language
from lsp_server.core.next_edits.history import Hunk
from lsp_server.core.next_edits.patterns import Made, Pattern, matched, unify
from lsp_server.core.next_edits.proposal import Situation
from lsp_server.core.next_edits.tokens import CLOSER, CLOSERS, Token, group_ends, tokens_of

# How many earlier edits are compared with the last one. An edit of more lines is no example.
_COMPARED, _MOST_LINES = 3, 12
# Edits further apart in time rarely have the same purpose.
_APART_SECONDS = 300.0
# How many tokens beside a change count as its context. Texts of more than `_MOST_TOKENS` do not keep their own spaces.
_CONTEXT_TOKENS, _MOST_TOKENS = 4, 200
# The minimum weight of all constants of a pattern together, by kind of edit.
_STRENGTH, _INSERTION_STRENGTH, _ANNOTATION_STRENGTH = 2.5, 4.0, 2.0
# Words that tell little about the place.
_COMMON = frozenset(b"true false True False None nil null self this undefined err ok".split())
_IMPORT = re.compile(rb"\s*(?:import|from|use|using|#include|package|export \*)\b")
_ANNOTATION = re.compile(rb"\s*(?:@|#\[|\[)\w")


@dataclass(frozen=True, slots=True)
class Example:
    """An edit of whole lines. above, below: the line before and the line after them."""

    old: tuple[bytes, ...]
    new: tuple[bytes, ...]
    above: bytes = b""
    below: bytes = b""


@dataclass(frozen=True, slots=True)
class Template:
    """A pattern with the white space of one example. anchor: the longest of its words, which is searched for.
    anchor_line: the line of the anchor among the `lines` lines of the pattern. spaces: the white space before each part
    of the new text, and whether it was the same before the edit. indent: of the example's last line. whole: whether the
    pattern covers whole lines."""

    pattern: Pattern
    anchor: bytes
    anchor_line: int
    lines: int
    spaces: tuple[tuple[bytes, bool], ...]
    indent: bytes
    whole: bool


def pairs(hunks: Sequence[Hunk], situation: Situation) -> Iterator[tuple[Example, Example]]:
    """Pairs of edits that may have one pattern; the second is always the last edit. Whole hunks come first, then
    single lines of them."""
    last = _example(hunks[-1], situation)
    if last is None:
        return
    lately = [hunk for hunk in hunks[-1 - _COMPARED : -1] if hunks[-1].ended - hunk.ended <= _APART_SECONDS]
    earlier = [each for hunk in lately if (each := _example(hunk, situation)) is not None][::-1]
    for each in earlier:
        yield each, last
    lines = _lines(last)
    for other in [*lines[:-1][::-1], *(line for each in earlier for line in _lines(each)[::-1])]:
        if len(lines) > 1 or other.old not in [each.old for each in earlier]:
            yield other, lines[-1]


def _example(hunk: Hunk, situation: Situation) -> Example | None:
    trimmed = hunk.trimmed()
    if max(len(trimmed.old), len(trimmed.new)) > _MOST_LINES:
        return None
    return Example(trimmed.old, trimmed.new, *_beside(hunk, situation))


def _lines(example: Example) -> list[Example]:
    """The edits of an example line by line, if it changed each line separately."""
    old, new = example.old, example.new
    if len(old) == len(new) > 1 and all(_alike(a, b) for a, b in zip(old, new, strict=True)):
        return [Example((a,), (b,)) for a, b in zip(old, new, strict=True) if a != b]
    return [example]


def _alike(a: bytes, b: bytes) -> bool:
    return a == b or (bool(a.strip()) and bool(b.strip()) and difflib.SequenceMatcher(None, a, b).ratio() > 0.4)


def _beside(hunk: Hunk, situation: Situation) -> tuple[bytes, bytes]:
    trimmed = hunk.trimmed()
    document = next((d for d in (situation.document, *situation.others) if d.uri == hunk.uri), None)
    if trimmed.start >= 0 and document is not None:
        line = document.line_at(min(trimmed.start, len(document.source)))
        above = document.line(line - 1) if line else b""
        under = line + len(trimmed.new)
        below = document.line(under) if under < document.line_count else b""
        return above, below
    return (trimmed.above[-1:] or (b"",))[0], (trimmed.below[:1] or (b"",))[0]


# Patterns -------------------------------------------------------------------------------------------------------


def templates(one: Example, other: Example, language: Language) -> Iterator[Template]:
    """The templates that two edits have in common, the most specific first."""
    inserts = [not any(line.strip() for line in each.old) for each in (one, other)]
    if all(inserts):
        if any(line.strip() for line in other.new):
            yield from _insertions(one, other, language)
        return
    if any(inserts):
        return
    lines = [(b"\n".join(each.old), b"\n".join(each.new)) for each in (one, other)]
    whole = _template(lines[0], lines[1], language, whole=True)
    if whole is not None:
        yield whole
        if not whole.pattern.varies:
            return  # nothing shows that the text beside the change may differ
    if all(len(each.old) == len(each.new) == 1 for each in (one, other)):
        cores = [_cores(*each, language) for each in lines]
        for a, b in zip(*cores, strict=False):
            found = _template(a[:2], b[:2], language, ends=(a[2] and b[2], a[3] and b[3]))
            if found is not None:
                yield found


def _insertions(one: Example, other: Example, language: Language) -> Iterator[Template]:
    """Templates for inserted lines. The place is recognised by the lines around them; for annotations, or if there is
    no line above, by the line below alone."""
    new = [b"\n".join(each.new) for each in (one, other)]
    if _IMPORT.match(new[1]):
        return  # the place of imports in another file does not follow from these
    beside = [(each.above, each.below) for each in (one, other)]
    above, below = (all(pair[side].strip() for pair in beside) for side in (0, 1))
    ways = []
    if above and below:
        ways.append([(a + b"\n" + b, b"\n".join((a, n, b))) for n, (a, b) in zip(new, beside, strict=True)])
    if below and (not above or _ANNOTATION.match(new[1])):
        ways.append([(b, n + b"\n" + b) for n, (_, b) in zip(new, beside, strict=True)])
    if above and not below:
        ways.append([(a, a + b"\n" + n) for n, (a, _) in zip(new, beside, strict=True)])
    for first, second in ways:
        weak = bool(_ANNOTATION.match(new[1]))
        found = _template(first, second, language, strength=_ANNOTATION_STRENGTH if weak else _INSERTION_STRENGTH)
        if found is not None:
            yield found


def _template(
    one: tuple[bytes, bytes],
    other: tuple[bytes, bytes],
    language: Language,
    *,
    whole: bool = True,
    ends: tuple[bool, bool] = (True, True),
    strength: float = _STRENGTH,
) -> Template | None:
    """The template of two edits, each given by its text before and after; None if the pattern is too weak."""
    before = [tokens_of(each[0], language) for each in (one, other)]
    after = [tokens_of(each[1], language) for each in (one, other)]
    pattern = unify((before[0], before[1]), (after[0], after[1]), ends)
    if pattern is None or not pattern.words or not pattern.is_certain:
        return None
    names = [word for word in pattern.words if word not in {t.text for t in before[1] if t.kind == "keyword"}]
    if sum(_weight(item, names) for item in pattern.before if isinstance(item, bytes)) < strength:
        return None
    anchor = max(names or pattern.words, key=len)
    at = next(token.start for token in before[1] if token.text == anchor)
    indents = [line[: len(line) - len(line.lstrip())] for line in (other[0], other[1])]
    if whole and other[1].strip() and indents[0] != indents[1]:
        return None
    return Template(
        pattern,
        anchor,
        other[0].count(b"\n", 0, at),
        other[0].count(b"\n") + 1,
        _spaces(pattern, after[1], other[1], before[1], other[0]),
        indents[0].rpartition(b"\n")[2],
        whole,
    )


def _weight(item: bytes, names: Sequence[bytes]) -> float:
    """How much a constant tells about the places that the pattern fits."""
    if item in names and item not in _COMMON:
        return 3.0 if len(item) > 2 else 1.5
    return 1.0 if item[:1].isalpha() else 0.25


def _spaces(
    pattern: Pattern, after: Sequence[Token], text: bytes, before: Sequence[Token], old: bytes
) -> tuple[tuple[bytes, bool], ...]:
    """The white space before each part of the new text in an example, and whether it was the same before the edit."""
    found = matched(pattern, before, 0)
    bound = found[1] if found is not None else {}
    own = own_spaces(before, old, after)
    spaces, index, position = [], 0, 0
    for part in pattern.after:
        token = after[min(index, len(after) - 1)]
        space = text[position : token.start]
        spaces.append((space, own.get(index - 1) == space))
        run = bound.get(part.index, ()) if isinstance(part, Made) and part.function is None else ()
        index += max(1, len(run)) if isinstance(part, Made) else 1
        position = after[min(index, len(after)) - 1].end
    return tuple(spaces)


def own_spaces(before: Sequence[Token], old: bytes, after: Sequence[Token]) -> dict[int, bytes]:
    """The white space after tokens of the new text, by index, where the next token followed in the old text too."""
    own: dict[int, bytes] = {}
    if len(before) > _MOST_TOKENS or len(after) > _MOST_TOKENS:
        return own
    matcher = difflib.SequenceMatcher(None, [t.text for t in before], [t.text for t in after], autojunk=False)
    for a, b, size in matcher.get_matching_blocks():
        for step in range(size - 1):
            own[b + step] = old[before[a + step].end : before[a + step + 1].start]
    return own


def _cores(old: bytes, new: bytes, language: Language) -> Iterator[tuple[bytes, bytes, bool, bool]]:
    """Parts of a line that contain everything that was changed in it, before and after: first with the call or list
    around it, then with fewer and fewer tokens beside it. With them, whether the line begins and ends with the part."""
    before, after = tokens_of(old, language), tokens_of(new, language)
    texts, others = [t.text for t in before], [t.text for t in after]
    limit = min(len(texts), len(others))
    head = next((i for i in range(limit) if texts[i] != others[i]), limit)
    tail = next((i for i in range(limit - head) if texts[-1 - i] != others[-1 - i]), limit - head)
    ends = group_ends(before)
    if any(t.kind == "comment" for t in after[head : len(after) - tail]):
        return
    head, tail = _balanced(before, after, head, tail)
    around = [(o, c) for o, c in ends.items() if o < head and len(before) - tail <= c]
    if around:
        opener, closer = max(around)
        first = opener
        while first and (before[first - 1].kind == "word" or before[first - 1].text in (b".", b"::", b"->", b"?.")):
            first -= 1
        rest = len(before) - closer - 1
        yield _part(old, before, first, rest), _part(new, after, first, rest), first == 0, rest == 0
    for context in (_CONTEXT_TOKENS, 2, 1):
        left, right = max(0, head - context), max(0, tail - context)
        left, right = _balanced(before, after, left, right)
        yield _part(old, before, left, right), _part(new, after, left, right), left == 0, right == 0


def _balanced(before: Sequence[Token], after: Sequence[Token], head: int, tail: int) -> tuple[int, int]:
    """How many tokens to leave out at both ends: at most `head` and `tail`, so that the rest has matching brackets."""
    while head or tail:
        depths = [_depths(tokens[head : len(tokens) - tail]) for tokens in (before, after)]
        opened, closed = max(d[0] for d in depths), max(d[1] for d in depths)
        if not opened and not closed:
            break
        if closed and head:
            head -= 1
        elif opened and tail:
            tail -= 1
        else:
            return 0, 0
    return head, tail


def _depths(tokens: Sequence[Token]) -> tuple[int, int]:
    """The numbers of brackets that are not closed, and that are closed but not opened."""
    opened = closed = 0
    for token in tokens:
        if token.text in CLOSER:
            opened += 1
        elif token.text in CLOSERS:
            if opened:
                opened -= 1
            else:
                closed += 1
    return opened, closed


def _part(text: bytes, tokens: Sequence[Token], head: int, tail: int) -> bytes:
    inner = tokens[head : len(tokens) - tail]
    return text[inner[0].start : inner[-1].end] if inner else b""
