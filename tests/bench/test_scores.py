"""Scores and comparisons: right and wrong completions of each kind of task, and what is chance and what is not."""

from __future__ import annotations

import pytest

from bench.filling.comparison import compare, interval, mcnemar
from bench.filling.safim import same_output
from bench.filling.sandbox import Limits
from bench.filling.scores import Completion, parses, score, verdict
from bench.filling.tasks import Task, Test
from lsp_server.core.document import DocumentSnapshot

pytest.importorskip("resource", reason="the sandbox needs the system's limits")

DOUBLED = Task(
    id="0",
    set="humaneval",
    path="solution.py",
    before="def double(x):\n",
    after="\n",
    reference="    return 2 * x",
    single_line=True,
    tests=(Test(tail="def check(f):\n    assert f(3) == 6\ncheck(double)\n"),),
)
ECHO = Task(
    id="1",
    set="safim-block",
    path="main.py",
    before="name = input()\r\nif name:\r\n    ",
    after="\r\n",
    reference="print('Hi', name)",
    single_line=False,
    tests=(Test(stdin="Ada\n", output=("hi ada",)), Test(stdin="Bob\n", output=("no", "hi bob"))),
)
QUICK = Limits(cpu_seconds=1, wall_seconds=0.5)


def scored(task: Task, text: str, *, right: int = 0) -> tuple[str, bool, bool | None]:
    found = score(task, Completion(text, task.cursor, task.cursor + right))
    return found.verdict, found.exact, found.parses


@pytest.mark.parametrize(
    ("task", "text", "expected"),
    [
        (DOUBLED, "    return 2 * x", ("passed", True, True)),
        (DOUBLED, "    return x + x  ", ("passed", False, True)),
        (DOUBLED, "    return x", ("raised AssertionError", False, True)),
        (DOUBLED, "    return (x", ("raised SyntaxError", False, False)),
        (DOUBLED, "    raise SystemExit", ("exited 0", False, True)),
        (DOUBLED, "    import os; os._exit(0)", ("gone 0", False, True)),
        (DOUBLED, "", ("raised IndentationError", False, None)),
        (ECHO, "print('Hi', name)", ("passed", True, True)),
        (ECHO, "print(f'HI{name}\\n\\n')\r\n    exit()", ("passed", False, True)),
        (ECHO, "print('Hi Ada')", ("wrong output", False, True)),
        (ECHO, "print('Hi', name); 1 / 0", ("raised ZeroDivisionError", False, True)),
        (ECHO, "print('Hi', name); exit(1)", ("exited 1", False, True)),
        (ECHO, "print('Hi', name)  # \udc80", ("passed", False, True)),
    ],
)
def test_a_completion(task: Task, text: str, expected: tuple[str, bool, bool | None]) -> None:
    assert scored(task, text) == expected


def test_what_it_replaces_is_gone() -> None:
    task = Task("2", "repo", "a.py", "print(", "x)\n", "1", single_line=True)
    assert scored(task, "1)", right=2) == ("", False, True)
    assert scored(task, "1)") == ("", False, False)


def test_a_program_that_hangs_fails() -> None:
    assert verdict(DOUBLED, "while True: pass\n", Limits(cpu_seconds=1)) == "killed CPU time"
    assert verdict(ECHO, "import time; time.sleep(99)", QUICK) == "killed wall time"


def test_without_tests_there_is_no_verdict() -> None:
    task = Task("3", "repo", "a.unknown", "a", "b", "ccc", single_line=True)
    found = score(task, Completion("ccd", 1, 1))
    assert (found.verdict, found.exact, found.parses) == ("", False, None)
    assert found.similarity == pytest.approx(2 / 3, abs=1e-3)


@pytest.mark.parametrize(
    ("before", "after", "good"),
    [
        ("def f(:\n    x = \n", "def f(:\n    x = 1\n", True),
        ("x = (1)\n", "x = ((1)\n", False),
        ("x = \n", "x = y\n", True),
    ],
)
def test_more_broken_than_before(before: str, after: str, good: bool) -> None:
    documents = [DocumentSnapshot.of("file:///a.py", text.encode(), path="a.py") for text in (before, after)]
    assert parses(documents[0], documents[1]) is good


@pytest.mark.parametrize(
    ("printed", "expected", "same"),
    [("YES\n", "yes", True), ("1 2\r\n3", "1\n23 ", True), ("", " \n", True), ("1", "2", False), ("1", "", False)],
)
def test_outputs_are_compared_without_space_and_case(printed: str, expected: str, same: bool) -> None:
    assert same_output(printed, expected) is same


def test_an_interval_holds_the_mean_and_narrows_with_more_holes() -> None:
    low, high = interval([0.0, 1.0] * 50)
    assert low < 0.5 < high
    narrow_low, narrow_high = interval([0.0, 1.0] * 5000)
    assert narrow_high - narrow_low < (high - low) / 5
    assert interval([1.0] * 10) == (1.0, 1.0)


@pytest.mark.parametrize(("first", "second", "p"), [(0, 0, 1.0), (5, 5, 1.0), (0, 5, 0.0625), (1, 9, 22 / 1024)])
def test_mcnemar(first: int, second: int, p: float) -> None:
    assert mcnemar(first, second) == mcnemar(second, first) == pytest.approx(p)


def test_a_comparison_counts_pairs() -> None:
    found = compare([True] * 60 + [False] * 40, [True] * 50 + [False] * 45 + [True] * 5)
    assert (found["points"], found["only_first"], found["only_second"]) == (5.0, 10, 5)
    assert found["low"] < 0 < found["high"]
    assert found["p"] > 0.05
    assert compare([True] * 40, [False] * 20 + [True] * 20)["p"] < 0.001
