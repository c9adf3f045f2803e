"""Carries out an action: loads the model, sends the prompt, reads the answer, and asks once more if necessary.

The result is a proposal; nothing is written here. Cancelling the task that runs the action stops the model's work at
once and leaves nothing behind.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import anyio

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.edits import Replacement, minimal_edits
from lsp_server.core.hidden_characters import keeping_lines
from lsp_server.core.languages import find_language
from lsp_server.core.outline import called_in, definitions
from lsp_server.core.secrets import holds_secret
from lsp_server.engine.api import LOCAL, Engine, Finished, FinishReason, Usage
from lsp_server.features.actions import dangers, formatters, prompts, workspace
from lsp_server.features.actions.answer import without_cut_end, without_repetition
from lsp_server.features.actions.asking import ActionFailedError, ActionOptions, ChatModel, Progress
from lsp_server.features.actions.attempts import Attempt, shown_to_another
from lsp_server.features.actions.catalogue import Action, Result
from lsp_server.features.actions.docs import read_doc, style_hint
from lsp_server.features.actions.generated_tests import places, testcode
from lsp_server.features.actions.generated_tests.place import Place, PlaceError
from lsp_server.features.actions.generated_tests.testparts import NewTests
from lsp_server.features.actions.objections import objection, syntax_objection, unknown_names
from lsp_server.features.actions.offers import Offer
from lsp_server.features.actions.readings import candidates, shown_text
from lsp_server.features.actions.results import Proposal, read_insertion, read_rewriting
from lsp_server.features.untrusted_files import MOST_FILE_BYTES, read_text

_MOST_CALLED = 10


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of an action. Only some of the fields are set.

    document: text to show, in Markdown. edits: of the subject's document, as it was when the action began. note: what
    the user should know before accepting them. where: the byte range of the edits, if it is another part of the
    document than the requested one. found: the dangers in the result, one sentence each. tests: the place of the tests,
    whose text is in `answer`; the file is put together on delivery. new_file: its path and text. attempt: the model's
    answer and its place; None if no model was asked.
    """

    document: str = ""
    edits: tuple[Replacement, ...] = ()
    note: str = ""
    where: tuple[int, int] | None = None
    answer: str = ""
    tests: Place | None = None
    new_file: tuple[Path, str] | None = None
    usage: Usage = field(default_factory=Usage)
    found: tuple[str, ...] = ()
    attempt: Attempt | None = None


class ActionRunner:
    """Runs actions on one engine. options: called for each action, so that settings can change."""

    def __init__(
        self,
        engine: Engine,
        options: Callable[[], ActionOptions],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._options = options
        self._chat = ChatModel(engine, options, clock)
        self._asking = anyio.Lock()

    def model_changed(self) -> None:
        """Must be called after every change of a model's state."""
        self._chat.changed()

    async def run(
        self,
        document: DocumentSnapshot,
        offer: Offer,
        report: Callable[[Progress], None],
        *,
        path: Path | None = None,
        roots: tuple[Path, ...] = (),
        may_read: Callable[[Path], bool] = lambda _: True,
        at: str = "",
        before: Attempt | None = None,
    ) -> Outcome:
        """Carries out `offer`. path: the document's file, if it has one. may_read: tells whether parts of the files in
        a folder may be shown; called on a worker thread. at: the name of the only place to ask; empty for the first
        that works. before: the answer of another place. Raises ActionFailedError.

        Actions run one at a time, because two at once would only be slower.
        """
        if offer.action.result is Result.CHECK:
            look = partial(dangers.report, document, offer.subject)
            return Outcome(document=await anyio.to_thread.run_sync(look, abandon_on_cancel=True))
        report(Progress("waiting for another action" if self._asking.locked() else "starting"))
        async with self._asking:
            role, info = await self._chat.ready(report, at)
            answering = info.place or LOCAL
            root = places.project_root(path, roots) if path is not None else None
            place = await self._place(document, offer, path, roots)
            report(Progress("reading the project"))
            first = partial(_question, document, offer, info.context_tokens, place, root, path, may_read)
            try:
                asked, secret = await anyio.to_thread.run_sync(first, abandon_on_cancel=True)
            except prompts.TooLargeError as error:
                raise ActionFailedError(str(error), Attempt(answering)) from None
            if before is not None:
                asked = shown_to_another(asked, before, info.context_tokens)
            problem = answer = ""
            flawed: Outcome | None = None
            for attempt in (1, 2):
                question = asked if attempt == 1 else prompts.again(asked, answer, problem, info.context_tokens)
                answer, finished = await self._chat.ask(role, info, question, report, attempt, at)
                outcome, problem = await self._read(
                    document, offer, answer, finished, question.given, place, path, root, roots
                )
                flaw = _flaw(outcome, offer.action) if outcome is not None else ""
                if outcome is not None and (not flaw or attempt == 2):
                    return _warned(outcome, Attempt(answering, answer, saw_secret=secret))
                if outcome is not None:
                    flawed, problem = outcome, flaw
                if offer.action.result is Result.DOCUMENT:
                    break
            if flawed is not None:
                # The second answer was no better.
                return _warned(flawed, Attempt(answering, answer, saw_secret=secret))
            failed = Attempt(answering, answer, problem, secret)
            raise ActionFailedError(f"no edit: {problem}{_next_step(finished)}", failed)

    # The question ---------------------------------------------------------------------------------------

    async def _place(
        self, document: DocumentSnapshot, offer: Offer, path: Path | None, roots: tuple[Path, ...]
    ) -> Place | None:
        if offer.action.result is not Result.TESTS:
            return None
        if path is None or offer.subject.definition is None:
            raise ActionFailedError("tests need a file that is saved in a folder")
        language = find_language(document.language_id, document.path)
        try:
            return await anyio.to_thread.run_sync(
                places.find_place, path, language, offer.subject.definition, roots, abandon_on_cancel=True
            )
        except PlaceError as error:
            raise ActionFailedError(str(error)) from None

    # The answer -----------------------------------------------------------------------------------------

    async def _read(
        self,
        document: DocumentSnapshot,
        offer: Offer,
        answer: str,
        finished: Finished,
        given: str,
        place: Place | None,
        path: Path | None,
        root: Path | None,
        roots: tuple[Path, ...],
    ) -> tuple[Outcome | None, str]:
        """The outcome of the answer, or None and the reason why it cannot be used."""
        action, usage = offer.action, finished.usage
        if not answer.strip():
            return None, "the model wrote nothing"
        if action.result is Result.DOCUMENT:
            text = without_repetition(shown_text(answer))
            if finished.reason is FinishReason.LENGTH:
                text += "\n\n*(The answer was cut here.)*"
            return Outcome(document=text, usage=usage), ""
        if action.result is Result.TESTS:
            assert place is not None
            return await self._read_tests(document, offer, answer, place, finished)
        if action.result is Result.NEW_FILE:
            return await self._read_file(document, offer, answer, path, root, usage)
        said = without_repetition(answer)
        if finished.reason is FinishReason.LENGTH:
            said = without_cut_end(said)
        read = {Result.DOC_COMMENT: lambda: read_doc(said, document, offer.subject, given)}.get(
            action.result,
            (lambda: read_rewriting(answer, document, offer.subject, action))
            if action.result is Result.REPLACE
            else (lambda: read_insertion(answer, document, offer.subject, action)),
        )
        # Parsing a dozen readings of an answer takes tens of milliseconds, so it must not run in the event loop.
        proposal = await anyio.to_thread.run_sync(read, abandon_on_cancel=True)
        if proposal.problem:
            return None, _cut_short(finished) or proposal.problem
        proposal = await self._formatted(document, offer, proposal, path, root, roots)
        # A diff takes as long.
        work = partial(_edits, document, proposal, root, check=self._options().check_danger)
        edits, note, found = await anyio.to_thread.run_sync(work, abandon_on_cancel=True)
        where = (proposal.start, proposal.end) if proposal.other_subject is not None else None
        return Outcome(edits=edits, note=note, where=where, answer=answer, usage=usage, found=found), ""

    async def _formatted(
        self,
        document: DocumentSnapshot,
        offer: Offer,
        proposal: Proposal,
        path: Path | None,
        root: Path | None,
        roots: tuple[Path, ...],
    ) -> Proposal:
        """The proposal in the project's format; unchanged if the formatted version does not pass the checks."""
        if not self._options().format or path is None or root is None:
            return proposal
        language = find_language(document.language_id, document.path)

        def work() -> Proposal:
            formatter = formatters.find_formatter(path, root, language, prettier=self._options().prettier, roots=roots)
            edited = document.edited(proposal.start, proposal.end, proposal.text)
            whole = None if formatter is None else formatters.formatted(formatter, edited.source)
            if whole is None:
                return proposal
            last = edited.line_at(proposal.start + len(proposal.text)) + 1
            kept = formatters.only_within(edited.source, whole, [(edited.line_at(proposal.start), last)])
            tail = len(document.source) - proposal.end
            if (
                kept[: proposal.start] != document.source[: proposal.start]
                or kept[len(kept) - tail :] != (document.source[proposal.end :])
            ):
                return proposal
            text = kept[proposal.start : len(kept) - tail]
            after = document.edited(proposal.start, proposal.end, text)
            if syntax_objection(document, after, language, proposal.start, proposal.start + len(text)):
                return proposal
            subject = proposal.other_subject or offer.subject
            if offer.action.result is Result.REPLACE and objection(document, subject, text, offer.action):
                return proposal
            return replace(proposal, text=text)

        return await anyio.to_thread.run_sync(work, abandon_on_cancel=True)

    async def _read_tests(
        self, document: DocumentSnapshot, offer: Offer, answer: str, place: Place, finished: Finished
    ) -> tuple[Outcome | None, str]:
        def work() -> NewTests:
            existing = "" if place.file.is_symlink() else read_text(place.file, MOST_FILE_BYTES)
            return new_tests(document, offer, answer, place, existing)

        found = await anyio.to_thread.run_sync(work, abandon_on_cancel=True)
        if found.problem:
            return None, _cut_short(finished) or found.problem
        return Outcome(answer=answer, tests=place, usage=finished.usage), ""

    async def _read_file(
        self,
        document: DocumentSnapshot,
        offer: Offer,
        answer: str,
        path: Path | None,
        root: Path | None,
        usage: Usage,
    ) -> tuple[Outcome | None, str]:
        if path is None or root is None:
            raise ActionFailedError("a new file needs a folder; this document has none")
        definition = offer.subject.definition
        names = {"stem": path.stem, "extension": path.suffix, "name": path.stem}
        if definition is not None:
            names["name"] = re.sub(r"[^\w.-]+", "_", definition.name)  # `operator<<` of C++
        name = offer.action.file
        for key, value in names.items():
            name = name.replace("{" + key + "}", value)
        try:
            target = places.new_file(root, path, name)
        except PlaceError as error:
            raise ActionFailedError(str(error)) from None
        if target.exists():
            raise ActionFailedError(f"{target.name} exists already")
        text = shown_text(answer) if target.suffix in {".md", ".txt", ".rst"} else _first_code(answer)
        if not text.strip():
            return None, "empty"
        look = partial(dangers.found_in_file, target.name, text)
        found = await anyio.to_thread.run_sync(look, abandon_on_cancel=True) if self._options().check_danger else ()
        return Outcome(new_file=(target, text.rstrip() + "\n"), usage=usage, found=found), ""


def _flaw(outcome: Outcome, action: Action) -> str:
    """Why the model is asked once more for an edit that could be shown, in words for it: a dangerous pattern, or a name
    that is defined nowhere where the code is to do what it did; empty if there is nothing."""
    if outcome.found:
        return dangers.complaint(outcome.found)
    if outcome.note and action.result is Result.REPLACE and action.keeps:
        return f"it uses {outcome.note}, which are defined nowhere"
    return ""


def _question(
    document: DocumentSnapshot,
    offer: Offer,
    context_tokens: int,
    place: Place | None,
    root: Path | None,
    path: Path | None,
    may_read: Callable[[Path], bool],
) -> tuple[prompts.Question, bool]:
    """The first prompt, and whether a secret stands in it. Reads the project's files. Raises TooLargeError."""
    hints: list[str] = []
    if place is not None:
        hints = [place.hint]
    elif offer.action.result is Result.DOC_COMMENT:
        hints = [f"Use {style_hint(document)}."]
    signatures = _signatures(document, offer, root, path) if root is not None and may_read(root) else []
    imports, begin = (place.imports, place.begin) if place is not None else ((), "")
    asked = prompts.build(
        document, offer, context_tokens, signatures=signatures, hints=hints, imports=imports, begin=begin
    )
    return asked, any(holds_secret(text.encode()) for message in asked.messages for _, text in message.pieces)


def _signatures(document: DocumentSnapshot, offer: Offer, root: Path | None, path: Path | None) -> list[str]:
    """The headers of functions in other files of the workspace that the subject calls."""
    language = find_language(document.language_id, document.path)
    if root is None or not language.ids:
        return []
    called = called_in(language, document.source, offer.subject.start, offer.subject.end)
    here = {one.name for one in definitions(language, document.source)}
    wanted = [name for name in called if name not in here][:_MOST_CALLED]
    return workspace.signatures_of(wanted, root, language, path) if wanted else []


def _warned(outcome: Outcome, attempt: Attempt) -> Outcome:
    """`outcome` with the dangers added to its note for the user, and with the answer that it was read from."""
    return replace(outcome, note=dangers.warning(outcome.note, outcome.found), attempt=attempt)


def _edits(
    document: DocumentSnapshot, proposal: Proposal, root: Path | None, *, check: bool
) -> tuple[tuple[Replacement, ...], str, tuple[str, ...]]:
    """A proposal as minimal edits; the unknown names that they use, in words for the user; and the dangers in it."""
    old = document.source[proposal.start : proposal.end]
    text = keeping_lines(old.decode("utf-8", "replace"), proposal.text.decode("utf-8", "replace")).encode()
    edits = tuple(minimal_edits(old, text, proposal.start))
    edited = document.edited(proposal.start, proposal.end, text).source
    unknown = unknown_names(document, list(edits), edited)
    if unknown and root is not None:
        language = find_language(document.language_id, document.path)
        known = workspace.names_found(unknown, root, language)
        unknown = [name for name in unknown if name not in known]
    found = dangers.found_in(document, proposal.start, proposal.end, text) if check else ()
    return edits, f"unknown names: {', '.join(unknown[:12])}" if unknown else "", found


def new_tests(document: DocumentSnapshot, offer: Offer, answer: str, place: Place, existing: str) -> NewTests:
    """The test file after the answer's tests are added to `existing`. For Rust the file is the document itself."""
    assert offer.subject.definition is not None
    language = find_language(document.language_id, document.path)
    source = document.source.decode("utf-8", "replace")
    if language.name == "Rust":
        existing = source
    return testcode.read_tests(answer, existing, place, language, offer.subject.definition, source)


def _cut_short(finished: Finished) -> str:
    """The reason why an answer ended early; empty if it did not."""
    if finished.reason is FinishReason.LENGTH:
        return f"the answer was cut after {finished.usage.decoded_tokens} tokens"
    return "the model began to repeat itself" if finished.reason is FinishReason.CANCELLED else ""


def _next_step(finished: Finished) -> str:
    """What the user can do about an answer that ended early, to be appended to the problem."""
    larger = "set `chat_model` to a larger model (`fimble models list`)"
    if finished.reason is FinishReason.LENGTH:
        return f"; select less, or {larger}"
    return f"; {larger}" if finished.reason is FinishReason.CANCELLED else ""


def _first_code(answer: str) -> str:
    return next(iter(candidates(answer)), "")
