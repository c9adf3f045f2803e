"""The output functions of the commands, and the encoding of the output."""

from __future__ import annotations

import codecs
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


# Replacements for the symbols of our pages, for terminals and pipes whose encoding lacks them.
_PLAIN = {"✔": "ok", "✘": "x", "→": "->", "●": "*", "★": "+", "≈": "~", "▏": "|", "…": "...", "×": "x"}
_HANDLER = "fimble.plain"


def accept_any_text() -> None:
    """Makes stdout and stderr accept any text: characters that the encoding lacks are replaced by plain signs or
    escaped. That includes file names that are not UTF-8."""
    codecs.register_error(_HANDLER, _in_plain_signs)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if not hasattr(stream, "reconfigure"):
            continue
        try:
            stream.reconfigure(errors=_HANDLER)
        except OSError:  # its descriptor belonged to another file when Python opened it
            again = open(stream.fileno(), "w", 1, stream.encoding, _HANDLER, closefd=False)  # noqa: SIM115
            setattr(sys, name, again)


def _in_plain_signs(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    characters = error.object[error.start : error.end]
    plain = (_PLAIN.get(each) or each.encode("ascii", "backslashreplace").decode() for each in characters)
    return "".join(plain), error.end


def console() -> Console:
    """The console for tables: as wide as the terminal; if stdout is no terminal, as wide as COLUMNS says, else 200."""
    from rich.console import Console

    columns = os.environ.get("COLUMNS", "")
    elsewhere = int(columns) if columns.isdigit() and 0 < int(columns) < 10_000 else 200
    return Console(highlight=False, markup=False, file=sys.stdout, width=None if sys.stdout.isatty() else elsewhere)


def tell(line: str) -> None:
    """Prints a line of the answer on stdout, and flushes it."""
    print(line, flush=True)  # noqa: T201 - the command line's own output


def human_size(count: int) -> str:
    """A number of bytes in MB or GB."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


@contextmanager
def loading_bar(name: str) -> Iterator[Callable[[int, int], None]]:
    """Shows on stderr how many bytes of the total are here: a bar on a terminal, else a line for each fifth. Shows
    nothing before the first call."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    from lsp_server.commands.terminal import harmless, unescaped

    page = Console(file=unescaped(sys.stderr), highlight=False, markup=False)
    if not page.is_terminal:
        shown = -1

        def line(done: int, total: int) -> None:
            nonlocal shown
            fifth = 5 * done // total
            if fifth > shown:
                shown = fifth
                print(f"{name}: {human_size(done)} of {human_size(total)}", file=sys.stderr, flush=True)  # noqa: T201

        yield line
        return
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    bar = Progress("{task.description}", *columns, console=page)
    task = bar.add_task(harmless(name), total=None)

    def show(done: int, total: int) -> None:
        bar.start()
        bar.update(task, completed=done, total=total)

    try:
        yield show
    finally:
        bar.stop()
