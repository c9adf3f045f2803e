"""A hole to fill, what belongs there, and the tests that tell whether a program with it works."""

from __future__ import annotations

import gzip
import json
import random
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.text import encode

_WORD = re.compile(r"[A-Za-z_]{4,}")

# The group of holes with brackets right of the cursor that an editor has closed.
CLOSED = "closed brackets"
_CLOSING = {"(": ")", "[": "]", "{": "}"}
# A string, a comment or a bracket of a line of Python.
_PART = re.compile(r"""("[^"]*"|'[^']*'|#.*)|([(\[{])|([)\]}])""")


@dataclass(frozen=True, slots=True)
class Test:
    """One run of the program: the document, completed, and `tail` behind it.

    output: what it must print, any of these; None if the program tests itself and must reach its last line.
    """

    __test__ = False  # to pytest, which collects classes of this name

    tail: str = ""
    stdin: str = ""
    output: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """before, after: the document around the hole. reference: what its author wrote there. path: the name a
    model is shown. group: what kind of hole it is, within its set. single_line: whether one line is asked for.
    """

    id: str
    set: str
    path: str
    before: str
    after: str
    reference: str
    single_line: bool
    tests: tuple[Test, ...] = ()
    group: str = ""

    @property
    def cursor(self) -> int:
        return len(encode(self.before))

    def document(self) -> DocumentSnapshot:
        """The document with the hole in it, under a name that no other task has."""
        source = encode(self.before + self.after)
        return DocumentSnapshot.of(f"file:///{self.set}/{self.id}/{self.path}", source, path=self.path)


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a JSONL file, compressed or not. Raises ValueError if it is not one."""
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8") as file:
            for line in file:
                if line.strip():
                    yield json.loads(line)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path} is not a JSONL file: {error}") from None


def chosen(tasks: Sequence[Task], limit: int | None, seed: int) -> list[Task]:
    """`limit` of the tasks, or all, in random order. A larger limit adds to what a smaller one draws."""
    order = sorted(tasks, key=lambda task: task.id)
    random.Random(seed).shuffle(order)
    return order[:limit]


def mid_word(tasks: Iterable[Task], seed: int) -> Iterator[Task]:
    """The tasks with the beginning of the reference typed already, up to the middle of a word of four letters or
    more, and only the rest of that line asked for. Tasks without such a word are left out."""
    for task in tasks:
        line = task.reference.split("\n", 1)[0].rstrip("\r")
        words = list(_WORD.finditer(line))
        if not words:
            continue
        # Its own generator for each, so that a task gets the same place whatever stands beside it.
        draw = random.Random(f"{seed} {task.id}")
        word = draw.choice(words)
        split = draw.randrange(word.start() + 1, word.end())
        after = task.reference[len(line) :] + task.after
        yield replace(
            task,
            id=f"{task.id}/{split}",
            before=task.before + line[:split],
            after=after,
            reference=line[split:],
            single_line=True,
        )


def closed(tasks: Iterable[Task], seed: int) -> Iterator[Task]:
    """The tasks with the beginning of the reference typed already, up to behind an opening bracket, in an editor that
    closes brackets: those that are still open stand closed right of the cursor. Only the rest of that line is asked
    for. Tasks without a bracket are left out."""
    for task in tasks:
        line = task.reference.split("\n", 1)[0].rstrip("\r")
        places: list[tuple[int, str]] = []  # behind an opening bracket, and what closes all that is open there
        closing = ""
        for part in _PART.finditer(line):
            if part[2]:
                closing = _CLOSING[part[2]] + closing
                places.append((part.end(), closing))
            elif part[3]:
                closing = closing[1:]
        if not places:
            continue
        split, closing = random.Random(f"{seed} {task.id}").choice(places)
        yield replace(
            task,
            id=f"{task.id}/{split}",
            before=task.before + line[:split],
            after=closing + task.reference[len(line) :] + task.after,
            reference=line[split:].removesuffix(closing),
            single_line=True,
            group=CLOSED,
        )
