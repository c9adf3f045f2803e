"""What the checks of written texts have found, in numbers."""

from __future__ import annotations

from collections import Counter


class Checks:
    """Belongs to the event loop. Each text counts once, at its end."""

    def __init__(self) -> None:
        self._names: Counter[str] = Counter()

    def count(self, undefined: str, *, shown: bool) -> None:
        """Counts one text. undefined: the name in it that is defined nowhere. shown: whether anything is left of it."""
        self._names["checked"] += 1
        if undefined:
            self._names["cut" if shown else "withheld"] += 1

    def told(self) -> dict[str, dict[str, int]]:
        """For `fimble/status`: of the check of names, how many texts it has looked at, cut, and not shown at all."""
        return {"names": {what: self._names[what] for what in ("checked", "cut", "withheld")}}
