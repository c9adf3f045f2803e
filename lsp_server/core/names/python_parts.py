"""Splits a Python file into parts that parse alone: the part around a place, and the names in the other parts.

A file is split before functions, classes and other statements at the margin, and the class around the place before its
methods. If every part parses, the file does, and its tree is that of the parts in order. So while the user types in a
function, only that part is parsed again; results for the other parts are cached by their texts.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise

from lsp_server.core.names.python_names import PartNames, is_opaque, may_grow, names_of
from lsp_server.core.names.python_signatures import callees_in
from lsp_server.core.names.python_trees import parsed

# The names of this many parts are cached, with the trees of their imports. The cache has its own lock, and cached
# values are never changed.
_MOST_PARTS = 4096
# Consecutive statements that define nothing form one part, up to this many characters.
_JOINED = 800
# Classes of more characters are read method by method.
_LONG = 8000
# A part that does not parse is joined with up to this many parts after it.
_MOST_JOINED = 6

_DEFINITION = r"(?:@|def\b|class\b|async\b)"
# The start of a line at the margin that does not continue the statement above it.
_STATEMENT = re.compile(r"\n(?![\s#)\]}]|else\b|elif\b|except\b|finally\b|\"\"\"|''')")
_DEFINES = re.compile(_DEFINITION)
_CLASS = re.compile(r"(?:@[^\n]*\n(?:[ \t)\]}][^\n]*\n)*)*class\b")
_METHOD = re.compile(rf"^([ \t]+){_DEFINITION}", re.MULTILINE)
_QUOTES = ('"""', "'''")
_WRAPPER = "class _:\n"


@dataclass(frozen=True, slots=True)
class Around:
    """The part around a place. text: its text. line: how many lines of the file precede `text`. inner: whether it is
    from the body of a class, whose first part is `head`. others: the names in the parts of the file outside this part
    and its class. siblings: the names in the other parts of the class body; none if the class is not split."""

    text: str
    line: int
    inner: bool
    others: tuple[PartNames, ...]
    head: PartNames | None = None
    siblings: tuple[PartNames, ...] = ()

    def parsed(self, text: str) -> ast.Module | None:
        """The tree of the part with `text` instead of its own; its lines count from `first_line`. A part of a class
        body is wrapped in a class `_`."""
        tree = parsed(_WRAPPER + text if self.inner else text)
        return None if tree is None or (self.inner and len(tree.body) > 1) else tree

    @property
    def opaque(self) -> bool:
        """Whether the file may get names in ways that cannot be read."""
        known = (*self.others, *self.siblings, *filter(None, [self.head]))
        return any(each.opaque for each in known) or is_opaque(self.text)

    @property
    def first_line(self) -> int:
        """The line in the tree that corresponds to the first line of the text."""
        return 2 if self.inner else 1


def around(source: str, start: int, end: int) -> Around | None:
    """The part that contains the characters `start:end` of a file; None if another part does not parse."""
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
    """The part of a class body that contains a place; None if the class must be parsed as a whole."""
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
    """`source`, split after each match of `boundary` that is outside multi-line strings. Decorators stay with their
    definition, and short statements that define nothing stay together."""
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
    """The first and the last part that contain the characters `start:end`, and the offset of the first."""
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
    """The names in each part. A part that does not parse is joined with those after it; None if that does not help."""
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
    """The names in a part; None if it does not parse. inner: whether it is from the body of a class."""
    return _read(text, inner=inner, calls=True)


def _read(text: str, *, inner: bool = False, calls: bool = False) -> PartNames | None:
    """calls: whether to read `callees`."""
    tree = parsed(_WRAPPER + text if inner else text)
    if tree is None:
        return None
    body = tree.body[0] if inner else tree
    if not isinstance(body, ast.Module | ast.ClassDef) or (inner and len(tree.body) > 1):
        return None
    callees = callees_in(tree.body) if calls else ()
    return replace(names_of(body.body, body), opaque=is_opaque(text), grows=may_grow(text), callees=callees)


def names_in_file(source: str) -> PartNames:
    """The names in a file, without parts that do not parse. Parts are read one by one, so that other threads can run in
    between, and are not cached."""
    return PartNames.joined(names for part in _parts(_STATEMENT, source) for names in _read_long(part))


def _read_long(part: str) -> Iterator[PartNames]:
    """The names in a part; a long class is read method by method."""
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
