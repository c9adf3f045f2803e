"""A Python file in parts that parse by themselves: the part around a place, and what is known of names in the others.

A file is cut in front of the functions, classes and other statements that begin at the margin, and the class around the
place in front of its methods. If every part parses, the file does, and its tree is that of the parts, one behind the
other. So while a function is being typed in, nothing else is parsed: what is known of the other parts is kept by their
texts.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise

from lsp_server.core.python_names import PartNames, is_opaque, may_grow, names_of
from lsp_server.core.python_trees import parsed

# What is known of so many parts is kept: names, and the trees of imports. The cache has a lock of its own, and what is
# in it is never changed.
_MOST_PARTS = 4096
# Statements that define nothing are a part together, up to this many characters.
_JOINED = 800
# Classes of more characters are read method by method.
_LONG = 8000
# A part that does not parse is tried with so many of those behind it.
_MOST_JOINED = 6

_DEFINITION = r"(?:@|def\b|class\b|async\b)"
# A line at the margin that does not go on with the statement above it.
_STATEMENT = re.compile(r"\n(?![\s#)\]}]|else\b|elif\b|except\b|finally\b|\"\"\"|''')")
_DEFINES = re.compile(_DEFINITION)
_CLASS = re.compile(r"(?:@[^\n]*\n(?:[ \t)\]}][^\n]*\n)*)*class\b")
_METHOD = re.compile(rf"^([ \t]+){_DEFINITION}", re.MULTILINE)
_QUOTES = ('"""', "'''")
_WRAPPER = "class _:\n"


@dataclass(frozen=True, slots=True)
class Around:
    """The part around a place. line: how many lines of the file stand in front of `text`. inner: whether it is of the
    body of a class, whose beginning is `head`. others: the parts of the file outside of that part and of its class.
    siblings: the other parts of the class's body; a class that is not cut has none."""

    text: str
    line: int
    inner: bool
    others: tuple[PartNames, ...]
    head: PartNames | None = None
    siblings: tuple[PartNames, ...] = ()

    def parsed(self, text: str) -> ast.Module | None:
        """The tree of the part with `text` in place of its own; its lines count from `first_line`. What is of a class
        stands in one called `_`."""
        tree = parsed(_WRAPPER + text if self.inner else text)
        return None if tree is None or (self.inner and len(tree.body) > 1) else tree

    @property
    def opaque(self) -> bool:
        """Whether the file may get names in ways that cannot be read."""
        known = (*self.others, *self.siblings, *filter(None, [self.head]))
        return any(each.opaque for each in known) or is_opaque(self.text)

    @property
    def first_line(self) -> int:
        """The line of the tree that is the first line of the text."""
        return 2 if self.inner else 1


def around(source: str, start: int, end: int) -> Around | None:
    """The part that holds the characters `start:end` of a file; None if another part does not parse."""
    parts = _parts(_STATEMENT, source)
    first, last, begins = _holding(parts, start, end)
    part = "".join(parts[first : last + 1])
    before, behind = _known(parts[:first]), _known(parts[last + 1 :])
    if before is None or behind is None:
        return None
    others, line = (*before, *behind), source.count("\n", 0, begins)
    if first == last and (cut := _in_class(part, start - begins, end - begins)) is not None:
        return replace(cut, line=line + cut.line, others=others)
    return Around(part, line, inner=False, others=others)


def _in_class(part: str, start: int, end: int) -> Around | None:
    """The part of a class's body that holds a place; None if it is to be parsed as a whole."""
    method = _METHOD.search(part)
    if method is None or not _CLASS.match(part):
        return None
    parts = _parts(_boundary(method[1]), part)
    first, last, begins = _holding(parts, start, end)
    line = part.count("\n", 0, begins)
    siblings = _known(parts[max(1, last + 1) :] if first == 0 else [*parts[1:first], *parts[last + 1 :]], inner=True)
    if siblings is None:
        return None
    if first == 0:
        # The class may have nothing but methods.
        text = f"{''.join(parts[: last + 1])}{method[1]}pass\n"
        return Around(text, line, inner=False, others=(), siblings=tuple(siblings))
    head = names_in(f"{parts[0]}{method[1]}pass\n")
    if head is None or len(head.classes) != 1:
        return None
    return Around("".join(parts[first : last + 1]), line, inner=True, others=(), head=head, siblings=tuple(siblings))


def _parts(boundary: re.Pattern[str], source: str) -> list[str]:
    """`source`, cut behind `boundary` where no text of several lines is open. Decorators stay with what they decorate,
    and short statements that define nothing with one another."""
    found: list[str] = []
    begun, quotes = "", [0, 0]
    at_margin = boundary is _STATEMENT
    places = [0, *(match.end() for match in boundary.finditer(source)), len(source)]
    for piece in (source[start:end] for start, end in pairwise(places)):
        is_plain = at_margin and not begun and _DEFINES.match(piece) is None
        begun += piece
        quotes = [count + piece.count(quote) for count, quote in zip(quotes, _QUOTES, strict=True)]
        if any(count % 2 for count in quotes) or piece.lstrip(" \t").startswith("@"):
            continue
        if is_plain and found and len(found[-1]) < _JOINED and _DEFINES.match(found[-1]) is None:
            found[-1] += begun
        else:
            found.append(begun)
        begun, quotes = "", [0, 0]
    return [*found, begun] if begun or not found else found


def _holding(parts: list[str], start: int, end: int) -> tuple[int, int, int]:
    """The first and the last of the parts that hold the characters `start:end`, and where the first begins."""
    first, begins = 0, 0
    while first + 1 < len(parts) and begins + len(parts[first]) <= start:
        begins += len(parts[first])
        first += 1
    last, ends = first, begins + len(parts[first])
    while last + 1 < len(parts) and ends < end:
        last += 1
        ends += len(parts[last])
    return first, last, begins


def _known(parts: list[str], *, inner: bool = False) -> list[PartNames] | None:
    """What is known of each part; one that does not parse is joined with those behind it."""
    found, index = [], 0
    while index < len(parts):
        text = parts[index]
        names = names_in(text, inner=inner)
        for behind in parts[index + 1 : index + 1 + _MOST_JOINED]:
            if names is not None:
                break
            text += behind
            index += 1
            names = names_in(text, inner=inner)
        if names is None:
            return None
        found.append(names)
        index += 1
    return found


@lru_cache(maxsize=_MOST_PARTS)
def names_in(text: str, *, inner: bool = False) -> PartNames | None:
    """What is known of a part's names; None if it does not parse. inner: whether it is of the body of a class."""
    return _read(text, inner=inner)


def _read(text: str, *, inner: bool = False) -> PartNames | None:
    tree = parsed(_WRAPPER + text if inner else text)
    if tree is None:
        return None
    body = tree.body[0] if inner else tree
    if not isinstance(body, ast.Module | ast.ClassDef) or (inner and len(tree.body) > 1):
        return None
    return replace(names_of(body.body, body), opaque=is_opaque(text), grows=may_grow(text))


def names_in_file(source: str) -> PartNames:
    """What is known of the names in a file; a part that does not parse says nothing. Parts are read one by one, so that
    other threads have their turns, and are not kept."""
    return PartNames.joined(names for part in _parts(_STATEMENT, source) for names in _read_long(part))


def _read_long(part: str) -> Iterator[PartNames]:
    """What a part says; a long class is read method by method."""
    method = _METHOD.search(part) if len(part) > _LONG and _CLASS.match(part) else None
    if method is not None:
        head, *methods = _parts(_boundary(method[1]), part)
        names = _read(f"{head}{method[1]}pass\n")
        inside = [_read(each, inner=True) for each in methods]
        if names is not None and len(names.classes) == 1 and all(inside):
            known = [each for each in inside if each is not None]
            whole = names.classes[0].with_body(each.classes[0] for each in known)
            joined = PartNames.joined([names, *known])
            inner = (*joined.inner, (tuple(base.name for base in whole.bases), whole.own))
            yield replace(joined, bound=names.bound, meanings=names.meanings, classes=(whole,), inner=inner)
            return
    if (names := _read(part)) is not None:
        yield names


def _boundary(indent: str) -> re.Pattern[str]:
    return re.compile(rf"\n(?={re.escape(indent)}{_DEFINITION})")
