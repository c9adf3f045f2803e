"""What each client needs, in one table: by its capabilities first, and by its name where those mislead.

A field that a client sends malformed is mended in `malformed`.
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

    completion: whether to announce `textDocument/completion`. A client that shows inline completions gets
    no second copy in its menu. Inline completion itself is always announced, since some use it without
    saying so. replaces: whether a suggestion may replace what stands right of the cursor. literals: whether code
    actions may be more than commands. watch_files: whether the client tells of changed files, if it is asked.
    document_changes: whether an edit can name the version it is for. create_files,
    annotations, show_document, markdown: whether the client can create a file in an edit, have an edit confirmed, open
    a document, and show Markdown in a hover. names_progress: whether it shows progress under the server's name, which
    the title then need not say. block_cursor: whether a cursor without a selection is the character under it, as a
    range. action_tags: whether it shows that an action is a model's work. edits_new_files: whether an edit of a file
    that is not there makes it, for a client that knows no other way. asks: whether the client shows the user a question
    and sends the answer. shows_state, asks_again: whether it takes `fimble/state`, and `fimble/suggestionGrew`, as our
    own plug-ins do. adds_late: whether a menu shows what comes late, so that no other source waits for it. marks_label:
    whether an entry of it shows whose it is in its label alone. triggers: after which characters a menu should be asked
    for, besides words.
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
    shows_state: bool
    asks_again: bool
    adds_late: bool
    marks_label: bool
    triggers: tuple[str, ...]


# Named clients for which the capabilities do not tell whether they show inline completions.
# lsp-mode ("emacs") did not declare it before 10, but asks for it.
_INLINE_UNDECLARED = ("emacs",)

# Named clients that put in the whole range of an inline completion, or of a menu's item, as the protocol has it. Others
# do so if they are built on Microsoft's client, which tells of its regular expressions. JetBrains' editors put the text
# in at the cursor, whatever the range is.
_REPLACES_INLINE, _REPLACES_IN_MENU = ("neovim", "emacs"), ("helix",)
_MICROSOFT_ENGINE = "ECMAScript"

# Those that write the server's name before the title of a progress; no capability tells.
_NAMES_PROGRESS = ("helix",)
# Those whose menus open at the first answer and take more later, without an entry chosen, so that Enter stays Enter.
# Of an entry they show its label and its kind.
_ADDS_LATE = ("helix",)
_TRIGGERS = ("(", "[", "{", ".", ",", "=", ":")
# Those whose selections have one character at least.
_BLOCK_CURSOR = ("helix",)
# Those that visit whatever file an edit is for, and take every change of a document for such an edit.
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
        # Neovim says which files it can create, which takes such changes, and forgets to say that it takes them.
        document_changes=bool(edit and (edit.document_changes or resources)),
        create_files="create" in resources,
        annotations=bool(edit and edit.change_annotation_support),
        show_document=bool(window and window.show_document and window.show_document.support),
        markdown=types.MarkupKind.Markdown in hover,
        names_progress=name.lower() in _NAMES_PROGRESS,
        block_cursor=name.lower() in _BLOCK_CURSOR,
        asks=bool(window and window.show_message),
        action_tags=types.CodeActionTag.LlmGenerated in tags,
        edits_new_files="create" not in resources and name.lower() in _EDITS_NEW_FILES,
        shows_state="state" in ours,
        asks_again="suggestionGrew" in ours,
        adds_late=name.lower() in _ADDS_LATE,
        marks_label=name.lower() in _ADDS_LATE,
        triggers=_TRIGGERS if name.lower() in _ADDS_LATE else (),
    )


def watched_files() -> types.RegistrationParams:
    """Asks a client to tell of every file that an index takes in, and of what says which those are."""
    endings = {pattern[2:] for language in LANGUAGES for pattern in language.files if pattern.startswith("*.")}
    globs = (f"**/*.{{{','.join(sorted(endings))}}}", "**/.gitignore")
    options = types.DidChangeWatchedFilesRegistrationOptions([types.FileSystemWatcher(glob) for glob in globs])
    return types.RegistrationParams(
        [types.Registration("fimble-files", types.WORKSPACE_DID_CHANGE_WATCHED_FILES, options)]
    )


def _own_notifications(experimental: Any) -> list[str]:
    """Which of our own notifications a client takes: `{"fimble": {"notifications": ["state"]}}`."""
    fimble = experimental.get("fimble") if isinstance(experimental, dict) else None
    named = fimble.get("notifications") if isinstance(fimble, dict) else None
    return [name for name in named if isinstance(name, str)] if isinstance(named, list) else []


def outcome_for(outcome: Outcome, document: DocumentSnapshot, *, replaces: bool) -> Outcome:
    """The outcome as a client can put it in: where nothing may be replaced, what goes in front of that."""
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
    """The client's favourite among the encodings it offers; UTF-16 if it offers none that we know."""
    offered = (general.position_encodings if general else None) or []
    for encoding in offered:
        value = encoding.value if isinstance(encoding, types.PositionEncodingKind) else str(encoding)
        if value in _ENCODINGS:
            return _ENCODINGS[value]
    return "utf-16"
