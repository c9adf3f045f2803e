"""The needs of each client, in one table: from its capabilities, and from its name if these are misleading.

`malformed` repairs fields that a client sends in a wrong form.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from lsprotocol import types

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.languages import LANGUAGES
from lsp_server.core.shape import without_replacing
from lsp_server.core.text import Encoding
from lsp_server.features.outcome import Outcome
from lsp_server.features.reasons import CANNOT_REPLACE


@dataclass(frozen=True, slots=True)
class ClientNeeds:
    """How to serve one client.

    completion: whether to announce `textDocument/completion`. A client that shows inline completions gets no second
    copy in its menu. Inline completion itself is always announced, since some use it without declaring it.
    replaces: a suggestion may replace text right of the cursor.
    literals: code actions may be more than commands.
    watch_files: the client reports changed files if asked.
    document_changes: an edit can name the document version it is for.
    create_files, annotations, show_document, markdown: the client can create a file in an edit, ask for confirmation of
    an edit, open a document, show Markdown in a hover.
    names_progress: it shows progress under the server's name, so the title does not repeat it.
    block_cursor: without a selection, it sends the character under the cursor as a range.
    action_tags: it marks actions that use a model.
    edits_new_files: an edit of a missing file creates it, for a client that has no other way.
    asks: it shows a question to the user and sends the answer.
    asks_aside: its questions wait at the side, and take no keys that the user types meanwhile.
    shows_state, asks_again: it handles `fimble/state` and `fimble/suggestionGrew`, as our own plug-ins do.
    adds_late: its menu adds late answers, so no other source waits for ours.
    marks_label: its menu can show the source of an entry only in the label.
    triggers: the characters, besides those of words, at which it should request a menu.
    """

    name: str
    encoding: Encoding
    completion: bool
    replaces: bool
    progress: bool
    configuration: bool
    watch_configuration: bool
    watch_files: bool
    literals: bool
    document_changes: bool
    create_files: bool
    annotations: bool
    show_document: bool
    markdown: bool
    names_progress: bool
    block_cursor: bool
    action_tags: bool
    edits_new_files: bool
    asks: bool
    asks_aside: bool
    shows_state: bool
    asks_again: bool
    adds_late: bool
    marks_label: bool
    triggers: tuple[str, ...]


# Clients whose capabilities do not tell that they show inline completions. lsp-mode ("emacs") did not declare it before
# 10, but asks for it.
_INLINE_UNDECLARED = ("emacs",)

# Clients that replace the whole range of an inline completion, or of a menu's item, as the protocol says. Of the
# others, those built on Microsoft's client do so, which is known by the engine of its regular expressions. JetBrains'
# editors insert the text at the cursor and ignore the range.
_REPLACES_INLINE, _REPLACES_IN_MENU = ("neovim", "emacs"), ("helix",)
_MICROSOFT_ENGINE = "ECMAScript"

# Clients that show the server's name before the title of a progress; no capability tells this.
_NAMES_PROGRESS = ("helix",)
# Clients whose menus open at the first answer and add later ones, with no entry selected, so that Enter stays Enter.
# They show only the label and the kind of an entry.
_ADDS_LATE = ("helix",)
_TRIGGERS = ("(", "[", "{", ".", ",", "=", ":")
# Clients whose questions have the keyboard until they are answered; no capability tells this.
_ASKS_IN_FRONT = ("neovim", "helix", "eglot", "emacs")
# Clients whose selections always have at least one character.
_BLOCK_CURSOR = ("helix",)
# Clients that open every file that an edit names, and treat every change of a document as such an edit.
_EDITS_NEW_FILES = ("eglot",)

_ENCODINGS: dict[str, Encoding] = {"utf-8": "utf-8", "utf-16": "utf-16", "utf-32": "utf-32"}


def client_needs(params: types.InitializeParams) -> ClientNeeds:
    """The needs of the client that sent `params`."""
    capabilities = params.capabilities
    name = params.client_info.name if params.client_info else ""
    inline = capabilities.text_document is not None and capabilities.text_document.inline_completion is not None
    workspace, window = capabilities.workspace, capabilities.window
    change = workspace.did_change_configuration if workspace else None
    files = workspace.did_change_watched_files if workspace else None
    completion = not inline and name.lower() not in _INLINE_UNDECLARED
    expressions = capabilities.general.regular_expressions if capabilities.general else None
    microsoft = expressions is not None and str(expressions.engine) == _MICROSOFT_ENGINE
    replacing = _REPLACES_IN_MENU if completion else _REPLACES_INLINE
    text, edit = capabilities.text_document, workspace.workspace_edit if workspace else None
    resources = [str(getattr(each, "value", each)) for each in (edit.resource_operations or [])] if edit else []
    hover = text.hover.content_format or [] if text and text.hover else []
    shown = text.code_action.tag_support if text and text.code_action else None
    tags = shown.value_set if shown else []
    ours = _own_notifications(capabilities.experimental)
    return ClientNeeds(
        name=name,
        encoding=_encoding(capabilities.general),
        completion=completion,
        replaces=name.lower() in replacing or (microsoft and not completion),
        progress=bool(window and window.work_done_progress),
        configuration=bool(workspace and workspace.configuration),
        watch_configuration=bool(change and change.dynamic_registration),
        watch_files=bool(files and files.dynamic_registration),
        literals=bool(text and text.code_action and text.code_action.code_action_literal_support),
        # Neovim declares that it can create files, which needs document changes, but does not declare these.
        document_changes=bool(edit and (edit.document_changes or resources)),
        create_files="create" in resources,
        annotations=bool(edit and edit.change_annotation_support),
        show_document=bool(window and window.show_document and window.show_document.support),
        markdown=types.MarkupKind.Markdown in hover,
        names_progress=name.lower() in _NAMES_PROGRESS,
        block_cursor=name.lower() in _BLOCK_CURSOR,
        asks=bool(window and window.show_message),
        asks_aside=bool(window and window.show_message) and name.lower() not in _ASKS_IN_FRONT,
        action_tags=types.CodeActionTag.LlmGenerated in tags,
        edits_new_files="create" not in resources and name.lower() in _EDITS_NEW_FILES,
        shows_state="state" in ours,
        asks_again="suggestionGrew" in ours,
        adds_late=name.lower() in _ADDS_LATE,
        marks_label=name.lower() in _ADDS_LATE,
        triggers=_TRIGGERS if name.lower() in _ADDS_LATE else (),
    )


def watched_files() -> types.RegistrationParams:
    """The registration that asks a client to report changes of all files that an index may contain, and of `.gitignore`
    files."""
    endings = {pattern[2:] for language in LANGUAGES for pattern in language.files if pattern.startswith("*.")}
    globs = (f"**/*.{{{','.join(sorted(endings))}}}", "**/.gitignore")
    options = types.DidChangeWatchedFilesRegistrationOptions([types.FileSystemWatcher(glob) for glob in globs])
    return types.RegistrationParams(
        [types.Registration("fimble-files", types.WORKSPACE_DID_CHANGE_WATCHED_FILES, options)]
    )


def _own_notifications(experimental: Any) -> list[str]:
    """The names of our own notifications that a client handles: `{"fimble": {"notifications": ["state"]}}`."""
    fimble = experimental.get("fimble") if isinstance(experimental, dict) else None
    named = fimble.get("notifications") if isinstance(fimble, dict) else None
    return [name for name in named if isinstance(name, str)] if isinstance(named, list) else []


def outcome_for(outcome: Outcome, document: DocumentSnapshot, *, replaces: bool) -> Outcome:
    """The outcome in a form that the client can insert. If it cannot replace text, the suggestion ends before that
    text."""
    if replaces or outcome.suggestion is None:
        return outcome
    suggestion = without_replacing(outcome.suggestion, document)
    others = (without_replacing(other, document) for other in outcome.alternatives)
    return replace(
        outcome,
        suggestion=suggestion,
        alternatives=tuple(dict.fromkeys(other for other in others if other not in (None, suggestion))),
        reason="" if suggestion else CANNOT_REPLACE,
    )


def _encoding(general: types.GeneralClientCapabilities | None) -> Encoding:
    """The first position encoding offered by the client that we know; UTF-16 if there is none."""
    offered = (general.position_encodings if general else None) or []
    for encoding in offered:
        value = encoding.value if isinstance(encoding, types.PositionEncodingKind) else str(encoding)
        if value in _ENCODINGS:
            return _ENCODINGS[value]
    return "utf-16"
