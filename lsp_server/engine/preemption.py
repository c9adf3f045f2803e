"""Decides whether a message interrupts the model's running step. Pure functions, tested without a thread."""

from __future__ import annotations

from dataclasses import dataclass

from lsp_server.backends.base import Backend
from lsp_server.core.prompt import FimPrompt, Segment
from lsp_server.engine.request import Cancel, Generate, Load, Message, Priority, Role, Shutdown


@dataclass(slots=True)
class Step:
    """The running step: an evaluation in `backend` for the request `id`.

    The engine's thread creates it, and replaces it with None when the step is over. Other threads read it, and set
    `given_up`: the request was cancelled, but a later request may use what the step computes.
    """

    backend: Backend
    id: int
    priority: Priority
    role: Role
    prompt: FimPrompt
    given_up: bool = False


def interrupts(message: Message, step: Step) -> bool:
    """Whether `message` interrupts `step`, because its result is no longer needed or the message is more urgent. The
    work of the step is lost then.

    A more urgent request with the same frozen prompt does not interrupt: it needs the same computation.
    """
    if isinstance(message, Generate):
        urgent = message.priority < step.priority or (step.given_up and message.priority <= step.priority)
        return urgent and not _same_frozen_prompt(message, step)
    if isinstance(message, Cancel):
        if message.id != step.id:
            return False
        step.given_up = True
        return not message.keep
    if isinstance(message, Load):
        return message.role == step.role
    return isinstance(message, Shutdown)


def _same_frozen_prompt(message: Generate, step: Step) -> bool:
    prompts = [message.prompt, *([message.quick] if message.quick else [])]
    return message.role == step.role and any(_frozen(prompt) == _frozen(step.prompt) for prompt in prompts)


def _frozen(prompt: FimPrompt) -> tuple[Segment, ...]:
    """The segments that do not change while the user types."""
    return tuple(segment for segment in prompt.segments if segment.kind != "typed")
