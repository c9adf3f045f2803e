"""The tasks: a hole, the expected text, and the tests of the program with the hole filled."""

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

# The group of holes with closing brackets right of the cursor, which an editor has inserted.
CLOSED = "closed brackets"
_CLOSING = {"(": ")", "[": "]", "{": "}"}
# A string, a comment or a bracket of a line of Python.
_PART = re.compile(r"""("[^"]*"|'[^']*'|#.*)|([(\[{])|([)\]}])""")


@dataclass(frozen=True, slots=True)
class Test:
    """One run of the program: the completed document, then `tail`. output: the accepted outputs; None if the program
    tests itself and must reach its last line.
    """

    __test__ = False  # tells pytest that this class is no test

    tail: str = ""
    stdin: str = ""
    output: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """before, after: the document around the hole. reference: the author's text for the hole. path: the name that a
    model is shown. group: the kind of hole within its set. single_line: whether a single line is missing.
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
    """The objects of a JSONL file, compressed or not. Raises ValueError if it is no JSONL file."""
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8") as file:
            for line in file:
                if line.strip():
                    yield json.loads(line)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path} is not a JSONL file: {error}") from None


def chosen(tasks: Sequence[Task], limit: int | None, seed: int) -> list[Task]:
    """`limit` of the tasks, or all, in random order. The tasks of a smaller limit are always among those of a larger
    one."""
    order = sorted(tasks, key=lambda task: task.id)
    random.Random(seed).shuffle(order)
    return order[:limit]


def mid_word(tasks: Iterable[Task], seed: int) -> Iterator[Task]:
    """The tasks with the beginning of the reference already typed, up to the middle of a word of four letters or more.
    Only the rest of that line is the new reference. Tasks without such a word are left out."""
    for task in tasks:
        line = task.reference.split("\n", 1)[0].rstrip("\r")
        words = list(_WORD.finditer(line))
        if not words:
            continue
        # Each task has its own random generator, so that its place does not depend on the other tasks.
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
    """The tasks with the beginning of the reference already typed, up to an opening bracket, in an editor that closes
    brackets: the closing brackets are right of the cursor. Only the rest of that line is the new reference. Tasks
    without a bracket are left out."""
    for task in tasks:
        line = task.reference.split("\n", 1)[0].rstrip("\r")
        places: list[tuple[int, str]] = []  # offsets after an opening bracket, each with all closers
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
