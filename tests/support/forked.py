"""Servers that start in milliseconds: forked from a process that has imported what a server imports.

Each is still a process of its own, with its own folders, descriptors and exit status. What it lacks is the start of
the interpreter and its end; tests of these start `python -m lsp_server`.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

# What every server imports sooner or later. The backends that need a native library import it themselves.
_IMPORTED = [
    "anyio.to_thread",
    "anyio._backends._asyncio",
    "lsp_server.lsp.server",
    "lsp_server.cli",
    "lsp_server.backends.scripted",
    "lsp_server.core.syntax",
    "lsp_server.features.actions.runner",
    "numpy",
    "numpy.random",
    "tests.support.forked",
    "tree_sitter",
    "tree_sitter_python",
]


class ForkedServer:
    """A server's process, with what StdioClient wants of a subprocess.Popen."""

    def __init__(self, arguments: Sequence[str], cwd: Path, env: dict[str, str]) -> None:
        stdin, to_stdin = multiprocessing.Pipe(duplex=False)
        from_stdout, stdout = multiprocessing.Pipe(duplex=False)
        from_stderr, stderr = multiprocessing.Pipe(duplex=False)
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(_IMPORTED)
        self._process = context.Process(target=_serve, args=(list(arguments), str(cwd), env, stdin, stdout, stderr))
        self._process.start()
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
            raise subprocess.TimeoutExpired("the server", timeout or 0)
        return status

    def kill(self) -> None:
        self._process.kill()


def _serve(
    arguments: list[str], cwd: str, env: dict[str, str], stdin: Connection, stdout: Connection, stderr: Connection
) -> None:
    """Runs in the new process, as `python -m lsp_server` would."""
    for number, end in enumerate((stdin, stdout, stderr)):
        os.dup2(end.fileno(), number)
        end.close()
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.argv[1:] = arguments
    from lsp_server.__main__ import main

    main()
