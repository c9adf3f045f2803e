"""A file that this machine has not seen is tried in a child process first, and what came of it is remembered."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path

import gguf
import pytest

from lsp_server.backends import llama
from lsp_server.backends.base import ModelError, ModelSpec
from lsp_server.models import admission, estimate, ledger, lock
from tests.support.tiny_gguf import write_tiny_gguf


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "fimble"


@pytest.fixture
def trials(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were tried in a child."""
    seen: list[Path] = []
    real = admission.try_in_child

    def counted(path: Path, *rest: object) -> tuple[str, bool]:
        seen.append(path)
        return real(path, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(admission, "try_in_child", counted)
    return seen


@pytest.fixture
def passing(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that would be tried in a child. Each passes, for tests of what is remembered of that."""
    seen: list[Path] = []

    def passed(path: Path, *_: object) -> tuple[str, bool]:
        seen.append(path)
        return "", True

    monkeypatch.setattr(admission, "try_in_child", passed)
    return seen


def poisoned(path: Path) -> Path:
    """A whole and well-formed file that ends the process of whoever loads it into llama.cpp: a token twice."""
    data = write_tiny_gguf(path).read_bytes()
    one = struct.pack("<Q", 1)
    path.write_bytes(data.replace(one + b"a" + one + b"b", one + b"a" + one + b"a", 1))
    return path


def test_a_file_is_tried_once(tmp_path: Path, trials: list[Path]) -> None:
    path = write_tiny_gguf(tmp_path / "a.gguf")
    assert admission.admit(path)[0].architecture == "llama"
    admission.admit(path)
    assert trials == [path]
    moved = path.rename(tmp_path / "b.gguf")
    admission.admit(moved)  # the verdict belongs to the content
    assert trials == [path]
    write_tiny_gguf(moved, seed=1)
    admission.admit(moved)
    assert trials == [path, moved]


def test_a_file_that_kills_the_child_is_refused(tmp_path: Path, trials: list[Path]) -> None:
    path = poisoned(tmp_path / "bad.gguf")
    for _ in range(2):
        with pytest.raises(ModelError) as caught:
            llama.load(ModelSpec(str(path)), lambda _: True)
        assert str(caught.value).startswith(f"{path} cannot be used: it crashes llama.cpp (SIGABRT: ")
        assert "\n" not in str(caught.value)
    assert trials == [path]


def test_a_file_that_computes_no_numbers_is_refused(tmp_path: Path) -> None:
    path = write_tiny_gguf(tmp_path / "nan.gguf")
    norm = next(t for t in gguf.GGUFReader(path).tensors if t.name == "output_norm.weight")
    data = bytearray(path.read_bytes())
    data[norm.data_offset : norm.data_offset + 4] = struct.pack("<f", float("nan"))
    path.write_bytes(data)
    with pytest.raises(ModelError, match="not a number"):
        admission.admit(path)


def test_giving_up_ends_the_child_and_is_no_verdict(tmp_path: Path, trials: list[Path]) -> None:
    path = write_tiny_gguf(tmp_path / "a.gguf")
    ledger.sha256(path)
    with pytest.raises(ModelError, match="given up"):
        admission.admit(path, lambda _: False)
    admission.admit(path)
    assert trials == [path, path]


def test_the_workspace_cannot_lend_the_child_its_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server's current folder is the workspace of the user, with whatever is in it."""
    work = tmp_path / "work"
    (work / "lsp_server" / "models").mkdir(parents=True)
    for name in ("llama_cpp.py", "numpy.py", "lsp_server/__init__.py", "lsp_server/models/probe.py"):
        (work / name).write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    monkeypatch.chdir(work)
    path = write_tiny_gguf(tmp_path / "a.gguf")
    admission.admit(path)
    assert not (tmp_path / "ran").exists()


DEEP_LISTS = "[" * 100_000


@pytest.mark.parametrize(
    "content",
    ["", "[]", '{"files": 3, "verdicts": []}', "\udcff", DEEP_LISTS, '{"verdicts": ' + DEEP_LISTS, " " * (5 << 20)],
    ids=lambda content: content[:20],
)
def test_a_damaged_ledger_costs_a_trial(cache: Path, tmp_path: Path, passing: list[Path], content: str) -> None:
    cache.mkdir(parents=True)
    ledger.ledger_path().write_bytes(content.encode("utf-8", "surrogateescape"))
    path = write_tiny_gguf(tmp_path / "a.gguf")
    admission.admit(path)
    admission.admit(path)
    assert passing == [path]


def test_a_pipe_in_place_of_the_ledger_stops_nothing(cache: Path, tmp_path: Path, passing: list[Path]) -> None:
    cache.mkdir(parents=True)
    os.mkfifo(ledger.ledger_path())
    path = write_tiny_gguf(tmp_path / "a.gguf")
    admission.admit(path)
    admission.admit(path)
    assert passing == [path]


def test_a_verdict_that_is_none_is_found_anew(tmp_path: Path, passing: list[Path]) -> None:
    path = write_tiny_gguf(tmp_path / "a.gguf")
    admission.admit(path)
    (key,) = ledger.read()["verdicts"]
    for number, refusal in enumerate((3, None, [], "x" * 100_000, "two\nlines", "\x1b[31mred"), 2):
        ledger.update("verdicts", {key: refusal})
        admission.admit(path)
        assert passing == [path] * number, refusal
        assert ledger.read()["verdicts"] == {key: ""}


@pytest.mark.parametrize("digest", ["", "0" * 63, "../" * 30, 7, None, ["0" * 64]])
def test_a_hash_that_is_none_is_made_anew(tmp_path: Path, digest: object) -> None:
    path, other = tmp_path / "a.gguf", tmp_path / "b.gguf"
    for each in (path, other):
        each.write_bytes(b"one")
    stamp = path.stat()
    entry = [stamp.st_size, stamp.st_mtime_ns, stamp.st_ctime_ns, stamp.st_ino, digest]
    ledger.update("files", {str(path): entry})
    assert ledger.known_sha256(path) is None
    assert ledger.sha256(path) == ledger.sha256(other)


def test_a_hash_is_kept_with_size_and_times(tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    path.write_bytes(b"one")
    first = ledger.sha256(path)
    calls: list[float] = []
    assert ledger.sha256(path, lambda done: bool(calls.append(done)) or True) == first
    assert not calls
    stamp = path.stat()
    path.write_bytes(b"two")
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))  # same size, same time of change
    assert ledger.sha256(path) != first


def test_a_changed_pinned_file_is_refused(tmp_path: Path) -> None:
    folder = lock.models_folder()
    folder.mkdir(parents=True)
    path = write_tiny_gguf(folder / "a.gguf")
    lock.add(lock.Pin("a.gguf", path.stat().st_size, ledger.sha256(path), "someone/a", "mit"))
    admission.admit(path)
    write_tiny_gguf(path, seed=3)
    with pytest.raises(ModelError, match="has changed since it was pinned"):
        admission.admit(path)
    lock.remove("a.gguf")
    admission.admit(path)


PIN = {"size": 1, "sha256": "0" * 64}


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "{}",
        "[]",
        '{"files": {"a.gguf": {"size": 1}}}',
        '{"files": 1}',
        '{"files": {"a.gguf": []}}',
        DEEP_LISTS,
        "\udcff",
        json.dumps({"files": {"a.gguf": {**PIN, "size": -1}}}),
        json.dumps({"files": {"a.gguf": {**PIN, "sha256": "x" * 64}}}),
        json.dumps({"files": {"a.gguf": {**PIN, "source": ["x"]}}}),
        json.dumps({"files": {"../../a.gguf": PIN}}),
        json.dumps({"files": {"": PIN}}),
        json.dumps({"files": {"a\0.gguf": PIN}}),
    ],
    ids=lambda content: content[:40],
)
def test_a_damaged_lock_file_is_said(tmp_path: Path, content: str) -> None:
    folder = lock.models_folder()
    folder.mkdir(parents=True)
    path = write_tiny_gguf(folder / "a.gguf")
    lock.lock_path().write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(ModelError, match=r"lock file .* mend or remove it") as caught:
        admission.admit(path)
    assert "recursion" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_the_ledger_does_not_grow_without_end(cache: Path) -> None:
    ledger.update("verdicts", {str(number): "" for number in range(2000)})
    ledger.update("verdicts", {"last": ""})
    kept = json.loads(ledger.ledger_path().read_text())["verdicts"]
    assert len(kept) <= 512
    assert "last" in kept


def test_a_context_that_cannot_fit_is_refused_before_loading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_tiny_gguf(tmp_path / "a.gguf", context=131072)
    opened: list[object] = []
    monkeypatch.setattr(llama, "open_file", lambda *arguments: opened.append(arguments))
    monkeypatch.setattr(estimate, "available_bytes", lambda: 64 << 20)
    spec = ModelSpec(str(path), context_tokens=131072, sequences=6)
    with pytest.raises(ModelError, match="largest context_tokens that fits is ") as caught:
        llama.load(spec, lambda _: True)
    assert not opened
    largest = int(str(caught.value).rsplit(" ", 1)[1])
    assert 256 <= largest < 131072
    llama.load(estimate.with_context(spec, largest), lambda _: True)
    assert len(opened) == 1
    with pytest.raises(ModelError, match=f"is {largest}$"):
        llama.load(estimate.with_context(spec, largest + 256), lambda _: True)
