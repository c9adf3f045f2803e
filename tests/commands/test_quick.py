"""`doctor` and `models list` look at what is there and do nothing slow: by what they start, not by a clock."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from lsp_server.backends import calibration, llama, requantise
from lsp_server.cli import run
from lsp_server.models import admission, ledger, lock
from tests.conftest import environment
from tests.support.tiny_gguf import write_tiny_gguf, write_tiny_lora

COMMANDS = [["doctor", "--json"], ["models", "list", "--json"], ["models", "list", "--all"]]

# What a server, a download, a tokeniser or an optimisation needs. `doctor` has to ask llama.cpp what it can use.
SLOW = {"pygls", "lsprotocol", "huggingface_hub", "httpx", "requests", "tree_sitter", "tomlkit", "gguf"}
SLOW |= {f"lsp_server.{name}" for name in ("lsp.server", "models.hub", "models.trim", "models.compare", "models.probe")}
SLOW |= {"lsp_server.backends.llama", "lsp_server.models.samples", "lsp_server.commands.complete"}
SLOW_FOR_A_LIST = SLOW | {"llama_cpp", "numpy", "jinja2"}


@pytest.fixture
def set_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with models that have never been hashed, tried or measured: set, pinned, an adapter, and one beside."""
    for name in ("CACHE", "CONFIG", "DATA", "STATE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    monkeypatch.chdir(tmp_path)
    folder = lock.models_folder()
    folder.mkdir(parents=True)
    for name in ("pinned", "beside"):
        write_tiny_gguf(folder / f"{name}.gguf")
    lock.add(lock.Pin("pinned.gguf", (folder / "pinned.gguf").stat().st_size, "0" * 64, "someone/Tiny@1", "mit"))
    model, adapter = write_tiny_gguf(tmp_path / "set.gguf"), write_tiny_lora(tmp_path / "lora.gguf")
    (tmp_path / "config/fimble").mkdir(parents=True)
    settings = f"model = {json.dumps(str(model))}\nlora = [{json.dumps(str(adapter))}]\n"
    (tmp_path / "config/fimble/fimble.toml").write_text(settings)
    return tmp_path


@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_is_loaded_hashed_tried_or_measured(
    set_up: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    counted: Counter[str] = Counter()
    started: list[str] = []

    def count(owner: Any, name: str) -> None:
        real = getattr(owner, name)

        def counting(*arguments: Any, **options: Any) -> Any:
            counted[name] += 1
            return real(*arguments, **options)

        monkeypatch.setattr(owner, name, counting)

    class Started(subprocess.Popen[Any]):
        def __init__(self, arguments: Any, *rest: Any, **options: Any) -> None:
            started.append(Path(arguments[0]).name)
            super().__init__(arguments, *rest, **options)

    count(ledger, "hash_file")
    count(admission, "try_in_child")
    count(calibration, "calibrate")
    count(llama, "open_file")
    count(requantise, "quantise")
    monkeypatch.setattr(subprocess, "Popen", Started)
    assert run(command) in (0, 1)
    assert not counted
    assert set(started) <= {"nvidia-smi", "sysctl"}
    run(["models", "verify"])  # and this is what would have been counted
    assert counted["hash_file"] == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_slow_is_imported(home: Path, command: list[str]) -> None:
    code = (
        "import sys, io, json, contextlib\n"
        "from lsp_server.cli import run\n"
        f"with contextlib.redirect_stdout(io.StringIO()): run({command!r})\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=home, env=environment(home), capture_output=True, text=True, check=False
    )
    imported = set(json.loads(done.stdout))
    assert "lsp_server.commands.models" in imported
    assert imported & (SLOW if command[0] == "doctor" else SLOW_FOR_A_LIST) == set()
