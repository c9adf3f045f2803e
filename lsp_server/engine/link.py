"""The way to a core in another process: two threads here, one for each direction, and word of its end."""

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

# How long a process may take to say hello, and then to answer a ping. It reads on a thread of its own, whatever its
# engine does.
_HELLO_SECONDS, _PONG_SECONDS = 30.0, 15.0
# Messages on the way to the process. It reads at once, so more wait only if it hangs.
_MOST_WAITING = 1024


class LinkError(Exception):
    """A process that cannot be reached. The message follows “the engine” in a sentence."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A way to a process. write, read: its bytes; `read` gives so many, fewer at the end only. finish: tells it that
    no more comes. cut: ends it, or the way to it, at once, from any thread. ended: waits until it has ended, when
    `read` has come to its end, and returns how, in words that follow “the engine”."""

    write: Callable[[bytes], object]
    read: Callable[[int], bytes]
    finish: Callable[[], None]
    cut: Callable[[], None]
    ended: Callable[[], str]


class Link:
    """Opens a way to a process on a thread of its own, and hands over messages and events.

    open: raises LinkError. ended: set when it has ended, before anybody is told.
    """

    def __init__(self, open: Callable[[], Opened], post: Post) -> None:
        self.ended = threading.Event()
        self._open = open
        self._post = post
        self._messages: queue.Queue[Message | Ping | None] = queue.Queue(_MOST_WAITING)
        self._lock = threading.Lock()  # for those below
        self._due: float | None = (
            time.monotonic() + _HELLO_SECONDS
        )  # when its answer is overdue; None if none is awaited
        self._opened: Opened | None = None
        self._why = ""  # why we have ended it
        self._asked = False  # whether it has been asked to end; by the event loop's thread or one it waits for
        threading.Thread(target=self._write, name="engine out", daemon=True).start()

    def send(self, message: Message) -> None:
        """Hands over a message. Asks with it whether the process still reads, unless an answer to that is due."""
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
        """Asks it to end, waits a few seconds, and ends it."""
        self._asked = True
        self.send(Shutdown())
        if not self.ended.wait(STOP_SECONDS):
            self._end("does not end")
            self.ended.wait(STOP_SECONDS)

    def leave(self) -> None:
        """Says that no more comes, for a process that goes on without us."""
        self._asked = True
        with suppress(queue.Full):
            self._messages.put_nowait(None)

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
        except (OSError, ValueError):  # it has ended, which `engine in` finds out
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
