"""Runs programs that a model has written: in a separate process, session and folder, with limits and offline.

It protects against wrong code, not against attacks. The system limits CPU time, memory, files and processes. There is
no network (by a separate name space, if the system allows that). An audit hook ends a program that does what no
solution needs. If started by root, the program runs as the user nobody (if nobody can read Python).
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_CHILD = Path(__file__).with_name("sandbox_child.py")
_REPORT_BYTES = 200


@dataclass(frozen=True, slots=True)
class Limits:
    """The limit of CPU time ends programs that compute; that of the wall clock, which other programs can delay, only
    those that sleep or wait."""

    cpu_seconds: int = 10
    wall_seconds: float = 90.0
    memory_bytes: int = 1 << 30
    file_bytes: int = 8 << 20
    processes: int = 64


@dataclass(frozen=True, slots=True)
class Execution:
    """How a program ended. outcome: `ended` at its last line; `exited` with a status; `raised` an exception, with its
    name; `killed` by a limit, with its name; `gone` without a report (`os._exit`)."""

    outcome: str
    detail: str = ""
    stdout: str = ""

    @property
    def ended(self) -> bool:
        """Whether it ran to its last line."""
        return self.outcome == "ended"

    @property
    def succeeded(self) -> bool:
        """Whether it ran to its last line, or exited with status 0."""
        return self.ended or (self.outcome in ("exited", "gone") and self.detail == "0")


def run(program: str, stdin: str = "", limits: Limits | None = None) -> Execution:
    """Runs `program` as Python's main module. Blocks; safe to call from several threads.

    Raises OSError if no process can be started.
    """
    limits = limits or Limits()
    with tempfile.TemporaryDirectory(prefix="fimble-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o777)  # so that the user nobody can write
        source, given, printed = folder / "program.py", folder / "input", folder / "output"
        # A lone surrogate cannot be encoded in UTF-8. Then the program is wrong, not the bench.
        source.write_bytes(program.encode("utf-8", "replace"))
        given.write_bytes(stdin.encode("utf-8", "replace"))
        reading, writing = os.pipe()
        try:
            with given.open("rb") as input_file, printed.open("wb") as output_file:
                arguments = [limits.cpu_seconds, limits.memory_bytes, limits.file_bytes, limits.processes]
                process = subprocess.Popen(
                    [sys.executable, "-I", "-S", "-B", str(_CHILD), str(source), str(writing), *map(str, arguments)],
                    stdin=input_file,
                    stdout=output_file,
                    stderr=subprocess.DEVNULL,
                    cwd=folder,
                    env={"LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0", "PYTHONUTF8": "1"},
                    pass_fds=[writing],
                    start_new_session=True,
                )
            late = not _wait(process, limits.wall_seconds)
            os.close(writing)
            writing = -1
            report = os.read(reading, _REPORT_BYTES).decode() if select.select([reading], [], [], 0)[0] else ""
        finally:
            os.close(reading)
            if writing >= 0:
                os.close(writing)
        with printed.open("rb") as output_file:
            text = output_file.read(limits.file_bytes).decode("utf-8", "replace")
    return _execution(report, process.returncode, late, text)


def _wait(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Waits for the program's end, and kills processes that it leaves behind. False if the time was over first."""
    ended = True
    if hasattr(os, "pidfd_open"):
        # Unlike a plain wait, this does not reap the process, so the system cannot give its group id to another
        # process.
        descriptor = os.pidfd_open(process.pid)
        try:
            ended = bool(select.select([descriptor], [], [], seconds)[0])
        finally:
            os.close(descriptor)
    else:
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            ended = False
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return ended


_KILLED_BY = {signal.SIGXCPU: "CPU time", signal.SIGXFSZ: "output", signal.SIGKILL: "CPU time"}


def _execution(report: str, status: int, late: bool, text: str) -> Execution:
    if late:
        return Execution("killed", "wall time", text)
    outcome, _, detail = report.partition(" ")
    if outcome == "raised" and detail == "MemoryError":
        return Execution("killed", "memory", text)
    if outcome:
        return Execution(outcome, detail, text)
    if status >= 0:
        return Execution("gone", str(status), text)
    try:
        number = signal.Signals(-status)
    except ValueError:
        return Execution("killed", f"signal {-status}", text)
    return Execution("killed", _KILLED_BY.get(number, number.name), text)
