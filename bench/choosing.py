"""How long a choice from the index takes: `bench project --time`, with files of some repositories in one index.

Measured is processor time on one thread, as the server's parsing thread would use it: the query, what the database has
for it, and the choice. Each place is looked at for the first time, asked for again, and asked for again after one more
character was typed there.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.arms.arm import quantile
from lsp_server.core.context import choose_context
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.hole import find_hole
from lsp_server.core.index_choice import choose
from lsp_server.core.index_offer import Offer
from lsp_server.core.index_query import query_of
from lsp_server.core.prompt import BYTES_PER_TOKEN
from lsp_server.features.index.build import Builder
from lsp_server.features.index.files import listed
from lsp_server.features.index.reader import Reader

TURNS = ("first look", "asked again", "typed on")


@dataclass(frozen=True, slots=True)
class Spent:
    """Processor time of one choice by its parts, in ms."""

    query: float
    candidates: float
    choice: float

    @property
    def total(self) -> float:
        return self.query + self.candidates + self.choice


def shares(counts: Sequence[int], most: int) -> list[int]:
    """How many files of each repository are taken, `most` together at most: as many of each, or all that it has."""
    taken = [0] * len(counts)
    while (room := most - sum(taken)) > 0 and (left := [n for n, count in enumerate(counts) if taken[n] < count]):
        each = max(1, room // len(left))
        for n in left[:room]:
            taken[n] = min(counts[n], taken[n] + each)
    return taken


def gather(roots: Sequence[Path], most: int, target: Path) -> int:
    """Copies `most` source files of the repositories into one folder, or all. Returns how many. Raises OSError."""
    files = [listed(root) for root in roots]
    taken = shares([len(paths) for paths in files], most)
    for root, paths, share in zip(roots, files, taken, strict=True):
        for path in paths[:share]:
            copy = target / root.name / path
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / path, copy)
    return sum(taken)


@contextmanager
def indexed(root: Path) -> Iterator[Reader]:
    """A context manager for a reader of a new index of the files of `root`."""
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "index.sqlite"
        builder = Builder(root, database)
        builder.scan()
        builder.close()
        reader = Reader(root, database)
        try:
            yield reader
        finally:
            reader.close()


def measure_times(
    root: Path, places: Sequence[tuple[DocumentSnapshot, int, bytes]], budget_tokens: int
) -> Iterator[tuple[str, Spent]]:
    """The choices for each place, with the files of `root` indexed: the turn of each, and what it took. places: a
    document, the cursor, and what is typed there."""
    budget = int(budget_tokens * BYTES_PER_TOKEN)
    with indexed(root) as reader:
        for document, cursor, typed in places:
            later = document.edited(cursor, cursor, typed)
            yield TURNS[0], _spent(document, cursor, reader, budget)
            yield TURNS[1], _spent(document, cursor, reader, budget)
            yield TURNS[2], _spent(later, cursor + len(typed), reader, budget)


def _spent(document: DocumentSnapshot, cursor: int, reader: Reader, budget: int) -> Spent:
    place = find_hole(document, cursor)
    began = time.thread_time()
    query = query_of(document, place)
    asked = time.thread_time()
    candidates = reader.candidates(query)
    found = time.thread_time()
    choose_context(document, place, (), budget, offer=Offer(choose(query, document, place, candidates)))
    chosen = time.thread_time()
    return Spent(1000 * (asked - began), 1000 * (found - asked), 1000 * (chosen - found))


def summarise_times(rows: Sequence[tuple[str, Spent]]) -> list[dict[str, object]]:
    """A row for each turn: the whole choice at the median and at p95, and the mean of each of its parts, in ms."""
    found = []
    for turn in TURNS:
        mine = [each for name, each in rows if name == turn]
        totals = [each.total for each in mine]
        if mine:
            row: dict[str, object] = {
                "turn": turn,
                "choices": len(mine),
                "ms p50": round(statistics.median(totals), 1),
                "ms p95": round(quantile(totals, 95), 1),
                "query": round(statistics.mean(each.query for each in mine), 1),
                "candidates": round(statistics.mean(each.candidates for each in mine), 1),
                "choice": round(statistics.mean(each.choice for each in mine), 1),
            }
            found.append(row)
    return found
