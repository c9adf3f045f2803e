"""Asks the chat model: loads it when the first action needs it, sends the prompt and follows the answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import anyio

from lsp_server.backends.base import ModelInfo, ModelSpec
from lsp_server.core.hidden_characters import without_hidden
from lsp_server.core.prompt import Segment
from lsp_server.engine.api import LOCAL, Engine, Finished, FinishReason, Priority, Role, TextDelta
from lsp_server.features.actions.answer import repeats
from lsp_server.features.actions.attempts import Attempt
from lsp_server.features.actions.prompts import Question
from lsp_server.features.actions.template import ChatTemplates, TemplateError, can_chat, is_instruct
from lsp_server.features.actions.thinking import may_begin_thinking, without_thinking

# A model with fewer parameters is given the beginning of its answer. A larger one would then skip its thinking.
_SMALL_PARAMETERS = 2_000_000_000


class ActionFailedError(Exception):
    """An action that cannot be carried out. The message is one line for the user. attempt: the model's answer, if a
    larger model may answer better; its text is empty if the model could not answer."""

    def __init__(self, message: str, attempt: Attempt | None = None) -> None:
        super().__init__(message)
        self.attempt = attempt


@dataclass(frozen=True, slots=True)
class ActionOptions:
    """The user's settings for actions. model: the chat model's specification. shared: whether the completion model is
    used if it follows instructions. deadline_seconds: for one answer. format: whether edits are formatted. prettier:
    whether also with prettier. check_danger: whether the model is asked once more if an edit has dangerous code, and
    whether the user is warned."""

    model: ModelSpec
    shared: bool = False
    deadline_seconds: float = 300.0
    format: bool = True
    prettier: bool = False
    check_danger: bool = True


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of an action. phase: in words for the user. tail: the end of the text so far."""

    phase: str
    tail: str = ""
    tokens: int = 0
    tokens_per_second: float = 0.0


class ChatModel:
    """Sends prompts to one engine. options: called for each prompt, so that settings can change."""

    def __init__(
        self,
        engine: Engine,
        options: Callable[[], ActionOptions],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._options = options
        self._clock = clock
        self._templates = ChatTemplates()
        self._loaded: ModelSpec | None = None
        self._changed = anyio.Event()

    def changed(self) -> None:
        """Must be called after every change of a model's state."""
        self._changed.set()
        self._changed = anyio.Event()

    def _at(self, place: str) -> Engine:
        """The whole engine, or the engine of one place. Raises ActionFailedError if there is no such place."""
        if not place and self._options().shared:
            place = LOCAL  # `completion` may have other places; they are not asked about actions
        engine = self._engine.at(place) if place else self._engine
        if engine is None:
            raise ActionFailedError(f"there is no endpoint `{place}` that could be asked")
        return engine

    async def ready(self, report: Callable[[Progress], None], place: str = "") -> tuple[Role, ModelInfo]:
        """The role and the details of the model that answers. Loads it first if needed. place: the name of the place
        whose model has to answer; empty for the first place that works. Raises ActionFailedError."""
        options, is_local = self._options(), place in ("", LOCAL)
        if options.shared and is_local:
            self._at(place).wake("completion")
            completion = self._at(place).models["completion"]
            while completion.kind == "loading":
                report(Progress(f"loading the model ({completion.progress:.0%})"))
                await self._changed.wait()
                completion = self._at(place).models["completion"]
            if completion.info is not None and is_instruct(completion.info):
                return "completion", completion.info
        state = self._at(place).models["chat"]
        if (is_local and self._loaded != options.model) or state.kind in ("none", "failed", "idle"):
            if is_local:
                self._loaded = options.model
            self._at(place).load(options.model, role="chat")
        while (state := self._at(place).models["chat"]).kind == "loading":
            loading = f"loading the chat model ({state.progress:.0%})" if is_local else f"reaching {place}"
            report(Progress(loading))
            await self._changed.wait()
        if state.info is None:
            failed = place or LOCAL
            is_its = (engine := self._engine.at(failed)) is not None and engine.models["chat"] is state
            message = state.message or "the chat model has been unloaded"
            raise ActionFailedError(message, Attempt(failed) if is_its else None)
        if not can_chat(state.info):
            cure = "; set `chat_model` to a GGUF file that follows instructions" if is_local else ""
            raise ActionFailedError(f"{state.info.name} only continues text{cure}", Attempt(state.info.place or LOCAL))
        return "chat", state.info

    async def ask(
        self,
        role: Role,
        info: ModelInfo,
        asked: Question,
        report: Callable[[Progress], None],
        attempt: int,
        place: str = "",
    ) -> tuple[str, Finished]:
        """The model's answer without its thinking, and how it ended. place: as for `ready`. Raises
        ActionFailedError."""
        failed = Attempt(info.place or LOCAL)
        try:
            chat = await self._templates.prompt(info, asked.messages)
        except TemplateError as error:
            raise ActionFailedError(str(error), failed) from None
        engine = self._at(place)
        small = 0 < info.parameters < _SMALL_PARAMETERS and not chat.thinking
        lead = asked.lead if small else ""
        prompt = chat.prompt
        if lead:
            prompt = replace(prompt, segments=(*prompt.segments, Segment("message", lead.encode())))
        # A small model gives the same answer to the same prompt, so its second answer begins with another token.
        rank = 1 if lead and attempt > 1 else 0
        given = "".join(text for message in asked.messages for _, text in message.pieces)
        done = anyio.Event()
        finished: list[Finished] = []
        text = lead
        number = 0
        phase = "reading the code" if attempt == 1 else "asking again"

        def on_event(event: TextDelta | Finished) -> None:
            nonlocal text
            if isinstance(event, Finished):
                finished.append(event)
                done.set()
                return
            text += event.text
            if may_begin_thinking(text):
                return
            usage = event.usage
            rate = 1000 * usage.decoded_tokens / usage.decode_ms if usage.decode_ms else 0.0
            thought, visible = without_thinking(text, opened=chat.thinking, given=given)
            name = "thinking" if thought and not visible else "writing"
            report(Progress(name, without_hidden((visible or thought)[-200:]), usage.decoded_tokens, rate))
            looked_at = "\n" in event.text or usage.decoded_tokens % 16 == 0
            if (looked_at and repeats(text, given)) or any(stop in text for stop in chat.stops):
                engine.cancel(number)

        report(Progress(phase))
        number = engine.submit(
            prompt,
            None,
            asked.max_tokens,
            on_event,
            priority=Priority.ACTION,
            deadline=self._clock() + self._options().deadline_seconds,
            role=role,
            rank=rank,
        )
        try:
            await done.wait()
        finally:
            engine.cancel(number)  # has no effect after the end
        end = finished[0]
        answer = lead + end.text if end.text else text
        for stop in chat.stops:
            answer = answer.partition(stop)[0]
        if end.reason in (FinishReason.FAILED, FinishReason.REJECTED):
            raise ActionFailedError(end.message or "the model failed", failed)
        if end.reason is FinishReason.DEADLINE:
            tokens = end.usage.decoded_tokens
            raise ActionFailedError(
                f"the model took longer than {self._options().deadline_seconds:g} s (`action_seconds`) and "
                f"{f'had written {tokens} tokens' if tokens else 'was still reading'}; select less, raise the setting, "
                "or set `chat_model` to a smaller model (`fimble models list`)",
                failed,
            )
        if end.reason is FinishReason.CANCELLED and answer == lead:
            raise ActionFailedError(end.message or "the model was unloaded meanwhile", failed)
        return without_thinking(without_hidden(answer), opened=chat.thinking, given=given)[1], end
