"""What was found in a text that can be shown, and how much of it can be shown all the same."""

from __future__ import annotations

from dataclasses import dataclass

from lsp_server.core.danger.finding import Finding
from lsp_server.core.insertion import Insertion

NOTHING = Insertion("")


@dataclass(frozen=True, slots=True)
class Danger:
    """findings: places in the bytes of the text. safe: its longest beginning in front of all of them that can be shown.
    whole: whether all of it was looked at."""

    findings: tuple[Finding, ...] = ()
    safe: Insertion = NOTHING
    whole: bool = True

    def left(self, typed: int, *, never: bool = False) -> list[Finding]:
        """The findings behind so many bytes that have been typed. never: only those that nobody is shown."""
        return [each for each in self.findings if each.end > typed and (each.never or not never)]


NO_DANGER = Danger()
