"""Runs an engine's core in a process of its own, so that a crash of a driver does not end the editor's session."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import anyio.to_thread

from lsp_server.children import Child, Limits
from lsp_server.engine.home import Post
from lsp_server.engine.link import Link, LinkError, Opened
from lsp_server.engine.request import Message

# The folder of the package `lsp_server`: Python finds modules in the folder in which it is started.
HERE = Path(__file__).resolve().parents[2]


def command_line(arguments: Sequence[str]) -> list[str]:
    """The command that starts an engine; it must be run in HERE. arguments: those after `python -m lsp_server`."""
    return [sys.executable, "-m", "lsp_server", *arguments, "--folder", str(Path.cwd())]


class ProcessHome:
    """Starts the process with the first message, and a new one with the first message after the process was lost.

    arguments: those after `python -m lsp_server`.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        self._command = command_line(arguments)
        self._post: Post = lambda _: None
        self._link: Link | None = None
        self._stopping = False

    def start(self, post: Post) -> None:
        self._post = post

    def send(self, message: Message) -> None:
        if self._stopping:
            return
        if self._link is None or self._link.ended.is_set():
            self._link = Link(self._open, self._post)
        self._link.send(message)

    async def stop(self) -> None:
        self._stopping = True
        if self._link is not None:
            await anyio.to_thread.run_sync(self._link.stop)

    def _open(self) -> Opened:
        pipe = subprocess.PIPE
        try:
            child = Child(self._command, Limits(), cwd=HERE, stdin=pipe, stdout=pipe, stderr=None)
        except OSError as error:
            raise LinkError(f"cannot be started: {error.strerror or error}") from None
        stdin, stdout = child.stdin, child.stdout
        assert stdin is not None
        assert stdout is not None

        def write(data: bytes) -> None:
            stdin.write(data)
            stdin.flush()

        def ended() -> str:
            status = child.wait()
            stdout.close()
            return _how(status)

        return Opened(write, stdout.read, stdin.close, child.cut, ended)


def _how(status: int) -> str:
    """How a process has ended, in words that follow “the engine”."""
    if status >= 0 or os.name == "nt":
        return f"ended with status {status}"
    with suppress(ValueError):
        return f"was ended by {signal.Signals(-status).name}"
    return f"was ended by signal {-status}"
