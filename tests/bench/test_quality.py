"""`bench quality` end to end on a scripted model: treatments of one output, anchors, going on, and the command."""

from __future__ import annotations

import argparse
import io
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from rich.console import Console

from bench import quality
from bench.__main__ import main
from bench.filling import quality_tables
from bench.filling.completers import (
    NO_SUFFIX,
    NOT_HEALED,
    NOTHING_REPLACED,
    QUICK,
    RAW,
    RAW_LINE,
    SHOWN,
    SHOWN_LINE,
    UNCHECKED,
    Answer,
    Completer,
    Fimble,
    Gold,
    History,
    other_prompt,
)
from bench.filling.outputs import Output, Piece, Place, answered
from bench.filling.scores import Completion, score
from bench.filling.store import Store
from bench.filling.tasks import Task, Test
from lsp_server.backends.base import Backend, BackendFactory, ModelError, ModelSpec
from lsp_server.backends.scripted import ScriptedBackend
from lsp_server.core.prompt import FimPrompt
from lsp_server.engine.client import EngineClient, loaded
from lsp_server.features.inline import InlineCompleter
from lsp_server.features.options import InlineOptions
from lsp_server.features.outcome import Trigger
from tests.bench.rows import HUMANEVAL_ROWS, SAFIM_ROWS, SOURCES, write_rows

pytest.importorskip("resource", reason="the sandbox needs the system's limits")

SECONDS = 30
QUIET = Console(file=io.StringIO())
SPEC = ModelSpec("", sequences=2, fim_format="prefix-only")

# What the model would write on behind each hole; its raw output goes on where an answer would end.
LINE = Task(
    id="0",
    set="humaneval",
    path="solution.py",
    before="def area(width, height):\n",
    after="\n\nprint(area(2, 3))\n",
    reference="    return width * height",
    single_line=True,
    tests=(Test(tail="assert area(2, 3) == 6\n"),),
)
LINE_TEXT = b"def area(width, height):\n    return width * height\nprint(area(2, 3))\nprint(area(4, 5))\n\nx"
BLOCK = Task(
    id="1",
    set="safim-block",
    path="main.py",
    before="total = int(input())\nif total > 3:\n    ",
    after="\nprint(total)\n",
    reference="other = total + 1\n    total = other * 2",
    single_line=False,
    tests=(Test(stdin="4", output=("10",)),),
)
BLOCK_TEXT = (
    b"total = int(input())\nif total > 3:\n    other = total + 1\n    total = other * 2\nelse:\n    broken(\n\nx"
)
TEXTS = (LINE_TEXT, BLOCK_TEXT)


def factory(*texts: bytes, words: Sequence[bytes] = ()) -> BackendFactory:
    def load(spec: ModelSpec, progress: Callable[[float], bool]) -> Backend:
        spec = replace(spec, path="", fim_format="prefix-only")
        return ScriptedBackend(spec, progress, texts=texts or TEXTS, words=words)

    return load


def completed(task: Task, made: Callable[[EngineClient], Completer], *texts: bytes) -> Answer:
    async def complete() -> Answer:
        with anyio.fail_after(SECONDS):
            async with loaded(factory(*texts), SPEC) as (engine, _):
                return await made(engine).complete(task)

    return anyio.run(complete)


def evaluated(tasks: Sequence[Task], completers: Sequence[Completer], store: Store) -> None:
    anyio.run(quality.evaluate, tasks, completers, store, QUIET)


def fimble(**options: Any) -> Callable[[EngineClient], Completer]:
    return lambda engine: Fimble(engine, InlineOptions(), **options)


def texts(answer: Answer) -> dict[str, str]:
    return {name: completion.text for name, completion in answer.completions.items()}


def test_treatments_of_a_line() -> None:
    answer = completed(LINE, fimble())
    found = texts(answer)
    assert list(found) == [SHOWN, UNCHECKED, SHOWN_LINE, RAW_LINE]
    assert found[RAW_LINE] == found[SHOWN_LINE] == LINE.reference
    assert found[SHOWN].startswith(LINE.reference)
    assert answer.facts["written"].startswith(LINE.reference + "\n")


def test_treatments_of_a_block() -> None:
    found = texts(completed(BLOCK, fimble()))
    assert list(found) == [SHOWN, UNCHECKED, RAW, RAW_LINE]
    assert found[SHOWN] == BLOCK.reference
    assert found[RAW_LINE] == "other = total + 1"
    # The rules of the hole do not end it; the model's window or a blank line does.
    assert found[RAW].startswith(BLOCK.reference + "\nelse:\n    broken(")


def test_nothing_shown_is_an_empty_completion() -> None:
    task = replace(LINE, before="value = compute(", after=")\n", reference="1")
    answer = completed(task, fimble(), b"value = compute()\n" * 2)
    assert answer.completions[SHOWN] == Completion("", task.cursor, task.cursor)
    assert answer.facts["reason"]


def test_inside_a_name_nothing_is_shown_but_the_raw_output_still_counts() -> None:
    task = replace(LINE, before="wid", after="th = 3\n", reference="")
    answer = completed(task, fimble(), b"width = 4\n" * 8)
    found = texts(answer)
    assert not found[SHOWN]
    assert found[RAW_LINE]
    assert answer.facts["reason"] == "the cursor is inside a name; suggestions come at its end"


@pytest.mark.parametrize(
    ("task", "text"),
    [
        pytest.param(LINE, LINE_TEXT, id="line"),
        pytest.param(BLOCK, BLOCK_TEXT, id="block"),
        pytest.param(
            replace(LINE, before="value = compute(", after=")\n"), b"value = compute(1, 2)\n" * 9, id="bracket"
        ),
        pytest.param(
            replace(LINE, before="def f():\n    ", after=""), b"def f():\n    long_" + b"er_" * 99, id="limit"
        ),
        pytest.param(replace(LINE, before="x = 1", after="\n"), b"x = 1", id="the model's end"),
        pytest.param(replace(LINE, before="name = '", after="'\n"), b"name = 'somebody'\n" * 5, id="string"),
        pytest.param(replace(LINE, before="wid", after="th = 3\n"), b"width = 4\n" * 8, id="inside a name"),
    ],
)
def test_what_is_made_of_an_output_is_what_the_server_shows(task: Task, text: bytes) -> None:
    """The stored output, cut and shaped afterwards, against the engine's own stopping and the completer's answer."""

    async def both() -> None:
        with anyio.fail_after(SECONDS):
            async with loaded(factory(text), SPEC) as (engine, _):
                options = InlineOptions(candidates=1)
                live = await InlineCompleter(engine, lambda: options).complete(
                    task.document(), task.cursor, Trigger.INVOKED
                )
                answer = await Fimble(engine, options).complete(task)
        shown = live.suggestion.text if live.suggestion else ""
        assert answer.completions[SHOWN] == Completion(shown, task.cursor, task.cursor)
        assert answer.facts["written"] == live.written
        assert answer.facts["reason"] == live.reason

    anyio.run(both)


async def test_confidence_is_that_of_the_least_probable_token_shown() -> None:
    place = Place.of(LINE, 8)
    line = [Piece("    return ", -0.1), Piece("width *", 2 * math.log(0.5), 2), Piece(" height", -0.2)]
    found = await answered(Output((*line, Piece("\nprint(area(2, 3))", -50.0), Piece("\n", -50.0)), "enough"), place)
    assert found.suggestion is not None
    assert found.suggestion.text == LINE.reference
    assert found.confidence == pytest.approx(0.5)
    assert (found.tokens, found.short) == (5, False)


async def test_an_output_that_is_too_short_for_the_rules_is_told() -> None:
    for end, short in (("enough", True), ("end", False), ("length", False)):
        found = await answered(Output((Piece("    return wid", -1.0),), end), Place.of(LINE, 8))
        assert found.short == short


def test_outputs_are_decoded_once_and_again_for_another_prompt() -> None:
    outputs = Store(None, {})

    async def prompts(*tasks: Task) -> list[int]:
        counts = []
        with anyio.fail_after(SECONDS):
            async with loaded(factory(), SPEC) as (engine, _):
                completer = Fimble(engine, InlineOptions(), outputs=outputs)
                decode = completer.decode
                asked: list[Any] = []

                async def counted(*given: Any) -> Output:
                    asked.append(given)
                    return await decode(*given)

                completer.decode = counted  # type: ignore[method-assign]
                for task in tasks:
                    await completer.complete(task)
                    counts.append(len(asked))
        return counts

    assert anyio.run(prompts, LINE, LINE, BLOCK) == [1, 1, 2]
    kept = Output.from_dict(json.loads(json.dumps(outputs.records[LINE.set, LINE.id])))
    assert kept.text.startswith(LINE.reference)
    assert sum(piece.tokens for piece in kept.pieces) == len(kept.pieces) > 1
    other = replace(LINE, before="# more\n" + LINE.before)
    outputs.records[LINE.set, LINE.id] |= {"end": "enough", "pieces": outputs.records[LINE.set, LINE.id]["pieces"][:1]}
    assert anyio.run(prompts, LINE, LINE, other) == [1, 1, 2], "too short, long enough, another prompt"


def test_a_model_that_fails_ends_the_run() -> None:
    class Failing(ScriptedBackend):
        def evaluate(self, *_: Any, **__: Any) -> Any:
            raise ModelError("out of memory")

    async def complete() -> None:
        with anyio.fail_after(SECONDS):
            async with loaded(Failing, SPEC) as (engine, _):
                await Fimble(engine, InlineOptions()).complete(LINE)

    with pytest.raises(ModelError, match="out of memory"):
        anyio.run(complete)


@pytest.mark.parametrize(
    ("history", "expected"),
    [("rested", History("rested")), ("above=2", History("above", 2)), ("below=10", History("below", 10))],
)
def test_histories(history: str, expected: History) -> None:
    assert History.parse(history) == expected
    assert str(expected) == history


@pytest.mark.parametrize("history", ["", "above", "above=0", "below=-1", "rested=2", "sideways=3"])
def test_what_is_no_history(history: str) -> None:
    with pytest.raises(ValueError, match="none of rested"):
        History.parse(history)


class Prompts:
    """Collects the prompts that are decoded from."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: list[FimPrompt] = []
        submit = EngineClient.submit

        def recording(
            client: EngineClient, prompt: FimPrompt, stop: Any, max_tokens: int, *args: Any, **more: Any
        ) -> int:
            if max_tokens:
                self.seen.append(prompt)
            return submit(client, prompt, stop, max_tokens, *args, **more)

        monkeypatch.setattr(EngineClient, "submit", recording)


LONG = replace(
    LINE,
    before="".join(f"above_{line} = {line}\n" for line in range(30)),
    after="\n" + "".join(f"below_{line} = {line}\n" for line in range(30)),
)


@pytest.mark.parametrize(
    ("history", "first_below"),
    [(None, "below_0"), ("below=5", "below_5"), ("rested", "below_0"), ("above=3", "below_0")],
)
def test_where_the_user_was_decides_the_prompt(
    monkeypatch: pytest.MonkeyPatch, history: str | None, first_below: str
) -> None:
    prompts = Prompts(monkeypatch)
    completed(LONG, fimble(history=History.parse(history) if history else None))
    after = prompts.seen[0].text("after").decode()
    assert after.split("# ")[2].startswith(first_below)
    assert prompts.seen[0].text("before").decode().endswith("above_29 = 29\n")


def test_an_anchor_further_up_makes_the_lines_since_then_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    prompts = Prompts(monkeypatch)

    async def complete() -> None:
        with anyio.fail_after(SECONDS):
            spec = replace(SPEC, fim_format="qwen-fim")
            async with loaded(ScriptedBackend, spec) as (engine, _):
                await Fimble(engine, InlineOptions(), history=History("above", 3)).complete(LONG)
                await Fimble(engine, InlineOptions()).complete(LONG)

    anyio.run(complete)
    assert prompts.seen[0].text("typed").startswith(b"above_27 = 27\n")
    assert prompts.seen[-1].text("typed") == b""


def test_the_quick_prompt_of_a_slow_machine_shows_what_is_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    prompts = Prompts(monkeypatch)
    answer = completed(LONG, fimble(quick_rate=50))
    full, quick = prompts.seen
    assert quick.text("before").decode().endswith(full.text("before").decode()[-60:])
    assert len(quick.text("before")) < len(full.text("before")) / 2
    assert {SHOWN, QUICK} <= set(answer.completions)
    completed(LINE, fimble(quick_rate=50))
    assert len(prompts.seen) == 3, "a short prompt is not asked with twice"


@pytest.mark.parametrize(
    ("kind", "beginning", "suffix"),
    [
        ("plain", "<|fim_prefix|>def", "\n    return 1\n"),
        ("path", "<|file_sep|>m.py\n<|fim_prefix|>def", "\n    return 1\n"),
        ("repository", "<|repo_name|>project\n<|file_sep|>m.py\n<|fim_prefix|>def", "\n    return 1\n"),
        ("no-break", "<|fim_prefix|>def", "    return 1\n"),
    ],
)
def test_other_prompts_change_one_thing_each(kind: str, beginning: str, suffix: str) -> None:
    task = replace(LINE, path="m.py", before="def f():\n", after="\n    return 1\n")
    text = b"".join(segment.text for segment in other_prompt(task, kind).segments).decode()
    assert text.startswith(beginning)
    assert text.endswith(f"<|fim_suffix|>{suffix}<|fim_middle|>")


def test_a_short_suffix_ends_with_a_line() -> None:
    task = replace(LINE, after="\n    return 1" * 40)
    text = b"".join(segment.text for segment in other_prompt(task, "short-suffix").segments).decode()
    shown = text.partition("<|fim_suffix|>")[2].removesuffix("<|fim_middle|>")
    assert task.after.startswith(shown)
    assert 100 < len(shown) <= 180
    assert shown.endswith("return 1")


def test_without_healing_the_same_bytes_are_asked_about(monkeypatch: pytest.MonkeyPatch) -> None:
    prompts = Prompts(monkeypatch)
    task = replace(LINE, before=LINE.before + "    return wid", reference="th * height")
    found = texts(completed(task, fimble(unhealed=True)))
    assert found[NOT_HEALED] == found[RAW_LINE] == "th * height"
    healed, plain = prompts.seen[0], prompts.seen[-1]
    assert healed.text("typed") == b"    return wid"
    assert plain.text("typed") == b""
    assert b"".join(s.text for s in healed.segments) == b"".join(s.text for s in plain.segments)


def test_without_the_suffix_the_model_sees_what_stands_before(monkeypatch: pytest.MonkeyPatch) -> None:
    prompts = Prompts(monkeypatch)
    found = texts(completed(LINE, fimble(no_suffix=True)))
    assert found[NO_SUFFIX] == LINE.reference
    shown, alone = prompts.seen[0], prompts.seen[-1]
    assert b"area(2, 3)" in shown.text("after")
    assert (alone.text("after"), alone.text("before")) == (b"", shown.text("before"))


class Scripted:
    """A completer of a fixed text for each task, which counts how often it is asked."""

    def __init__(self, answers: dict[str, str], name: str = "peer", *, fails_at: str = "") -> None:
        self.answers, self.name, self.fails_at = answers, name, fails_at
        self.asked: list[str] = []

    async def complete(self, task: Task) -> Answer:
        self.asked.append(task.id)
        if task.id == self.fails_at:
            raise ModelError("the model is gone")
        text = self.answers.get(task.id, "")
        return Answer({self.name: Completion(text, task.cursor, task.cursor)}, {"by": self.name})


TASKS = [replace(LINE, id=str(number)) for number in range(6)]
RIGHT = {task.id: task.reference for task in TASKS}
WRONG = {task.id: "    return width" for task in TASKS[:4]}


def test_completers_are_compared_hole_by_hole() -> None:
    store = Store(None, {})
    evaluated(TASKS, [Scripted(RIGHT), Scripted(WRONG, "other")], store)
    (summary,) = quality_tables.summarise(list(store.records.values()))
    peer, other = summary["treatments"]["peer"], summary["treatments"]["other"]
    assert (peer["pass@1"]["percent"], peer["exact"]["percent"], peer["shown"], peer["parses"]) == (100, 100, 100, 100)
    assert (other["pass@1"]["percent"], other["shown"]) == (0, pytest.approx(66.67))
    row = summary["comparisons"][0]
    assert (row["first"], row["second"], row["points"], row["only_first"]) == ("peer", "other", 100.0, 6)
    assert row["p"] == pytest.approx(2 / 2**6, abs=1e-4)


def test_what_a_threshold_of_confidence_leaves() -> None:
    store = Store(None, {})
    half = {task.id: task.reference if number < 3 else "    return width" for number, task in enumerate(TASKS)}
    evaluated(TASKS, [Scripted({**half, "5": ""}, SHOWN)], store)
    for confidence, task in zip((0.9, 0.5, 0.05, 0.12, 0.01, 0.0), TASKS, strict=True):
        store.records[task.set, task.id]["confidence"] = confidence
    (summary,) = quality_tables.summarise(list(store.records.values()))
    rows = {row.pop("threshold"): row for row in summary["confidence"]}
    assert rows[0.0] == {"shown": 100, "right": 60, "right_kept": 100, "wrong_removed": 0}
    assert rows[0.1] == {"shown": 60, "right": 66.7, "right_kept": 66.7, "wrong_removed": 50}
    assert rows[0.5] == {"shown": 40, "right": 100, "right_kept": 66.7, "wrong_removed": 100}


def test_a_run_goes_on_where_it_ended(tmp_path: Path) -> None:
    path = tmp_path / "run" / "quality.holes.jsonl"
    broken = Scripted(RIGHT, fails_at="3")
    with pytest.raises(ModelError, match="gone"):
        evaluated(TASKS, [broken], Store(path, {"seed": 0}))
    with path.open("a") as file:
        file.write('{"set": "humaneval", "id": "5", "sco')  # the machine went down here
    second = Scripted(RIGHT)
    store = Store(path, {"seed": 0})
    assert {id for _, id in store.records} == {"0", "1", "2"}
    evaluated(TASKS, [second], store)
    assert second.asked == ["3", "4", "5"]
    assert Store(path, {"seed": 0}).records == store.records
    assert len(path.read_text().splitlines()) == 1 + len(TASKS)
    assert not Store(path, {"seed": 1}, fresh=True).records


@pytest.mark.parametrize(
    ("content", "message"),
    [('{"seed": 1}\n', "another seed"), ("[1]\n", "does not hold a run"), ("nonsense\n", "does not hold a run")],
)
def test_another_run_is_not_gone_on_with(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        Store(path, {"seed": 0})
    assert path.read_text() == content


# The command --------------------------------------------------------------------------------------------


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    write_rows(folder / "humaneval-infilling-single-line.jsonl.gz", HUMANEVAL_ROWS)
    for kind in ("block", "control"):
        write_rows(folder / f"safim-python-{kind}-half.jsonl.gz", SAFIM_ROWS)
    return folder


@pytest.fixture
def code(tmp_path: Path) -> Path:
    folder = tmp_path / "code"
    folder.mkdir()
    for name, source in SOURCES.items():
        (folder / name).write_text(source * 5, "utf-8")
    return folder


def test_gold_passes_every_set(data: Path, code: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["quality", "--data", str(data), "--repo", str(code), "--gold"]) == 0
    printed = capsys.readouterr().out
    assert "every answer passes" in printed
    assert all(name in printed for name in (*quality.SETS[:3], "repo-line", "repo-block"))


def test_gold_that_does_not_pass_is_told(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [*HUMANEVAL_ROWS, {**HUMANEVAL_ROWS[0], "task_id": "wrong", "canonical_solution": "    return 9\n"}]
    write_rows(data / "humaneval-infilling-single-line.jsonl.gz", rows)
    assert main(["quality", "--data", str(data), "--set", "humaneval", "--gold"]) == 1
    assert "not every answer passes" in capsys.readouterr().out


def test_the_command_measures_and_goes_on(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    known = b"\n\n".join(str(row["prompt"] + row["canonical_solution"]).encode() for row in HUMANEVAL_ROWS[1:2])
    monkeypatch.setattr(quality, "model_factory", lambda: factory(known))
    out = tmp_path / "out" / "results.json"
    command = ["quality", "--data", str(data), "--set", "humaneval", "--out", str(out), "--anchor", "below=3"]
    assert main([*command, "--limit", "2"]) == 0
    first = out.with_suffix(".holes.jsonl").read_text()
    assert main(command) == 0
    assert out.with_suffix(".holes.jsonl").read_text().startswith(first), "what was done is not done again"
    result = json.loads(out.read_text())
    assert result["model"]["name"] == "scripted"
    assert result["machine"]["cores"] >= 1
    (summary,) = result["summary"]
    assert summary["holes"] == len(HUMANEVAL_ROWS)
    # The model knows the second program alone, and all four begin alike.
    assert summary["treatments"][SHOWN_LINE]["pass@1"]["percent"] == 25
    assert list(summary["treatments"]) == [SHOWN, UNCHECKED, SHOWN_LINE, RAW_LINE, "shown, below=3"]
    assert "McNemar" in capsys.readouterr().out
    assert main([*command, "--seed", "7"]) == 2
    assert "another seed" in capsys.readouterr().out


def test_mid_word_holes_compare_healing(data: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    known = str(HUMANEVAL_ROWS[1]["prompt"] + HUMANEVAL_ROWS[1]["canonical_solution"]).encode()
    monkeypatch.setattr(quality, "model_factory", lambda: factory(known))
    out = tmp_path / "results.json"
    assert main(["quality", "--data", str(data), "--set", "humaneval", "--mid-word", "--out", str(out)]) == 0
    (summary,) = json.loads(out.read_text())["summary"]
    pairs = [(row["first"], row["second"]) for row in summary["comparisons"]]
    assert (RAW_LINE, NOT_HEALED) in pairs
    assert summary["treatments"][NOT_HEALED]["exact"]["percent"] == 25


def test_closed_brackets_compare_replacing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {**HUMANEVAL_ROWS[1], "canonical_solution": "    return int(value) + 1\n"}
    data = tmp_path / "data"
    data.mkdir()
    write_rows(data / "humaneval-infilling-single-line.jsonl.gz", [row])
    known = str(row["prompt"] + row["canonical_solution"]).encode()
    monkeypatch.setattr(quality, "model_factory", lambda: factory(known))
    out = tmp_path / "results.json"
    command = ["quality", "--data", str(data), "--set", "humaneval", "--closed", "--out", str(out)]
    assert main(command) == 0
    (summary,) = json.loads(out.read_text())["summary"]
    passed = {name: found["pass@1"]["percent"] for name, found in summary["treatments"].items()}
    assert passed == {SHOWN: 100, UNCHECKED: 100, SHOWN_LINE: 100, RAW_LINE: 0, NOTHING_REPLACED: 0}
    assert (SHOWN, NOTHING_REPLACED) in [(row["first"], row["second"]) for row in summary["comparisons"]]
    assert main([*command, "--replay"]) == 0
    assert json.loads(out.read_text())["summary"] == [summary]
    assert main([*command, "--mid-word"]) == 2
    assert "--closed" in capsys.readouterr().out


def test_a_folder_of_ones_own(
    code: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = [source.encode() for source in SOURCES.values()]
    monkeypatch.setattr(quality, "model_factory", lambda: factory(*texts))
    out = tmp_path / "results.json"
    assert main(["quality", "--repo", str(code), "--limit", "24", "--out", str(out)]) == 0
    summaries = {summary["set"]: summary for summary in json.loads(out.read_text())["summary"]}
    assert set(summaries) == {"repo-line", "repo-block"}
    assert sum(summary["holes"] for summary in summaries.values()) == 24
    lines = summaries["repo-line"]
    assert lines["treatments"][SHOWN_LINE]["similarity"] > 50
    assert "pass@1" not in lines["treatments"][SHOWN]
    assert len(lines["groups"]) > 1


def test_a_replay_judges_the_outputs_anew_without_a_model(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    known = b"\n\n".join(str(row["prompt"] + row["canonical_solution"]).encode() for row in HUMANEVAL_ROWS)
    monkeypatch.setattr(quality, "model_factory", lambda: factory(known))
    out = tmp_path / "results.json"
    command = ["quality", "--data", str(data), "--set", "humaneval", "--out", str(out)]
    assert main([*command, "--limit", "3"]) == 0
    first, outputs = json.loads(out.read_text()), out.with_suffix(".outputs.jsonl").read_text()

    def no_model() -> BackendFactory:
        raise AssertionError("a replay loads no model")

    monkeypatch.setattr(quality, "model_factory", no_model)
    assert main([*command, "--limit", "3", "--replay"]) == 0
    assert json.loads(out.read_text())["summary"] == first["summary"]
    # Other code makes something else of the same outputs, and no test is run twice.
    monkeypatch.setattr(
        quality, "score", lambda task, completion: score(task, completion) if not completion.text else 1 / 0
    )
    monkeypatch.setattr("lsp_server.features.generation.shape", lambda *_, **__: None)
    capsys.readouterr()
    assert main([*command, "--replay"]) == 0
    assert "3 of 4 holes" in capsys.readouterr().out
    (replayed,) = json.loads(out.read_text())["summary"]
    assert replayed["treatments"][SHOWN]["shown"] == 0
    assert replayed["treatments"][RAW_LINE] == first["summary"][0]["treatments"][RAW_LINE]
    assert out.with_suffix(".outputs.jsonl").read_text() == outputs


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give --data DIR"),
        (["--data", "DATA", "--replay"], "name the --out FILE"),
        (["--data", "DATA", "--replay", "--out", "none.json"], "no results at none.outputs.jsonl"),
        (["--data", "DATA", "--replay", "--mid-word"], "--replay"),
        (["--data", "DATA", "--set", "repo"], "needs --repo"),
        (["--repo", "CODE", "--set", "humaneval"], "needs --data"),
        (["--repo", "DATA"], "no source files"),
        (["--repo", "CODE", "--language", "Klingon"], "no language Klingon"),
        (["--repo", "CODE", "--language", "Ruby"], "no holes"),
        (["--data", "CODE"], "No such file"),
        (["--data", "DATA", "--limit", "0"], "at least 1"),
        (["--data", "DATA", "--anchor", "sideways"], "none of rested"),
        (["--data", "DATA", "--model", "nothing.gguf"], "does not exist"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str], message: str, data: Path, code: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {"DATA": str(data), "CODE": str(code)}
    assert main(["quality", *(names.get(argument, argument) for argument in arguments)]) == 2
    printed = " ".join(capsys.readouterr().out.split())
    assert message in printed
    assert "Traceback" not in printed


def test_gold_needs_no_model() -> None:
    parser = argparse.ArgumentParser()
    quality.arguments(parser)
    assert parser.parse_args(["--gold"]).gold
    assert texts(anyio.run(Gold().complete, LINE)) == {"gold": LINE.reference}
