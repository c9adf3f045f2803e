"""Finds the pattern that two edits have in common, by anti-unification of their tokens before and after.

Tokens that both edits share are constants of the pattern. Where they differ, the pattern has a variable for one token
or for everything between brackets or commas. There is only a pattern if the new text follows from these.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from lsp_server.core.next_edits.tokens import CLOSER, CLOSERS, Token, group_ends, subwords

Run = tuple[Token, ...]

# The maximum number of tokens that a variable stands for.
_LONGEST_RUN = 200
_LABELS = frozenset({b"=", b":", b"=>", b"->"})


@dataclass(frozen=True, slots=True)
class Var:
    """A variable. kinds: the possible kinds of its token; None if it stands for any balanced run of tokens. commas:
    whether the run may have commas. empty: whether the run may be empty. capital: whether its token must begin with a
    capital letter; None if the two examples differ. head, tail: subwords that the token must begin and end with.
    argument: whether it fills the space between commas or brackets, so that it may match a run of several tokens."""

    index: int
    kinds: frozenset[str] | None
    commas: bool = False
    empty: bool = False
    capital: bool | None = None
    head: bytes = b""
    tail: bytes = b""
    argument: bool = False


@dataclass(frozen=True, slots=True)
class Made:
    """A token of the new text that is made from a variable's token. function: how; None if it is the same."""

    index: int
    function: Callable[[bytes], bytes | None] | None = None


Item = bytes | Var
Part = bytes | Made


@dataclass(frozen=True, slots=True)
class Pattern:
    """before: the items that a place must match. after: the parts of its new text. starts, stops: whether the match
    must begin and end the lines of the place."""

    before: tuple[Item, ...]
    after: tuple[Part, ...]
    starts: bool
    stops: bool

    @property
    def varies(self) -> bool:
        return any(isinstance(item, Var) for item in self.before)

    @property
    def words(self) -> list[bytes]:
        """The constant words that a place must contain."""
        return [item for item in self.before if isinstance(item, bytes) and re.match(rb"[A-Za-z_\x80-\xff]", item)]

    @property
    def is_certain(self) -> bool:
        """Whether the new text follows from the old one. Not so if a deletion drops differing names, or if differing
        text is dropped and a new literal comes, because that could differ as well."""
        kept = {part.index for part in self.after if isinstance(part, Made)}
        gone = [item for item in self.before if isinstance(item, Var) and item.index not in kept]
        if not self.after:
            return all(item.kinds is None or "word" not in item.kinds for item in gone)
        new = [part for part in self.after if isinstance(part, bytes) and part not in self.before]
        return not gone or not any(part[:1].isdigit() or part[-1:] in (b'"', b"'", b"`") for part in new)


@dataclass(slots=True)
class _Variables:
    """The variables of a pattern: for each, the two runs that it stands for in the examples."""

    runs: list[tuple[Run, Run]] = field(default_factory=list)

    def of(self, one: Run, other: Run) -> int:
        texts = _texts(one), _texts(other)
        for index, (a, b) in enumerate(self.runs):
            if (_texts(a), _texts(b)) == texts:
                return index
        self.runs.append((one, other))
        return len(self.runs) - 1


def _texts(run: Sequence[Token]) -> tuple[bytes, ...]:
    return tuple(token.text for token in run)


def unify(
    before: tuple[Sequence[Token], Sequence[Token]],
    after: tuple[Sequence[Token], Sequence[Token]],
    ends: tuple[bool, bool] = (True, True),
) -> Pattern | None:
    """The pattern of two edits, given by their tokens before and after the edit; None if there is no common one."""
    variables = _Variables()
    items = _unified(before[0], before[1], variables, top=True)
    if items is None:
        return None
    parts = _made(after[0], after[1], variables)
    return None if parts is None else Pattern(tuple(items), tuple(parts), *ends)


def _nodes(tokens: Sequence[Token]) -> Iterator[Run]:
    """Single tokens, and bracket groups with everything in them."""
    ends, index = group_ends(tokens), 0
    while index < len(tokens):
        last = ends.get(index, index)
        yield tuple(tokens[index : last + 1])
        index = last + 1


def _unified(one: Sequence[Token], other: Sequence[Token], variables: _Variables, *, top: bool) -> list[Item] | None:
    nodes = list(_nodes(one)), list(_nodes(other))
    if len(nodes[0]) == len(nodes[1]) and all(_comparable(a, b) for a, b in zip(*nodes, strict=True)):
        items: list[Item] = []
        for index, (a, b) in enumerate(zip(*nodes, strict=True)):
            if len(a) > 1 or len(b) > 1:
                inner = _unified(a[1:-1], b[1:-1], variables, top=False)
                if inner is None:
                    return None
                items += (a[0].text, *inner, a[-1].text)
            elif a[0].text == b[0].text:
                items.append(a[0].text)
            else:
                variable = _variable(a, b, variables)
                beside = [*nodes[0][max(0, index - 1) : index], *nodes[0][index + 1 : index + 2]]
                alone = not top and all(node[0].text == b"," for node in beside)
                items.append(replace(variable, argument=alone))
        return items
    for sign in (b";", b","):
        parts = _split(nodes[0], sign), _split(nodes[1], sign)
        if len(parts[0]) == len(parts[1]) > 1:
            items = []
            for index, (first, second) in enumerate(zip(*parts, strict=True)):
                inner = _unified(first, second, variables, top=False)
                if inner is None:
                    return None
                items += ([sign] if index else []) + inner
            return items
    if top or any(token.text == b";" for token in (*one, *other)):
        return None
    return [_variable(tuple(one), tuple(other), variables)]


def _comparable(a: Run, b: Run) -> bool:
    if len(a) > 1 or len(b) > 1:
        return len(a) > 1 and len(b) > 1 and a[0].text == b[0].text
    if a[0].text == b[0].text:
        return True
    kinds = {a[0].kind, b[0].kind}
    return not kinds & {"sign", "keyword"} and (kinds == {"comment"} or "comment" not in kinds)


def _split(nodes: list[Run], sign: bytes) -> list[list[Token]]:
    parts: list[list[Token]] = [[]]
    for node in nodes:
        if node[0].text == sign:
            parts.append([])
        else:
            parts[-1].extend(node)
    return parts


def _variable(one: Run, other: Run, variables: _Variables) -> Var:
    index = variables.of(one, other)
    if len(one) == len(other) == 1 and not {one[0].kind, other[0].kind} & {"sign", "keyword"}:
        capitals = {run[0].text[:1].isupper() for run in (one, other)} if one[0].kind == "word" else set()
        capital = next(iter(capitals)) if len(capitals) == 1 else None
        head, tail = _shared(one[0].text, other[0].text) if one[0].kind == other[0].kind == "word" else (b"", b"")
        return Var(index, frozenset({one[0].kind, other[0].kind}), capital=capital, head=head, tail=tail)
    commas = any(token.text == b"," for node in (*_nodes(one), *_nodes(other)) for token in node[:1])
    return Var(index, None, commas, empty=not one or not other)


def _shared(one: bytes, other: bytes) -> tuple[bytes, bytes]:
    """The common subwords at the beginning and at the end of two names; each is empty if shorter than 3 letters."""
    a, b = subwords(one), subwords(other)
    limit = min(len(a), len(b)) - 1
    start = next((i for i in range(limit) if a[i] != b[i]), max(0, limit))
    behind = next((i for i in range(limit - start) if a[-1 - i] != b[-1 - i]), max(0, limit - start))
    head, tail = b"".join(a[:start]), b"".join(a[len(a) - behind :])
    return head if len(head) > 2 else b"", tail if len(tail) > 2 else b""


# The new text -------------------------------------------------------------------------------------------------


def _made(one: Sequence[Token], other: Sequence[Token], variables: _Variables) -> list[Part] | None:
    """The parts of the new text, as far as they follow from the variables; None if they do not."""
    long = [(index, runs) for index, runs in enumerate(variables.runs) if all(runs) and max(map(len, runs)) > 1]
    long.sort(key=lambda each: -len(each[1][0]) - len(each[1][1]))
    sides: list[list[Token | Made]] = []
    for side, tokens in enumerate((one, other)):
        parts: list[Token | Made] = list(tokens)
        for index, runs in long:
            parts = _with_references(parts, _texts(runs[side]), Made(index))
        sides.append(parts)
    if len(sides[0]) != len(sides[1]):
        return None
    made: list[Part] = []
    for a, b in zip(*sides, strict=True):
        if isinstance(a, Made) or isinstance(b, Made):
            if a != b:
                return None
            made.append(a if isinstance(a, Made) else b)
        elif a.text == b.text:
            made.append(a.text)
        else:
            found = _derived(a, b, variables)
            if found is None:
                return None
            made.append(found)
    return made


def _with_references(parts: list[Token | Made], run: tuple[bytes, ...], reference: Made) -> list[Token | Made]:
    """`parts` with `reference` in place of each occurrence of `run`."""
    found: list[Token | Made] = []
    index = 0
    while index < len(parts):
        piece = parts[index : index + len(run)]
        if tuple(part.text if isinstance(part, Token) else b"" for part in piece) == run:
            found.append(reference)
            index += len(run)
        else:
            found.append(parts[index])
            index += 1
    return found


def _derived(one: Token, other: Token, variables: _Variables) -> Made | None:
    """The way in which both tokens follow from one variable, the simplest one; None if there is none."""
    single = [(index, a[0], b[0]) for index, (a, b) in enumerate(variables.runs) if len(a) == len(b) == 1]
    for index, a, b in single:
        if (a.text, b.text) == (one.text, other.text):
            return Made(index)
    for index, a, b in single:
        for function in _functions(a.text, one.text):
            if function(b.text) == other.text:
                return Made(index, function)
    return None


def _functions(value: bytes, made: bytes) -> Iterator[Callable[[bytes], bytes | None]]:
    """Functions that make `made` from `value` and may work for other values."""
    for spell in _SPELLINGS:
        if spell(value) == made:
            yield spell
    quote = made[:1]
    if quote in (b'"', b"'") and len(made) > 1 and made[-1:] == quote and value[:1] not in (b'"', b"'"):
        for spell in (_same, *_SPELLINGS):
            if spell(value) == made[1:-1]:
                yield lambda text, spell=spell: quote + spell(text) + quote  # type: ignore[misc]
    parts, others = subwords(value), subwords(made)
    limit = min(len(parts), len(others))
    start = next((i for i in range(limit) if parts[i] != others[i]), limit)
    behind = next((i for i in range(limit - start) if parts[-1 - i] != others[-1 - i]), limit - start)
    gone = b"".join(parts[start : len(parts) - behind])
    come = b"".join(others[start : len(others) - behind])
    if gone:
        if start or behind:
            yield lambda text: text.replace(gone, come) if text.count(gone) == 1 else None
    elif start == 0:
        yield lambda text: come + text
    elif behind == 0:
        yield lambda text: text + come
    elif value[:1] == made[:1] and value[-1:] == made[-1:] and not value[:1].isalnum() and start == 1:
        yield lambda text: text[:1] + come + text[1:]  # inside a string's quotes


def _parts(text: bytes) -> list[bytes]:
    return [part for part in subwords(text) if part.isalnum()]


def _snake(text: bytes) -> bytes:
    return b"_".join(_parts(text)).lower()


def _upper(text: bytes) -> bytes:
    return b"_".join(_parts(text)).upper()


def _words(text: bytes) -> bytes:
    return b" ".join(_parts(text)).lower()


def _pascal(text: bytes) -> bytes:
    return b"".join(part[:1].upper() + part[1:].lower() for part in _parts(text))


def _camel(text: bytes) -> bytes:
    made = _pascal(text)
    return made[:1].lower() + made[1:]


def _same(text: bytes) -> bytes:
    return text


_SPELLINGS = (_snake, _camel, _pascal, _upper, _words)


# Matching -----------------------------------------------------------------------------------------------------


def matched(pattern: Pattern, tokens: Sequence[Token], start: int) -> tuple[int, dict[int, Run]] | None:
    """Matches the pattern at the token `start`: the end of the match and the values of the variables; else None."""
    return _match(pattern.before, tokens, 0, start, {})


def _match(
    items: tuple[Item, ...], tokens: Sequence[Token], at: int, position: int, bound: dict[int, Run]
) -> tuple[int, dict[int, Run]] | None:
    while at < len(items):
        item = items[at]
        if isinstance(item, bytes):
            if position >= len(tokens) or tokens[position].text != item:
                return None
            position += 1
        elif item.index in bound:
            run = bound[item.index]
            if _texts(tokens[position : position + len(run)]) != _texts(run):
                return None
            position += len(run)
        elif item.kinds is not None and not item.argument:
            if position >= len(tokens) or not _fits(item, tokens[position]):
                return None
            bound = {**bound, item.index: (tokens[position],)}
            position += 1
        else:
            for end in _run_ends(item, tokens, position):
                found = _match(items, tokens, at + 1, end, {**bound, item.index: tuple(tokens[position:end])})
                if found is not None:
                    return found
            return None
        at += 1
    return position, bound


def _fits(variable: Var, token: Token) -> bool:
    if token.kind not in (variable.kinds or ()):
        return False
    if not (token.text.startswith(variable.head) and token.text.endswith(variable.tail)):
        return False
    return variable.capital is None or token.text[:1].isupper() == variable.capital


def _run_ends(variable: Var, tokens: Sequence[Token], start: int) -> Iterator[int]:
    """The possible ends of a run that begins at `start`, the shortest first. An argument must be an expression by
    itself, without a label or a star before it."""
    if variable.empty:
        yield start
    alone = variable.kinds is not None
    if alone and start < len(tokens) and tokens[start].kind == "sign" and tokens[start].text not in CLOSER:
        return
    depth = 0
    for index in range(start, min(len(tokens), start + _LONGEST_RUN)):
        text = tokens[index].text
        if text in CLOSER:
            depth += 1
        elif text in CLOSERS:
            depth -= 1
            if depth < 0:
                return
        elif depth == 0 and (text == b";" or (text == b"," and not variable.commas) or (alone and text in _LABELS)):
            return
        if depth == 0 and (index > start or not alone or _fits(variable, tokens[start])):
            yield index + 1


def instance(pattern: Pattern, bound: dict[int, Run], source: bytes) -> list[bytes] | None:
    """The parts of the new text at a place, each a token or a run as it stands in `source`; None if a part cannot be
    made."""
    made: list[bytes] = []
    for part in pattern.after:
        if isinstance(part, bytes):
            made.append(part)
            continue
        run = bound[part.index]
        text = source[run[0].start : run[-1].end] if run else b""
        if part.function is not None:
            new = part.function(text)
            if not new:
                return None
            text = new
        made.append(text)
    return made
