"""The user's settings for completions, as the features use them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lsp_server.features.outcome import Trigger

# How readily next edits are proposed.
Eagerness = Literal["off", "low", "medium", "high"]

# In which comments completions are offered automatically: in none, in docstrings and doc comments, in all.
Comments = Literal["off", "docstrings", "on"]

# How long a request waits, in ms, if it can use only its first answer.
PATIENT_MS = 1500


@dataclass(frozen=True, slots=True)
class InlineOptions:
    """The user's settings for completions. disabled_languages: LSP identifiers or names. disabled_files: patterns for
    the last parts of files' paths. comments: in which comments completions are offered automatically. answer_ms: how
    long an automatic request waits for the whole suggestion. deadline_ms: how long any request waits at most.
    candidates: how many suggestions an explicit request gets at most. debounce: whether decoding waits for a pause of a
    fast typist. prepare_next: whether the text after a shown suggestion is generated in advance. cold_ms: the maximum
    prefill time of the first prompt at a new place, as measured on this machine.
    buffers_tokens: how many tokens of a prompt may show other buffers; -1 for the default of the model. project_index:
    whether a prompt may show files of the workspace that are not open.
    limit_names: whether only existing names are generated after dots, where these are known. limit_imports: whether the
    names of imported modules and classes count as known from their text. check_names: whether a suggestion ends before
    an undefined name, or a keyword argument that a function of the same file does not have. check_danger: whether
    suggestions with a dangerous pattern are withheld unless requested.
    min_confidence: the minimum probability, from 0 to 1, of each token of a suggestion that is shown automatically.
    replaces: whether a suggestion may replace text right of the cursor; the client decides that. quick: whether a place
    with a slow prompt is answered from a smaller one first.
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
        """The settings that a generated text depends on: if one changes, the text is no longer an answer."""
        checks = self.comments, self.check_names, self.limit_names, self.limit_imports, self.check_danger
        return self.max_tokens, self.max_lines, self.buffers_tokens, self.project_index, *checks

    def budget_ms(self, trigger: Trigger) -> float:
        """How long a request waits for the whole suggestion, in ms."""
        if trigger is Trigger.INVOKED:
            return self.deadline_ms
        return max(self.answer_ms, PATIENT_MS) if trigger is Trigger.PATIENT else self.answer_ms
