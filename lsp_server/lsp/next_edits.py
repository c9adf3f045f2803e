"""Next edits for clients: by the request of Copilot's clients, as ghost text, as a code action, and by commands.

LSP has no request for them. Clients use `textDocument/copilotInlineEdit`. The edits of its answer are alternatives, so
our answer has one at most.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
from lsprotocol import types
from pygls.exceptions import JsonRpcInvalidParams

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.edits import Replacement
from lsp_server.core.shape import Suggestion
from lsp_server.engine.api import Engine, ModelState, Role
from lsp_server.features.model_edit import EditOptions, ModelEditor
from lsp_server.features.next_edit import NextEditor, Proposal
from lsp_server.features.reasons import why_off
from lsp_server.lsp import convert
from lsp_server.lsp.delivery import Confirmation, workspace_edit
from lsp_server.lsp.protocol import Answer, stamped_document

if TYPE_CHECKING:
    from lsp_server.core.next_edits.proposal import NextEdit
    from lsp_server.lsp.session import Session
    from lsp_server.lsp.snooze import Snooze

logger = logging.getLogger(__name__)

REQUEST, SHOWN = "textDocument/copilotInlineEdit", "textDocument/didShowInlineEdit"
ACCEPT, REJECT = "fimble.acceptNextEdit", "fimble.rejectNextEdit"
APPLY, JUMP = "fimble.nextEdit", "fimble.jumpToNextEdit"
# Notifications of Copilot's clients that are ignored: which document has the focus.
_TOLD = ("textDocument/didFocus",)
KIND = "refactor.rewrite"
# After an edit more lines than this from the cursor is applied, the client is sent to it.
_NEAR_LINES = 20
_INVOKED = 1


class _Document(msgspec.Struct):
    uri: str
    version: int | None = None


class _Position(msgspec.Struct):
    line: int
    character: int


class _Context(msgspec.Struct):
    triggerKind: int = 2


class _Asked(msgspec.Struct):
    """files: the answer may be an edit of another open document, which not every client can show. completion: whether a
    completion is on the screen. None from clients that do not know it; then it counts as on the screen if one was
    offered."""

    textDocument: _Document
    position: _Position
    context: _Context = msgspec.field(default_factory=_Context)
    files: bool = False
    completion: bool | None = None


class _Command(msgspec.Struct):
    arguments: list[str] = msgspec.field(default_factory=list)


class _Item(msgspec.Struct):
    command: _Command = msgspec.field(default_factory=_Command)


class _Told(msgspec.Struct):
    item: _Item = msgspec.field(default_factory=_Item)


class NextEditService:
    """The next edits of one client."""

    def __init__(self, session: Session, engine: Engine, snooze: Snooze) -> None:
        self._session, self._snooze = session, snooze
        self.has_place = True  # whether the model for next edits, or an endpoint of them, may be asked
        self._model = ModelEditor(engine, self._options)
        self.editor = NextEditor(lambda: session.settings.next_edit, session.documents.recent, model=self._model)
        session.documents.listener = self.editor

    def _options(self) -> EditOptions:
        options = self._session.settings.edit_options()
        return options if self.has_place else replace(options, is_set=False)

    def close(self) -> None:
        self.editor.close()

    def model_changed(self, role: Role, state: ModelState) -> None:
        """Notes a model's state. If the model for edits fails, tells the user once."""
        self._model.changed()
        if role == "edit" and state.kind == "failed" and state.news:
            self._warn(state.message)

    async def requested(self, params: Any) -> Answer:
        """The answer to Copilot's request: `edits`, with one at most."""
        asked = _read(REQUEST, params, _Asked)
        document = stamped_document(asked.textDocument.uri)
        empty: dict[str, Any] = {"edits": []}
        if asked.textDocument.version not in (None, document.version):
            return Answer(document, empty, empty)
        cursor = self._offset(document, types.Position(asked.position.line, asked.position.character))
        if asked.completion is not None:
            self.editor.completing(document if asked.completion else None)
        invoked = asked.context.triggerKind == _INVOKED
        if not invoked and self._is_off(document):
            return Answer(document, empty, empty)
        proposal = await self.editor.propose(document, cursor, asked=invoked)
        if self._model.problem:
            self._warn(self._model.problem)
        if proposal is None or not (asked.files or proposal.edit.document is document):
            return Answer(document, empty, empty)
        return Answer(document, {"edits": [self._as_copilot(proposal)]}, empty)

    async def beside(
        self, document: DocumentSnapshot, position: types.Position, items: list[types.InlineCompletionItem]
    ) -> list[types.InlineCompletionItem]:
        """The given completions. If there are none: the next edit, if it inserts text at the cursor or just below
        it."""
        if items:
            self.editor.completing(document)
            return items
        if self._is_off(document):
            return []
        cursor = self._offset(document, position)
        proposal = await self.editor.beside(
            document, cursor, lambda edit: self._ghost(document, edit, cursor) is not None
        )
        ghost = None if proposal is None else self._ghost(document, proposal.edit, cursor)
        if proposal is None or ghost is None:
            return []
        self.editor.shown(proposal.id)
        item = convert.inline_item(ghost, document, self._session.documents.encoding)
        item.command = types.Command("Accept the next edit", ACCEPT, arguments=[proposal.id])
        return [item]

    async def offered(self, document: DocumentSnapshot, cursor: int) -> list[types.CodeAction | types.Command]:
        """The code action for the next edit, if there is one now."""
        proposal = await self.editor.at_once(document, cursor)
        if proposal is None:
            return []
        edit = proposal.edit
        place = f"line {edit.document.line_at(edit.start) + 1}"
        place = place if edit.document.uri == document.uri else f"{edit.document.path}, {place}"
        title = f"fimble: next edit ({place}): {edit.why}"
        command = types.Command(title, APPLY, arguments=[proposal.id])
        return [types.CodeAction(title, KIND, command=command) if self._session.client.literals else command]

    def _is_off(self, document: DocumentSnapshot) -> bool:
        """Whether the user wants no unasked proposals in a document."""
        options = self._session.settings.inline_options()
        return self._snooze.why(document.uri) != "" or why_off(document, options, explicit=False) != ""

    def _ghost(self, document: DocumentSnapshot, edit: NextEdit, cursor: int) -> Suggestion | None:
        from lsp_server.core.next_edits.ghost import as_ghost

        return as_ghost(edit, cursor, replaces=self._session.client.replaces) if edit.document is document else None

    def _as_copilot(self, proposal: Proposal) -> dict[str, Any]:
        edit = proposal.edit
        document, encoding = edit.document, self._session.documents.encoding
        start, end = (document.position(offset, encoding) for offset in (edit.start, edit.end))
        return {
            "text": edit.text.decode("utf-8", "replace"),
            "textDocument": {"uri": document.uri, "version": document.version},
            "range": {
                "start": {"line": start[0], "character": start[1]},
                "end": {"line": end[0], "character": end[1]},
            },
            "command": {"title": f"fimble: {edit.why}", "command": ACCEPT, "arguments": [proposal.id]},
        }

    def _offset(self, document: DocumentSnapshot, position: types.Position) -> int:
        try:
            return convert.offset_of(document, position, self._session.documents.encoding)
        except convert.PositionError as error:
            raise JsonRpcInvalidParams(str(error)) from None

    # What clients tell ----------------------------------------------------------------------------------

    def shown(self, params: Any) -> None:
        for id in _read(SHOWN, params, _Told).item.command.arguments[:1]:
            self.editor.shown(id)

    async def apply(self, arguments: tuple[Any, ...]) -> None:
        """Makes the client apply an edit: that with the given id, or else the present one. Then goes there if it is far
        from the user's last position."""
        id, edit = await self._chosen(arguments)
        if edit is None:
            return
        last = self._session.documents.recent()[:1]
        replacement = [Replacement(edit.start, edit.end, edit.text)]
        confirm = Confirmation(f"fimble: {edit.why}")
        wanted = workspace_edit(edit.document, replacement, self._session.client, confirm)
        params = types.ApplyWorkspaceEditParams(wanted, label=f"fimble: {edit.why}")
        self.editor.accepted(id)
        answer = await self._session.workspace_apply_edit_async(params)
        if not answer.applied:
            self._say(f"not edited: {answer.failure_reason or 'it was not accepted'}")
            return
        line = edit.document.line_at(edit.start)
        is_far = last != [edit.document] or abs(line - edit.document.line_at(edit.document.edit_end)) > _NEAR_LINES
        if is_far:
            await self._go_to(edit.document.uri, line)

    async def jump(self, arguments: tuple[Any, ...]) -> None:
        """Makes the client show the position of an edit."""
        _, edit = await self._chosen(arguments)
        if edit is not None:
            await self._go_to(edit.document.uri, edit.document.line_at(edit.start))

    async def _go_to(self, uri: str, line: int) -> None:
        if self._session.client.show_document:
            at = types.Position(line, 0)
            params = types.ShowDocumentParams(uri, take_focus=True, selection=types.Range(at, at))
            await self._session.window_show_document_async(params)

    async def _chosen(self, arguments: tuple[Any, ...]) -> tuple[str, NextEdit | None]:
        """The edit with the given id, or else the present one for the document edited last. If there is none for the
        present text, tells the user and returns None."""
        id, edit = "", None
        if arguments:
            id = str(arguments[0])
            edit = self.editor.find(id)
        elif recent := self._session.documents.recent()[:1]:
            proposal = await self.editor.propose(recent[0], recent[0].edit_end, asked=True)
            if proposal is not None:
                id, edit = proposal.id, proposal.edit
        if edit is not None and self._session.documents.get(edit.document.uri) is not edit.document:
            edit = None
        if edit is None:
            self._say("there is no next edit for the text as it is now")
        return id, edit

    def _warn(self, problem: str) -> None:
        """Tells the user once why the model cannot propose edits."""
        message = f"fimble: {problem}"
        if message not in self._session.shown:
            self._session.shown.add(message)
            self._session.window_show_message(types.ShowMessageParams(types.MessageType.Warning, message))

    def _say(self, message: str) -> None:
        self._session.window_show_message(types.ShowMessageParams(types.MessageType.Info, f"fimble: {message}"))


def _plain(value: Any) -> Any:
    """Turns the parameters that pygls made of a method outside the protocol back into JSON values."""
    if hasattr(value, "_asdict"):
        return {key: _plain(each) for key, each in value._asdict().items()}
    return [_plain(each) for each in value] if isinstance(value, list) else value


def _read(method: str, params: Any, kind: type[Any]) -> Any:
    try:
        return msgspec.convert(_plain(params), kind, strict=False)
    except msgspec.ValidationError as error:
        raise JsonRpcInvalidParams(f"{method}: {error}") from None


def register(session: Session, service: NextEditService) -> None:
    """Registers the handlers with pygls."""

    @session.feature(REQUEST)
    async def requested(params: Any) -> Answer:
        return await service.requested(params)

    @session.feature(SHOWN)
    def shown(params: Any) -> None:
        service.shown(params)

    for method in _TOLD:

        @session.feature(method)
        def told(params: Any) -> None:
            pass

    @session.command(ACCEPT)
    def accept(*arguments: Any) -> None:
        service.editor.accepted(str(arguments[0]) if arguments else "")

    @session.command(REJECT)
    def reject(*arguments: Any) -> None:
        service.editor.rejected(str(arguments[0]) if arguments else "")

    @session.command(APPLY)
    def apply(*arguments: Any) -> None:
        session.start_task(service.apply, arguments)

    @session.command(JUMP)
    def jump(*arguments: Any) -> None:
        session.start_task(service.jump, arguments)
