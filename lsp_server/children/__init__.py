"""Starts child processes. Each ends with all processes that it has started when this process ends, and has limits."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

_GUARDIAN = Path(__file__).with_name("guardian.py")
# The guardian needs about 2 s at most to end its processes, even if the system does not let one end.
_END_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of each process; 0 means no limit. cpu_seconds: CPU time. memory_bytes: address space. data_bytes:
    writable memory, without memory that is only reserved (on Linux). file_bytes: the largest file that it may write."""

    cpu_seconds: int = 0
    memory_bytes: int = 0
    data_bytes: int = 0
    file_bytes: int = 0


class Lifeline:
    """Keeps a process alive. Closing it ends the process and all that it has started.

    The system closes it when this process ends, in whatever way. On POSIX it is a pipe to a small process, the
    guardian, which starts the command and waits; on Windows it is a job object.

    The caller starts `command` with `options`, and then calls `started`.
    """

    def __init__(self, command: Sequence[str], limits: Limits, *, cwd: Path | None = None, path: str | None = None):
        """path: where to search for programs instead of our own PATH. Raises OSError if the program does not exist."""
        program = command[0]
        if os.path.dirname(program):  # noqa: PTH120 - as a shell tells a path from a name
            found = (cwd or Path()).joinpath(program).exists()
        else:
            found = shutil.which(program, path=path) is not None
        if not found:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), program)
        self._far_end = -1
        self.options: dict[str, Any]
        if sys.platform == "win32":
            from lsp_server.children import job

            self._job = job.Job(asdict(limits))
            self.command = list(command)
            self.options = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
            self._cut = weakref.finalize(self, self._job.close)
        else:
            self._far_end, ours = os.pipe()
            given = json.dumps(asdict(limits))
            guardian = [sys.executable, "-I", "-S", str(_GUARDIAN), str(self._far_end), given]
            self.command = [*guardian, *command]
            self.options = {"pass_fds": (self._far_end,), "start_new_session": True}
            self._cut = weakref.finalize(self, os.close, ours)

    def started(self, pid: int | None) -> None:
        """Must be called after the command was started; pid is None if that failed."""
        if self._far_end >= 0:
            os.close(self._far_end)
            self._far_end = -1
        if pid is None:
            self.cut()
        elif sys.platform == "win32":
            self._job.add(pid)

    def cut(self) -> None:
        """Ends the process and all that it has started, if they still run."""
        self._cut()


class Child(subprocess.Popen[bytes]):
    """A process with a lifeline. `kill` and `cut` also end all processes that it has started; `cut` does not wait.
    Raises OSError, as Popen does."""

    def __init__(
        self,
        command: Sequence[str],
        limits: Limits,
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        stdin: Any = subprocess.DEVNULL,
        stdout: Any = subprocess.PIPE,
        stderr: Any = subprocess.DEVNULL,
    ) -> None:
        path = None if env is None else env.get("PATH")
        self._lifeline = Lifeline(command, limits, cwd=cwd, path=path)
        pid = None
        try:
            super().__init__(
                self._lifeline.command,
                cwd=cwd,
                env=env,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                **self._lifeline.options,
            )
            pid = self.pid
        finally:
            self._lifeline.started(pid)

    def cut(self) -> None:
        self._lifeline.cut()

    def kill(self) -> None:
        self._lifeline.cut()
        try:
            self.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            super().kill()


def run(
    command: Sequence[str],
    limits: Limits,
    *,
    seconds: float,
    text: bytes = b"",
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Runs a command with `text` on stdin. Raises OSError, or TimeoutExpired after `seconds`."""
    with Child(command, limits, cwd=cwd, env=env, stdin=subprocess.PIPE) as child:
        try:
            output, _ = child.communicate(text, seconds)
        finally:
            if child.poll() is None:
                child.kill()
                with suppress(subprocess.TimeoutExpired):
                    child.communicate(timeout=_END_SECONDS)
    return subprocess.CompletedProcess(list(command), child.returncode, output)
