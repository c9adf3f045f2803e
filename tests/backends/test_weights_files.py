"""A model's file that is written over while the model is in use: the process lives, and what is written is right."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from lsp_server.backends import llama
from lsp_server.backends.base import ModelError, ModelSpec
from lsp_server.backends.llama import LlamaBackend
from lsp_server.models import estimate
from tests.support.inprocess import served
from tests.support.tiny_gguf import write_tiny_gguf

TOKENS = [65, 66, 67, 68]


@pytest.fixture
def mapped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models of any size stay mapped from their files."""
    monkeypatch.setattr(estimate, "READ_IN_BYTES", 0)


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[[Path], LlamaBackend]]:
    backends: list[LlamaBackend] = []

    def opener(path: Path) -> LlamaBackend:
        backends.append(llama.open_file(ModelSpec(str(path), 256, 2, threads=1), lambda _: True))
        return backends[-1]

    yield opener
    for backend in backends:
        backend.close()


def logits(backend: LlamaBackend) -> np.ndarray:
    backend.truncate(0, 0)
    return backend.evaluate(0, 0, TOKENS, logits=1)[0].copy()


def truncated(path: Path) -> None:
    os.truncate(path, 0)


def shorter(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 5000)


def another(path: Path) -> None:
    """As `cp` writes, into the file that is there."""
    other = write_tiny_gguf(path.with_name("other"), seed=5).read_bytes()
    with path.open("r+b") as file:
        file.write(other)
    os.utime(path, ns=(1, 1))


CHANGES = [truncated, shorter, another]


@pytest.mark.parametrize("change", CHANGES)
def test_a_small_model_needs_its_file_no_more(
    tmp_path: Path, opened: Callable[[Path], LlamaBackend], change: Callable[[Path], None]
) -> None:
    path = write_tiny_gguf(tmp_path / "m.gguf")
    backend = opened(path)
    before = logits(backend)
    change(path)
    assert np.array_equal(logits(backend), before)


@pytest.mark.parametrize("change", CHANGES)
def test_a_large_model_fails_in_words_instead_of_ending_the_process(
    tmp_path: Path, opened: Callable[[Path], LlamaBackend], mapped: None, change: Callable[[Path], None]
) -> None:
    path = write_tiny_gguf(tmp_path / "m.gguf")
    backend = opened(path)
    logits(backend)
    change(path)
    for _ in range(2):
        with pytest.raises(ModelError, match=r"m\.gguf was written over while it was in use"):
            logits(backend)
    with pytest.raises(ModelError, match="written over"):
        backend.evaluate_each([(0, 0, 65), (1, 0, 66)])


def test_a_large_model_whose_file_is_replaced_or_removed_goes_on(
    tmp_path: Path, opened: Callable[[Path], LlamaBackend], mapped: None
) -> None:
    path = write_tiny_gguf(tmp_path / "m.gguf")
    backend = opened(path)
    before = logits(backend)
    write_tiny_gguf(tmp_path / "new", seed=5).replace(path)
    assert np.array_equal(logits(backend), before)
    path.unlink()
    assert np.array_equal(logits(backend), before)


def test_no_file_stays_open(tmp_path: Path, mapped: None) -> None:
    path = write_tiny_gguf(tmp_path / "m.gguf")
    llama.open_file(ModelSpec(str(path), 256, 1, threads=1), lambda _: True).close()
    with pytest.raises(ModelError):
        llama.open_file(ModelSpec(str(path), 256, 1, threads=1), lambda _: False)
    assert str(path) not in [file.path for file in psutil.Process().open_files()]


def test_the_user_is_told_and_the_whole_file_is_loaded_anew(tmp_path: Path, mapped: None) -> None:
    path = write_tiny_gguf(tmp_path / "m.gguf")
    whole = path.read_bytes()
    server, process = served(llama.load, model=str(path), calibrate=False, answer_ms=5000)
    uri = "file:///w/a.py"

    def shown() -> list[str]:
        return [m["message"] for m in server.notifications("window/showMessage") if m["type"] == 1]

    def typed_until(state: str) -> Callable[[], bool]:
        def there() -> bool:
            server.change(uri, 2 + len(server.messages), f"x = {len(server.messages)}\n")
            server.inline(uri, 0, 4)
            return bool(server.status()["model"]["state"] == state)

        return there

    try:
        server.initialize()
        server.open(uri, "x = \n")
        path.write_bytes(whole[:5000])
        server.wait(typed_until("failed"), "the failure")
        server.wait(shown, "the message")
        assert "was written over while it was in use" in shown()[0]
        path.write_bytes(whole)
        server.wait(typed_until("ready"), "the model")
        assert server.finish() == 0
    finally:
        process.kill()
