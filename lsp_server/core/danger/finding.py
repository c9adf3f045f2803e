"""A finding of a check of code: the place, the weakness by its CWE number, and what to write instead."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """sentence: what is wrong, for the user. safe: what to write instead. start, end: the place, in bytes.
    statement: the start of the statement that contains it. never: whether the code is not shown even on request."""

    id: str
    cwe: int
    sentence: str
    safe: str
    start: int
    end: int
    statement: int
    never: bool = False

    def in_words(self) -> str:
        """The finding in words for the user."""
        return f"{self.sentence} (CWE-{self.cwe}); {self.safe}"
