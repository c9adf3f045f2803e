"""A program in a terminal: keys go in at a steady pace, and tests wait for what its screen shows."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pyte

ROWS, COLUMNS = 24, 90
SECONDS = float(os.environ.get("FIMBLE_TEST_SECONDS", "20"))  # how long to wait for anything; far beyond what it takes
AGAIN = 0.2  # how often a condition is looked at though nothing is drawn
LIFETIME = 180.0  # no program outlives this

# Sequences that pyte would print or misread: device control strings, CSI with a private prefix it has no use for,
# private reports, and the cursor's shape.
_UNKNOWN = re.compile(
    rb"\x1b[P_^X].*?\x1b\\|\x1b\[[<=>][0-9;:]*[ -/]*[@-~]|\x1b\[\?[0-9;]*(?:[nu]|\$[a-z])|\x1b\[[0-9;]* q",
    re.DOTALL,
)
_UNFINISHED = re.compile(rb"\x1b(?:[P_^X](?:(?!\x1b\\).)*|\[[0-9;:<=>?]*[ -/]*)?\Z", re.DOTALL)


class Terminal:
    """A program on a pseudo-terminal, and the screen it has drawn."""

    def __init__(
        self,
        command: Sequence[str | Path],
        cwd: Path,
        env: dict[str, str],
        *,
        rows: int = ROWS,
        columns: int = COLUMNS,
        true_colour: bool = False,
    ) -> None:
        self._screen = pyte.Screen(columns, rows)
        self._screen.write_process_input = self.type  # its answers to what programs ask of a terminal
        self._stream = pyte.ByteStream(self._screen)
        self._drawn = threading.Condition()
        self._ended = False
        self._unfinished = b""
        self._due = 0.0
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        colours = {"TERM": "xterm-256color", "COLORTERM": "truecolor" if true_colour else ""}
        env = {**env, **colours, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}
        self.process = subprocess.Popen(
            [str(part) for part in command],
            cwd=cwd,
            env=env,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - nothing of ours runs there
        )
        os.close(slave)
        self._watchdog = threading.Timer(LIFETIME, self.process.kill)
        self._watchdog.daemon = True
        self._watchdog.start()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    # The screen -----------------------------------------------------------------------------------------

    @property
    def lines(self) -> list[str]:
        with self._drawn:
            return [line.rstrip() for line in self._screen.display]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def coloured(self, colour: str) -> str:
        """The characters that have this foreground colour, line by line, without empty lines."""
        with self._drawn:
            rows = [self._screen.buffer[row] for row in range(self._screen.lines)]
            columns = range(self._screen.columns)
            lines = ["".join(row[at].data for at in columns if row[at].fg == colour) for row in rows]
        return "\n".join(line.rstrip() for line in lines if line.strip())

    def cells(self) -> tuple[list[list[pyte.screens.Char]], tuple[int, int] | None]:
        """What is drawn, line by line, and the row and column of the cursor unless it is hidden."""
        with self._drawn:
            rows = [self._screen.buffer[row] for row in range(self._screen.lines)]
            drawn = [[row[at] for at in range(self._screen.columns)] for row in rows]
            cursor = self._screen.cursor
            return drawn, None if cursor.hidden else (cursor.y, cursor.x)

    def wait(self, condition: Callable[[], object], what: str, seconds: float = SECONDS) -> None:
        """Waits until `condition` holds."""
        if not self.comes(condition, seconds):
            assert not self._ended, f"the program ended before {what}:\n{self.text}"
            raise AssertionError(f"not within {seconds:g} s: {what}\n{self.text}")

    def comes(self, condition: Callable[[], object], seconds: float) -> bool:
        """Whether `condition` holds within some seconds; it is looked at after every change of the screen, and every
        AGAIN seconds, since not all that is waited for is drawn. False if the program ends before."""
        deadline = time.monotonic() + seconds
        with self._drawn:
            while not condition():
                remaining = deadline - time.monotonic()
                if self._ended or remaining <= 0:
                    return False
                self._drawn.wait(min(remaining, AGAIN))
        return True

    def wait_for(self, text: str, seconds: float = SECONDS) -> None:
        self.wait(lambda: text in self.text, f"{text!r} on the screen", seconds)

    def wait_gone(self, text: str, seconds: float = SECONDS) -> None:
        self.wait(lambda: text not in self.text, f"no {text!r} on the screen", seconds)

    # Keys -----------------------------------------------------------------------------------------------

    def type(self, keys: str) -> None:
        """Writes keys, all at once."""
        data = keys.encode()
        while data:
            data = data[os.write(self._master, data) :]

    def type_paced(self, keys: Iterable[str], interval_ms: float) -> None:
        """Writes keys one by one, on a schedule that does not drift, also from one call to the next."""
        for key in keys:
            self._due = max(self._due, time.monotonic() - interval_ms / 1000) + interval_ms / 1000
            with self._drawn:
                while (remaining := self._due - time.monotonic()) > 0:
                    self._drawn.wait(remaining)
            self.type(key)

    # Its life -------------------------------------------------------------------------------------------

    def ended(self, seconds: float = SECONDS) -> int:
        """Waits for its end and returns its exit status."""
        return self.process.wait(seconds)

    def close(self) -> None:
        self._watchdog.cancel()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._reader.join(5)
        os.close(self._master)

    def _read(self) -> None:
        while True:
            try:
                select.select([self._master], [], [])
                data = os.read(self._master, 1 << 16)
            except (OSError, ValueError):  # the other end is closed
                data = b""
            with self._drawn:
                if data:
                    self._feed(data)
                else:
                    self._ended = True
                self._drawn.notify_all()
            if not data:
                return

    def _feed(self, data: bytes) -> None:
        data = self._unfinished + data
        tail = _UNFINISHED.search(data)
        self._unfinished = tail.group() if tail else b""
        data = data[: len(data) - len(self._unfinished)]
        self._stream.feed(_UNKNOWN.sub(b"", data))
