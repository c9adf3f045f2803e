"""The parts of an answer with tests: imports, helpers and tests."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field

from lsp_server.core.outline import Definition

ALREADY = "the test file has these tests already"
_COMMENT = re.compile(r"(?m)(?:^|\s)(?://|# ).*$")
_STRING = re.compile(r"""(['"`])(?:\\.|(?!\1)[^\\\n])*\1""")


# A line that checks something, in any of the frameworks.
_CHECK_LINE = re.compile(
    r"\s*(?:await\s+)?(?:assert\b|(?:self\.|Assert\w*\.|t\.|assert\.)?(?i:assert|expect|check|require|equal|ck_assert|test_assert)"
    r"\w*!?\s*\()"
)


@dataclass(frozen=True, slots=True)
class NewTests:
    """text: the whole new text of the file. names: of the added tests. problem: why there are none."""

    text: str = ""
    names: tuple[str, ...] = ()
    problem: str = ""


@dataclass(slots=True)
class Parts:
    """Helpers and tests are pairs of a name and code, in order."""

    imports: list[str] = field(default_factory=list)
    helpers: list[tuple[str, str]] = field(default_factory=list)
    tests: list[tuple[str, str]] = field(default_factory=list)


def used_helpers(helpers: Iterable[tuple[str, str]], code: str) -> list[tuple[str, str]]:
    """The helpers that `code` uses, directly or through other helpers."""
    order = list(helpers)
    left, used = list(range(len(order))), set[int]()
    while found := _named(order, left, code):
        used.update(found)
        left = [number for number in left if number not in used]
        code = "\n".join(order[number][1] for number in found)
    return [order[number] for number in sorted(used)]


def _named(helpers: Sequence[tuple[str, str]], among: Iterable[int], code: str) -> list[int]:
    """The numbers of those helpers `among` whose names are in the code."""
    words = set(re.findall(r"\w+", code))
    numbers = ((number, helpers[number][0]) for number in among)
    return [
        number
        for number, name in numbers
        if name in words or (not name.isidentifier() and re.search(rf"(?<!\w){re.escape(name)}(?!\w)", code))
    ]


def checks_target(
    test: tuple[str, str], helpers: Iterable[tuple[str, str]], target: Definition, check: re.Pattern[str]
) -> bool:
    """Whether a test checks something and uses its target, directly or through a helper. check: matches a check."""
    name, code = test
    code = re.sub(rf"\b{re.escape(name)}\b", "", code, count=1)
    reached = "\n".join([code, *(body for _, body in used_helpers(helpers, code))])
    reached = _COMMENT.sub("", _STRING.sub("", reached))
    words = set(re.findall(r"\w+", reached))
    wanted = {part for each in (target.name, *target.parents) for part in re.findall(r"\w+", each)[:1]}
    return bool(wanted & words) and bool(check.search(reached))


def without_repeated_checks(code: str) -> str:
    """`code` without lines that repeat a check from just above, with no other code in between."""
    kept: list[str] = []
    seen: set[str] = set()
    for line in code.split("\n"):
        whole = not line.endswith("\\") and all(
            line.count(opening) == line.count(closing) for opening, closing in ("()", "[]", "{}")
        )
        if line.strip() and not (whole and _CHECK_LINE.match(line)):
            seen = set()
        elif line.strip():
            if line.rstrip() in seen:
                continue
            seen.add(line.rstrip())
        kept.append(line)
    return "\n".join(kept)


def without_equal_tests(tests: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The tests without those that differ from an earlier one only by their name."""
    found: dict[str, tuple[str, str]] = {}
    for name, code in tests:
        found.setdefault(squeezed(code.replace(name, "", 1)), (name, code))
    return list(found.values())


def squeezed(text: str) -> str:
    """`text` without white space, to compare code."""
    return re.sub(r"\s+", "", text)


def fresh_name(name: str, taken: Set[str], separator: str = "_") -> str:
    """`name` with the first number that is not taken, from 2."""
    number = 2
    while f"{name}{separator}{number}" in taken:
        number += 1
    return f"{name}{separator}{number}"


def leave_out_known(parts: Parts, existing: str, taken: Set[str]) -> None:
    """Drops parts that `existing` has already, word for word, and renames helpers whose names are `taken` there, also
    in the code that uses them. A part that uses a new helper counts as new, whatever its text."""
    there = squeezed(existing)
    new = [(name, code) for name, code in parts.helpers if squeezed(code) not in there]
    while more := [each for each in parts.helpers if each not in new and used_helpers(new, each[1])]:
        new += more
    new.sort(key=parts.helpers.index)
    tests = [(name, code) for name, code in parts.tests if squeezed(code) not in there or used_helpers(new, code)]
    renamed: dict[str, str] = {}
    for name, _ in new:
        if name in taken and name not in renamed:
            renamed[name] = fresh_name(name, {*taken, *renamed.values()})
    if renamed:
        pattern = re.compile(rf"\b(?:{'|'.join(map(re.escape, renamed))})\b")
        new = [(renamed.get(name, name), pattern.sub(lambda found: renamed[found[0]], code)) for name, code in new]
        tests = [(name, pattern.sub(lambda found: renamed[found[0]], code)) for name, code in tests]
    parts.helpers, parts.tests = new, tests
