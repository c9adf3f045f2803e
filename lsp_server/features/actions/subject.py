"""The subject of an action: lines or a definition, and the problems in it."""

from __future__ import annotations

from dataclasses import dataclass

from lsp_server.core.outline import Definition
from lsp_server.features.actions.catalogue import Target


@dataclass(frozen=True, slots=True)
class Problem:
    """A diagnostic as the client sent it. Offsets are in bytes."""

    start: int
    end: int
    message: str
    source: str = ""
    code: str = ""


@dataclass(frozen=True, slots=True)
class Subject:
    """The subject of an action: a range of whole lines, or a definition. definition: the one around the range."""

    target: Target
    start: int
    end: int
    definition: Definition | None
    problems: tuple[Problem, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether the range is the whole definition."""
        found = self.definition
        return found is not None and (found.start, found.end) == (self.start, self.end)

    @property
    def has_problem_in_header(self) -> bool:
        """Whether a problem is in the definition's own header."""
        found = self.definition
        return found is not None and any(found.start <= each.start < found.header_end for each in self.problems)

    def lets_header_change(self, signature: bool) -> bool:
        """Whether an action that may change headers may change this one. If it fixes problems, one must be in it."""
        return signature and (not self.problems or self.has_problem_in_header)
