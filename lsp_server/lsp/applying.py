"""Delivers the outcome of an action: moves its edits to the present text, sends them, and reports the result."""

from __future__ import annotations

import asyncio
import codecs
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from lsprotocol import types

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.edits import Replacement, TrackedRange, applied, minimal_edits
from lsp_server.core.hidden_characters import escaped, without_hidden
from lsp_server.core.languages import find_language
from lsp_server.features.actions.asking import ActionFailedError
from lsp_server.features.actions.generated_tests.place import Place
from lsp_server.features.actions.generated_tests.runtests import run_tests
from lsp_server.features.actions.objections import syntax_objection
from lsp_server.features.actions.offers import Offer
from lsp_server.features.actions.runner import Outcome, new_tests
from lsp_server.features.untrusted_files import MOST_FILE_BYTES, read_bytes
from lsp_server.lsp.convert import path_of
from lsp_server.lsp.delivery import Confirmation, new_file_edit, workspace_edit
from lsp_server.lsp.explanations import Explanations
from lsp_server.lsp.progress import ActionProgress

if TYPE_CHECKING:
    from lsp_server.lsp.session import Session

# The client may answer late: a person may look at a preview for long.
_ANSWER_SECONDS = 600.0
_RUN = "Run these tests"
_MOVED = "the code has changed meanwhile, so nothing was edited; ask for the action again"


@dataclass(frozen=True, slots=True)
class RunnableTests:
    """The tests that were generated last."""

    place: Place
    names: tuple[str, ...]


class Applying:
    """Turns outcomes into edits, documents and messages for one client. start_tests: called when the user wants to run
    the tests that were generated last."""

    def __init__(self, session: Session, explanations: Explanations, start_tests: Callable[[], None]) -> None:
        self._session = session
        self._explanations = explanations
        self._start_tests = start_tests
        self.runnable: RunnableTests | None = None

    async def deliver(self, document: DocumentSnapshot, offer: Offer, outcome: Outcome, tracked: TrackedRange) -> str:
        """Delivers an outcome. Returns what happened, in words. Raises ActionFailedError."""
        if outcome.document:
            return await self._explain(offer, outcome, tracked)
        if outcome.tests is not None:
            return await self._write_tests(document, offer, outcome, outcome.tests, tracked)
        if outcome.new_file is not None:
            path, text = outcome.new_file
            return await self._create(path, text, offer, outcome.note)
        return await self._edit(document, offer, outcome, tracked)

    async def _explain(self, offer: Offer, outcome: Outcome, tracked: TrackedRange) -> str:
        if not tracked.lost:
            self._explanations.remember(tracked, outcome.document)
        await self._explanations.show(offer.title, outcome.document, self._session.client)
        return "explained"

    async def _edit(self, document: DocumentSnapshot, offer: Offer, outcome: Outcome, tracked: TrackedRange) -> str:
        """Sends the edit for the document's present text. Sends it a second time if the document had changed when it
        arrived."""
        language = find_language(document.language_id, document.path)
        attempt = 1
        while True:
            current = self._session.documents.get(document.uri)
            if tracked.lost or current is None or tracked.document is not current:
                raise ActionFailedError(_MOVED if current is not None else "the document has been closed meanwhile")
            edits = moved(outcome.edits, document, current, tracked)
            if edits is None:
                raise ActionFailedError(_MOVED)
            edited = DocumentSnapshot.of(current.uri, applied(current.source, edits), path=current.path)
            check = partial(syntax_objection, current, edited, language, edits[0].start, edits[0].start)
            problem = await anyio.to_thread.run_sync(check, abandon_on_cancel=True)
            if problem:
                raise ActionFailedError(f"beside what was typed meanwhile the edit does not fit: {problem}")
            if self._session.documents.get(document.uri) is not current:
                continue  # the document changed during the check; nothing was sent
            confirm = Confirmation(f"fimble: {offer.title}", outcome.note, needed=bool(outcome.note))
            edit = workspace_edit(current, edits, self._session.client, confirm)
            answer = await self._apply(edit, offer)
            latest = self._session.documents.get(document.uri)
            # Some clients apply an edit and say that they did not.
            if answer.applied or (latest is not None and latest.source == edited.source):
                if outcome.note and not self._session.client.annotations:
                    self._say(outcome.note)
                return "edited" if not outcome.note else f"edited; {outcome.note}"
            if latest is current or answer.failure_reason or attempt == 2:
                return f"not edited: {answer.failure_reason or 'it was not accepted'}"
            if latest is not None and any(
                edit.text and latest.source.count(edit.text) > current.source.count(edit.text) for edit in edits
            ):
                raise ActionFailedError(
                    "the editor did not say whether it has applied the edit; look before you ask again"
                )
            attempt += 1

    async def _apply(self, edit: types.WorkspaceEdit, offer: Offer) -> types.ApplyWorkspaceEditResult:
        params = types.ApplyWorkspaceEditParams(edit, label=escaped(f"fimble: {offer.title}"))
        asked = asyncio.ensure_future(self._session.workspace_apply_edit_async(params))
        try:
            with anyio.move_on_after(_ANSWER_SECONDS):
                return await asyncio.shield(asked)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            return types.ApplyWorkspaceEditResult(applied=False, failure_reason=str(error))
        return types.ApplyWorkspaceEditResult(applied=False, failure_reason="the editor did not answer")

    # Files ----------------------------------------------------------------------------------------------

    async def _create(self, path: Path, text: str, offer: Offer, note: str = "") -> str:
        """Creates a file, or shows its text if the client cannot create files."""
        client = self._session.client
        if not (client.create_files or client.edits_new_files):
            fence = "`" * max(4, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
            shown = f"{fence}\n{text}{fence}"
            told = f"\n\n{note}" if note else ""
            await self._explanations.show(path.name, f"Save this as `{path}`:\n\n{shown}{told}", client)
            return f"shown: the editor cannot create {path.name}"
        edit = new_file_edit(
            path.as_uri(), text, client, Confirmation(f"fimble: {offer.title}", _joined(str(path), note), needed=True)
        )
        answer = await self._apply(edit, offer)
        return f"created {path.name}" if answer.applied else f"not created: {answer.failure_reason or 'not accepted'}"

    async def _write_tests(
        self, document: DocumentSnapshot, offer: Offer, outcome: Outcome, place: Place, tracked: TrackedRange
    ) -> str:
        """Builds the new text of the test file from its present text, which may be in an open, unsaved document."""
        opened = open_file = self._open(place.file)
        if open_file is None:
            existing = await anyio.to_thread.run_sync(read_bytes, place.file, MOST_FILE_BYTES)
            if existing is not None:
                if len(existing) >= MOST_FILE_BYTES:
                    raise ActionFailedError(f"{place.file.name} is too large to add tests to")
                if existing.decode("utf-8", "ignore").encode() != existing:
                    raise ActionFailedError(f"{place.file.name} is not in UTF-8")
                # Editors show no byte order mark, so positions on the first line are counted without it.
                shown = existing.removeprefix(codecs.BOM_UTF8)
                open_file = DocumentSnapshot.of(place.file.as_uri(), shown, path=place.file.name)
        # If the tests go into the file under test, they are added to the text that is compared below.
        source = open_file if open_file is not None and path_of(document.uri) == place.file else document
        old = open_file.source.decode("utf-8", "replace") if open_file is not None else ""
        work = partial(new_tests, source, offer, outcome.answer, place, old)
        found = await anyio.to_thread.run_sync(work, abandon_on_cancel=True)
        if found.problem:
            raise ActionFailedError(found.problem)
        if open_file is None:
            said = await self._create(place.file, found.text, offer)
        else:
            diff = partial(minimal_edits, open_file.source, found.text.encode("utf-8", "replace"))
            edits = await anyio.to_thread.run_sync(diff, abandon_on_cancel=True)
            if self._open(place.file) is not opened:
                return await self._write_tests(document, offer, outcome, place, tracked)  # it has changed meanwhile
            confirm = Confirmation(f"fimble: {offer.title}", str(place.file), needed=open_file.uri != document.uri)
            answer = await self._apply(workspace_edit(open_file, edits, self._session.client, confirm), offer)
            said = "added" if answer.applied else f"not added: {answer.failure_reason or 'not accepted'}"
        if said.startswith(("created", "added")):
            self.runnable = RunnableTests(place, found.names)
            note = f"; {place.note}" if place.note and open_file is None else ""
            message = f"{said.split()[0]} {len(found.names)} tests in {place.file.name}{note}"
            if place.command:
                self._session.start_task(self._offer_to_run, message)
            else:
                self._say(message)
            return f"{said} ({', '.join(found.names[:6])}){note}"
        return f"{said} ({', '.join(found.names[:6])})"

    def _open(self, file: Path) -> DocumentSnapshot | None:
        """The open document of a file, whatever the spelling of its URI."""
        documents = self._session.documents
        uri = next((uri for uri in documents.snapshots() if path_of(uri) == file), None)
        return None if uri is None else documents.get(uri)

    async def _offer_to_run(self, message: str) -> None:
        """Asks whether to run the tests. They run only if the user says so, here or by the command."""
        params = types.ShowMessageRequestParams(
            types.MessageType.Info, f"fimble: {message}", [types.MessageActionItem(_RUN)]
        )
        answer = await self._session.window_show_message_request_async(params)
        if answer is not None and answer.title == _RUN:
            self._start_tests()

    async def run_tests(self, progress: ActionProgress, seconds: float) -> str:
        """Runs the tests that were generated last, and shows the result. Raises ActionFailedError."""
        runnable = self.runnable
        if runnable is None:
            raise ActionFailedError("no tests have been generated yet")
        file = runnable.place.file
        if not runnable.place.command:
            raise ActionFailedError(f"how the project builds {file.name} is not known; run it as its other tests")
        on_disk = await anyio.to_thread.run_sync(read_bytes, file, MOST_FILE_BYTES)
        saved = (on_disk or b"").decode("utf-8", "replace")
        if not all(part in saved for name in runnable.names for part in name.split(".")):  # `Suite.Name` in C++
            raise ActionFailedError(f"save {file.name} first: the tests are not in the file yet")
        command = runnable.place.run_command(runnable.names)
        progress.report(" ".join(command), "running")
        text = without_hidden(await run_tests(command, runnable.place.root, seconds))
        await self._explanations.show(f"Tests in {file.name}", text, self._session.client)
        return text.split("\n")[0]

    def _say(self, message: str) -> None:
        self._session.window_show_message(types.ShowMessageParams(types.MessageType.Info, f"fimble: {message}"))


def _joined(text: str, note: str) -> str:
    return f"{text}; {note}" if note else text


def moved(
    edits: Sequence[Replacement], document: DocumentSnapshot, current: DocumentSnapshot, tracked: TrackedRange
) -> list[Replacement] | None:
    """The edits of `document` as edits of `current`, shifted with the tracked range. None if the text in the range is
    not exactly the text for which the edits were made, or if an edit is outside the range."""
    if not edits:
        return None
    length = tracked.end - tracked.start
    shift = tracked.start - tracked.began
    origin = document.source[tracked.began : tracked.began + length]
    if current.source[tracked.start : tracked.end] != origin:
        return None
    if not all(tracked.began <= edit.start and edit.end <= tracked.began + length for edit in edits):
        return None
    return [Replacement(edit.start + shift, edit.end + shift, edit.text) for edit in edits]
