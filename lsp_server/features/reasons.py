"""Why nothing is shown, in words for the user."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.languages import find_language
from lsp_server.core.secrets import is_secret_file
from lsp_server.engine.client import EngineClient
from lsp_server.engine.request import Finished, FinishReason

if TYPE_CHECKING:
    from lsp_server.features.options import InlineOptions
    from lsp_server.features.outcome import Outcome

OVERTAKEN = "the document changed, or a newer request came"
CANNOT_REPLACE = "the suggestion replaces text, which this editor cannot do"
NOTHING_YET = "nothing to show yet"
_OFF, _SECRET = "completions are switched off", "nothing is suggested unasked in a file that is kept for secrets"
_UNSURE, _LATE = "the model is not sure", "the model took longer than `deadline_ms`"
_USELESS = "what was typed meanwhile made it useless"
_WITHHELD = "what the model wrote stands there already, or does not fit the code around it"
_NOTHING = "the model wrote nothing"
# What kind of reason begins so.
_KINDS = {
    OVERTAKEN: "overtaken",
    _USELESS: "overtaken",
    CANNOT_REPLACE: "withheld",
    _WITHHELD: "withheld",
    _OFF: "off",
    _SECRET: "off",
    _UNSURE: "unsure",
    _LATE: "late",
    NOTHING_YET: "late",
    "nothing within": "late",
    _NOTHING: "nothing",
}


def kind_of(outcome: Outcome) -> str:
    """In one word, why an outcome has no suggestion: overtaken, off, loading (or no model), place (nothing is wanted
    there), unsure, late, withheld, nothing."""
    for words, kind in _KINDS.items():
        if outcome.reason.startswith(words):
            return kind
    if outcome.hole is None:
        return "loading"
    return "place" if outcome.reason == outcome.hole.reason else "nothing"


def why_silent(engine: EngineClient, document: DocumentSnapshot, options: InlineOptions, *, explicit: bool) -> str:
    """Why nothing is to be asked of the model, or an empty string. Wakes one that went because nobody used it."""
    model = engine.model
    if not options.enabled:
        return f"{_OFF} (setting `enabled`)"
    language = find_language(document.language_id, document.path)
    if not explicit and options.disabled_languages & {document.language_id, language.name}:
        return f"{_OFF} for {language.name} (setting `disabled_languages`)"
    if not explicit and any(map(is_secret_file, (document.path, document.uri))):
        return _SECRET
    if model.kind == "idle":
        engine.wake()
        return "the model is loading again; it was not in use"
    if model.kind == "loading":
        return f"the model is loading ({model.progress:.0%})"
    if model.kind == "failed":
        return model.message
    if model.kind == "none":
        return "no model has been asked for yet"
    return ""


def why_unsure(confidence: float, options: InlineOptions) -> str:
    """Why a suggestion is not shown to a user who has not asked, or an empty string."""
    if confidence >= options.min_confidence:
        return ""
    return f"{_UNSURE} ({confidence:.0%}; setting `min_confidence` is {options.min_confidence:.0%})"


def why_nothing(finished: Finished) -> str:
    """Why a request that has ended shows nothing."""
    if finished.message:
        return finished.message
    if finished.reason is FinishReason.CANCELLED:
        return _USELESS
    if finished.reason is FinishReason.DEADLINE:
        return _LATE
    if finished.text.strip():
        return _WITHHELD
    return _NOTHING
