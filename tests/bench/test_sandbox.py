"""The sandbox: what a program does to itself, to the machine and to others, and how it is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench.filling.sandbox import Execution, Limits, run

pytest.importorskip("resource", reason="limits are the system's, on Linux and macOS")

# The wall clock ends only what waits; a busy machine must not end the others.
LIMITS = Limits(cpu_seconds=1, wall_seconds=60, memory_bytes=256 << 20, file_bytes=1 << 20)
IMPATIENT = Limits(wall_seconds=0.3)

FORK = "import posix\nwhile True:\n    posix.fork()"
LINUX = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="the limit on memory holds on Linux")


@pytest.mark.parametrize(
    ("program", "outcome", "detail"),
    [
        ("print('fine')", "ended", ""),
        ("import sys\nsys.stdout.close()", "ended", ""),
        ("x = 1\nimport sys\nsys.exit()", "exited", "0"),
        ("exit(3)", "exited", "3"),
        ("raise SystemExit('no')", "exited", "1"),
        ("import os\nos._exit(0)", "gone", "0"),
        ("import os\nos._exit(7)", "gone", "7"),
        ("assert 1 == 2", "raised", "AssertionError"),
        ("def f(:", "raised", "SyntaxError"),
        ("print(input())", "raised", "EOFError"),
        ("x = '\\0'\0", "raised", "SyntaxError"),
        ("while True: pass", "killed", "CPU time"),
        pytest.param("x = bytearray(10 ** 10)", "killed", "memory", marks=LINUX),
        pytest.param("x = []\nwhile True: x.append(bytes(10 ** 6))", "killed", "memory", marks=LINUX),
        (FORK, "raised", "PermissionError"),
        ("import os\nos.system('true')", "raised", "PermissionError"),
        ("import subprocess\nsubprocess.run(['true'])", "raised", "PermissionError"),
        ("import socket\nsocket.create_connection(('127.0.0.1', 9))", "raised", "PermissionError"),
        ("import socket\nsocket.getaddrinfo('example.org', 80)", "raised", "PermissionError"),
        ("import os\nos.kill(os.getppid(), 9)", "raised", "PermissionError"),
        ("import os\nos.remove('/etc/hostname')", "raised", "PermissionError"),
        ("open('/tmp/fimble-was-here', 'w')", "raised", "PermissionError"),
        ("open('../fimble-was-here', 'a')", "raised", "PermissionError"),
        ("open('note', 'w').write('x')\nassert open('note').read() == 'x'", "ended", ""),
        ("import sys\nassert sys.argv == ['program.py'] and __name__ == '__main__'", "ended", ""),
    ],
)
def test_how_a_program_ends(program: str, outcome: str, detail: str) -> None:
    execution = run(program, limits=LIMITS)
    assert (execution.outcome, execution.detail) == (outcome, detail)


def test_what_it_reads_and_prints() -> None:
    execution = run("name = input()\nprint('hello', name, 'ü')", "wörld\n", LIMITS)
    assert execution == Execution("ended", "", "hello wörld ü\n")


def test_a_program_that_waits_is_ended() -> None:
    assert run("import time\nprint('x', flush=True)\ntime.sleep(600)", limits=IMPATIENT) == Execution(
        "killed", "wall time", "x\n"
    )


def test_output_without_end_is_cut() -> None:
    execution = run("while True: print('x' * 1000)", limits=LIMITS)
    assert not execution.succeeded
    assert 0 < len(execution.stdout) <= LIMITS.file_bytes


def test_a_file_without_end_is_cut() -> None:
    assert not run("with open('big', 'w') as file:\n    while True: file.write('x' * 1000)", limits=LIMITS).succeeded


def test_a_thread_that_stays_does_not_keep_the_program() -> None:
    program = "import threading, time\nthreading.Thread(target=time.sleep, args=(600,)).start()"
    assert run(program, limits=IMPATIENT).detail == "wall time"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root has rights to give up")
def test_root_gives_its_rights_up() -> None:
    """Unless Python lies in a folder that only root can enter."""
    closed = any(parent.stat().st_mode & 1 == 0 for parent in Path(os.__file__).parents)
    program = f"import os\nassert (os.geteuid() == 0) is {closed}"
    assert run(program, limits=LIMITS).ended


@pytest.mark.parametrize(
    ("execution", "succeeded"),
    [
        (Execution("ended"), True),
        (Execution("exited", "0"), True),
        (Execution("gone", "0"), True),
        (Execution("exited", "1"), False),
        (Execution("raised", "ValueError"), False),
        (Execution("killed", "memory"), False),
    ],
)
def test_success(execution: Execution, succeeded: bool) -> None:
    assert execution.succeeded is succeeded
