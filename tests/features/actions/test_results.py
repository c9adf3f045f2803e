"""From an answer to an edit: damaged answers are mended, hostile ones change nothing."""

from __future__ import annotations

import pytest

from lsp_server.core.document import DocumentSnapshot
from lsp_server.features.actions.answer import (
    is_prose,
    repeats,
    without_cut_end,
    without_repetition,
)
from lsp_server.features.actions.catalogue import catalogue
from lsp_server.features.actions.offers import subject_at
from lsp_server.features.actions.readings import blocks
from lsp_server.features.actions.results import read_rewriting
from lsp_server.features.actions.thinking import without_thinking
from tests.features.actions.cases import CASES, WRAPPINGS, Case

ACTIONS, _ = catalogue({})
SIMPLIFY = ACTIONS["simplify"]


def result(case: Case, answer: str) -> tuple[str, str]:
    """The document afterwards and the problem."""
    document, offset = case.document()
    subject = subject_at(document, offset, offset)
    assert subject is not None
    found = read_rewriting(without_thinking(answer)[1], document, subject, SIMPLIFY)
    if found.problem:
        return document.source.decode(), found.problem
    assert (found.start, found.end) == (subject.start, subject.end)
    return document.edited(found.start, found.end, found.text).source.decode(), ""


@pytest.mark.parametrize("wrapping", WRAPPINGS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_good_answer_is_found_however_it_is_wrapped(case: Case, wrapping: str) -> None:
    after, problem = result(case, WRAPPINGS[wrapping](case))
    assert (after, problem) == (case.expected(), "")


HOSTILE = {
    "prose": "I cannot do that, Dave. It would be wrong.",
    "empty": "",
    "fence_only": "```python\n```",
    "other_function": "```\ndef other(value):\n    import os\n    os.remove('x')\n    return value\n```",
    "renamed": "```\ndef totals(prices, tax=RATE):\n    return 0\n```",
    "other_parameters": "```\ndef total(prices):\n    return 0\n```",
    "broken": "```\ndef total(prices, tax=RATE):\n    return (((\n```",
    "endless": "```\ndef total(prices, tax=RATE):\n" + "    x = 1\n" * 10_000 + "```",
    "the_same": "```\n" + CASES[0].old + "\n```",
    "two_of_them": "```\n" + CASES[0].new + "\n\n\ndef more():\n    pass\n\n\nRATE = 7\n```",
    "escape": "```\n" + CASES[0].new + "\n```\n--- /etc/passwd\n+++ /etc/passwd\n",
    "closes_the_class": "```\n    pass\nimport os\nos.system('x')\n```",
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("id", ["python_function", "python_method", "typescript_method", "java_method"])
def test_a_hostile_answer_changes_nothing_outside_the_function(name: str, id: str) -> None:
    case = next(case for case in CASES if case.id == id)
    before = case.document()[0].source.decode()
    after, problem = result(case, HOSTILE[name])
    head, tail = case.source.split("@@")
    assert after.startswith(head)
    assert after.endswith(tail)
    if id == "python_function":
        assert (after == before) == bool(problem)
        assert bool(problem) == (name not in {"two_of_them", "escape"}), problem
        assert "os." not in after


@pytest.mark.parametrize(
    ("text", "opened", "expected"),
    [
        ("<think>a</think>b", False, ("a", "b")),
        ("<THINK>\na\n</think>\n\nb", False, ("a", "b")),
        ("[THINK]a[/THINK]b", False, ("a", "b")),
        ("◁think▷a◁/think▷b", False, ("a", "b")),
        ("<think>never ends", False, ("never ends", "")),
        ("a\n</think>\nb", True, ("a", "b")),
        ("a", True, ("a", "")),
        ("<|START_THINKING|>a<|END_THINKING|>b", False, ("a", "b")),
        ("a</think>\nb\n</think>\nc", True, ("a\nb", "c")),
        # Ends that nothing has begun: what follows the last of them is the answer.
        ("Let me see.\n```\nA\n```\n</think>\n```\nB\n```", False, ("Let me see.\n```\nA\n```", "```\nB\n```")),
        ("Draft.\n```py\nA\n</think>\nB", False, ("Draft.\n```py\nA", "B")),
        ("a. So it is 4.</think>It is 4.", False, ("a. So it is 4.", "It is 4.")),
        ("a\n</think>\nb\n</think>\nc", False, ("a\n</think>\nb", "c")),
        ("a[/THINK]b", False, ("a", "b")),
        ("a\n</thinking>\nb", False, ("a", "b")),
        ("a<|end|><|start|>assistant<|channel|>final<|message|>b", False, ("a<|end|><|start|>assistant", "b")),
        ("a\n</think>", False, ("a", "")),
        # Thinking in the middle and at the end.
        ("Sure.\n<think>a</think>\nb", False, ("Sure.\n<think>a", "b")),
        ("b\n<think>a\n</think>\n", False, ("<think>a", "b")),
        ("b\n<think>\nnever ends", False, ("<think>\nnever ends", "b")),
        # What the answer is about.
        ("x = '</think>'", False, ("", "x = '</think>'")),
        ("It cuts at `</think>` and returns.", False, ("", "It cuts at `</think>` and returns.")),
        ("```\n# up to </think>\ncut(x)\n```", False, ("", "```\n# up to </think>\ncut(x)\n```")),
    ],
)
def test_thinking_is_taken_off(text: str, opened: bool, expected: tuple[str, str]) -> None:
    assert without_thinking(text, opened=opened) == expected


def test_tags_of_the_code_itself_are_no_thinking() -> None:
    answer = "```html\n<think>\n  x\n</think>\n<p>y</p>\n```"
    assert without_thinking(answer, given="<think>\nx\n</think>") == ("", answer)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_draft_in_the_thinking_is_not_the_answer(case: Case) -> None:
    draft = case.new.replace("\n", "\n\n", 1)
    answer = f"The loop can go. First:\n```\n{draft}\n```\nNo, better.\n</think>\n\n```\n{case.new}\n```"
    assert result(case, answer) == (case.expected(), "")


def test_repetition_is_cut() -> None:
    sentence = "The function adds the prices of everything that was sold and returns the sum of them. "
    assert without_repetition(f"It adds.\n{sentence}{sentence * 3}") == f"It adds.\n{sentence.strip()}"
    code = "if a:\n    x()\n}\n}\n}\n}\n}\n"
    assert without_repetition(code) == code


def test_lines_without_end() -> None:
    """They are neither prose nor fences, which is told by looking again and again; and they end an answer."""
    assert is_prose("The " + "word " * 20)
    assert not is_prose("The " + "word " * 400)
    assert blocks("```" + " " * 2000 + "\nx") == []
    assert repeats("x\n" + "abcdefgh " * 450)
    assert not repeats("x\n" + " ".join(map(str, range(900))))


@pytest.mark.parametrize("path", ["notes.txt", "notes.md", "notes.yaml"])
def test_where_prose_parses_only_a_fence_is_an_edit(path: str) -> None:
    source = b"some words here\n"
    document = DocumentSnapshot.of(f"file:///w/{path}", source, path=path)
    subject = subject_at(document, 0, len(source) - 1)
    assert subject is not None
    assert read_rewriting("I would rather not change this text.", document, subject, SIMPLIFY).problem
    found = read_rewriting("Here:\n```\nwords\n```\nDone.", document, subject, SIMPLIFY)
    assert (found.text, found.problem) == (b"words", "")


def test_a_loop_ends_an_answer_and_not_one_that_the_code_has_too() -> None:
    assert repeats("def f(" + "a: int, " * 20)
    assert repeats("```\n\n" * 20)
    table = "x = [" + "0, 1, " * 20
    assert repeats(table)
    assert not repeats(table, f"{table}0]")
    assert not repeats("if a:\n    b()\n" * 3)
    assert without_repetition("It adds. " + "and so on, " * 20) == "It adds. and so on,"


def test_an_answer_that_was_cut_ends_with_its_last_sentence() -> None:
    assert without_cut_end("It adds. It also ta") == "It adds."
    assert without_cut_end("It adds\nwhat it") == "It adds"
    assert without_cut_end("It ad") == ""
