"""What each client needs, in one table: by its capabilities first, and by its name where those mislead."""

from __future__ import annotations

from dataclasses import dataclass

from lsprotocol import types

from lsp_server.core.text import Encoding


@dataclass(frozen=True, slots=True)
class ClientNeeds:
    """How to serve one client.

    completion: whether to announce `textDocument/completion`. A client that shows inline completions gets
    no second copy in its menu. Inline completion itself is always announced, since some use it without
    saying so.
    """

    name: str
    encoding: Encoding
    completion: bool
    progress: bool
    configuration: bool
    watch_configuration: bool


# Named clients for which the capabilities do not tell whether they show inline completions.
# lsp-mode ("emacs") did not declare it before 10, but asks for it.
_INLINE_UNDECLARED = ("emacs",)

_ENCODINGS: dict[str, Encoding] = {"utf-8": "utf-8", "utf-16": "utf-16", "utf-32": "utf-32"}


def client_needs(params: types.InitializeParams) -> ClientNeeds:
    """The needs of the client that sent `params`."""
    capabilities = params.capabilities
    name = params.client_info.name if params.client_info else ""
    inline = capabilities.text_document is not None and capabilities.text_document.inline_completion is not None
    workspace, window = capabilities.workspace, capabilities.window
    change = workspace.did_change_configuration if workspace else None
    return ClientNeeds(
        name=name,
        encoding=_encoding(capabilities.general),
        completion=not inline and name.lower() not in _INLINE_UNDECLARED,
        progress=bool(window and window.work_done_progress),
        configuration=bool(workspace and workspace.configuration),
        watch_configuration=bool(change and change.dynamic_registration),
    )


def _encoding(general: types.GeneralClientCapabilities | None) -> Encoding:
    """The client's favourite among the encodings it offers; UTF-16 if it offers none that we know."""
    offered = (general.position_encodings if general else None) or []
    for encoding in offered:
        value = encoding.value if isinstance(encoding, types.PositionEncodingKind) else str(encoding)
        if value in _ENCODINGS:
            return _ENCODINGS[value]
    return "utf-16"
