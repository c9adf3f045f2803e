"""Runs tests, when the user has asked for it, in a process of its own with a time limit."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import anyio
import anyio.abc

_MOST_OUTPUT = 60_000


async def run_tests(command: Sequence[str], folder: Path, seconds: float) -> str:
    """The command's output as Markdown, the end of it if there is much. When the time is up, or the task is
    cancelled, the process and its children are ended."""
    title = f"`{shlex.join(command)}` in `{folder}`"
    try:
        process = await anyio.open_process(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=folder,
            start_new_session=os.name == "posix",
        )
    except OSError as error:
        return f"{title} could not be started: {error.strerror}"
    output = bytearray()
    ended = "the tests passed"
    try:
        with anyio.move_on_after(seconds) as scope:
            assert process.stdout is not None
            async for chunk in process.stdout:
                output += chunk
                del output[:-_MOST_OUTPUT]
            await process.wait()
        if scope.cancelled_caught:
            ended = f"stopped after {seconds:g} s (setting `test_seconds`)"
        elif process.returncode:
            ended = f"ended with status {process.returncode}"
    finally:
        _end(process)
        with anyio.CancelScope(shield=True), anyio.move_on_after(2):
            await process.aclose()
    text = output.decode("utf-8", "replace").replace("````", "'''")
    return f"{title}: {ended}\n\n````text\n{text.strip()}\n````"


def _end(process: anyio.abc.Process) -> None:
    """Ends the process and what it has started."""
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError, PermissionError):
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
