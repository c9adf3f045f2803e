"""Builds workspace edits in a form that the client supports: with versions, confirmation and new files if it can."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lsprotocol import types

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.edits import Replacement
from lsp_server.core.hidden_characters import escaped
from lsp_server.core.text import Encoding
from lsp_server.lsp.clients import ClientNeeds
from lsp_server.lsp.convert import range_of

_ANNOTATION = "fimble"
_TextEdit = types.TextEdit | types.AnnotatedTextEdit | types.SnippetTextEdit


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What a client shows with an edit. needed: the user must see something before the edit is applied, so the client
    has to ask. VS Code then shows a preview in which no change is selected: too much for an edit that the user sees
    anyway and can undo with one key."""

    label: str
    description: str = ""
    needed: bool = False


def workspace_edit(
    document: DocumentSnapshot, edits: Sequence[Replacement], client: ClientNeeds, confirm: Confirmation
) -> types.WorkspaceEdit:
    """An edit of one document; the offsets are those of `document`. Without a version if the document has none, or if
    the client does not support versions."""
    if not client.document_changes:
        plain = [types.TextEdit(*_place(document, edit, client.encoding)) for edit in edits]
        return types.WorkspaceEdit(changes={document.uri: plain})
    changes = _text_edits(document, edits, client.encoding, annotated=client.annotations)
    identifier = types.OptionalVersionedTextDocumentIdentifier(document.uri, document.version)
    return types.WorkspaceEdit(
        document_changes=[types.TextDocumentEdit(identifier, changes)],
        change_annotations=_annotations(client, confirm),
    )


def new_file_edit(uri: str, text: str, client: ClientNeeds, confirm: Confirmation) -> types.WorkspaceEdit:
    """An edit that creates a file, which must not exist. Only for clients with `create_files` or `edits_new_files`."""
    empty = DocumentSnapshot.of(uri, b"")
    replacement = [Replacement(0, 0, text.encode("utf-8", "replace"))]
    changes = _text_edits(empty, replacement, client.encoding, annotated=client.annotations)
    identifier = types.OptionalVersionedTextDocumentIdentifier(uri, None)
    annotation = _ANNOTATION if client.annotations else None
    options = types.CreateFileOptions(overwrite=False, ignore_if_exists=False)
    created = [types.CreateFile(uri, options=options, annotation_id=annotation)] if client.create_files else []
    return types.WorkspaceEdit(
        document_changes=[*created, types.TextDocumentEdit(identifier, changes)],
        change_annotations=_annotations(client, confirm),
    )


def _annotations(client: ClientNeeds, confirm: Confirmation) -> dict[str, types.ChangeAnnotation] | None:
    if not client.annotations:
        return None
    return {
        _ANNOTATION: types.ChangeAnnotation(
            escaped(confirm.label), needs_confirmation=confirm.needed, description=escaped(confirm.description) or None
        )
    }


def _text_edits(
    document: DocumentSnapshot, edits: Sequence[Replacement], encoding: Encoding, *, annotated: bool
) -> list[_TextEdit]:
    places = [_place(document, edit, encoding) for edit in edits]
    if annotated:
        return [types.AnnotatedTextEdit(_ANNOTATION, *place) for place in places]
    return [types.TextEdit(*place) for place in places]


def _place(document: DocumentSnapshot, edit: Replacement, encoding: Encoding) -> tuple[types.Range, str]:
    return range_of(document, edit.start, edit.end, encoding), edit.text.decode("utf-8", "replace")
