"""Whether a GGUF file may be opened in this process: header, pinned hash, and a trial in a child process.

The first start with a file costs its SHA-256 and one load and decode in a child; later ones a few file stats.
The verdict belongs to the file's content and to the version of llama.cpp.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import IO

from lsp_server.backends.base import ModelError
from lsp_server.children import Child, Limits
from lsp_server.models import ledger, lock, lora
from lsp_server.models.gguf import Header, read_model

Progress = Callable[[float], bool]

_POLL_S = 0.05
_LEAST_TIME_S, _SLOWEST_BYTES_S = 120, 20 << 20
# Processor time, of all threads together. What it allocates is its model's size.
_LIMITS = Limits(cpu_seconds=4 * 3600)
_SAID = re.compile(r"GGML_ASSERT|GGML_ABORT|\babort|what\(\):|not implemented|error", re.IGNORECASE)


def admit(path: Path, progress: Progress = lambda _: True, *, gpu_layers: int = -1) -> list[Header]:
    """The headers of a model that may be loaded. Raises ModelError, one line, if it may not.

    progress: told 0 while this works; False from it gives up.
    """
    headers = read_model(path)
    if lora.is_adapter(headers[0]):
        raise ModelError(
            f"{path} is a LoRA adapter, not a model; name it in `lora`, beside the `model` it was made for"
        )
    hashes = [ledger.sha256(header.path, lambda _: progress(0.0)) for header in headers]
    for header, found in zip(headers, hashes, strict=True):
        lock.check(header.path, found)
    key = " ".join([*hashes, _llama_version()])
    refusal = ledger.read()["verdicts"].get(key)
    if not isinstance(refusal, str):
        refusal, lasting = try_in_child(path, sum(header.file_bytes for header in headers), progress, gpu_layers)
        if lasting:
            ledger.update("verdicts", {key: refusal})
    if refusal:
        raise ModelError(f"{path} cannot be used: {refusal}")
    return headers


def verdict(hashes: Sequence[str]) -> str | None:
    """What is known of a model by its hashes: why it is refused, empty if it works, None if it was never tried."""
    found = ledger.read()["verdicts"].get(" ".join([*hashes, _llama_version()]))
    return found if isinstance(found, str) else None


def try_in_child(path: Path, size: int, progress: Progress, gpu_layers: int) -> tuple[str, bool]:
    """Why a model cannot be used (empty if it can), and whether that will still be so the next time."""
    limit_s = _LEAST_TIME_S + size / _SLOWEST_BYTES_S
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        child = start_child([path], gpu_layers, out, errors)
        ends = time.monotonic() + limit_s
        try:
            while child.poll() is None:
                if not progress(0.0):
                    raise ModelError("loading was given up")
                if time.monotonic() > ends:
                    return f"a trial of it did not end within {limit_s:.0f} s", False
                try:
                    child.wait(_POLL_S)
                except subprocess.TimeoutExpired:
                    continue
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
        out.seek(0)
        errors.seek(0)
        answers = read_answers(out.read())
        said = errors.read().decode("utf-8", "replace")
    if answers:
        return answers[0], "given up" not in answers[0]
    if child.returncode == -getattr(signal, "SIGKILL", 9):
        return "a trial of it was killed, as the system does when memory runs out; use a smaller model", False
    stopped = (-signal.SIGINT, -signal.SIGTERM)  # somebody else's doing, and not the file's
    return describe_end(child.returncode, said), child.returncode < 0 and child.returncode not in stopped


def start_child(paths: Sequence[Path], gpu_layers: int, out: IO[bytes], errors: IO[bytes]) -> Child:
    files = [str(path.absolute()) for path in paths]
    return start_module(["lsp_server.models.probe", f"--gpu-layers={gpu_layers}", "--", *files], out, errors)


def start_module(arguments: Sequence[str], out: IO[bytes], errors: IO[bytes]) -> Child:
    """Starts a module of this package, the first argument, as a process of its own. Raises ModelError."""
    # `-m` puts the current folder first on the module path. It may be a workspace with an `llama_cpp.py` of its
    # own, so the child starts where this package is.
    folder = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-m", *arguments]
    environment = {**os.environ, "GGML_NO_BACKTRACE": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        return Child(command, _LIMITS, cwd=folder, env=environment, stdout=out, stderr=errors)
    except OSError as error:
        raise ModelError(f"{arguments[0]} cannot be started: {error}") from None


def read_answers(output: bytes) -> list[str]:
    """The refusals in a child's output, one for each file that it survived."""
    found = []
    for line in output.splitlines():
        try:
            found.append(str(json.loads(line)["refusal"]))
        except (ValueError, KeyError, TypeError):
            break
    return found


def describe_end(status: int, said: str) -> str:
    """How a child ended without an answer, in words."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    telling = next((line for line in lines if _SAID.search(line)), lines[-1] if lines else "it does not say why")
    telling = re.sub(r"\S*[/\\](?=\S)", "", telling)  # the folder that llama.cpp was compiled in
    telling = "".join(character for character in telling if character.isprintable())[:200]
    if status >= 0:
        return f"a trial of it ended with status {status}: {telling}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    return f"it crashes llama.cpp ({name}: {telling})"


def _llama_version() -> str:
    try:
        return f"llama-cpp-python {metadata.version('llama-cpp-python')}"
    except metadata.PackageNotFoundError:
        return "llama-cpp-python"
