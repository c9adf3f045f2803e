"""Runs tests at the user's request, in processes of their own that end at a time limit or with this process."""

from __future__ import annotations

import math
import os
import re
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

import anyio
import anyio.abc

from lsp_server.children import Lifeline, Limits

_MOST_OUTPUT = 60_000
_MOST_FILE_BYTES = 4 << 30
_PASSED = "the tests passed"
# Output of runners with status 0 if no tests ran, and output that shows that tests ran.
_NONE = re.compile(
    r"\bRan 0 tests|no tests to run|no test files|No tests were found|\brunning 0 tests"
    r"|^\W*(?:tests|pass) 0$|^\W*Tests:?\s+\d+ skipped\b",
    re.MULTILINE,
)
_SOME = re.compile(r"\brunning [1-9]|^\W*pass [1-9]|\b[1-9]\d* passed", re.MULTILINE)


async def run_tests(command: Sequence[str], folder: Path, seconds: float) -> str:
    """The command's output as Markdown, at most its end. At the time limit, or if the task is cancelled, the process
    and its children are killed."""
    title = f"`{shlex.join(command)}` in `{folder}`"
    cpu_seconds = math.ceil(seconds * (os.cpu_count() or 1))
    try:
        lifeline = Lifeline(command, Limits(cpu_seconds=cpu_seconds, file_bytes=_MOST_FILE_BYTES), cwd=folder)
        process = await _start(lifeline, folder)
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
        lifeline.cut()
        with anyio.CancelScope(shield=True), anyio.move_on_after(2):
            await process.aclose()
    text = output.decode("utf-8", "replace").replace("````", "'''")
    if ended == _PASSED and _NONE.search(text) and not _SOME.search(text):
        ended = "no tests ran"
    return f"{title}: {ended}\n\n````text\n{text.strip()}\n````"


async def _start(lifeline: Lifeline, folder: Path) -> anyio.abc.Process:
    process = None
    try:
        process = await anyio.open_process(
            lifeline.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=folder,
            **lifeline.options,
        )
    finally:
        lifeline.started(process.pid if process is not None else None)
    return process
