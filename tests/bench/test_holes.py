"""Tasks: the data sets' own formats, holes cut from files, and cursors in the middle of words."""

from __future__ import annotations

import gzip
import subprocess
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from bench.filling import holes, humaneval, safim
from bench.filling.tasks import chosen, closed, mid_word
from lsp_server.core.languages import find_language
from tests.bench.rows import HUMANEVAL_ROWS, SAFIM_ROWS, SOURCES, write_rows


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_rows(tmp_path / humaneval.FILE, HUMANEVAL_ROWS)
    for kind in ("block", "control"):
        write_rows(tmp_path / f"safim-python-{kind}-half.jsonl.gz", SAFIM_ROWS)
    return tmp_path


def test_a_humaneval_task_is_a_blank_line(data: Path) -> None:
    task = humaneval.load(data)[1]
    assert (task.id, task.before[-1], task.after[0], task.reference) == ("1/L0", "\n", "\n", "    return value + 1")
    document = task.document()
    assert document.line(document.line_at(task.cursor)) == b""


def test_a_safim_task_is_cut_at_its_marker(data: Path) -> None:
    (task,) = safim.load(data, "block")
    assert (task.before[-4:], task.after, task.single_line) == ("    ", "\r\n", False)
    assert task.tests[0].output == ("5",)


def test_what_is_no_data_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no file safim"):
        safim.load(tmp_path, "control")
    (tmp_path / humaneval.FILE).write_bytes(gzip.compress(b"{"))
    with pytest.raises(ValueError, match="not a JSONL file"):
        humaneval.load(tmp_path)


@pytest.mark.parametrize("name", SOURCES)
def test_holes_are_cut_at_nodes(name: str) -> None:
    source = SOURCES[name]
    found = {task.id.split(" ", 1)[1]: task for task in holes.cut(source, find_language("", name), name)}
    assert {"statement", "block", "arguments", "right-hand side"} <= set(found)
    for task in found.values():
        assert task.before + task.reference + task.after == source
        assert task.single_line == ("\n" not in task.reference)
        assert task.set == ("repo-line" if task.single_line else "repo-block")
    assert found["arguments"].reference == "total, 2"
    assert "\n" in found["block"].reference


def test_docstrings_and_comments_are_no_holes() -> None:
    source = 'def f():\n    """What it is."""\n    # why\n    return 1\n'
    references = [task.reference for task in holes.cut(source, find_language("python"), "a.py")]
    assert "return 1" in references
    assert not [text for text in references if text.startswith(('"', "#"))]


def repository(folder: Path, *, git: bool) -> Path:
    for number in range(3):
        for name, source in SOURCES.items():
            path = folder / f"part{number}" / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(source * 5, "utf-8")
    (folder / "node_modules").mkdir()
    (folder / "node_modules" / "b.py").write_text(SOURCES["a.py"] * 5, "utf-8")
    if git:
        subprocess.run(["git", "init", "-q", folder], check=True)
        subprocess.run(["git", "-C", folder, "add", "part0", "part1"], check=True)
    return folder


@pytest.mark.parametrize("git", [True, False])
def test_a_folder_gives_the_same_holes_each_time(tmp_path: Path, git: bool) -> None:
    folder = repository(tmp_path, git=git)
    found = [task.id for task in holes.load(folder, 1)]
    assert found == [task.id for task in holes.load(folder, 1)]
    assert set(found) != {task.id for task in holes.load(folder, 2)}
    assert found[:10] == [task.id for task in islice(holes.load(folder, 1), 10)]
    parts = {Path(id).parts[0] for id in found}
    assert parts == ({"part0", "part1"} if git else {"part0", "part1", "part2"})
    assert {task.group for task in holes.load(folder, 1, ["Go", "Rust"])} == {"Go", "Rust"}


def test_a_folder_without_source_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no source files"):
        next(holes.load(tmp_path, 0))


def test_a_larger_limit_adds_to_a_smaller_one(data: Path) -> None:
    tasks = humaneval.load(data)
    three = chosen(tasks, 3, seed=5)
    assert chosen(tasks, 2, seed=5) == three[:2]
    assert chosen(tasks, None, seed=5)[:3] == three
    assert any(chosen(tasks, 3, seed=seed) != three for seed in range(6, 12))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("return f(a)[0]", {("return f(", "a)[0]", ")"), ("return f(a)[", "0", "]")}),
        ("x = g(h(1), 2)", {("x = g(", "h(1), 2", ")"), ("x = g(h(", "1), 2)", "))")}),
        ("print('(', [1])", {("print(", "'(', [1]", ")"), ("print('(', [", "1", "])")}),
        ("y = 1  # (a)", set()),
    ],
)
def test_an_editor_has_closed_what_is_open(data: Path, line: str, expected: set[tuple[str, str, str]]) -> None:
    task = replace(humaneval.load(data)[0], before="    ", reference=line, after="\nend")
    found = {hole for seed in range(40) for hole in closed([task], seed)}
    assert all(task.after.endswith("\nend") and task.single_line for task in found)
    places = {(task.before.strip(), task.reference, task.after.removesuffix("\nend")) for task in found}
    assert places == expected


def test_the_cursor_goes_into_a_word(data: Path) -> None:
    tasks = humaneval.load(data)
    found = list(mid_word(tasks, 0))
    assert found == list(mid_word(tasks[::-1], 0))[::-1]
    for task, whole in zip(found, tasks, strict=True):
        assert task.before + task.reference + task.after == whole.before + whole.reference + whole.after
        assert task.before[-1].isalpha() and task.reference[0].isalpha()
        assert task.tests == whole.tests
    (block,) = mid_word(safim.load(data, "block"), 0)
    assert block.reference.endswith("+ 1)") and block.single_line
