"""Dangerous code in the edits of actions, and the action that looks for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lsp_server.core.edits import applied
from lsp_server.features.actions.catalogue import CHECK, catalogue
from lsp_server.features.actions.dangers import found_in_file
from lsp_server.features.actions.offers import Offer, subject_at
from lsp_server.features.actions.runner import Outcome
from tests.features.actions.test_runner import ACTIONS, Bench, opened
from tests.support.cursor import parse_cursor

SOURCE = """import os
import subprocess


def remove(path):$0
    name = path.strip()
    if name:
        print("removing", name)
        subprocess.run(["rm", name])
    return name
"""
BAD = """```python
def remove(path):
    name = path.strip()
    if name:
        print("removing", name)
        os.system("rm " + name)
    return name
```"""
SAFE = BAD.replace('os.system("rm " + name)', 'subprocess.run(["rm", "--", name])')
WORSE = BAD.replace("return name\n", "return name +\n")


async def act(bench: Bench, source: str = SOURCE, id: str = "edit") -> Outcome:
    document, offset = parse_cursor(source)
    subject = subject_at(document, offset, offset)
    assert subject is not None
    return await bench.runner.run(document, Offer(ACTIONS[id], subject, id, "do it with care"), lambda _: None)


def text_of(outcome: Outcome, source: str = SOURCE) -> str:
    return applied(source.replace("$0", "").encode(), outcome.edits).decode()


async def test_the_model_is_asked_once_more_with_the_finding(tmp_path: Path) -> None:
    async with opened(tmp_path, ("(CWE-78); pass a list", SAFE), ("", BAD)) as bench:
        outcome = await act(bench)
        assert '"--", name' in text_of(outcome)
        assert (outcome.note, outcome.found) == ("", ())


@pytest.mark.parametrize("second", [BAD, WORSE, "no code"], ids=["the same", "broken", "nothing"])
async def test_what_is_still_dangerous_is_listed_before_it_is_accepted(tmp_path: Path, second: str) -> None:
    async with opened(tmp_path, ("(CWE-78); pass a list", second), ("", BAD)) as bench:
        outcome = await act(bench)
        assert 'os.system("rm " + name)' in text_of(outcome)
        assert "CWE-78" in outcome.note
        assert 'os.system("rm " + name)' in outcome.note
        assert "\n" not in outcome.note


async def test_what_stood_there_already_is_no_matter(tmp_path: Path) -> None:
    source = SOURCE.replace('subprocess.run(["rm", name])', 'os.system("rm " + name)')
    answer = BAD.replace('print("removing", name)', 'print("removing:", len(name), name)')
    async with opened(tmp_path, ("", answer)) as bench:
        outcome = await act(bench, source)
        assert "removing:" in text_of(outcome, source)
        assert (outcome.note, outcome.found) == ("", ())


async def test_one_more_of_the_same_is(tmp_path: Path) -> None:
    source = SOURCE.replace('subprocess.run(["rm", name])', 'os.system("rm " + name)')
    answer = BAD.replace('print("removing", name)', 'os.system("rm " + name)\n        print("removing", name)')
    async with opened(tmp_path, ("", answer)) as bench:
        outcome = await act(bench, source)
        assert outcome.note.count("CWE-78") == 1


async def test_switched_off_nothing_is_told(tmp_path: Path) -> None:
    async with opened(tmp_path, ("CWE", SAFE), ("", BAD)) as bench:
        bench.options = replace(bench.options, check_danger=False)
        outcome = await act(bench)
        assert "os.system" in text_of(outcome)
        assert outcome.note == ""


def test_a_new_file_is_looked_at_by_its_name() -> None:
    assert "CWE-95" in " ".join(found_in_file("tool.py", "def run(text):\n    return eval(text)\n"))
    assert found_in_file("notes.md", "Use `eval(text)`.\n") == ()


# The check ------------------------------------------------------------------------------------------------------


async def test_the_check_lists_what_is_in_the_function_and_asks_no_model(tmp_path: Path) -> None:
    source = BAD.strip("`").removeprefix("python\n").replace("(path):", "(path):$0") + "\n\ndef g(x):\n    eval(x)\n"
    async with opened(tmp_path) as bench:
        outcome = await act(bench, source, "check")
        assert not bench.loads
        assert outcome.document.startswith("In `remove`, 1 place:")
        assert '- line 5: `os.system("rm " + name)`' in outcome.document
        assert "CWE-78" in outcome.document
        assert "subprocess.run" in outcome.document
        assert "eval" not in outcome.document
        assert (outcome.edits, outcome.note) == ((), "")


async def test_a_check_of_clean_code_says_what_that_means(tmp_path: Path) -> None:
    async with opened(tmp_path) as bench:
        outcome = await act(bench, SOURCE, "check")
        assert "no dangerous pattern" in outcome.document
        assert not bench.loads


async def test_a_check_shows_names_that_look_like_others_for_what_they_are(tmp_path: Path) -> None:
    async with opened(tmp_path) as bench:
        outcome = await act(bench, "def f(x):$0\n    \u0430dmin = x\n    return \u0430dmin\n", "check")
        assert "CWE-1007" in outcome.document
        assert "\\u0430dmin" in outcome.document


def test_the_check_is_no_result_for_an_action_of_the_users() -> None:
    _, problems = catalogue({"mine": {"title": "Mine", "prompt": "x", "result": "check"}})
    assert len(problems) == 1
    assert CHECK.languages >= {"Python", "C", "Rust"}
