"""Runs tests, when the user has asked for it, in a process of its own with a time limit."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import anyio
import anyio.abc

_MOST_OUTPUT = 60_000
_PASSED = "the tests passed"
# What runners say, with status 0, when there was nothing to run, and what they say when there was.
_NONE = re.compile(
    r"\bRan 0 tests|no tests to run|no test files|No tests were found|\brunning 0 tests"
    r"|^\W*(?:tests|pass) 0$|^\W*Tests:?\s+\d+ skipped\b",
    re.MULTILINE,
)
_SOME = re.compile(r"\brunning [1-9]|^\W*pass [1-9]|\b[1-9]\d* passed", re.MULTILINE)


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
    ended = _PASSED
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
    if ended == _PASSED and _NONE.search(text) and not _SOME.search(text):
        ended = "no tests ran"
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
