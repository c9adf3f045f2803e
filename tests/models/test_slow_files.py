"""Files that do not answer, as on a network whose server has gone: said in a line, and nothing waits for them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lsp_server.backends import llama
from lsp_server.backends.base import Adapter, ModelError, ModelSpec
from lsp_server.engine.loader import Loader
from lsp_server.engine.request import Event, Load, ModelFailed
from lsp_server.models import gguf, ledger, slow_files
from lsp_server.models.slow_files import patiently
from tests.support.tiny_gguf import write_tiny_gguf, write_tiny_lora

HERE = Path("a.gguf")


@pytest.fixture
def gone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[set[str]]:
    """The names of files that do not answer from when they are put in here."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    names: set[str] = set()
    answers = threading.Event()
    real = gguf.open_regular

    def opened(path: Path, *rest: Any, **more: Any) -> Any:
        if path.name in names:
            answers.wait()
        return real(path, *rest, **more)

    for module in (gguf, ledger):
        monkeypatch.setattr(module, "open_regular", opened)
    yield names
    answers.set()


def test_what_works_is_returned_and_errors_are_raised() -> None:
    assert patiently(lambda _: 3, HERE) == 3

    def fail(_: slow_files.Progress) -> None:
        raise ModelError("damaged")

    with pytest.raises(ModelError, match=r"^damaged$"):
        patiently(fail, HERE)


def test_a_file_that_gets_on_may_take_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slow_files, "SILENT_SECONDS", 0.5)
    waits = threading.Event()

    def slow(beat: slow_files.Progress) -> str:
        for _ in range(10):
            waits.wait(0.1)
            beat(0.0)
        return "read"

    assert patiently(slow, HERE) == "read"


def test_a_file_that_does_not_answer_is_said(gone: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slow_files, "SILENT_SECONDS", 0.2)
    base, adapter = write_tiny_gguf(tmp_path / "base.gguf"), write_tiny_lora(tmp_path / "lora.gguf")
    gone.add("lora.gguf")
    with pytest.raises(ModelError, match=f"^{adapter} has not answered for 0.2 s"):
        llama.load(ModelSpec(str(base), 256, 1, adapters=(Adapter(str(adapter)),)), lambda _: True)
    gone.add("base.gguf")
    with pytest.raises(ModelError, match=f"^{base} has not answered for 0.2 s"):
        llama.load(ModelSpec(str(base)), lambda _: True)


@pytest.mark.parametrize("name", ["model", "lora"])
def test_a_corrected_setting_is_loaded_at_once(gone: set[str], tmp_path: Path, name: str) -> None:
    base, adapter = write_tiny_gguf(tmp_path / "base.gguf"), write_tiny_lora(tmp_path / "lora.gguf")
    other = write_tiny_gguf(tmp_path / "other.gguf", seed=1)
    gone.add("lora.gguf" if name == "lora" else "base.gguf")
    asked = threading.Event()
    events: list[Event] = []
    taken: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def load(spec: ModelSpec, progress: slow_files.Progress) -> llama.LlamaBackend:
        if spec.path == str(base):
            asked.set()
        return llama.load(spec, progress)

    loader = Loader(load, events.append, taken.put)
    loader.start(Load(ModelSpec(str(base), 256, 1, adapters=(Adapter(str(adapter)),)), 1))
    assert asked.wait(30)
    loader.start(Load(ModelSpec(str(other), 256, 1), 2))
    loaded = taken.get(timeout=60)
    assert loaded.load.number == 2
    loaded.model.close()
    assert not [event for event in events if isinstance(event, ModelFailed)]
