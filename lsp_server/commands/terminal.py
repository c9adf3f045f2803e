"""Output as a terminal may get it: what models, files and hubs say cannot move its cursor or hide anything."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from lsp_server.core.hidden_characters import escaped


class _Escaping:
    """A stream to which hidden characters are written spelt out. On a terminal, colours stay."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(escaped(text, styled=self._stream.isatty()))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def escaping() -> Iterator[None]:
    """Inside, all that this process prints is escaped: what is shown comes from many places, and is written here."""
    out, err = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (stream and _Escaping(stream) for stream in (out, err))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = out, err


def beneath(stream: TextIO) -> TextIO:
    """What a stream writes to, without the escaping: for what redraws lines. What others say is made `harmless`
    before."""
    return stream._stream if isinstance(stream, _Escaping) else stream


def harmless(text: str) -> str:
    """A text with its hidden characters spelt out."""
    return escaped(text)


@contextmanager
def own_screen() -> Iterator[Callable[[], None]]:
    """Inside, what is printed on a terminal is on a screen of its own, which goes at the end. Each call of what this
    gives empties it. Where stdout is no terminal, nothing of this is done."""
    stream = beneath(sys.stdout)

    def send(sequence: str) -> None:
        if stream.isatty():
            stream.write(sequence)

    send("\x1b[?1049h")
    try:
        yield lambda: send("\x1b[H\x1b[2J")
    finally:
        send("\x1b[?1049l")
        stream.flush()
