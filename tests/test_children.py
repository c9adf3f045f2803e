"""Processes that we start: none outlives us, nor what it has started, and each has its limits."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from lsp_server import children
from lsp_server.children import job
from tests.conftest import environment
from tests.support.tiny_gguf import write_tiny_gguf

posix = pytest.mark.skipif(os.name != "posix", reason="POSIX processes")

# What a process does that must not outlive us: it starts another one in a session of its own, which has lost its
# parent at once, says so, and works for ever.
STRAY = """
import os, sys
first = os.getpid()
for _ in range(2):
    if os.fork() == 0:
        os.setsid()
        break
name = os.path.join(sys.argv[1], str(os.getpid()))
with open(name + ".new", "w") as file:
    file.write(str(first))
os.rename(name + ".new", name)
while True:
    pass
"""

# A server's part, in a process of its own: it starts one of our children, which does not end.
PARTS = {
    "formatter": """
from lsp_server.features.actions import formatters
formatters.formatted(formatters.Formatter("x", (sys.executable, sys.argv[2], sys.argv[1])), b"x")
""",
    "tests": """
import anyio
from lsp_server.features.actions.generated_tests.runtests import run_tests
anyio.run(run_tests, [sys.executable, sys.argv[2], sys.argv[1]], Path(sys.argv[1]), 600)
""",
    "template": """
from lsp_server.features.actions.template import render_apart
endless = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
threading.Thread(target=tell_children, daemon=True).start()
render_apart(endless, [], "", "")
""",
    "template in one step": """
from lsp_server.features.actions.template import render_apart
threading.Thread(target=tell_children, daemon=True).start()
render_apart("{{ 9 ** 9 ** 9 }}", [], "", "")
""",
    "a busy core, to measure with": """
from lsp_server.backends import calibration
threading.Thread(target=tell_children, daemon=True).start()
with calibration._busy_core():
    threading.Event().wait()
""",
    "trial of a model": """
from lsp_server.models import admission
admission.start_child = lambda *_, **__: admission.Child([sys.executable, sys.argv[2], sys.argv[1]], admission._LIMITS)
admission.admit(Path(sys.argv[3]))
""",
}
BEGIN = """
import os, sys, threading
from pathlib import Path
import psutil
def tell_children():
    while len(found := psutil.Process().children(recursive=True)) < 2:
        pass
    for each in found:
        open(os.path.join(sys.argv[1], str(each.pid)), "w").close()
"""


def told(folder: Path, count: int, server: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The processes that have left their numbers in `folder`, as soon as there are `count`."""
    while len(names := [each.name for each in folder.iterdir() if each.name.isdecimal()]) < count:
        assert server.poll() is None, server.returncode
    return [psutil.Process(int(name)) for name in names]


@posix
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("part", PARTS)
def test_no_child_outlives_the_server(tmp_path: Path, part: str, end: int) -> None:
    pids, stray = tmp_path / "pids", tmp_path / "stray.py"
    pids.mkdir()
    stray.write_text(STRAY)
    model = write_tiny_gguf(tmp_path / "a.gguf")
    command = [sys.executable, "-c", BEGIN + PARTS[part], str(pids), str(stray), str(model)]
    server = subprocess.Popen(command, env=environment(tmp_path), stderr=subprocess.DEVNULL)
    running: list[psutil.Process] = []
    try:
        running = told(pids, 2, server)
        server.send_signal(end)
        server.wait()
        assert psutil.wait_procs(running, timeout=10)[1] == []
    finally:
        server.kill()
        for process in running:
            process.kill() if process.is_running() else None


@pytest.fixture
def stray(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "pids").mkdir()
    (tmp_path / "stray.py").write_text(STRAY)
    yield tmp_path
    for name in [each.name for each in (tmp_path / "pids").iterdir() if each.name.isdecimal()]:
        if psutil.pid_exists(int(name)):
            psutil.Process(int(name)).kill()


@posix
@pytest.mark.parametrize("end", ["kill", "SIGTERM to the guardian", "SIGKILL to the command"])
def test_all_that_a_child_has_started_ends_with_it(stray: Path, end: str) -> None:
    command = [sys.executable, str(stray / "stray.py"), str(stray / "pids")]
    child = children.Child(command, children.Limits())
    running = told(stray / "pids", 3, child)
    if end == "kill":
        child.kill()
    elif end.startswith("SIGTERM"):
        child.terminate()
    else:
        command_pid = (stray / "pids" / str(running[0].pid)).read_text()
        first = psutil.Process(int(command_pid))
        first.kill()
    assert child.wait(10) == (-signal.SIGTERM if end.startswith("SIGTERM") else -signal.SIGKILL)
    assert psutil.wait_procs(running, timeout=10)[1] == []


@posix
@pytest.mark.parametrize(
    ("script", "status"), [("exit 0", 0), ("exit 7", 7), ("kill -SEGV $$", -signal.SIGSEGV), ("exec /no/such", 127)]
)
def test_how_a_child_ended(script: str, status: int) -> None:
    done = children.run(["sh", "-c", f"cat; {script}"], children.Limits(), seconds=30, text=b"x" * 300_000)
    assert (done.returncode, len(done.stdout)) == (status, 300_000)


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    descriptors = psutil.Process().num_fds() if os.name == "posix" else 0
    for name in ("no-such-program", str(tmp_path / "missing")):
        with pytest.raises(FileNotFoundError):
            children.run([name], children.Limits(), seconds=30)
    if os.name == "posix":
        assert psutil.Process().num_fds() == descriptors


@posix
def test_a_file_that_is_no_program(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\0\1\2")
    (tmp_path / "a").chmod(0o755)
    with children.Child([str(tmp_path / "a")], children.Limits(), stderr=subprocess.PIPE) as child:
        assert child.communicate(timeout=30)[1].startswith(str(tmp_path / "a").encode() + b" cannot be started: ")
    assert child.returncode == 126


@posix
def test_each_child_has_its_limits_and_leaves_no_descriptor(tmp_path: Path) -> None:
    before = psutil.Process().num_fds()
    code = (
        "import resource as r; names = 'CPU', 'AS', 'FSIZE', 'CORE';"
        "print([r.getrlimit(getattr(r, 'RLIMIT_' + name))[0] for name in names])"
    )
    limits = children.Limits(cpu_seconds=7, memory_bytes=1 << 30, file_bytes=1000)
    assert children.run([sys.executable, "-c", code], limits, seconds=30).stdout == b"[7, 1073741824, 1000, 0]\n"
    done = children.run(["sh", "-c", "while :; do :; done"], children.Limits(cpu_seconds=1), seconds=60)
    assert done.returncode in (-signal.SIGXCPU, -signal.SIGKILL)
    assert psutil.Process().num_fds() == before


class Kernel:
    """What is asked of Windows' kernel, by name and in order."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.limits: Any = None

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> int:
            self.calls.append((name, *arguments[:2]))
            if name == "SetInformationJobObject":
                self.limits = arguments[2]._obj
            return {"CreateJobObjectW": 11, "OpenProcess": 22}.get(name, 1)

        return call


def test_on_windows_a_job_holds_the_process_and_its_limits() -> None:
    kernel = Kernel()
    held = job.Job({"cpu_seconds": 3, "memory_bytes": 1 << 20}, kernel)
    held.add(4321)
    held.close()
    held.close()
    assert [call[0] for call in kernel.calls] == [
        "CreateJobObjectW",
        "SetInformationJobObject",
        "OpenProcess",
        "AssignProcessToJobObject",
        "CloseHandle",
        "CloseHandle",
    ]
    assert kernel.calls[3] == ("AssignProcessToJobObject", 11, 22)
    assert kernel.calls[4:] == [("CloseHandle", 22), ("CloseHandle", 11)]
    assert kernel.limits.basic.flags & 0x2000
    assert (kernel.limits.basic.per_process_user_time, kernel.limits.process_memory) == (30_000_000, 1 << 20)
    if ctypes.sizeof(ctypes.c_void_p) == 8:
        assert ctypes.sizeof(kernel.limits) == 144  # as in winnt.h
