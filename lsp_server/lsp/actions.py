"""Code actions over LSP: offered without a model, run as a task of the server, and delivered as an edit."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import msgspec
from lsprotocol import types
from pygls.exceptions import JsonRpcInvalidParams

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.edits import TrackedRange
from lsp_server.core.hidden_characters import escaped
from lsp_server.engine.api import Engine, ModelState, Role, Usage
from lsp_server.features.actions.asking import ActionFailedError, Progress
from lsp_server.features.actions.catalogue import Action, Result, catalogue
from lsp_server.features.actions.offers import Offer, offers
from lsp_server.features.actions.runner import ActionRunner
from lsp_server.lsp import convert, next_edits
from lsp_server.lsp.action_arguments import Arguments, Range, diagnostic_of, offer_at, offsets, position_of, problems_of
from lsp_server.lsp.applying import Applying, RunnableTests
from lsp_server.lsp.asking_again import ASK_AGAIN, Again, AskingAgain
from lsp_server.lsp.explanations import Explanations
from lsp_server.lsp.next_edits import NextEditService
from lsp_server.lsp.progress import ActionProgress, progress_title
from lsp_server.lsp.protocol import stamped_document

if TYPE_CHECKING:
    from lsp_server.lsp.consent import Consent
    from lsp_server.lsp.counting import Counting
    from lsp_server.lsp.session import Session
    from lsp_server.lsp.snooze import Snooze

logger = logging.getLogger(__name__)

ACTION, RUN_TESTS, CANCEL = "fimble.action", "fimble.runTests", "fimble.cancel"
_MOST_WAITING = 8


class ActionService:
    """The code actions of one client. changed: called when an action starts or ends. may_read: tells whether parts of
    the files in a folder may be shown to a model; called on a worker thread."""

    def __init__(
        self, session: Session, engine: Engine, counting: Counting, snooze: Snooze, changed: Callable[[], None]
    ) -> None:
        self._session, self._counting, self._changed = session, counting, changed
        self._runner = ActionRunner(engine, lambda: session.settings.action_options())  # noqa: PLW0108
        self._explanations = Explanations(session)
        self._applying = Applying(session, self._explanations, partial(self.execute, RUN_TESTS, ()))
        self._tracked: list[TrackedRange] = []
        self._running: dict[str, anyio.CancelScope] = {}
        self._finding: set[anyio.CancelScope] = set()
        self._looking = anyio.CapacityLimiter(2)
        self.may_read: Callable[[Path], bool] = lambda _: True
        self.consent: Consent | None = None
        self.answered: Callable[[str, Usage], None] = lambda action, usage: None
        self.again = AskingAgain(session, self._ask_again, self._warn)
        self.next_edits = NextEditService(session, engine, snooze)

    def model_changed(self, role: Role, state: ModelState) -> None:
        self._runner.model_changed()
        self.next_edits.model_changed(role, state)

    def place_changed(self) -> None:
        self._runner.model_changed()

    def document_changed(self, document: DocumentSnapshot) -> None:
        for tracked in self._tracked:
            if tracked.document.uri == document.uri:
                tracked.follow(document)
        self._explanations.document_changed(document)
        self.again.document_changed(document)

    def document_closed(self, uri: str) -> None:
        for tracked in self._tracked:
            if tracked.document.uri == uri:
                tracked.lost = True
        self._explanations.document_closed(uri)
        self.again.document_closed(uri)

    def cancel(self, token: str | int) -> None:
        """Cancels the action whose progress has this token."""
        scope = self._running.get(str(token))
        if scope is not None:
            scope.cancel()

    def cancel_all(self) -> None:
        for scope in [*self._running.values(), *self._finding]:
            scope.cancel()

    @property
    def running(self) -> bool:
        """Whether an action is running."""
        return bool(self._running)

    # Offers ---------------------------------------------------------------------------------------------

    async def offered(self, params: types.CodeActionParams) -> list[types.CodeAction | types.Command]:
        """The code actions offered for a range. Never asks a model, since clients request this often."""
        document = stamped_document(params.text_document.uri)
        encoding = self._session.documents.encoding
        given = [diagnostic_of(each) for each in params.context.diagnostics]
        where = Range(position_of(params.range.start), position_of(params.range.end))
        start, end = self._selected(document, where)
        only = params.context.only
        answer: list[types.CodeAction | types.Command] = []
        if only is None or any(next_edits.KIND.startswith(getattr(kind, "value", kind)) for kind in only):
            answer = await self.next_edits.offered(document, start)
        if not self._session.settings.code_actions:
            return answer
        kinds = None if only is None else [str(getattr(kind, "value", kind)) for kind in only]
        problems = problems_of(document, given, encoding)
        # On a worker thread, because a large file takes a tenth of a second to parse and walk.
        asked = params.context.trigger_kind != types.CodeActionTriggerKind.Automatic
        find = partial(offers, document, start, end, problems, self._actions(), kinds, asked)
        found = await self._on_worker(find)
        tags = [types.CodeActionTag.LlmGenerated] if self._session.client.action_tags else None
        for offer in found:
            diagnostics = given if offer.subject.problems else []
            marks = tags if offer.action.result is not Result.CHECK else None
            arguments = Arguments(offer.action.id, document.uri, where, document.version, diagnostics)
            title = escaped(f"fimble: {offer.title}")
            command = types.Command(title, ACTION, arguments=[msgspec.to_builtins(arguments)])
            if not self._session.client.literals:
                answer.append(command)
                continue
            about = params.context.diagnostics if offer.subject.problems else None
            answer.append(types.CodeAction(title, offer.action.kind, diagnostics=about, command=command, tags=marks))
        for title, action, command in self.again.offered(document, found, kinds):
            shown = types.CodeAction(title, action.kind, command=command, tags=tags)
            answer.append(shown if self._session.client.literals else command)
        return answer

    async def _on_worker(self, find: Callable[[], list[Offer]]) -> list[Offer]:
        """Runs `find` on a worker thread, at most two at a time. When the client cancels its request, this returns at
        once: queued work is dropped; running work goes on, and keeps its place among the two until it has ended."""
        wanted = True
        work = anyio.to_thread.run_sync(lambda: find() if wanted else [], limiter=self._looking)
        try:
            return await asyncio.shield(asyncio.ensure_future(work))
        finally:
            wanted = False

    def hover(self, params: types.HoverParams) -> types.Hover | None:
        document = stamped_document(params.text_document.uri)
        offset = convert.offset_of(document, params.position, self._session.documents.encoding)
        return self._explanations.hover(document, offset, self._session.client)

    async def show(self, title: str, text: str) -> None:
        """Shows a text to the user."""
        await self._explanations.show(title, text, self._session.client)

    def _selected(self, document: DocumentSnapshot, where: Range) -> tuple[int, int]:
        """The start and end offsets of the range for an action. Raises PositionError."""
        start, end = offsets(document, where, self._session.documents.encoding)
        one = document.source[start:end].decode("utf-8", "replace").replace("\r\n", "\n")
        return (start, start) if self._session.client.block_cursor and len(one) == 1 else (start, end)

    def _actions(self) -> dict[str, Action]:
        return catalogue(self._session.settings.actions)[0]

    # Commands -------------------------------------------------------------------------------------------

    def execute(self, command: str, arguments: Sequence[Any]) -> None:
        """Starts a command and returns at once: some clients block until it has returned."""
        if command == CANCEL:
            self.cancel_all()
            return
        if command == RUN_TESTS:
            self._start("running the tests", self._run_tests)
            return
        if command == ASK_AGAIN:
            try:
                self.again.execute(arguments)
            except msgspec.ValidationError as error:
                raise JsonRpcInvalidParams(f"{ASK_AGAIN}: {error}") from None
            return
        try:
            asked = msgspec.convert(arguments[0] if arguments else None, Arguments)
        except msgspec.ValidationError as error:
            raise JsonRpcInvalidParams(f"{ACTION}: {error}") from None
        document = stamped_document(asked.uri)
        if asked.version is not None and document.version is not None and asked.version != document.version:
            self._warn(f"{asked.action}: the document has changed since; ask for the action again")
            return
        actions = self._actions()
        action = actions.get(asked.action)
        if action is None:
            raise JsonRpcInvalidParams(f"there is no action {asked.action!r}; known are {', '.join(actions)}")
        try:
            start, end = self._selected(document, asked.range)
        except convert.PositionError as error:
            raise JsonRpcInvalidParams(str(error)) from None
        if self._is_full():
            return
        problems = problems_of(document, asked.diagnostics, self._session.documents.encoding)
        self._finding.add(scope := anyio.CancelScope())
        find = partial(offer_at, document, start, end, action, asked.instruction, problems)
        self._session.start_task(self._find_and_start, scope, document, action, find)

    def _ask_again(self, again: Again) -> None:
        document = self._session.documents.get(again.answered.uri)
        if document is None or self._is_full():
            self.again.ended(again)
            return
        self._finding.add(scope := anyio.CancelScope())
        find = partial(again.answered.offer_now, document)
        self._session.start_task(self._find_and_start, scope, document, again.answered.offer.action, find, again)

    async def _find_and_start(
        self,
        scope: anyio.CancelScope,
        document: DocumentSnapshot,
        action: Action,
        find: Callable[[], Offer | None],
        again: Again | None = None,
    ) -> None:
        offer, started = None, False
        try:
            with scope:
                offer = await anyio.to_thread.run_sync(find, abandon_on_cancel=True)
            self._finding.discard(scope)
            if scope.cancel_called:
                return
            if offer is None and again is not None:
                self._warn("the code has changed since; ask for the action again")
            elif offer is None:
                self._warn(f"the action {action.id!r} is not for this place")
            else:
                title = offer.title if again is None else f"Ask {again.place} again: {offer.title}"
                started = self._start(title, self._count, document, offer, again)
        finally:
            self._finding.discard(scope)
            if again is not None and not started:
                self.again.ended(again)

    def _is_full(self) -> bool:
        """Whether no more actions may wait. If so, tells the user."""
        full = len(self._running) + len(self._finding) >= _MOST_WAITING
        if full:
            self._warn(f"{_MOST_WAITING} actions are waiting already")
        return full

    def _start(self, title: str, work: Any, *arguments: Any) -> bool:
        """Starts an action, unless too many wait. Returns whether it did."""
        if self._is_full():
            return False
        client = self._session.client
        progress = ActionProgress(self._session, progress_title(title, client), shown=client.progress)
        self._running[progress.token] = scope = anyio.CancelScope()
        self._changed()

        async def task() -> None:
            message = "cancelled"
            try:
                with scope:
                    message = await work(progress, *arguments)
            except ActionFailedError as error:
                message = str(error)
                self.again.tell(message, error.attempt)
            except Exception as error:
                logger.exception("an action failed")
                message = f"{type(error).__name__}: {error}"
                self._warn(message)
            finally:
                self._running.pop(progress.token, None)
                self._changed()
                progress.end("cancelled" if scope.cancel_called else message)

        self._session.start_task(task)
        return True

    async def _count(
        self, progress: ActionProgress, document: DocumentSnapshot, offer: Offer, again: Again | None
    ) -> str:
        try:
            with self._counting.action(document, offer.action.id) as said:
                said.append(await self._carry_out(progress, document, offer, again))
        finally:
            if again is not None:
                self.again.ended(again)
        return said[0]

    async def _carry_out(
        self, progress: ActionProgress, document: DocumentSnapshot, offer: Offer, again: Again | None
    ) -> str:
        """Runs an action. Returns its result in words. Raises ActionFailedError."""
        subject = offer.subject
        doc = subject.definition.doc if subject.definition is not None else None
        first = min(subject.start, doc[0]) if doc else subject.start
        tracked = self._track(document, first, max(subject.end, doc[1] if doc else 0))
        try:
            if self.consent is not None:
                await self.consent.before_action(again, lambda text: progress.report(text, text))
            outcome = await self._runner.run(
                document,
                offer,
                lambda state: progress.report(_shown(state), state.phase),
                path=convert.path_of(document.uri),
                roots=tuple(self._session.roots),
                may_read=self.may_read,
                at=again.place if again is not None else "",
                before=again.answered.attempt if again is not None else None,
            )
            self.answered(offer.action.id, outcome.usage)
            if outcome.where is not None:
                self._tracked.remove(tracked)
                tracked = self._track(document, *outcome.where)
            said = await self._applying.deliver(document, offer, outcome, tracked)
            if outcome.attempt is not None:
                self.again.delivered(document, offer, outcome.attempt, said, again)
            return said
        except ActionFailedError as error:
            if error.attempt is not None:
                self.again.note(document, offer, error.attempt, again)
            raise
        finally:
            self._tracked.remove(tracked)

    def _track(self, document: DocumentSnapshot, start: int, end: int) -> TrackedRange:
        """Tracks the whole lines of a range through later changes of `document`: a doc comment goes above the first
        line."""
        first, last = document.line_at(start), document.line_at(end)
        tracked = TrackedRange(document, document.line_start(first), document.line_end(last))
        current = self._session.documents.get(document.uri)
        if current is not None:
            tracked.follow(current)
        self._tracked.append(tracked)
        return tracked

    async def _run_tests(self, progress: ActionProgress) -> str:
        return await self._applying.run_tests(progress, self._session.settings.test_seconds)

    @property
    def runnable(self) -> RunnableTests | None:
        """The tests that were generated last."""
        return self._applying.runnable

    def _warn(self, message: str) -> None:
        """Shows a warning each time, also if it was shown before: it answers what the user has just done."""
        self._session.window_show_message(types.ShowMessageParams(types.MessageType.Warning, f"fimble: {message}"))


def _shown(state: Progress) -> str:
    if not state.tokens:
        return state.phase
    tail = " ".join(state.tail.split())[-60:]
    return f"{state.phase}: {state.tokens} tokens, {state.tokens_per_second:.0f} per second … {tail}"


def register(session: Session, service: ActionService) -> None:
    """Registers the handlers with pygls."""
    next_edits.register(session, service.next_edits)

    kinds = ["quickfix", "refactor", "refactor.extract", "refactor.rewrite"]
    options = types.CodeActionOptions(kinds, resolve_provider=True)

    @session.feature(types.TEXT_DOCUMENT_CODE_ACTION, options)
    async def code_action(params: types.CodeActionParams) -> list[types.CodeAction | types.Command]:
        return await service.offered(params)

    @session.feature(types.CODE_ACTION_RESOLVE)
    def resolve(action: types.CodeAction) -> types.CodeAction:
        return action  # it is complete already; some clients ask all the same, and wait

    @session.feature(types.TEXT_DOCUMENT_HOVER)
    def hover(params: types.HoverParams) -> types.Hover | None:
        return service.hover(params)

    @session.command(ACTION)
    def action(*arguments: Any) -> None:
        service.execute(ACTION, arguments)

    @session.command(RUN_TESTS)
    def run_tests(*arguments: Any) -> None:
        service.execute(RUN_TESTS, arguments)

    @session.command(ASK_AGAIN)
    def ask_again(*arguments: Any) -> None:
        service.execute(ASK_AGAIN, arguments)

    @session.command(CANCEL)
    def cancel(*arguments: Any) -> None:
        service.execute(CANCEL, arguments)
