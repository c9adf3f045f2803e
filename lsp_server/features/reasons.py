"""Why nothing is shown, in words for the user."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.languages import find_language
from lsp_server.engine.client import EngineClient
from lsp_server.engine.request import Finished, FinishReason

if TYPE_CHECKING:
    from lsp_server.features.options import InlineOptions


def why_silent(engine: EngineClient, document: DocumentSnapshot, options: InlineOptions, *, explicit: bool) -> str:
    """Why nothing is to be asked of the model, or an empty string. Wakes one that went because nobody used it."""
    model = engine.model
    if not options.enabled:
        return "completions are switched off (setting `enabled`)"
    language = find_language(document.language_id, document.path)
    if not explicit and options.disabled_languages & {document.language_id, language.name}:
        return f"completions are switched off for {language.name} (setting `disabled_languages`)"
    if model.kind == "idle":
        engine.wake()
        return "the model is loading again; it was not in use"
    if model.kind == "loading" and model.phase == "measuring":
        return f"the machine is being measured with the model ({model.progress:.0%}), once for each model"
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
    return f"the model is not sure ({confidence:.0%}; setting `min_confidence` is {options.min_confidence:.0%})"


def why_nothing(finished: Finished) -> str:
    """Why a request that has ended shows nothing."""
    if finished.message:
        return finished.message
    if finished.reason is FinishReason.CANCELLED:
        return "what was typed meanwhile made it useless"
    if finished.reason is FinishReason.DEADLINE:
        return "the model took longer than `deadline_ms`"
    if finished.text.strip():
        return "what the model wrote stands there already, or does not fit the code around it"
    return "the model wrote nothing"
