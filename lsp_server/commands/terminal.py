"""Makes output safe for terminals: text from models, files and hubs cannot move the cursor or hide anything."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from lsp_server.core.hidden_characters import escaped


class _Escaping:
    """A stream that writes hidden characters in escaped form. On a terminal, colours stay."""

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
    """Inside this context, everything that this process prints is escaped: the texts come from many sources."""
    out, err = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (stream and _Escaping(stream) for stream in (out, err))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = out, err


def unescaped(stream: TextIO) -> TextIO:
    """The stream under the escaping, for code that redraws lines. Texts from others must be made `harmless` first."""
    return stream._stream if isinstance(stream, _Escaping) else stream


def harmless(text: str) -> str:
    """A text with its hidden characters escaped."""
    return escaped(text)


@contextmanager
def own_screen() -> Iterator[Callable[[], None]]:
    """Inside this context, a terminal shows a separate screen, which disappears at the end. Yields a function that
    clears it. Does nothing if stdout is no terminal."""
    stream = unescaped(sys.stdout)

    def send(sequence: str) -> None:
        if stream.isatty():
            stream.write(sequence)

    send("\x1b[?1049h")
    try:
        yield lambda: send("\x1b[H\x1b[2J")
    finally:
        send("\x1b[?1049l")
        stream.flush()
