"""Runs one program under limits. `bench/filling/sandbox.py` starts this file as a script, in a Python of its own.

Arguments: the program's file, the descriptor to report on, and the limits (CPU seconds, bytes of memory, bytes
of a file, processes). The report is one line: `ended`, `exited CODE` or `raised TYPE`; a program that is killed,
or leaves by `os._exit`, leaves none. Imports little, because it starts thousands of times.
"""

from __future__ import annotations

import builtins
import os
import resource
import sys
from contextlib import suppress

_NOBODY = 65534
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_OPEN_FILES = 64

# Events that no solution of a task needs. The limits below also hold without this list. But the list ends the program
# at once, with a reason, and works on systems without name spaces.
_FORBIDDEN = (
    "socket.",
    "subprocess.",
    "shutil.",
    "ctypes.",
    "resource.",
    "os.system",
    "os.exec",
    "os.spawn",
    "os.posix_spawn",
    "os.startfile",
    "os.fork",
    "os.kill",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.link",
    "os.symlink",
    "os.chmod",
    "os.chown",
    "os.chdir",
    "os.truncate",
    "os.mkdir",
    "pty.",
    "signal.pthread_kill",
)
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def _leave_network() -> None:
    """Moves this process into a separate network name space without connections, if the system allows that."""
    flags = _CLONE_NEWNET if os.geteuid() == 0 else _CLONE_NEWNET | _CLONE_NEWUSER
    try:
        if sys.version_info >= (3, 12):
            os.unshare(flags)
        elif sys.platform == "linux":
            import ctypes

            ctypes.CDLL(None).unshare(flags)
    except OSError:
        return


def _become_nobody() -> None:
    """Changes from root to the user nobody, because root has no process limit and may write everywhere. Stays root if
    nobody cannot read Python."""
    if os.geteuid() != 0:
        return
    os.seteuid(_NOBODY)
    readable = os.access(os.__file__, os.R_OK, effective_ids=True)
    os.seteuid(0)
    if readable:
        os.setgroups([])
        os.setgid(_NOBODY)
        os.setuid(_NOBODY)


def _limit(kind: int, value: int) -> None:
    hard = resource.getrlimit(kind)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, value))


def _watch(folder: str) -> None:
    """Forbids the events in the list, and writing to files outside `folder`. An audit hook cannot be removed."""

    def hook(event: str, args: tuple[object, ...]) -> None:
        if event.startswith(_FORBIDDEN):
            raise PermissionError(f"{event} is not permitted here")
        if event == "open" and isinstance(args[2], int) and args[2] & _WRITES and not isinstance(args[0], int):
            path = os.path.realpath(os.fsdecode(args[0])) if isinstance(args[0], str | bytes) else ""
            if not path.startswith(folder) and path != os.devnull:
                raise PermissionError("writing outside the own folder is not permitted here")

    sys.addaudithook(hook)


def main() -> None:
    program, report, cpu_seconds, memory_bytes, file_bytes, processes = sys.argv[1:]
    with open(program, encoding="utf-8", newline="") as file:  # noqa: PTH123 - pathlib is slow to import
        source = file.read()
    _leave_network()
    _become_nobody()
    _limit(resource.RLIMIT_CPU, int(cpu_seconds))
    if sys.platform == "linux":
        _limit(resource.RLIMIT_AS, int(memory_bytes))
    _limit(resource.RLIMIT_FSIZE, int(file_bytes))
    _limit(resource.RLIMIT_NOFILE, _OPEN_FILES)
    _limit(resource.RLIMIT_NPROC, int(processes))
    _limit(resource.RLIMIT_CORE, 0)
    sys.argv[:] = ["program.py"]
    vars(builtins).update(exit=sys.exit, quit=sys.exit)  # the module `site` would define them
    sys.setrecursionlimit(max(sys.getrecursionlimit(), 3000))
    _watch(os.path.realpath(".") + os.sep)
    outcome = "ended"
    try:
        module = type(sys)("__main__")
        sys.modules["__main__"] = module
        exec(compile(source, "program.py", "exec"), module.__dict__)
        with suppress(ValueError, AttributeError):  # the program may have closed or replaced it
            sys.stdout.flush()
    except SystemExit as leaving:
        code = leaving.code
        outcome = f"exited {code if isinstance(code, int) else int(code is not None)}"
    except BaseException as error:
        outcome = f"raised {type(error).__name__}"
    os.write(int(report), outcome.encode())


main()
