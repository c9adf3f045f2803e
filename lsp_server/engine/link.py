"""The connection to a core in another process, with a thread for each direction. Reports when the process ends."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from lsp_server import __version__
from lsp_server.engine import wire
from lsp_server.engine.home import STOP_SECONDS, Post
from lsp_server.engine.request import EngineLost, Message, Ping, Pong, Shutdown

# How long a process may take to send `Hello`, and later to answer a ping. It reads on its own thread, so a busy engine
# does not delay it.
_HELLO_SECONDS, _PONG_SECONDS = 30.0, 15.0
# How many messages may wait for the process. It reads at once, so more wait only if it hangs.
_MOST_WAITING = 1024


class LinkError(Exception):
    """A process cannot be reached. The message continues a sentence that begins with “the engine”."""


@dataclass(frozen=True, slots=True)
class Opened:
    """An open connection to a process.

    write, read: its bytes; `read(n)` returns n bytes, fewer only at the end of the stream.
    finish: tells the process that no more comes.
    cut: ends the process or the connection at once, from any thread.
    ended: waits for the process to end, after `read` has come to its end; returns how it ended, as words after “the
    engine”.
    """

    write: Callable[[bytes], object]
    read: Callable[[int], bytes]
    finish: Callable[[], None]
    cut: Callable[[], None]
    ended: Callable[[], str]


class Link:
    """Opens a connection to a process on a thread of its own, and passes messages and events.

    open: makes the connection; raises LinkError. ended: set when the connection has ended, before `EngineLost` is
    posted.
    """

    def __init__(self, open: Callable[[], Opened], post: Post) -> None:
        self.ended = threading.Event()
        self._open = open
        self._post = post
        self._messages: queue.Queue[Message | Ping | None] = queue.Queue(_MOST_WAITING)
        self._lock = threading.Lock()  # guards the attributes below
        self._due: float | None = (
            time.monotonic() + _HELLO_SECONDS
        )  # deadline of the awaited answer; None if none is awaited
        self._opened: Opened | None = None
        self._why = ""  # the reason, if this side has ended it
        self._asked = False  # it was asked to end; set by the event loop's thread or a thread that it waits for
        threading.Thread(target=self._write, name="engine out", daemon=True).start()

    def send(self, message: Message) -> None:
        """Queues a message, with a ping in front of it unless an answer is awaited already. Ends the link if that
        answer is overdue or the queue is full."""
        now = time.monotonic()
        with self._lock:
            due, self._due = self._due, self._due or now + _PONG_SECONDS
        if due is not None and now > due:
            self._end("does not answer any more")
            return
        try:
            if due is None:
                self._messages.put_nowait(Ping())
            self._messages.put_nowait(message)
        except queue.Full:
            self._end("does not read what it is sent")

    def stop(self) -> None:
        """Asks the process to end, waits a few seconds, then kills it."""
        self._asked = True
        self.send(Shutdown())
        if not self.ended.wait(STOP_SECONDS):
            self._end("does not end")
            self.ended.wait(STOP_SECONDS)

    def leave(self) -> None:
        """Disconnects from a process that goes on without this server. If too many messages wait for it, the oldest are
        dropped: it ends what this server has requested anyway."""
        self._asked = True
        while True:
            try:
                self._messages.put_nowait(None)
                return
            except queue.Full:
                with suppress(queue.Empty):
                    self._messages.get_nowait()

    def _end(self, why: str) -> None:
        with self._lock:
            self._why, opened = self._why or why, self._opened
        if opened is not None:
            opened.cut()

    def _write(self) -> None:
        try:
            opened = self._open()
        except LinkError as error:
            self._has_ended(str(error))
            return
        with self._lock:
            self._opened = opened
        threading.Thread(target=self._read, args=[opened], name="engine in", daemon=True).start()
        try:
            while (message := self._messages.get()) is not None:
                opened.write(wire.encode(message))
        except wire.WireError as error:
            self._end(f"cannot be sent {error}")
        except (OSError, ValueError):  # the process has ended; the thread `engine in` reports it
            pass
        with suppress(OSError, ValueError):
            opened.finish()

    def _read(self, opened: Opened) -> None:
        try:
            while (event := wire.read(opened.read)) is not None:
                if isinstance(event, wire.Hello | Pong):
                    with self._lock:
                        self._due = None
                if isinstance(event, Pong):
                    continue
                if not isinstance(event, wire.Hello):
                    self._post(event)
                elif event.version != __version__:
                    self._end(f"is of version {event.version}, this server of {__version__}; restart the editor")
                    break
        except (wire.WireError, OSError, ValueError) as error:
            self._end(f"sent {error}" if isinstance(error, wire.WireError) else "has ended")
        self._has_ended(opened.ended())

    def _has_ended(self, how: str) -> None:
        self.ended.set()
        with suppress(queue.Full):
            self._messages.put_nowait(None)
        if not self._asked:
            self._post(EngineLost(self._why or how))
