"""Runs a command for a server, and ends it with all processes that it has started when the server ends.

It is a script of its own, `guardian.py LIFELINE LIMITS COMMAND…`, which uses only the standard library, so that it
starts in milliseconds. LIFELINE is the descriptor of a pipe to which nobody writes: the system closes its other end
when the server ends. The exit status is the command's.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import sys
import time
from contextlib import suppress

_END_SECONDS, _POLL_SECONDS = 2.0, 0.005
_NOT_STARTED = 126
_ASKED_TO_END = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# If memory runs out, the system should end our children before other processes.
_OUT_OF_MEMORY_SCORE = "600"
_PARENT_DEATH_SIGNAL, _CHILD_SUBREAPER = 1, 36  # of Linux's prctl
_LIMITS = {
    "cpu_seconds": "RLIMIT_CPU",
    "memory_bytes": "RLIMIT_AS",
    "data_bytes": "RLIMIT_DATA",
    "file_bytes": "RLIMIT_FSIZE",
}


def main(arguments: list[str]) -> None:
    lifeline, limits, command = int(arguments[0]), json.loads(arguments[1]), arguments[2:]
    os.set_inheritable(lifeline, False)
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, *_ASKED_TO_END):
        signal.signal(number, lambda *_: None)
    _control(_CHILD_SUBREAPER, 1)  # orphaned descendants become our children, so that we can end them
    guardian = os.getpid()
    child = os.fork()
    if child == 0:
        _become(command, limits, guardian)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):  # else readers would not see the end of the command's output
        os.dup2(nowhere, descriptor)
    while True:
        ready, _, _ = select.select([lifeline, woken], [], [])
        asked = [number for number in os.read(woken, 64) if number in _ASKED_TO_END] if woken in ready else []
        if lifeline in ready or asked:
            _end_all(child)
            _die(asked[0] if asked else signal.SIGKILL)
        status = _status(child)
        if status is not None:
            _end_all(child)
            if os.WIFSIGNALED(status):
                _die(os.WTERMSIG(status))
            os._exit(os.WEXITSTATUS(status))


def _become(command: list[str], limits: dict[str, int], guardian: int) -> None:
    """Replaces this process by the command, in a session of its own."""
    os.setsid()
    _control(_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != guardian:
        os._exit(_NOT_STARTED)
    _limit("RLIMIT_CORE", 0)
    for name, kind in _LIMITS.items():
        if limits.get(name):
            _limit(kind, limits[name])
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:  # noqa: PTH123 - pathlib takes 10 ms
        file.write(_OUT_OF_MEMORY_SCORE)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores these
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        os.write(2, f"{command[0]} cannot be started: {error.strerror}\n".encode("utf-8", "replace"))
    finally:
        os._exit(_NOT_STARTED)


def _limit(kind: str, most: int) -> None:
    """Sets a limit, or as much of it as the system allows."""
    number = getattr(resource, kind, None)
    if number is None:
        return
    with suppress(OSError, ValueError):
        _, hard = resource.getrlimit(number)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        # One second later comes SIGKILL, which no process can catch.
        resource.setrlimit(number, (most, most + 1 if kind == "RLIMIT_CPU" and hard > most else most))


def _control(option: int, value: int) -> None:
    """Sets one of Linux's process options (prctl); does nothing on other systems."""
    if sys.platform == "linux":
        with suppress(ImportError, OSError, AttributeError):
            import ctypes

            ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _status(child: int) -> int | None:
    """The wait status of the child; None if it still runs. Also reaps all other processes that have ended."""
    found = None
    with suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG)) != (0, 0):
            if ended[0] == child:
                found = ended[1]
    return found


def _end_all(group: int) -> None:
    """Kills the command's process group and all processes that have left it: orphans become our children."""
    ends = time.monotonic() + _END_SECONDS
    while time.monotonic() < ends:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
        for child in _children():
            with suppress(ProcessLookupError, PermissionError):
                os.kill(child, signal.SIGKILL)
        try:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                time.sleep(_POLL_SECONDS)
        except ChildProcessError:
            return


def _children() -> list[int]:
    with suppress(OSError, ValueError), open(f"/proc/self/task/{os.getpid()}/children") as file:  # noqa: PTH123
        return [int(number) for number in file.read().split()]
    return []


def _die(number: int) -> None:
    """Ends this process in the same way as one that gets this signal."""
    _limit("RLIMIT_CORE", 0)
    if number != signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    os._exit(128 + number)  # for a signal that does not end a process


if __name__ == "__main__":
    main(sys.argv[1:])
