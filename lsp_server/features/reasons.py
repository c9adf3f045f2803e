"""Why nothing is shown, in words for the user."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.languages import find_language
from lsp_server.core.secrets import is_secret_file
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
    if not explicit and (pattern := _disabling(document, options)):
        return f"completions are switched off for {pattern} (setting `disabled_files`)"
    if not explicit and any(map(is_secret_file, (document.path, document.uri))):
        return "nothing is suggested unasked in a file that is kept for secrets"
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


def _disabling(document: DocumentSnapshot, options: InlineOptions) -> str:
    """The first pattern of the setting `disabled_files` that a document's path matches, or an empty string."""
    path = PurePosixPath(document.path)
    return next((pattern for pattern in options.disabled_files if pattern and path.match(pattern)), "")


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
