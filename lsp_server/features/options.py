"""What a user can set about completions, as the features see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lsp_server.features.outcome import Trigger

# How readily next edits are proposed.
Eagerness = Literal["off", "low", "medium", "high"]

# In which comments something is shown unasked: in docstrings and doc comments, in all.
Comments = Literal["off", "docstrings", "on"]

# How long somebody waits who gets no more than the first answer.
PATIENT_MS = 1500


@dataclass(frozen=True, slots=True)
class InlineOptions:
    """What a user can set about completions. disabled_languages: LSP identifiers or names. disabled_files: patterns of
    files, the last parts of their paths. comments: in which comments something is shown unasked. answer_ms: how long an
    automatic request waits for the whole suggestion; deadline_ms: how long any waits at all.
    candidates: how many suggestions an explicit request gets at most. debounce: whether decoding waits for a
    fast typist's pause. prepare_next: whether to work on what follows a suggestion that is shown.
    cold_ms: what the first prompt at a new place may take, as far as the machine has been measured.
    buffers_tokens: how much of a prompt may show other buffers, -1 for what suits the model.
    project_index: whether it may show files of the workspace that are not open.
    limit_names: whether behind dots only names are written that there are, where these are known; limit_imports:
    whether those of imported modules and classes count as known by their text.
    check_names: whether a suggestion ends in front of a name that is defined nowhere.
    check_danger: whether what has a dangerous pattern is held back unless the user asks.
    min_confidence: from 0 to 1, how probable each token of a suggestion must be for it to be shown unasked.
    replaces: whether one may replace what stands right of the cursor, which is the client's to say. quick: whether a
    place whose prompt takes long is answered from a smaller one.
    """

    enabled: bool = True
    disabled_languages: frozenset[str] = frozenset()
    disabled_files: tuple[str, ...] = ()
    answer_ms: int = 120
    max_tokens: int = 64
    max_lines: int = 8
    deadline_ms: float = 8000
    candidates: int = 3
    debounce: bool = True
    prepare_next: bool = True
    cold_ms: int = 4000
    buffers_tokens: int = -1
    project_index: bool = False
    check_names: bool = True
    limit_names: bool = True
    limit_imports: bool = False
    check_danger: bool = True
    min_confidence: float = 0.0
    replaces: bool = True
    quick: bool = True
    comments: Comments = "on"

    @property
    def decisive(self) -> tuple[object, ...]:
        """What a text depends on: written under others, it is no answer any more."""
        checks = self.comments, self.check_names, self.limit_names, self.limit_imports, self.check_danger
        return self.max_tokens, self.max_lines, self.buffers_tokens, self.project_index, *checks

    def budget_ms(self, trigger: Trigger) -> float:
        """How long a request waits for the whole suggestion."""
        if trigger is Trigger.INVOKED:
            return self.deadline_ms
        return max(self.answer_ms, PATIENT_MS) if trigger is Trigger.PATIENT else self.answer_ms
