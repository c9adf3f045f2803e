"""The bench of next edits: scenarios are judged by their results, and groups of hunks by their tokens."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from bench import edits
from bench.edit_cases import edit_sessions, scenarios
from bench.edit_cases.edit_models import EditModel
from bench.edit_cases.histories import commits, groups
from bench.sessions.recordings import Change
from lsp_server.backends.scripted import ScriptedBackend
from lsp_server.core.document import DocumentSnapshot

SCENARIO = """A parameter is renamed.
id: rename
language: python
file: a.py
row: 1
col: 8
-- buffer.txt --
def f(goods):
    return items
-- history --
<|file|> a.py
<|old|>
def f(items):
<|new|>
def f(goods):
-- steps --
request-completion manual
-- expected --
def f(goods):
    return goods
"""


@pytest.mark.parametrize(
    ("changed", "right", "shown", "delta"),
    [
        (("", ""), True, True, 100.0),
        (("return goods\n", "return goods + 1\n"), False, True, None),
        (("request-completion manual\n", "request-completion\n  expect !shown\n"), False, True, 0.0),
        (("<|old|>\ndef f(items):", "<|old|>\ndef g(goods):"), False, False, 0.0),
    ],
)
def test_a_scenario_is_right_if_its_result_is(
    tmp_path: Path, changed: tuple[str, str], right: bool, shown: bool, delta: float | None
) -> None:
    path = tmp_path / "rename.txtar"
    path.write_text(SCENARIO.replace(*changed) if changed[0] else SCENARIO, "utf-8")
    result = scenarios.run(scenarios.read(path))
    assert (result.right, result.shown) == (right, shown)
    assert result.delta == delta if delta is not None else 0 < result.delta < 100


INVENTED = SCENARIO.replace("return items", "pass").replace("return goods", "return len(goods)")


@pytest.mark.parametrize("alone", [False, True])
def test_a_model_is_asked_where_none_can_be_computed(tmp_path: Path, alone: bool) -> None:
    path, script = tmp_path / "rename.txtar", tmp_path / "model.json"
    script.write_text(json.dumps([["def f", "```\ndef f(goods):\n    return len(goods)\n```"]]), "utf-8")
    model = EditModel(script, "instruct", ScriptedBackend, alone=alone)
    try:
        for text in (INVENTED, SCENARIO):
            path.write_text(text, "utf-8")
            result = scenarios.run(scenarios.read(path), model)
            assert result.right == (text is INVENTED or not alone)
            assert result.why.startswith("model: suggested by scripted" if text is INVENTED or alone else "rename")
        assert model.summary().startswith(f"{1 + alone} questions")
    finally:
        model.close()


def test_a_recorded_proposal_is_agreed_with_if_the_user_makes_it_within_a_minute() -> None:
    def session(after_seconds: float, new: str = "goods") -> edit_sessions.Session:
        document = DocumentSnapshot.of("file:///a.py", b"def f(items):\n    return items\n", path="a.py")
        renamed = document.edited(6, 11, b"goods")
        made = renamed.edited(25, 30, new.encode())
        changes = [
            Change(0.0, document, renamed, (), 11, types=True),
            Change(1000 * after_seconds, renamed, made, (), 30, types=True),
        ]
        return edit_sessions.replay("a", changes)

    (made,) = session(30).proposed
    assert (made.edit.kind, made.edit.text, made.agreed) == ("rename", b"goods", True)
    assert [each.agreed for each in session(90).proposed] == [False]
    assert [each.agreed for each in session(30, "other").proposed] == [False]
    assert session(1).proposed == []  # no pause that is long enough
    assert "| a | 0.0 | 1 | 120.0 | 1 |" in edit_sessions.table([session(30)])


def test_hunks_are_grouped_by_tokens_and_the_third_is_looked_for(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        subprocess.run(["git", "-C", str(tmp_path), *arguments], check=True, capture_output=True)

    def commit(text: str, subject: str) -> None:
        (tmp_path / "a.py").write_text(text, "utf-8")
        git("add", ".")
        git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", subject)

    git("init", "-q")
    before = "log.info(a)\nx\nlog.info(b)\ny\nlog.info(c.d)\nz\nlog.info(e)\nv\nother(1)\n"
    commit(before, "before")
    commit(before.replace("log", "logger").replace("other(1)", "other(2)"), "after")
    (found,) = [each for each in commits(tmp_path, ["*.py"], 10) if groups(each)]
    ((first, second, third),) = groups(found)
    assert [hunk.first for hunk in (first, second, third)] == [0, 2, 6]
    assert third.added == (b"logger.info(e)",)
    results = list(edits.replay("Python", [tmp_path], 5))
    assert [(result.verdict, result.kind, result.form) for result in results] == [("commit", "again", "replaced")]
    assert "| all | 1 | 1 | 0 | 1 | 0 | 100% | 0% |" in edits.table(results)
