"""Decides whether this process may open a GGUF file: by its header, its pinned hash, and a trial in a child process.

The first start with a file computes its SHA-256, and loads it and decodes once in a child process. Later starts only
check the file's size and times. The verdict is stored for the file's content and the version of llama.cpp.
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

from lsp_server.backends.base import Adapter, ModelError
from lsp_server.children import Child, Limits
from lsp_server.models import ledger, lock, lora, not_text_models
from lsp_server.models.gguf import Header, read_header
from lsp_server.models.gguf_parts import read_model
from lsp_server.models.slow_files import Progress, patiently

_POLL_S = 0.05
_LEAST_TIME_S, _SLOWEST_BYTES_S = 120, 20 << 20
# CPU time of all threads together. There is no limit for memory: what the child allocates is the size of its model.
_LIMITS = Limits(cpu_seconds=4 * 3600)
# With a larger scale the adapter overrides its model, and the results are soon infinite or NaN.
_LARGEST_SCALE = 1000.0
_SAID = re.compile(r"GGML_ASSERT|GGML_ABORT|\babort|what\(\):|not implemented|error", re.IGNORECASE)


def admit(path: Path, progress: Progress = lambda _: True, *, gpu_layers: int = -1) -> list[Header]:
    """The headers of a model that may be loaded. Raises ModelError, one line, if it may not.

    progress: called with 0 while this works; if it returns False, this gives up.
    """

    def look(beat: Progress) -> tuple[list[Header], list[str]]:
        headers = read_model(path)
        if lora.is_adapter(headers[0]):
            raise ModelError(
                f"{path} is a LoRA adapter, not a model; name it in `lora`, beside the `model` it was made for"
            )
        not_text_models.check(headers)
        return headers, [_pinned_hash(header, beat) for header in headers]

    headers, hashes = patiently(look, path, progress)
    _require(path, hashes, lambda: try_in_child(path, _bytes(headers), progress, gpu_layers))
    return headers


def admit_adapter(
    adapter: Adapter, base: Sequence[Header], progress: Progress = lambda _: True, *, gpu_layers: int = -1
) -> Header:
    """The header of a LoRA adapter that may be used with the model of `base`. Raises ModelError, one line, if it may
    not be. It is tried with that model and its scale, since llama.cpp computes with all three together."""
    path = Path(adapter.path)
    if not abs(adapter.scale) <= _LARGEST_SCALE:
        raise ModelError(f"the scale of the LoRA adapter {path} must lie between ±{_LARGEST_SCALE:g}")

    def look(beat: Progress) -> tuple[Header, list[str]]:
        header = read_header(path)
        lora.check(header, base)
        hashes = [ledger.sha256(part.path, beat) for part in base]
        return header, ["lora", _pinned_hash(header, beat), f"{adapter.scale:g}", *hashes]

    header, parts = patiently(look, path, progress)
    size = _bytes([*base, header])
    _require(path, parts, lambda: try_in_child(base[0].path, size, progress, gpu_layers, adapter))
    return header


def _pinned_hash(header: Header, progress: Progress) -> str:
    found = ledger.sha256(header.path, progress)
    lock.check(header.path, found)
    return found


def _bytes(headers: Sequence[Header]) -> int:
    return sum(header.file_bytes for header in headers)


def _require(path: Path, parts: Sequence[str], attempt: Callable[[], tuple[str, bool]]) -> None:
    """Raises ModelError if `path` is known to fail, or fails when it is tried. parts: the hashes and settings that the
    verdict depends on."""
    key = " ".join([*parts, _llama_version()])
    refusal = ledger.verdict(key)
    if refusal is None:
        refusal, lasting = attempt()
        if lasting:
            ledger.update("verdicts", {key: refusal})
    if refusal:
        raise ModelError(f"{path} cannot be used: {refusal}")


def verdict(hashes: Sequence[str]) -> str | None:
    """The stored verdict on a model, by its hashes: the reason for a refusal, empty if it works, None if it was never
    tried."""
    return ledger.verdict(" ".join([*hashes, _llama_version()]))


def try_in_child(
    path: Path, size: int, progress: Progress, gpu_layers: int, adapter: Adapter | None = None
) -> tuple[str, bool]:
    """Tries a model, or an adapter with it, in a child process. Returns why it cannot be used (empty if it can), and
    whether that verdict is permanent."""
    limit_s = _LEAST_TIME_S + size / _SLOWEST_BYTES_S
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        child = start_child([path], gpu_layers, out, errors, adapter)
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
    stopped = (-signal.SIGINT, -signal.SIGTERM)  # stopped by another program, not by the file
    return describe_end(child.returncode, said), child.returncode < 0 and child.returncode not in stopped


def start_child(
    paths: Sequence[Path], gpu_layers: int, out: IO[bytes], errors: IO[bytes], adapter: Adapter | None = None
) -> Child:
    options = [f"--gpu-layers={gpu_layers}"]
    if adapter is not None:
        options += [f"--lora={Path(adapter.path).absolute()}", f"--scale={adapter.scale!r}"]
    files = [str(path.absolute()) for path in paths]
    return start_module(["lsp_server.models.probe", *options, "--", *files], out, errors)


def start_module(arguments: Sequence[str], out: IO[bytes], errors: IO[bytes]) -> Child:
    """Starts a module of this package, named by the first argument, as a process of its own. Raises ModelError."""
    # `-m` puts the current folder first on the module path. That may be a workspace with its own `llama_cpp.py`, so the
    # child starts in the folder of this package.
    folder = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-m", *arguments]
    environment = {**os.environ, "GGML_NO_BACKTRACE": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        return Child(command, _LIMITS, cwd=folder, env=environment, stdout=out, stderr=errors)
    except OSError as error:
        raise ModelError(f"{arguments[0]} cannot be started: {error}") from None


def read_answers(output: bytes) -> list[str]:
    """The refusals in a child's output, one for each file that did not end the child."""
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
    if name == "SIGILL":
        return (
            "llama.cpp was compiled for instructions that do not work on this processor; compile it again: "
            "CMAKE_ARGS=-DGGML_NATIVE=OFF pip install --force-reinstall --no-cache-dir --no-deps llama-cpp-python"
            f"=={metadata.version('llama-cpp-python')}"
        )
    return f"it crashes llama.cpp ({name}: {telling})"


def _llama_version() -> str:
    """The version of llama.cpp and its compile time: another compiler or other options may avoid a crash."""
    try:
        installed = metadata.distribution("llama-cpp-python")
    except metadata.PackageNotFoundError:
        return "llama-cpp-python"
    record = Path(str(installed.locate_file(f"llama_cpp_python-{installed.version}.dist-info"))) / "RECORD"
    compiled = record.stat().st_mtime_ns if record.is_file() else 0
    return f"llama-cpp-python {installed.version} {compiled}"
