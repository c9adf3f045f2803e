"""`fimble complete`: the same answers as in an editor, and one clear line for every mistake."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import environment
from tests.support.forked import run
from tests.support.slow import Interrupting, SlowReader

# More than a quick prompt shows.
LONG = "".join(f"def number_{line}():\n    return {line}\n\n\n" for line in range(100))
SOURCE = "def area(width, height):\n    return width * height\n\n\ndef größe(länge):\n    return 'é😀' + länge\n"


def fimble(
    home: Path, folder: Path, *arguments: str, constants: Mapping[str, Any] | None = None
) -> subprocess.CompletedProcess[str]:
    return run(arguments, folder, environment(home), constants)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    work = tmp_path / "work"
    work.mkdir()
    (work / "area.py").write_text(SOURCE)
    return work


def scripted(*more: str) -> list[str]:
    """A model that knows the text of the file, so that the right answer is known."""
    return ["complete", "--backend", "scripted", "--model", "area.py", *more]


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("area.py:2:17", " * height"),
        ("area.py:6:20", "änge"),
        ("area.py:6:17", "+ länge"),
    ],
)
def test_the_known_text_is_continued(home: Path, folder: Path, place: str, text: str) -> None:
    """Columns are characters, from 1, whatever their size in bytes or UTF-16 units."""
    line = int(place.split(":")[1])
    column = int(place.split(":")[2])
    lines = SOURCE.splitlines(keepends=True)
    cut = lines[line - 1][: column - 1] + "\n"
    (folder / "typed.py").write_text("".join([*lines[: line - 1], cut]))
    done = fimble(home, folder, *scripted("--json", f"typed.py:{line}:{column}"))
    assert done.returncode == 0, done.stderr
    same = fimble(home, folder, *scripted("--json", f"typed.py:{line}"))  # a line alone means its end
    assert json.loads(same.stdout)["range"] == json.loads(done.stdout)["range"]
    answer = json.loads(done.stdout)
    assert answer["text"] == text
    assert answer["range"] == {"start": [line, column], "end": [line, column]}
    usage = answer["usage"]
    assert usage["evaluated_tokens"] + usage["reused_tokens"] == usage["prompt_tokens"]


def test_a_model_that_does_not_draft_is_told_beside_the_answer(home: Path, folder: Path) -> None:
    settings = home / "config" / "fimble" / "fimble.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text('draft_model = "small.txt"\n')
    (folder / "typed.py").write_text(SOURCE[: SOURCE.index(" * height")] + "\n")
    done = fimble(home, folder, *scripted("--json", "typed.py:2"))
    assert json.loads(done.stdout)["text"] == " * height"
    assert done.stderr.startswith(f"fimble: `draft_model` {settings.parent / 'small.txt'} is not used: ")
    assert done.stderr.count("\n") == 1


def test_explain_shows_the_prompt_and_its_cost(home: Path, folder: Path) -> None:
    done = fimble(home, folder, *scripted("--explain", "area.py:2:12"))
    assert done.returncode == 0, done.stderr
    for word in ("typed", "before", "marker", "<|fim_prefix|>", "reused", "evaluated", "anchored at 2:1"):
        assert word in done.stdout


def test_a_call_has_no_deadline_and_answers_from_the_full_prompt(home: Path, folder: Path) -> None:
    """A key in an editor would have to be answered within `deadline_ms`, and from a quick prompt."""
    (folder / "fimble.toml").write_text("deadline_ms = 100\n")
    (folder / "long.py").write_text(LONG + SOURCE[: SOURCE.index(" * height")] + "\n")
    place = f"long.py:{LONG.count(chr(10)) + 2}"
    slow = {"lsp_server.backends.scripted.ScriptedBackend": SlowReader}
    full, quick = (
        json.loads(fimble(home, folder, *scripted("--json", place, *more), constants=slow).stdout)
        for more in ([], ["--quick"])
    )
    assert full["text"] == quick["text"] == " * height"
    assert not full["usage"]["quick"]
    assert quick["usage"]["quick"]
    assert quick["usage"]["prompt_tokens"] < full["usage"]["prompt_tokens"] / 2
    done = fimble(home, folder, *scripted("--explain", place), constants=slow)
    assert "the full prompt" in done.stdout
    assert re.search(r"\d+ ms reading the prompt \(\d+ tokens a second\)", " ".join(done.stdout.split()))
    assert "most of it" in done.stdout


def test_what_it_waits_for_is_told_on_stderr_where_it_takes_long(home: Path, folder: Path) -> None:
    (folder / "long.py").write_text(LONG + SOURCE[: SOURCE.index(" * height")] + "\n")
    place = f"long.py:{LONG.count(chr(10)) + 2}"
    assert fimble(home, folder, *scripted(place)).stderr == "", "a short call leaves no line"
    told = fimble(home, folder, *scripted(place), constants={"lsp_server.commands.waiting.PLAIN_SECONDS": 0.0}).stderr
    lines = told.splitlines()
    assert all(line.startswith("fimble: ") for line in lines)
    phases = list(dict.fromkeys(line.split(",")[0].rstrip(" 0123456789%") for line in lines))
    assert phases == ["fimble: loading the model", "fimble: reading the file", "fimble: writing"]
    shares = [
        int(found[1]) for line in lines if (found := re.match(r"fimble: reading the file (\d+)%, \d+ tokens", line))
    ]
    assert len(shares) > 5
    assert shares == sorted(shares)
    assert "\x1b" not in told


@pytest.mark.parametrize("json_", [False, True])
def test_an_interrupted_call_shows_what_has_been_written(home: Path, folder: Path, json_: bool) -> None:
    """Of a text that goes on for ever, the words that were whole at Ctrl-C."""
    (folder / "area.py").write_text("total = width + " + "height + " * 200)
    (folder / "typed.py").write_text("total = width\n")
    stopping = {"lsp_server.backends.scripted.ScriptedBackend": Interrupting}
    done = fimble(home, folder, *scripted("typed.py:1", *(["--json"] if json_ else [])), constants=stopping)
    assert done.returncode == 130
    assert done.stderr == ""
    if json_:
        answer = json.loads(done.stdout)
        assert answer["interrupted"]
        assert answer["written"].startswith(" + height")
    else:
        assert done.stdout.startswith("total = width + height")


def test_a_file_that_counts_as_open_is_in_the_prompt(home: Path, folder: Path) -> None:
    (folder / "fimble.toml").write_text("buffers_tokens = 200\n")
    (folder / "main.py").write_text("from area import area\nprint(area(2, 3))\n")
    arguments = scripted("--json", "main.py:2:12")
    for more, shown in (([], ""), (["--open", "area.py"], "def area(width, height):\n    return width * height")):
        done = fimble(home, folder, *arguments, *more)
        assert done.returncode == 0, done.stderr
        segments = json.loads(done.stdout)["segments"]
        context = "".join(segment["text"] for segment in segments if segment["kind"] == "context")
        assert (shown in context) if shown else not context
    done = fimble(home, folder, *arguments, "--open", "missing.py")
    assert (done.returncode, done.stdout) == (2, "")
    assert "missing.py cannot be read" in done.stderr


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("area.py", "not of the form FILE:LINE[:COL]"),
        ("area.py:x", "not of the form FILE:LINE[:COL]"),
        ("area.py:x:1", "area.py:x cannot be read"),
        ("missing.py:1:1", "missing.py cannot be read: No such file"),
        ("area.py:99:1", "line 99 is outside area.py, which has 7 lines"),
        ("area.py:0:1", "line 0 is outside area.py"),
        ("area.py:2:99", "column 99 is outside line 2 of area.py, which has 25 characters"),
        ("latin.py:1:1", "latin.py is not UTF-8 text"),
    ],
)
def test_a_wrong_place_is_named(home: Path, folder: Path, place: str, message: str) -> None:
    (folder / "latin.py").write_bytes("x = 'ä'\n".encode("latin-1"))
    done = fimble(home, folder, *scripted(place))
    assert done.returncode == 2
    assert done.stdout == ""
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_wrong_setting_is_named(home: Path, folder: Path) -> None:
    (folder / "fimble.toml").write_text('context_tokens = "many"\n')
    done = fimble(home, folder, *scripted("area.py:1:1"))
    assert done.returncode == 2
    assert "setting `context_tokens`" in done.stderr
    assert "expected `int`" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("content", [None, b"hello", b"GGUF\x03\x00"])
def test_a_bad_model_is_named(home: Path, folder: Path, content: bytes | None) -> None:
    if content is not None:
        (folder / "bad.gguf").write_bytes(content)
    done = fimble(home, folder, "complete", "--model", "bad.gguf", "area.py:1:1")
    assert done.returncode == 2
    assert done.stdout == ""
    assert "bad.gguf" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_help_names_the_commands(home: Path, folder: Path) -> None:
    done = fimble(home, folder, "--help")
    assert done.returncode == 0
    assert "serve" in done.stdout
    assert "complete" in done.stdout
