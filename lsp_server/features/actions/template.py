"""Chat templates: formats messages with the model's own Jinja2 template, so that their contents remain plain text.

A template comes with the model's file and is untrusted. It is rendered in Jinja2's sandbox, in a process of its own
with little time and memory. It never sees a message: it gets random placeholders, and the rendered text is split at
them. The template's own text is tokenised with special tokens, the contents without them, so the text of a file cannot
imitate the template.
"""

from __future__ import annotations

import json
import re
import secrets
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import anyio

from lsp_server import children
from lsp_server.backends.base import ModelInfo
from lsp_server.core.prompt import FimPrompt, Segment
from lsp_server.core.thinking import OPENERS

_MOST_TEMPLATE = 200_000
_SECONDS = 10.0
_LIMITS = children.Limits(cpu_seconds=20, memory_bytes=1 << 30, file_bytes=1 << 20)
_CHAT_NAME = re.compile(r"instruct|chat|(^|[-_ .])it([-_ .]|$)|assistant", re.IGNORECASE)
_THINK_OPEN = re.compile(rf"({'|'.join(map(re.escape, OPENERS))})\s*$", re.IGNORECASE)


class TemplateError(Exception):
    """A template that cannot be rendered. The message says why, in one line."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message. pieces: pairs of kind and text. A piece of kind `before` may be cut if the context is too small."""

    role: str
    pieces: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class ChatPrompt:
    """thinking: whether the prompt itself opens the model's thinking, so that the answer begins inside it. stops: texts
    that end an answer, for a model that does not stop by itself."""

    prompt: FimPrompt
    thinking: bool = False
    stops: tuple[str, ...] = ()


def can_chat(info: ModelInfo) -> bool:
    """Whether a model follows instructions: it has a chat template, or its name says so."""
    return bool(info.chat_template) or bool(_CHAT_NAME.search(info.name))


def is_instruct(info: ModelInfo) -> bool:
    """Whether a model for completion can be used for chat as well. Some base models have a template, too, so the name
    must say so."""
    return bool(info.chat_template) and bool(_CHAT_NAME.search(f"{info.name} {info.path.rpartition('/')[2]}"))


class ChatTemplates:
    """Renders prompts. A template is rendered once for each sequence of roles and piece counts, and then reused."""

    def __init__(self) -> None:
        self._rendered: dict[tuple[Any, ...], tuple[str, list[str]]] = {}

    async def prompt(self, info: ModelInfo, messages: Sequence[Message]) -> ChatPrompt:
        """The prompt for `messages` in the model's own format. Raises TemplateError."""
        if not info.chat_template:
            return _plain(messages)
        try:
            return await self._filled(info, messages)
        except TemplateError as error:
            if messages[0].role != "system" or len(messages) < 2:
                raise
            first = error
            # Some templates refuse a system message. Its text is then put before the user's.
            system, user, *rest = messages
            merged = Message(user.role, (*system.pieces, ("message", "\n\n"), *user.pieces))
            try:
                return await self._filled(info, [merged, *rest])
            except TemplateError:
                raise first from None

    async def _filled(self, info: ModelInfo, messages: Sequence[Message]) -> ChatPrompt:
        shape = tuple((message.role, len(message.pieces)) for message in messages)
        key = (info.chat_template, info.bos, info.eos, shape)
        if key not in self._rendered:
            marks = [secrets.token_hex(16) for _, count in shape for _ in range(count)]
            left = iter(marks)
            shown = [
                {"role": message.role, "content": "".join(next(left) for _ in message.pieces)} for message in messages
            ]
            text = await anyio.to_thread.run_sync(
                partial(render_apart, info.chat_template, shown, info.bos, info.eos), abandon_on_cancel=True
            )
            if info.bos and text.startswith(info.bos):
                text = text[len(info.bos) :]  # every sequence begins with this token anyway
            positions = [text.find(mark) for mark in marks]
            if -1 in positions or positions != sorted(positions):
                raise TemplateError("the model's chat template leaves out what it is given")
            if len(self._rendered) > 32:
                self._rendered.clear()
            self._rendered[key] = text, marks
        text, marks = self._rendered[key]
        segments: list[Segment] = []
        pieces = [piece for message in messages for piece in message.pieces]
        for mark, (kind, content) in zip(marks, pieces, strict=True):
            head, _, text = text.partition(mark)
            segments += (Segment("template", head.encode()), Segment(kind, content.encode("utf-8", "replace")))
        segments.append(Segment("template", text.replace("".join(marks), "").encode()))
        kept = tuple(segment for segment in segments if segment.text)
        return ChatPrompt(FimPrompt("chat", kept), bool(_THINK_OPEN.search(text)))


def _plain(messages: Sequence[Message]) -> ChatPrompt:
    """The prompt for a model without a template: the plain format that instruction-tuned models have seen most."""
    segments: list[Segment] = []
    for message in messages:
        title = {"system": "", "user": "### Instruction:\n", "assistant": "### Response:\n"}[message.role]
        segments.append(Segment("message", title.encode()))
        segments += (Segment(kind, text.encode("utf-8", "replace")) for kind, text in message.pieces)
        segments.append(Segment("message", b"\n\n"))
    segments.append(Segment("message", b"### Response:\n"))
    kept = tuple(segment for segment in segments if segment.text)
    return ChatPrompt(FimPrompt("chat", kept), stops=("\n### Instruction:", "\n### Response:"))


def render_apart(template: str, messages: list[dict[str, str]], bos: str, eos: str) -> str:
    """Renders a template in a process of its own. Raises TemplateError if that fails or takes too long."""
    if len(template) > _MOST_TEMPLATE:
        raise TemplateError(f"the model's chat template has {len(template)} characters, more than {_MOST_TEMPLATE}")
    given = json.dumps({"template": template, "messages": messages, "bos": bos, "eos": eos})
    # Uses our own search path, because the current folder may contain anything.
    code = f"import sys; sys.path[:] = {sys.path!r}; from lsp_server.features.actions.rendering import main; main()"
    command = [sys.executable, "-c", code]
    try:
        done = children.run(command, _LIMITS, seconds=_SECONDS, text=given.encode())
        answer = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        raise TemplateError(f"the model's chat template takes longer than {_SECONDS:g} s") from None
    except (OSError, ValueError):
        raise TemplateError("the model's chat template cannot be rendered") from None
    if "error" in answer:
        raise TemplateError(f"the model's chat template fails: {answer['error']}")
    return str(answer["text"])
