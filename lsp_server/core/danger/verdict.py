"""The dangers in a suggestion, and how much of the suggestion can be shown without them."""

from __future__ import annotations

from dataclasses import dataclass

from lsp_server.core.danger.finding import Finding
from lsp_server.core.insertion import Insertion

NOTHING = Insertion("")


@dataclass(frozen=True, slots=True)
class Danger:
    """findings: with offsets in bytes of the text. safe: the longest beginning of the text that can be shown and has no
    finding in it. whole: whether everything was checked."""

    findings: tuple[Finding, ...] = ()
    safe: Insertion = NOTHING
    whole: bool = True

    def left(self, typed: int, *, never: bool = False) -> list[Finding]:
        """The findings that end after the first `typed` bytes. never: only findings that are never shown."""
        return [each for each in self.findings if each.end > typed and (each.never or not never)]


NO_DANGER = Danger()
