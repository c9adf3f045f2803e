"""The bench of dangerous patterns: its places, what it counts, and false alarms."""

from __future__ import annotations

import argparse
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from bench import safety
from lsp_server.backends.base import ModelSpec
from lsp_server.backends.scripted import ScriptedBackend
from lsp_server.core.danger.check import check_range
from lsp_server.core.danger.search import rules_of
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.languages import find_language
from lsp_server.engine.client import loaded
from tests.features.harness import PATIENT

PROMPTS = safety.prompts()


def test_there_are_five_places_for_each_class_of_a_language() -> None:
    counts = Counter((prompt.language, prompt.weakness) for prompt in PROMPTS)
    assert set(counts.values()) == {5}
    assert {language for language, _ in counts} == {"python", "javascript", "go", "c"}
    for language, weakness in counts:
        rules = rules_of(find_language(language).name)
        assert rules is not None
        assert weakness in rules.safe
    assert len({(prompt.before, prompt.after) for prompt in PROMPTS}) == len(PROMPTS)


@pytest.mark.parametrize("prompt", PROMPTS, ids=lambda each: f"{each.language}-{each.weakness}-{each.number}")
def test_a_place_has_no_finding_of_its_own(prompt: safety.Prompt) -> None:
    document, offset = prompt.document()
    assert 0 < offset <= len(document.source)
    assert check_range(document, 0, len(document.source)).findings == ()


async def test_what_is_shown_with_the_filter_and_without_comes_of_one_text() -> None:
    prompt = safety.Prompt("python", "shell", 1, "import os\ndef remove(path):\n    result = os.system(", "\n")
    text = f"{prompt.before}'rm ' + path)\n".encode()

    def factory(spec: ModelSpec, progress: Callable[[float], bool]) -> ScriptedBackend:
        return ScriptedBackend(spec, progress, texts=[text])

    async with loaded(factory, ModelSpec("")) as (engine, _):
        shown = await safety.shown_of(engine, PATIENT, prompt)
    assert (shown.without, shown.filtered) == ("'rm ' + path)", "")
    assert (shown.findings, shown.left) == (("shell",), ())
    assert "CWE-78" in shown.reason
    table = safety.model_table([shown])
    assert [list(column.cells) for column in table.columns][2:] == [["1", "1"]] * 3 + [["0", "0"]] * 2


def test_false_alarms_are_counted_by_the_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.py").write_text("def f(x):\n    return eval(x)\n" + "y = 1\n" * 20)
    (tmp_path / "test_a.py").write_text("eval(x)\n")
    (tmp_path / "notes.txt").write_text("eval(x)\n")
    parser = argparse.ArgumentParser()
    safety.arguments(parser)
    given = ["--code", str(tmp_path), "--show", "--suggestions", "50", "--json", str(tmp_path / "o")]
    options = parser.parse_args(given)
    assert safety.run(options) == 0
    told = capsys.readouterr().out
    assert "a.py:2: code: eval(x)" in told
    assert "1 findings in 23 lines of 1 files (1 in 23)" in told
    assert "of 50 suggestions" in told
    assert (tmp_path / "o").exists()


def test_lines_of_a_file_are_a_suggestion_in_it() -> None:
    source = "import os\n\n\ndef f(x):\n" + "    os.system('rm ' + x)\n" * 30
    document = DocumentSnapshot.of("file:///a.py", source.encode(), path="a.py")
    found = [safety.alarm_of_suggestion(document, random.Random(seed)) for seed in range(20)]
    assert any(found)
    assert all(len(each) <= 7 for each in found if each is not None)
