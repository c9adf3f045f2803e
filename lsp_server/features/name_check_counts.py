"""Counts the results of the check for undefined names in generated texts."""

from __future__ import annotations

from collections import Counter


class Checks:
    """Must only be used on the event loop. Each text is counted once, at its end."""

    def __init__(self) -> None:
        self._names: Counter[str] = Counter()

    def count(self, undefined: str, *, shown: bool) -> None:
        """Counts one text. undefined: the undefined name in it, if any. shown: whether any text is left to show."""
        self._names["checked"] += 1
        if undefined:
            self._names["cut" if shown else "withheld"] += 1

    def summary(self) -> dict[str, dict[str, int]]:
        """For `fimble/status`: how many texts were checked, how many were cut, and how many were not shown at all."""
        return {"names": {what: self._names[what] for what in ("checked", "cut", "withheld")}}
