"""The reasons why nothing is shown, in words for the user, each with what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from lsp_server.core.danger.finding import Finding
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.hole import INSIDE_A_COMMENT, INSIDE_A_NAME, Hole
from lsp_server.core.languages import find_language
from lsp_server.core.secrets import is_secret_file
from lsp_server.engine.api import Engine, Finished, FinishReason, Usage

if TYPE_CHECKING:
    from lsp_server.features.options import InlineOptions
    from lsp_server.features.outcome import Outcome

OVERTAKEN = "the document changed, or a newer request came"
SNOOZED = "completions are snoozed"
CANNOT_REPLACE = "the suggestion replaces text, which this editor cannot do"
NOTHING_YET = "nothing to show yet"
_OFF, _SECRET = "completions are switched off", "nothing is suggested unasked in a file that is kept for secrets"
_UNSURE, _LATE = "the model is not sure", "the model took longer than `deadline_ms`"
_USELESS = "what was typed meanwhile made it useless"
_WITHHELD = "what the model wrote stands there already, or does not fit the code around it"
_UNDEFINED = "the model used a name that is not defined"
_NO_PARAMETER = "the model used a parameter that does not exist"
_NOTHING = "the model wrote nothing"
_DANGEROUS, _LOOKALIKE = "held back: ", "never shown: "
# The kind of a reason, by its beginning.
_KINDS = {
    OVERTAKEN: "overtaken",
    _USELESS: "overtaken",
    CANNOT_REPLACE: "withheld",
    _WITHHELD: "withheld",
    _UNDEFINED: "withheld",
    _NO_PARAMETER: "withheld",
    _DANGEROUS: "withheld",
    _LOOKALIKE: "withheld",
    _OFF: "off",
    SNOOZED: "off",
    _SECRET: "off",
    _UNSURE: "unsure",
    _LATE: "late",
    NOTHING_YET: "late",
    "nothing within": "late",
    _NOTHING: "nothing",
}
# Replacements for reasons with these beginnings, for outputs that must not contain code.
_WITHOUT_CODE = {
    _UNDEFINED: f"{_UNDEFINED} (setting `check_names`)",
    _NO_PARAMETER: f"{_NO_PARAMETER} (setting `check_names`)",
    _DANGEROUS: "held back: it has a dangerous pattern (setting `check_danger`)",
    _LOOKALIKE: "never shown: a name in it has letters that look like others",
}
_BY_PATTERN = "(setting `disabled_files`)"
_OF_THE_MODEL = ("the model is", "no model", "completions are")
_ELSEWHERE = "the model, or the server that was asked, does not work; the editor's list of the last requests says more"
_LONGEST_NAME = 60
_LARGER = "use a larger model (`fimble models list` names those that suit this machine)"
_SMALLER = "use a smaller model (`fimble models list`)"


def kind_of(outcome: Outcome) -> str:
    """The kind of reason why an outcome has no suggestion, in one word: overtaken, off, loading (or no model), place
    (nothing is wanted there), unsure, late, withheld, nothing."""
    for words, kind in _KINDS.items():
        if outcome.reason.startswith(words):
            return kind
    if outcome.hole is None:
        return "loading"
    return "place" if outcome.hole.reason and outcome.reason.startswith(outcome.hole.reason) else "nothing"


def reason_without_code(outcome: Outcome) -> str:
    """The reason of an outcome without a suggestion, for outputs outside the editor: without names from the code, file
    patterns and answers of a server. A reason about the model's files may contain paths."""
    reason = outcome.reason
    if reason.startswith(_OFF) and reason.endswith(_BY_PATTERN):
        return f"{_OFF} for this file {_BY_PATTERN}"
    for begins, told in _WITHOUT_CODE.items():
        if reason.startswith(begins):
            return told
    own = (*_KINDS, *_OF_THE_MODEL, *filter(None, [outcome.hole.reason if outcome.hole else ""]))
    return reason if reason.startswith(own) else _ELSEWHERE


def why_off(document: DocumentSnapshot, options: InlineOptions, *, explicit: bool) -> str:
    """Why the settings switch completions off in a document, or an empty string."""
    if not options.enabled:
        return f"{_OFF} (setting `enabled`)"
    language = find_language(document.language_id, document.path)
    if not explicit and options.disabled_languages & {document.language_id, language.name}:
        return f"{_OFF} for {language.name} (setting `disabled_languages`)"
    if not explicit and (pattern := disabling_pattern(document, options.disabled_files)):
        return f"{_OFF} for {pattern} {_BY_PATTERN}"
    if not explicit and any(map(is_secret_file, (document.path, document.uri))):
        return f"{_SECRET}; ask for a suggestion yourself"
    return ""


def why_silent(
    engine: Engine, document: DocumentSnapshot, options: InlineOptions, *, explicit: bool, wakes: bool = True
) -> str:
    """Why the model must not be asked, or an empty string. wakes: whether a model is loaded again that was unloaded
    because it was idle, or that failed and may work now."""
    if off := why_off(document, options, explicit=explicit):
        return off
    model = engine.model
    if model.kind == "idle" and not wakes:
        return "the model is not loaded, since it was not in use; it comes back with the next key"
    if model.kind in ("idle", "failed") and wakes:
        engine.wake()
    if model.kind == "idle":
        return "the model is loading again; it was not in use"
    if model.kind == "loading":
        return f"the model is loading ({model.progress:.0%})"
    if model.kind == "failed":
        return model.message
    if model.kind == "none":
        return "no model has been asked for yet: the settings are being read"
    return ""


def disabling_pattern(document: DocumentSnapshot, disabled_files: Sequence[str]) -> str:
    """The first pattern of the setting `disabled_files` that a document's path matches, or an empty string."""
    path = PurePosixPath(document.path)
    return next((pattern for pattern in disabled_files if pattern and path.match(pattern)), "")


def why_unwanted(hole: Hole) -> str:
    """Why nothing is suggested automatically at a place, from `hole`."""
    if hole.reason == INSIDE_A_NAME:
        return f"{hole.reason}; suggestions come at its end"
    if hole.reason == INSIDE_A_COMMENT and hole.comment is not None:
        return f"{hole.reason} (setting `comments`); ask for a suggestion yourself to get one there"
    return f"{hole.reason}; ask for a suggestion yourself to get one there"


def why_unsure(confidence: float, options: InlineOptions) -> str:
    """Why a suggestion is not shown automatically, or an empty string."""
    if confidence >= options.min_confidence:
        return ""
    return (
        f"{_UNSURE} ({confidence:.0%}; setting `min_confidence` is {options.min_confidence:.0%}); "
        "ask for the suggestion yourself to see it"
    )


def why_dangerous(findings: Sequence[Finding]) -> str:
    """Why a suggestion with findings is not shown."""
    first = next((each for each in findings if each.never), findings[0])
    if first.never:
        return f"{_LOOKALIKE}{first.in_words()}"
    return f"{_DANGEROUS}{first.in_words()}; ask for the suggestion yourself to see it (setting `check_danger`)"


def why_nothing(finished: Finished, hole: Hole | None = None) -> str:
    """Why a finished request for `hole` shows nothing, and what to do."""
    if finished.message:
        return finished.message
    if finished.reason is FinishReason.CANCELLED:
        return f"{_USELESS}; a pause in typing, or asking again, brings another"
    if finished.reason is FinishReason.DEADLINE:
        return _why_late(finished.usage)
    if finished.text.strip():
        return f"{_WITHHELD}; type a little more, or {_LARGER}"
    if hole is not None and hole.comment is not None and not hole.comment.asked:
        return f"{_UNSURE} of the next word in this comment; type on, or ask for a suggestion yourself"
    return f"{_NOTHING}; type the beginning of what you want, or {_LARGER}"


def why_undefined(name: str, function: str = "") -> str:
    """Why a text with an undefined name is not shown. function: if it is the name of a keyword argument, the function
    that does not have it."""
    shown = f"`{name[:_LONGEST_NAME]}`"
    if function:
        of = f"{shown} of `{function[:_LONGEST_NAME]}`"
        return f"{_NO_PARAMETER}, {of} (setting `check_names`); add it there, or type a little more"
    return f"{_UNDEFINED}, {shown} (setting `check_names`); define or import it, or type a little more"


def _why_late(usage: Usage) -> str:
    """What a late request has done so far, and how long this machine would need for all of it."""
    done = f"{_LATE} ({usage.total_ms / 1000:.1f} s)"
    again = f"ask again, which goes on from there; else raise `deadline_ms`, lower `cold_ms`, or {_SMALLER}"
    if usage.decoded_tokens:
        return f"{done} and had written {usage.decoded_tokens} tokens; {again}"
    if not usage.evaluated_tokens:
        return f"{done}, and other work went first; {again}"
    needed = usage.prompt_tokens * usage.prefill_ms / usage.evaluated_tokens / 1000
    return (
        f"{done}: {usage.evaluated_tokens} of the {usage.prompt_tokens} tokens of the prompt were read, and this "
        f"machine needs about {needed:.0f} s for all; {again}"
    )
