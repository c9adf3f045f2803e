"""`fimble models optimize`: a copy that is whole or not there, says what it is, and is only used if that is wanted."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import pytest

from lsp_server import __version__
from lsp_server.backends import requantise
from lsp_server.cli import run
from lsp_server.commands import faster_copy
from lsp_server.models import admission, compare, gguf_writer, ledger, lock, samples
from lsp_server.models.gguf import read_header
from lsp_server.settings import sources, trust
from tests.conftest import environment
from tests.models.test_trim import WORDS, merges_of
from tests.support.tiny_gguf import write_tiny_gguf

pytest.importorskip("llama_cpp", reason="the llama backend is not installed")

Q4_1, Q4_0 = gguf.GGMLQuantizationType.Q4_1, gguf.GGMLQuantizationType.Q4_0


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty user folders, a workspace, and a clock by which a model is the faster the smaller it is."""
    for name in ("CACHE", "CONFIG"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config" / "fimble").mkdir(parents=True)
    (tmp_path / "config" / "fimble" / "fimble.toml").write_text("threads = 1\n")
    monkeypatch.setattr(compare, "_turn", lambda backend, clock: ([backend.info.bytes / 1e6],) * 2)
    monkeypatch.setattr(faster_copy, "_PROMPTS", 6)
    monkeypatch.setattr(admission, "try_in_child", lambda *_: ("", True))  # tests/models/test_admission.py has it
    return tmp_path


@pytest.fixture
def models(place: Path) -> Path:
    return place / "cache" / "fimble" / "models"


def tiny(path: Path, quantisation: gguf.GGMLQuantizationType = Q4_0, *, spm: bool = True, **options: Any) -> Path:
    return write_tiny_gguf(path, merges=merges_of(WORDS, spm=spm), spm=spm, quantisation=quantisation, **options)


Found = dict[str, Any]


@pytest.fixture
def optimized(capsys: pytest.CaptureFixture[str]) -> Callable[..., Found]:
    def command(*arguments: str) -> Found:
        capsys.readouterr()
        assert run(["models", "optimize", *arguments, "--json"]) == 0
        found: Found = json.loads(capsys.readouterr().out)
        return found

    return command


def listed(capsys: pytest.CaptureFixture[str], name: str) -> Found:
    capsys.readouterr()
    assert run(["models", "list", "--json"]) == 0
    (entry,) = [one for one in json.loads(capsys.readouterr().out)["installed"] if one["name"] == name]
    found: Found = entry
    return found


def in_place(models: Path) -> list[str]:
    return sorted(path.name for path in models.iterdir()) if models.exists() else []


def test_a_copy_is_made_shown_listed_used_and_removed(
    place: Path, models: Path, optimized: Callable[..., Found], capsys: pytest.CaptureFixture[str]
) -> None:
    source = tiny(place / "tiny.gguf")
    digest = ledger.hash_file(source, source.stat().st_size)
    found = optimized(str(source), "--scripts", "ascii")
    copy = models / "tiny.ascii.gguf"
    assert found["copy"] == str(copy)
    assert found["sha256"] == digest
    assert in_place(models) == ["fimble.lock.json", copy.name]
    before, after = found["arms"]
    assert (before["bytes"], after["bytes"]) == (source.stat().st_size, copy.stat().st_size)
    assert after["bytes"] < before["bytes"]
    assert after["decode"]["all"] > 1.02
    assert (after["lines"], after["other_lines"]) == (6, 1)
    assert after["same_tokens"] <= after["tokens"]
    header = read_header(copy)
    assert header.vocabulary == found["vocabulary"]["kept"] < found["vocabulary"]["tokens"]
    changes = f"ascii vocabulary ({header.vocabulary} of {found['vocabulary']['tokens']} tokens)"
    assert [header.text(f"fimble.{key}") for key in ("source", "source.sha256", "changes", "version")] == [
        source.name,
        digest,
        changes,
        __version__,
    ]
    entry = listed(capsys, copy.name)
    assert entry["source"] == f"made of tiny.gguf: {changes}"
    assert (entry["problem"], entry["used"], entry["bytes"]) == ("", False, copy.stat().st_size)
    assert run(["models", "verify", copy.name]) == 0
    assert run(["models", "use", copy.name]) == 0
    assert sources.load([])[0].model == str(copy)
    assert listed(capsys, copy.name)["used"]
    assert run(["models", "rm", copy.name]) == 0
    assert in_place(models) == ["fimble.lock.json"]
    assert lock.pins() == {}


def test_the_model_that_is_set_is_meant_and_can_be_used_at_once(
    place: Path, models: Path, optimized: Callable[..., Found]
) -> None:
    source = tiny(place / "tiny.gguf")
    trust.remember(place, True)
    (place / "fimble.toml").write_text(f"model = {json.dumps(str(source))}\n")
    found = optimized("--scripts", "ascii", "--use")
    assert found["source"] == str(source)
    assert sources.load([])[0].model == found["copy"] == str(models / "tiny.ascii.gguf")


@pytest.mark.parametrize(("said", "used"), [("y", True), ("", False), ("no", False)])
def test_a_person_is_asked(
    place: Path,
    models: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    said: str,
    used: bool,
) -> None:
    for stream in (sys.stdin, sys.stdout):
        monkeypatch.setattr(stream, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "120")
    asked: list[str] = []
    monkeypatch.setattr("builtins.input", lambda question: asked.append(question) or said)
    assert run(["models", "optimize", str(tiny(place / "tiny.gguf"))]) == 0
    copy = models / "tiny.latin.gguf"
    assert len(asked) == 1
    out = capsys.readouterr().out
    assert "same tokens" in out
    assert "kept: latin vocabulary" in out
    assert ("fimble models use tiny.latin.gguf" in out) == (not used)
    assert sources.load([])[0].model == (str(copy) if used else "")
    assert copy.is_file()


@pytest.mark.parametrize("spm", [True, False])
def test_vocabulary_and_type_together(place: Path, optimized: Callable[..., Found], spm: bool) -> None:
    source = tiny(place / "tiny.Q4_1.gguf", Q4_1, spm=spm)
    found = optimized(str(source), "--scripts", "latin", "--type", "Q4_0")
    assert [arm["name"] for arm in found["arms"]] == ["as it is", "latin vocabulary", "latin vocabulary, Q4_0"]
    copy = Path(found["copy"])
    assert copy.name == "tiny.Q4_1.latin.to-Q4_0.gguf"
    header = read_header(copy)
    assert (header.vocabulary, header.quantisation) == (found["vocabulary"]["kept"], "Q4_0")
    assert header.text("fimble.source") == source.name
    # The tiny file does not say what its mix is called, and most of its bytes are F32.
    assert header.text("fimble.changes").endswith("tokens), Q4_0 (was F32)")


def test_each_change_can_be_left_out(place: Path, optimized: Callable[..., Found]) -> None:
    source = tiny(place / "tiny.Q4_1.gguf", Q4_1)
    found = optimized(str(source), "--type", "keep")
    assert Path(found["copy"]).name == "tiny.Q4_1.latin.gguf"
    assert read_header(Path(found["copy"])).tensors[3].type_name == "Q4_1"
    found = optimized(str(source), "--scripts", "all", "--type", "Q4_0")
    header = read_header(Path(found["copy"]))
    assert Path(found["copy"]).name == "tiny.Q4_1.to-Q4_0.gguf"
    assert (found["vocabulary"], header.vocabulary) == (None, read_header(source).vocabulary)
    assert header.text("fimble.changes") == "Q4_0 (was F32)"


def test_of_weights_without_a_layout_for_cpus_a_larger_copy_is_tried(
    place: Path, optimized: Callable[..., Found], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is kept if it is faster, however large."""
    monkeypatch.setattr(compare, "_turn", lambda backend, clock: ([(1e6 / backend.info.bytes) ** 40],) * 2)
    monkeypatch.setattr(faster_copy, "_TYPE_AGREES", {"Q8_0": 0.1, "Q4_0": 0.97})  # the weights are random
    source = tiny(place / "tiny.Q4_1.gguf", Q4_1)
    found = optimized(str(source), "--scripts", "all")
    assert [arm["name"] for arm in found["arms"]] == ["as it is", "Q8_0", "Q4_0"]
    assert found["chosen"] == "Q8_0"
    copy = read_header(Path(found["copy"]))
    assert copy.path.name == "tiny.Q4_1.to-Q8_0.gguf"
    assert copy.file_bytes > source.stat().st_size
    kinds = {tensor.type_name for tensor in copy.tensors if tensor.name.startswith("blk.") and len(tensor.shape) > 1}
    assert kinds == {"Q8_0"}


def agreement(same: int) -> compare.Agreement:
    return compare.Agreement(10, same // 10, 0, 0, 100, same)


def speed(times: float) -> compare.Speed:
    return compare.Speed(times, times, compare.Ratio(times, times, times), compare.Ratio(times, times, times))


@pytest.mark.parametrize(
    ("cut", "repacked", "same", "chosen"),
    [
        (1.2, 1.5, 98, 2),
        (1.2, 1.5, 86, 1),  # it writes something else too often
        (1.2, 1.25, 98, 1),  # not so much faster that it pays
        (1.0, 1.0, 98, 1),  # smaller, at least
        (0.8, 0.8, 98, 0),
        (0.8, 1.2, 98, 2),
    ],
)
def test_what_is_kept(place: Path, cut: float, repacked: float, same: int, chosen: int) -> None:
    arms = [
        faster_copy.Arm("as it is", place, 3),
        faster_copy.Arm("cut", place, 2, gain=faster_copy._CUT_GAIN),
        faster_copy.Arm("repacked", place, 1, "Q4_0", faster_copy._TYPE_GAIN, faster_copy._TYPE_AGREES["Q4_0"]),
    ]
    speeds, agreements = [speed(1), speed(cut), speed(repacked)], [agreement(100), agreement(100), agreement(same)]
    assert faster_copy.choose(arms, speeds, agreements) == chosen
    assert faster_copy.choose(arms, speeds, agreements, forced=True) == 2


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert run(["models", "optimize", *arguments]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.endswith("…")]
    (line,) = lines
    return line


def test_mistakes_are_one_line_and_leave_nothing(
    place: Path, models: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tiny(place / "tiny.gguf")
    (place / "text.gguf").write_text("hello")
    assert "is not a GGUF file" in refused(capsys, str(place / "text.gguf"))
    assert "no model called 'nonsense'" in refused(capsys, "nonsense")
    assert "no script called 'klingon'" in refused(capsys, str(source), "--scripts", "klingon")
    assert "nothing to gain with tiny.gguf: you ask for no change" in refused(
        capsys, str(source), "--scripts", "all", "--type", "keep"
    )
    line = refused(capsys, str(source), "--scripts", "cyrillic,katakana,latin")
    assert "nothing to gain with tiny.gguf: the vocabulary stays: 100% of it is" in line
    assert "the quantisation stays: Q8_0 or Q4_0 cannot be faster" in line
    assert in_place(models) == []
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1 << 40, 1 << 40, 1 << 20))
    line = refused(capsys, str(source))
    assert f"in {models}, where 1 MB are free" in line
    assert in_place(models) == []


def test_what_is_no_faster_is_not_kept(
    place: Path, models: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compare, "_turn", lambda backend, clock: ([1e6 / backend.info.bytes],) * 2)
    assert "nothing to gain: no copy of tiny.gguf is faster here and" in refused(capsys, str(tiny(place / "tiny.gguf")))
    assert in_place(models) == []


def test_a_full_disk_leaves_nothing(
    place: Path, models: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(header: object, target: Path, *_: object) -> None:
        target.write_bytes(b"GGUF half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(gguf_writer, "write", full)
    line = refused(capsys, str(tiny(place / "tiny.gguf")))
    assert line.endswith(f"no copy can be written to {models}: No space left on device; nothing was kept")
    assert in_place(models) == []


def test_llama_cpp_refusing_to_quantise_is_said(
    place: Path, models: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = requantise.quantise_in_child
    monkeypatch.setattr(
        requantise, "quantise_in_child", lambda source, target, *rest: real(source, place / "no" / "folder", *rest)
    )
    line = refused(capsys, str(tiny(place / "tiny.gguf", Q4_1)), "--scripts", "all", "--type", "Q4_0")
    assert "tiny.gguf cannot be quantised as Q4_0" in line
    assert in_place(models) == []


def test_a_file_of_that_name_that_is_not_ours_stays(
    place: Path, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models.mkdir(parents=True)
    (models / "tiny.latin.gguf").write_text("mine")
    assert "is not a copy that fimble made" in refused(capsys, str(tiny(place / "tiny.gguf")))
    assert (models / "tiny.latin.gguf").read_text() == "mine"


def test_a_copy_is_not_copied_and_one_of_before_is_replaced(
    place: Path, models: Path, optimized: Callable[..., Found], capsys: pytest.CaptureFixture[str]
) -> None:
    source = tiny(place / "tiny.gguf")
    copy = Path(optimized(str(source))["copy"])
    assert "is a copy already, made of tiny.gguf" in refused(capsys, str(copy))
    first = copy.read_bytes()
    tiny(source, seed=1)
    assert Path(optimized(str(source))["copy"]) == copy
    assert copy.read_bytes() != first
    assert run(["models", "verify", copy.name]) == 0  # the pin is that of the new one


def test_what_a_killed_run_left_is_removed_in_time(models: Path) -> None:
    old, new = models / "optimize-a.tmp", models / "optimize-b.tmp"
    for folder in (old, new):
        folder.mkdir(parents=True)
        (folder / "cut.tmp").write_text("half a file")
    os.utime(old, (0, 0))
    faster_copy.remove_left_overs(models)
    assert in_place(models) == [new.name]


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("SIGINT", "gguf_writer.write"),
        ("SIGINT", "requantise.quantise_in_child"),
        ("SIGINT", "compare.speeds"),
        ("SIGTERM", "compare.agreements"),
    ],
)
def test_a_stop_leaves_nothing(place: Path, home: Path, name: str, where: str) -> None:
    """Asked for when one of the steps begins; each has its own way to notice."""
    source = tiny(place / "tiny.gguf", Q4_1)
    code = f"""
import os, signal, sys
from lsp_server.backends import requantise
from lsp_server.commands import faster_copy
from lsp_server.models import admission, compare, gguf_writer
from lsp_server.cli import run
compare._turn = lambda backend, clock: ([backend.info.bytes / 1e6],) * 2
faster_copy._PROMPTS = 6
admission.try_in_child = lambda *_: ("", True)
real = {where}
def pressed(*arguments, **options):
    os.kill(os.getpid(), signal.{name})
    return real(*arguments, **options)
{where} = pressed
sys.exit(run(["models", "optimize", {str(source)!r}]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(home), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 130, done.stderr
    lines = [line for line in done.stderr.splitlines() if not line.endswith("…")]
    assert lines == ["fimble: stopped; nothing was changed"]
    assert done.stdout == ""
    assert in_place(home / "cache" / "fimble" / "models") == []


def test_the_prompts_are_always_the_same_and_of_both_kinds() -> None:
    prompts = samples.prompts(72)
    assert prompts == samples.prompts(72)
    assert len(set(prompts)) == 72
    assert sum(not prompt.isascii() for prompt in prompts) == 12
    assert samples.prompts(12) == prompts[:12]
    for prompt in prompts:
        assert 40 < len(prompt) < 500
        prompt.decode()
