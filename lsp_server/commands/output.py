"""What the commands about models print with."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def console() -> Console:
    """What tables are printed on."""
    from rich.console import Console

    return Console(highlight=False, markup=False, file=sys.stdout, width=None if sys.stdout.isatty() else 200)


def tell(line: str) -> None:
    """A line of the answer, on stdout."""
    print(line)  # noqa: T201 - the command line's own output


def human_size(count: int) -> str:
    """Bytes, as a person reads them."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
