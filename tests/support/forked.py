"""fimble in processes that start in milliseconds: forked from one that has served once.

Each is still a process of its own, with its own folders, descriptors and exit status. What it lacks is the start of
the interpreter and its end; tests of these start `python -m lsp_server`.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any

# What servers and commands import sooner or later. Those that need llama.cpp import it themselves.
_IMPORTED = [
    "anyio.to_thread",
    "anyio._backends._asyncio",
    "filelock",
    "httpx2",
    "lsp_server.lsp.server",
    "lsp_server.cli",
    "lsp_server.backends.scripted",
    "lsp_server.commands.complete",
    "lsp_server.commands.waiting",
    "lsp_server.core.danger.rules_python",
    "lsp_server.core.names.undefined",
    "lsp_server.core.syntax",
    "lsp_server.features.actions.runner",
    "lsp_server.models.admission",
    "lsp_server.models.pull",
    "numpy",
    "numpy.random",
    "rich.console",
    "rich.table",
    "tests.support.forked",
    "tests.support.served_once",
    "tree_sitter",
    "tree_sitter_python",
]


class ForkedProcess:
    """`python -m lsp_server` with these arguments, with what StdioClient wants of a subprocess.Popen.

    constants: other values for constants of ours, by their full names: what the process waits for in real time, or
    where it finds its data.
    """

    def __init__(
        self, arguments: Sequence[str], cwd: Path, env: dict[str, str], constants: Mapping[str, Any] | None = None
    ) -> None:
        stdin, to_stdin = multiprocessing.Pipe(duplex=False)
        from_stdout, stdout = multiprocessing.Pipe(duplex=False)
        from_stderr, stderr = multiprocessing.Pipe(duplex=False)
        self._process = start(arguments, cwd, env, constants or {}, [stdin, stdout, stderr])
        self.stdin = os.fdopen(os.dup(to_stdin.fileno()), "wb", buffering=0)
        self.stdout = os.fdopen(os.dup(from_stdout.fileno()), "rb", buffering=0)
        self.stderr = os.fdopen(os.dup(from_stderr.fileno()), "rb")
        for end in (stdin, to_stdin, from_stdout, stdout, from_stderr, stderr):
            end.close()
        self.pid = self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """The exit status. Raises subprocess.TimeoutExpired, as a Popen does."""
        self._process.join(timeout)
        if (status := self._process.exitcode) is None:
            raise subprocess.TimeoutExpired("fimble", timeout or 0)
        return status

    def kill(self) -> None:
        self._process.kill()


def start(
    arguments: Sequence[str], cwd: Path, env: dict[str, str], constants: Mapping[str, Any], ends: Sequence[Connection]
) -> ForkServerProcess:
    """Starts it. ends: its stdin, stdout and stderr, for which it has descriptors of its own."""
    process = _context().Process(target=_main, args=(list(arguments), str(cwd), env, dict(constants), *ends))
    process.start()
    return process


def ready() -> None:
    """Waits until processes start at once: the one that they are forked from first imports for some seconds."""
    process = _context().Process(target=int)
    process.start()  # which returns when it has been forked
    process.join()


def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_IMPORTED)
    return context


def run(
    arguments: Sequence[str], cwd: Path, env: dict[str, str], constants: Mapping[str, Any] | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end, for up to a minute. constants: as of a ForkedProcess."""
    process = ForkedProcess(arguments, cwd, env, constants)
    process.stdin.close()
    watchdog = threading.Timer(60, process.kill)
    watchdog.start()
    with ThreadPoolExecutor(2) as pool, process.stdout, process.stderr:
        out, err = pool.map(lambda pipe: pipe.read().decode(), (process.stdout, process.stderr))
    watchdog.cancel()
    return subprocess.CompletedProcess([*arguments], process.wait(), out, err)


def _main(
    arguments: list[str],
    cwd: str,
    env: dict[str, str],
    constants: dict[str, Any],
    stdin: Connection,
    stdout: Connection,
    stderr: Connection,
) -> None:
    """Runs in the new process."""
    for number, end in enumerate((stdin, stdout, stderr)):
        os.dup2(end.fileno(), number)
        end.close()
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.argv[1:] = arguments
    for name, value in constants.items():
        module, _, constant = name.rpartition(".")
        assert hasattr(importlib.import_module(module), constant), name
        setattr(sys.modules[module], constant, value)
    from lsp_server.__main__ import main

    main()
