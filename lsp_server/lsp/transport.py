"""Messages over stdin and stdout: cuts bytes into messages; reads and writes on threads, so the loop never blocks."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import queue
import threading
import time
from collections.abc import AsyncIterator, Callable

import anyio

logger = logging.getLogger(__name__)

_READ_BYTES = 1 << 16
_LONGEST_HEADER = 8192
_LONGEST_BODY = 256 << 20
_LARGEST_BACKLOG = 64 << 20
_UNHANDLED_READS = 64
LOOK_SECONDS = 2.0  # between two checks of the client's process, on systems without pidfd


async def end_with(process_id: int | None, stop: Callable[[], None]) -> None:
    """Calls `stop` when the client's process has ended, since another process may hold the other end of stdin open.

    A process that is not visible from here, as from inside a container, is not watched.
    """
    if process_id is None or process_id <= 0:
        return
    if hasattr(os, "pidfd_open"):
        try:
            descriptor = os.pidfd_open(process_id)
        except (OSError, OverflowError) as error:
            logger.debug("the client's process %s cannot be watched: %s", process_id, error)
            return
        try:
            await anyio.wait_readable(descriptor)
        finally:
            os.close(descriptor)
    elif not await _polled_end(process_id):
        return
    logger.info("the client's process %s is gone", process_id)
    stop()


async def _polled_end(process_id: int) -> bool:
    """Polls until a process has ended, on systems that do not report it. False if there is no such process."""
    import psutil

    try:
        process = psutil.Process(process_id)
    except (psutil.Error, OverflowError):
        return False
    with contextlib.suppress(psutil.NoSuchProcess):
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            await anyio.sleep(LOOK_SECONDS)
    return True


class FrameError(Exception):
    """The byte stream does not consist of frames, so the next message cannot be found."""


class FrameDecoder:
    """Cuts a stream of bytes into message bodies, however it is split over reads."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._length: int | None = None

    def feed(self, data: bytes) -> list[bytearray]:
        """The messages that `data` completes. Raises FrameError on a header without a usable length.

        A returned message is the read buffer itself: a message of 200 MB that opens a document is not copied.
        """
        self._buffer += data
        bodies: list[bytearray] = []
        while True:
            if self._length is None:
                end = self._buffer.find(b"\r\n\r\n")
                if end < 0:
                    if len(self._buffer) > _LONGEST_HEADER:
                        raise FrameError(f"no end of a header in {_LONGEST_HEADER} bytes")
                    return bodies
                self._length = _content_length(bytes(self._buffer[:end]))
                del self._buffer[: end + 4]
            if len(self._buffer) < self._length:
                return bodies
            body, self._buffer = self._buffer, self._buffer[self._length :]
            del body[self._length :]
            bodies.append(body)
            self._length = None


def _content_length(header: bytes) -> int:
    for line in header.split(b"\r\n"):
        name, _, value = line.partition(b":")
        digits = value.strip()
        if name.strip().lower() == b"content-length" and digits.isdigit():
            if len(digits) <= len(str(_LONGEST_BODY)) and int(digits) <= _LONGEST_BODY:
                return int(digits)
            raise FrameError(f"a message of {digits[:20].decode()} bytes is too long")
    raise FrameError(f"a header without Content-Length: {header[:80]!r}")


class StdinReader:
    """Reads a file descriptor on a thread. A task iterates over it and gets the messages in order.

    The thread waits while the task is behind. It is a daemon thread with a plain `os.read`, because a buffered stdin
    would hold a lock that the interpreter needs at exit. arrived: when the last yielded message was completely read, in
    seconds of the monotonic clock.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._loop = asyncio.get_running_loop()
        self._reads: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        self.arrived = 0.0
        self._unhandled = threading.BoundedSemaphore(_UNHANDLED_READS)
        threading.Thread(target=self._run, name="stdin", daemon=True).start()

    async def __aiter__(self) -> AsyncIterator[bytearray]:
        """Ends when the client has closed its end, or after bytes that are no frame."""
        decoder = FrameDecoder()
        while True:
            self.arrived, data = await self._reads.get()
            if not data:
                return
            self._unhandled.release()
            try:
                bodies = decoder.feed(data)
            except FrameError as error:
                logger.error("stdin: %s", error)
                return
            for body in bodies:
                yield body

    def _run(self) -> None:
        data = b"-"
        while data:
            try:
                data = os.read(self._descriptor, _READ_BYTES)
            except OSError as error:
                logger.error("stdin cannot be read: %s", error)
                data = b""
            self._unhandled.acquire()
            try:
                self._loop.call_soon_threadsafe(self._reads.put_nowait, (time.monotonic(), data))
            except RuntimeError:  # the loop is closed: the server has stopped
                return


class StdoutWriter:
    """Writes on a thread of its own, so that a client that reads slowly does not block the loop.

    Has the interface of pygls' writers. on_broken: called on the loop when the client is gone or has left 64 MB unread.
    """

    def __init__(self, descriptor: int, on_broken: Callable[[], None]) -> None:
        self._descriptor = descriptor
        self._on_broken = on_broken
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._backlog = 0
        self._lock = threading.Lock()
        self._broken = False
        self._thread = threading.Thread(target=self._run, name="stdout", daemon=True)
        self._thread.start()

    def write(self, data: bytes) -> None:
        with self._lock:
            self._backlog += len(data)
            too_much = self._backlog > _LARGEST_BACKLOG
        if too_much:
            self._break()
        if not self._broken:
            self._queue.put(data)

    def close(self) -> None:
        """Writes the queued messages, for a second at most."""
        self._queue.put(None)
        self._thread.join(timeout=1.0)

    def _run(self) -> None:
        while (data := self._queue.get()) is not None:
            view = memoryview(data)
            try:
                while view:
                    view = view[os.write(self._descriptor, view) :]
            except OSError:
                self._break()
                return
            with self._lock:
                self._backlog -= len(data)

    def _break(self) -> None:
        if self._broken:
            return
        self._broken = True
        with contextlib.suppress(RuntimeError):  # the loop is closed: the server has stopped anyway
            self._loop.call_soon_threadsafe(self._on_broken)
