"""SAFIM (Gong et al., arXiv 2403.04814), its Python holes: blocks, and the conditions of control statements."""

from __future__ import annotations

import re
from pathlib import Path

from bench.filling.tasks import Task, Test, read_lines

HOLE = "{{completion}}"
_SPACE = re.compile(r"\s+")


def load(data: Path, kind: str) -> list[Task]:
    """The tasks of `kind`, block or control. The document is the program alone, without the problem's description.
    Raises ValueError, OSError."""
    found = []
    for row in read_lines(_file(data, kind)):
        before, _, after = row["eval_prompt"].partition(HOLE)
        tests = (Test(stdin=test["input"], output=tuple(test["output"])) for test in row["unit_tests"])
        found.append(
            Task(
                id=row["task_id"],
                set=f"safim-{kind}",
                path="main.py",
                before=before,
                after=after,
                reference=row["ground_truth"],
                single_line=kind == "control",
                tests=tuple(tests),
            )
        )
    return found


def _file(data: Path, kind: str) -> Path:
    """The file of `kind`, or a part of it."""
    found = sorted(data.glob(f"safim-python-{kind}*.jsonl.gz"))
    if not found:
        raise ValueError(f"{data} has no file safim-python-{kind}*.jsonl.gz")
    return found[0]


def same_output(printed: str, expected: str) -> bool:
    """Whether two outputs are equal apart from white space and case, as SAFIM compares them."""
    return _SPACE.sub("", printed).lower() == _SPACE.sub("", expected).lower()
