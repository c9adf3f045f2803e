"""Renders a prompt for other servers: as one text with markers, as prefix and suffix, or as chat messages."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from lsp_server.core import secrets
from lsp_server.core.prompt import FimPrompt, Segment

# A chat template for servers that take messages: it marks the start of each message. Marks count only in text from the
# template, so no content can begin a new message.
MESSAGES_TEMPLATE = (
    "{% for message in messages %}\x02{{ message.role }}\x03{{ message.content }}{% endfor %}\x02assistant\x03"
)
_OURS = ("marker", "template")  # segments without text of the user
_ROLES = re.compile("\x02(system|user|assistant)\x03")

# The end of the typed text that the model may prefer to write as part of a longer token: a word with the space before
# it, which most vocabularies put into the word's token, or a space.
_HEALED = re.compile(rb"(?: ?[A-Za-z0-9_]{1,24}| )$")


@dataclass(frozen=True, slots=True)
class Healed:
    """A prompt without the last piece of the typed text, and that piece, with which the answer must begin. This is
    token healing for a server that does not return its logits."""

    prompt: FimPrompt
    begins: str = ""


def healed(prompt: FimPrompt) -> Healed:
    last = prompt.segments[-1] if prompt.segments else None
    if last is None or last.kind != "typed" or (match := _HEALED.search(last.text)) is None:
        return Healed(prompt)
    left = last.text[: match.start()]
    segments = (*prompt.segments[:-1], *((replace(last, text=left),) if left else ()))
    return Healed(replace(prompt, segments=segments), match[0].decode())


def without_secrets(prompt: FimPrompt) -> FimPrompt:
    """The prompt without the lines that contain passwords, keys or tokens, which are not sent to another program."""
    segments = (
        segment if segment.kind in _OURS else replace(segment, text=secrets.without_secrets(segment.text))
        for segment in prompt.segments
    )
    return replace(prompt, segments=tuple(segments))


def as_text(prompt: FimPrompt) -> str:
    """The whole prompt as text, with the markers spelled out. If the text of a file contains the spelling of a marker,
    a space is put into it, so that a file cannot change the structure of the prompt."""
    markers = [segment.text.decode() for segment in prompt.segments if segment.kind == "marker"]
    return "".join(
        _text(segment) if segment.kind in _OURS else _without(markers, _text(segment)) for segment in prompt.segments
    )


def _without(markers: Iterable[str], text: str) -> str:
    for marker in markers:
        text = text.replace(marker, f"{marker[:1]} {marker[1:]}")
    return text


def around(prompt: FimPrompt) -> tuple[str, str]:
    """The text before the hole (other files first, typed text last) and the text after it."""
    before = [segment for segment in prompt.segments if segment.kind in ("context", "path", "before")]
    typed = [segment for segment in prompt.segments if segment.kind == "typed"]
    after = [segment for segment in prompt.segments if segment.kind == "after"]
    return "".join(map(_text, [*before, *typed])), "".join(map(_text, after))


def as_messages(prompt: FimPrompt) -> list[dict[str, str]]:
    """The messages of a prompt that was made with MESSAGES_TEMPLATE. The last one may be the beginning of the
    answer."""
    messages: list[dict[str, str]] = []
    for segment in prompt.segments:
        text = _text(segment)
        if segment.kind != "template":
            if messages:
                messages[-1]["content"] += text
            continue
        between = _ROLES.split(text)
        if messages:
            messages[-1]["content"] += between[0]
        for role, content in zip(between[1::2], between[2::2], strict=True):
            messages.append({"role": role, "content": content})
    return [message for message in messages if message["content"]]


def _text(segment: Segment) -> str:
    return segment.text.decode("utf-8", "replace")
