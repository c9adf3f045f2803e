"""What comes of a request for a completion."""

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
    PATIENT = "patient"  # an automatic one whose answer stays on the screen as it is, so that the whole is waited for
    INVOKED = "invoked"


@dataclass(frozen=True, slots=True)
class Outcome:
    """An answer and how it came about. Without a suggestion, `reason` says why, in words for the user.
    alternatives: further suggestions for the same place, the likeliest first. late: whether the time was up before the
    whole was there. adopted: whether it is what an earlier request had the model begin. found: what to
    know of the suggestion before it is accepted. spent: the time of each part, in ms; nothing if no model was asked, or
    if it is not known."""

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
