"""HumanEval-Infilling, single-line holes (Bavarian et al., arXiv 2207.14255): tests check the answer."""

from __future__ import annotations

from pathlib import Path

from bench.filling.tasks import Task, Test, read_lines

NAME = "humaneval"
FILE = "humaneval-infilling-single-line.jsonl.gz"


def load(data: Path) -> list[Task]:
    """The tasks, in the file's order. The cursor is at the beginning of a blank line without indentation: the
    indentation is part of the answer, as in the published figures. Raises ValueError, OSError."""
    found = []
    for row in read_lines(data / FILE):
        reference: str = row["canonical_solution"]
        found.append(
            Task(
                id=row["task_id"].removeprefix("SingleLineInfilling/HumanEval/"),
                set=NAME,
                path="solution.py",
                before=row["prompt"],
                after="\n" + row["suffix"],
                reference=reference.removesuffix("\n"),
                single_line=True,
                tests=(Test(tail=f"\n{row['test']}\ncheck({row['entry_point']})\n"),),
            )
        )
    return found
