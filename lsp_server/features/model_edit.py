"""Next edits from a model: it is asked when the user pauses and no edit can be computed; the next key stops it."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread

from lsp_server.backends.base import ModelInfo, ModelSpec
from lsp_server.core.prompt import FimPrompt, Segment
from lsp_server.core.secrets import REDACTED
from lsp_server.engine.api import Engine, Finished, FinishReason, Priority, TextDelta, Usage
from lsp_server.features.actions.template import ChatTemplates, Message, TemplateError, is_instruct

if TYPE_CHECKING:
    from lsp_server.core.next_edits.by_model.formats import EditFormat
    from lsp_server.core.next_edits.by_model.prompts import EditPrompt
    from lsp_server.core.next_edits.gates import Rejected
    from lsp_server.core.next_edits.history import Hunk
    from lsp_server.core.next_edits.proposal import NextEdit, Situation

logger = logging.getLogger(__name__)

# The minimum probability of a whole answer that counts as sure, and as likely. Most of its tokens repeat the old text
# and are nearly certain.
_SURE, _LIKELY = 0.3, 0.1
_READ = (FinishReason.STOP, FinishReason.END, FinishReason.CANCELLED)


@dataclass(frozen=True, slots=True)
class EditOptions:
    """The user's settings for the model of next edits. model: its specification. is_set: whether there is one. form:
    the name of its format; empty to derive it from the model's name. deadline_seconds: for one answer. check_danger:
    whether an edit with a dangerous pattern is withheld. disabled_files: patterns of files whose edits the model is not
    shown while the user is in another file."""

    model: ModelSpec
    is_set: bool = False
    form: str = ""
    deadline_seconds: float = 20.0
    check_danger: bool = True
    disabled_files: tuple[str, ...] = ()


class ModelEditor:
    """Asks the model with the role `edit` of one engine. options: called for each request, so that settings can change.

    Must only be used on the event loop. One request runs at a time.
    """

    def __init__(
        self, engine: Engine, options: Callable[[], EditOptions], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._engine, self._options, self._clock = engine, options, clock
        self._templates = ChatTemplates()
        self._changed = anyio.Event()
        self._loaded: ModelSpec | None = None
        self._scope: anyio.CancelScope | None = None
        self._answered: tuple[object, NextEdit | None] = (None, None)
        self.last: Usage | None = None  # of the last answer
        self.problem = ""  # why the model gives no edit, in words for the user; empty if nothing is wrong
        self.asked = self.decoded = self.accepted = 0  # requests, decoded tokens, and accepted draft tokens

    @property
    def checks_danger(self) -> bool:
        return self._options().check_danger

    def summary(self) -> dict[str, Any]:
        """For `fimble/status`."""
        state = self._engine.models["edit"]
        info = {"name": state.info.name} if state.info is not None else {}
        counts = {"asked": self.asked, "decodedTokens": self.decoded, "acceptedTokens": self.accepted}
        last = {"last": self.last.summary()} if self.last is not None else {}
        return {"state": state.kind, **info, **counts, **last, "problem": self.problem or state.message}

    def changed(self) -> None:
        """Must be called after every change of a model's state."""
        self._changed.set()
        self._changed = anyio.Event()

    def cancel(self) -> None:
        """Cancels the current request, because the text has changed."""
        if self._scope is not None:
            self._scope.cancel()

    async def propose(self, situation: Situation) -> NextEdit | None:
        """The model's change of the window around the cursor, as one edit. None if it changes nothing, there is no
        model, or the request is cancelled. The edit has not passed any gate yet."""
        options = self._options()
        if not options.is_set:
            return None
        self.cancel()
        with anyio.CancelScope() as scope:
            self._scope = scope
            try:
                return await self._proposed(situation, options)
            finally:
                if self._scope is scope:
                    self._scope = None
        return None

    async def _proposed(self, situation: Situation, options: EditOptions) -> NextEdit | None:
        info = await self._ready(options)
        form = None if info is None else self._format(info, options)
        if info is None or form is None:
            return None
        from lsp_server.core.next_edits.by_model.prompts import edit_prompt

        hunks = situation.hunks
        if any(hunk.uri != situation.document.uri for hunk in hunks):
            hunks = await anyio.to_thread.run_sync(
                shown_hunks, situation, options.disabled_files, abandon_on_cancel=True
            )
        what = situation.document, situation.cursor, hunks, form, info.context_tokens
        prompt = edit_prompt(*what, hides_secrets=not info.is_ours)
        if prompt is None:
            return None
        key = situation.document, prompt.messages, info.name
        if self._answered[0] != key:
            answer = await self._ask(prompt, info, options)
            if answer is None:
                return None
            self._answered = key, _edit(prompt, answer, info)
        return self._answered[1]

    async def _ready(self, options: EditOptions) -> ModelInfo | None:
        """The model, loaded first if needed; None if it is not available."""
        engine = self._engine
        engine.wake("edit")
        if self._loaded != options.model or engine.models["edit"].kind == "none":
            self._loaded = options.model
            engine.load(options.model, role="edit")
        while engine.models["edit"].kind == "loading":
            await self._changed.wait()
        return engine.models["edit"].info

    def _format(self, info: ModelInfo, options: EditOptions) -> EditFormat | None:
        from lsp_server.core.next_edits.by_model.formats import NAMES, edit_format_by_name, find_edit_format

        self.problem, wanted = "", info.edit_format or options.form
        names = f"{info.name} {PurePath(info.path).name}"
        form = find_edit_format(wanted) or edit_format_by_name(names, follows_instructions=is_instruct(info))
        if form is None:
            self.problem = (
                f"how {info.name} wants to be asked for edits is not known; set `edit_format` to one of "
                f"{', '.join(NAMES)}, or `edit_model` to another model"
            )
        return form

    async def _ask(self, prompt: EditPrompt, info: ModelInfo, options: EditOptions) -> tuple[str, float | None] | None:
        """The answer after the lead, and the probability of all of it (None if a server does not report it). None if
        there is no answer."""
        from lsp_server.core.next_edits.by_model.answers import has_ended

        made = await self._laid_out(prompt, info)
        if made is None:
            return None
        now = self._engine.models["edit"].info
        if now is None or now.is_ours != info.is_ours:
            return None  # the model has changed to one of another program, which must not see this prompt
        laid_out, stops = made
        text, done, number = "", anyio.Event(), 0
        ended: list[Finished] = []

        def on_event(event: TextDelta | Finished) -> None:
            nonlocal text
            if isinstance(event, Finished):
                ended.append(event)
                done.set()
                return
            text += event.text
            if has_ended(prompt, text) or any(stop in text for stop in stops):
                self._engine.cancel(number)

        self.asked += 1
        number = self._engine.submit(
            laid_out,
            None,
            prompt.max_tokens,
            on_event,
            priority=Priority.EDIT,
            deadline=self._clock() + options.deadline_seconds,
            role="edit",
            draft=prompt.draft,
        )
        try:
            await done.wait()
        finally:
            self._engine.cancel(number)  # has no effect after the end
        (end,) = ended
        self.last = end.usage
        self.decoded += end.usage.decoded_tokens
        self.accepted += end.usage.accepted_tokens
        if end.reason in (FinishReason.FAILED, FinishReason.REJECTED):
            self.problem = f"no next edit from {info.name}: {end.message}"
            logger.warning("%s", self.problem)
        stopped = has_ended(prompt, end.text) or any(stop in end.text for stop in stops)
        if end.reason not in _READ or (end.reason is FinishReason.CANCELLED and not stopped):
            return None
        answer = end.text
        for stop in stops:
            answer = answer.partition(stop)[0]
        is_told = info.is_ours or end.logprob < 0
        return answer, math.exp(min(0.0, end.logprob * end.usage.decoded_tokens)) if is_told else None

    async def _laid_out(self, prompt: EditPrompt, info: ModelInfo) -> tuple[FimPrompt, tuple[str, ...]] | None:
        """The prompt in the engine's form, and further texts that end an answer besides the format's own."""
        if not prompt.form.is_chat:
            return FimPrompt(prompt.form.name, prompt.messages[0][1]), ()
        messages = [
            Message(role, tuple((segment.kind, segment.text.decode()) for segment in segments))
            for role, segments in prompt.messages
        ]
        try:
            chat = await self._templates.prompt(info, messages)
        except TemplateError as error:
            self.problem = f"{info.name} cannot be asked for edits: {error}"
            return None
        laid_out = chat.prompt
        # Only a model in our own engine continues a given beginning, and only if it does not begin with thinking.
        if prompt.form.lead and info.parameters > 0 and not chat.thinking:
            laid_out = replace(laid_out, segments=(*laid_out.segments, Segment("text", prompt.form.lead.encode())))
        return laid_out, chat.stops


def shown_hunks(situation: Situation, disabled_files: Sequence[str]) -> Sequence[Hunk]:
    """The edits that a model may be shown: those of the document, and those of other documents that prompts for
    completions may show parts of. Searches whole documents for secrets, so it must not run on the event loop."""
    from lsp_server.core.context import is_source, may_show
    from lsp_server.core.secrets import holds_secret
    from lsp_server.features.reasons import disabling_pattern

    document, edited = situation.document, {hunk.uri for hunk in situation.hunks}
    shown = {
        other.uri
        for other in situation.others
        if other.uri in edited and may_show(other, document) and not disabling_pattern(other, disabled_files)
        if is_source(other)
    }
    return tuple(
        hunk
        for hunk in situation.hunks
        if hunk.uri == document.uri or (hunk.uri in shown and not holds_secret(hunk.old + b"\n" + hunk.new))
    )


def _edit(prompt: EditPrompt, answer: tuple[str, float | None], info: ModelInfo) -> NextEdit | None:
    """The edit in an answer, as small as possible."""
    from lsp_server.core.next_edits.by_model.answers import new_window
    from lsp_server.core.next_edits.proposal import NextEdit, smallest

    window, (text, probability) = prompt.window, answer
    new = new_window(prompt, text)
    # If the answer has more redaction marks than the window, it would write one over a secret that was not sent.
    if new is None or new.count(REDACTED) > window.text.encode().count(REDACTED):
        return None
    # An unknown probability counts as likely: nothing shows that the edit is sure.
    known = _LIKELY if probability is None else probability
    certainty = 3 if known >= _SURE else 2 if known >= _LIKELY else 1
    why = f"suggested by {info.name}"
    return smallest(NextEdit("model", window.document, window.start, window.end, new, why, certainty))


def why_not_models(edit: NextEdit, situation: Situation, eagerness: str, rejected: Rejected, *, danger: bool) -> str:
    """The reason why a model's edit is not shown, in words; empty if it may be shown. Parses. danger: whether an edit
    with a dangerous pattern is withheld."""
    from lsp_server.core.danger.check import check_edit
    from lsp_server.core.hidden_characters import without_hidden
    from lsp_server.core.next_edits.gates import why_not
    from lsp_server.core.next_edits.trees import tree_of

    if reason := why_not(edit, situation, eagerness, rejected):
        return reason
    text = edit.text.decode("utf-8", "replace")
    if without_hidden(text) != text:
        return "it has hidden characters"
    tree = tree_of(edit.document)
    if tree.root is not None and not tree.stays_whole(edit.start, edit.end, edit.text):
        return "it does not parse"
    if left_out := _placeholder(edit):
        return f"it leaves code out: `{left_out}`"
    if danger and check_edit(edit.document, edit.start, edit.end, text).findings:
        return "it has a dangerous pattern"
    return ""


def _placeholder(edit: NextEdit) -> str:
    """A comment of the edit that is a placeholder for code which the model left out; empty if there is none. In a
    language without a grammar any line may be a comment."""
    from lsp_server.core.chatter import is_placeholder
    from lsp_server.core.next_edits.trees import language_of
    from lsp_server.core.outline import comments_in, has_definitions

    source, (_, new) = edit.document.source, edit.lines()
    language = language_of(edit.document)
    if has_definitions(language):
        start = edit.document.line_start(edit.document.line_at(edit.start))
        said = comments_in(language, edit.result, start, start + len(new))
    else:
        said = [line.strip() for line in new.decode("utf-8", "replace").splitlines()]
    return next((text for text in said if is_placeholder(text) and text.encode() not in source), "")
