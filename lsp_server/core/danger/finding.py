"""What a check of code has found: the place, the weakness by its CWE number, and what to write instead."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """sentence: what is wrong, for the user. safe: what to write instead. start, end: the bytes of the place.
    statement: where the statement begins that it is in. never: whether it is not even shown to one who asks for it."""

    id: str
    cwe: int
    sentence: str
    safe: str
    start: int
    end: int
    statement: int
    never: bool = False

    def told(self) -> str:
        """The finding in words for the user."""
        return f"{self.sentence} (CWE-{self.cwe}); {self.safe}"
