"""The result of a request for a completion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

from lsp_server.core.danger.finding import Finding
from lsp_server.core.hole import Hole
from lsp_server.core.prompt import FimPrompt
from lsp_server.core.shape import Suggestion
from lsp_server.engine.api import Usage
from lsp_server.features.request_times import Part


class Trigger(str, Enum):
    AUTOMATIC = "automatic"
    PATIENT = "patient"  # an automatic request that waits for the whole text, because its answer cannot grow later
    INVOKED = "invoked"


@dataclass(frozen=True, slots=True)
class Outcome:
    """An answer and how it was made. Without a suggestion, `reason` says why, in words for the user. alternatives:
    further suggestions for the same place, the most probable first. late: whether the deadline passed before the text
    was complete. adopted: whether an earlier request has started the generation. found: the findings in the suggestion,
    to be shown before it is accepted. spent: the time of each part, in ms; empty if no model was asked or if it is
    unknown."""

    suggestion: Suggestion | None = None
    alternatives: tuple[Suggestion, ...] = ()
    reason: str = ""
    source: Literal["model", "memory", "none"] = "none"
    hole: Hole | None = None
    prompt: FimPrompt | None = None
    written: str = ""
    usage: Usage = field(default_factory=Usage)
    logprob: float = 0.0
    total_ms: float = 0.0
    late: bool = False
    adopted: bool = False
    found: tuple[Finding, ...] = ()
    spent: Mapping[Part, float] = field(default_factory=dict, compare=False)
