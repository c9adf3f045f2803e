"""A log of the requests to endpoints, in a file of the user's state folder: times and counts, and no text.

All processes append to the same file, one line for each request. Lines that cannot be read are skipped.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import stat
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import anyio
import anyio.to_thread
import msgspec
from platformdirs import user_state_path

from lsp_server.endpoints.money import Spending
from lsp_server.system.kept_files import read, write_whole
from lsp_server.system.regular_file import open_to_append

logger = logging.getLogger(__name__)

MOST_KEPT = 200
# A file of more bytes is rewritten with the last lines alone. And the most bytes that are read.
_LARGE_BYTES, _MOST_BYTES = 128 << 10, 4 << 20
# How long lines are collected before one write, because keys come in bursts. And how long the last write may take.
_GATHER_SECONDS, _LAST_SECONDS = 0.5, 1.0
# The part of an error message that is fimble's own: up to the server's text, with a status or a setting in brackets.
_OWN_WORDS = re.compile(r"[^:;(]*(?:\((?:\d{3}|`\w+`)\))?")
# How often the file is opened anew because another process has replaced it meanwhile, and how long to wait for one
# that writes.
_MOST_TRIES, _LOCK_SECONDS = 100, 2.0
_writing = threading.Lock()


class Sent(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One request. at: when it was sent, in seconds since 1970. endpoint: its name. job: as in `routing`.
    prompt_tokens: None if the server does not report them. answer_tokens: how many pieces of text were received.
    first_ms: the time to the first of them; None if there was none. result: a value of `FinishReason`, or `ahead` if
    the request was only to evaluate the prompt. problem: the error, in fimble's own words. cost: None if no price is
    set. estimated: whether the cost is an estimate, because the server does not report the number of prompt tokens."""

    at: Annotated[float, msgspec.Meta(ge=0, le=1e11)]
    endpoint: str
    job: str
    prompt_tokens: int | None
    answer_tokens: int
    first_ms: float | None
    total_ms: float
    result: str
    problem: str = ""
    cost: float | None = None
    estimated: bool = msgspec.field(default=False, name="reckoned")


def own_words(problem: str) -> str:
    """An error message without the server's own text, which may repeat the prompt."""
    match = _OWN_WORDS.match(problem)
    words = match[0].strip() if match else ""
    return "answers with an error" if words == "says" else words


def path() -> Path:
    return user_state_path("fimble") / "endpoint-requests.jsonl"


def last_sent() -> list[Sent]:
    """Reads the file. Returns the last requests of all processes, the latest last."""
    try:
        lines = read(path(), _MOST_BYTES).splitlines()
    except OSError:
        return []
    found = [sent for line in lines if (sent := _parsed(line)) is not None]
    # The last by their place in the file: a clock may have been wrong.
    return sorted(found[-MOST_KEPT:], key=lambda sent: sent.at)


def _parsed(line: bytes) -> Sent | None:
    try:
        return msgspec.json.decode(line, type=Sent)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def add(sent: Sequence[Sent]) -> None:
    """Appends lines to the file, which only the user can read. If it cannot be written, they are lost."""
    file = path()
    # One write for all lines. The empty line in front separates them from a last line that was cut.
    data = b"\n" + b"".join(msgspec.json.encode(each) + b"\n" for each in sent)
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _writing:
            for _ in range(_MOST_TRIES):
                if _add(file, data):
                    break
    except OSError as error:
        logger.info("cannot write %s: %s", file, error.strerror)


def _add(file: Path, data: bytes) -> bool:
    """Appends to the file, and shortens it if it is large, while no other process does. Returns False if another
    process has replaced the file before it was locked. Raises OSError."""
    descriptor = open_to_append(file)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            return True
        if os.name == "posix":
            _lock(descriptor)
            found = os.fstat(descriptor)
            if found.st_nlink == 0:
                return False
            if stat.S_IMODE(found.st_mode) != 0o600:
                os.fchmod(descriptor, 0o600)
        os.write(descriptor, data)
        if os.name == "posix" and found.st_size + len(data) > _LARGE_BYTES:
            _shorten(file)
    finally:
        os.close(descriptor)
    if os.name != "posix" and found.st_size + len(data) > _LARGE_BYTES:
        _shorten(file)  # an open file cannot be replaced there
    return True


def _lock(descriptor: int) -> None:
    """Waits until no other process writes, for two seconds at most: a process may have been stopped. Closing the file
    ends the lock. Without one, as on file systems that have none, a line may be lost."""
    import fcntl

    end = time.monotonic() + _LOCK_SECONDS
    while time.monotonic() < end:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.002)
        except OSError:
            return
        else:
            return


def _shorten(file: Path) -> None:
    write_whole(file, b"".join(msgspec.json.encode(each) + b"\n" for each in last_sent()))


class SentLog:
    """Logs the requests to one endpoint. write: called on a worker thread to append lines to the file. spending: the
    costs of all endpoints, which are written together with the lines."""

    def __init__(self, write: Callable[[Sequence[Sent]], None] = add, spending: Spending | None = None) -> None:
        self._write = write
        self.spending = spending
        self._waiting: deque[Sent] = deque(maxlen=MOST_KEPT)  # a disk may not answer
        self._task: asyncio.Task[None] | None = None

    def note(self, sent: Sent) -> None:
        if self.spending is not None and sent.cost:
            self.spending.note(sent.endpoint, sent.cost, sent.at)
        self._waiting.append(sent)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._gather())

    async def _gather(self) -> None:
        while self._waiting:
            await asyncio.sleep(_GATHER_SECONDS)
            await self._flush()

    async def _flush(self) -> None:
        taken = list(self._waiting)
        self._waiting.clear()
        if taken:
            await anyio.to_thread.run_sync(partial(self._written, taken), abandon_on_cancel=True)

    def _written(self, taken: Sequence[Sent]) -> None:
        self._write(taken)
        if self.spending is not None:
            self.spending.write()

    async def close(self) -> None:
        """Writes the remaining lines, for a second at most."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        with anyio.move_on_after(_LAST_SECONDS):
            await self._flush()
