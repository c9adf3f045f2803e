"""OpenAI's `POST /v1/completions`, as Zed's edit predictions use it: the prompt contains markers of a FIM format."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import msgspec

from lsp_server.http.decoding import decoded, event
from lsp_server.http.request import CompletionAnswer, CompletionRequest, RefusedError


class _Body(msgspec.Struct):
    """The fields of a request that are used. `model` is ignored, because there is only one."""

    prompt: str | list[str]
    suffix: str | None = None
    max_tokens: int | None = None
    stop: str | list[str] | None = None
    stream: bool | None = False


@dataclass(frozen=True, slots=True)
class _Markers:
    """The markers that a client writes around the text: before it, between its two parts, and after it. after_first:
    the text right of the cursor comes first."""

    start: str
    between: str
    end: str
    after_first: bool = False


# The formats of Zed's setting `prompt_format`, in its order.
_FORMATS = (
    _Markers("<PRE> ", " <SUF>", " <MID>"),
    _Markers("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),
    _Markers("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"),
    _Markers("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),
    _Markers("[SUFFIX]", "[PREFIX]", "", after_first=True),
    _Markers("<|code_prefix|>", "<|code_suffix|>", "<|code_middle|>"),
)
_MARKERS = frozenset(marker.strip() for form in _FORMATS for marker in (form.start, form.between, form.end) if marker)
# The beginnings of prompts that ask for a rewritten region and not for the text at a cursor.
_REWRITES = ("<[fim-suffix]>", "<|file_sep|>", "### Instruction:")


class OpenAi:
    """See `request.Dialect`."""

    def read(self, body: bytes) -> CompletionRequest:
        sent = decoded(body, _Body)
        prompts = [sent.prompt] if isinstance(sent.prompt, str) else sent.prompt
        if len(prompts) != 1:
            raise RefusedError(400, f"`prompt` has {len(prompts)} texts; one request is for one text")
        if sent.max_tokens is not None and sent.max_tokens < 0:
            raise RefusedError(400, f"`max_tokens` is {sent.max_tokens}, which is less than 0")
        before, after = _sides(prompts[0], sent.suffix)
        stops = [sent.stop] if isinstance(sent.stop, str) else sent.stop or []
        return CompletionRequest(
            before,
            after,
            max_tokens=sent.max_tokens or None,
            # The model's own markers always end a text.
            stops=tuple(stop for stop in stops if stop and stop not in _MARKERS),
            stream=bool(sent.stream),
            only_reads=sent.max_tokens == 0,
        )

    def whole(self, request: CompletionRequest, answer: CompletionAnswer) -> dict[str, Any]:
        usage = answer.usage
        return {
            **_head(answer),
            "choices": [_choice(answer.text, "length" if answer.is_cut else "stop")],
            "usage": {
                "prompt_tokens": usage.prompt_tokens,
                "completion_tokens": usage.decoded_tokens,
                "total_tokens": usage.prompt_tokens + usage.decoded_tokens,
                "prompt_tokens_details": {"cached_tokens": usage.reused_tokens},
            },
        }

    def piece(self, text: str, answer: CompletionAnswer) -> bytes:
        return event({**_head(answer), "choices": [_choice(text, None)]})

    def last(self, request: CompletionRequest, answer: CompletionAnswer) -> bytes:
        whole = self.whole(request, answer)
        return event({**whole, "choices": [{**whole["choices"][0], "text": ""}]}) + b"data: [DONE]\n\n"


def _head(answer: CompletionAnswer) -> dict[str, Any]:
    return {
        "id": f"cmpl-{answer.id}",
        "object": "text_completion",
        "created": int(time.time()),
        "model": answer.model,
    }


def _choice(text: str, reason: str | None) -> dict[str, Any]:
    return {"index": 0, "text": text, "finish_reason": reason, "logprobs": None}


def _sides(prompt: str, suffix: str | None) -> tuple[str, str]:
    """The text left and right of the cursor, separated by the markers in the prompt, or given as prompt and suffix. The
    marker between the two may also occur in the text; the last one counts, since less text follows a cursor."""
    for form in _FORMATS:
        if prompt.startswith(form.start) and prompt.endswith(form.end) and form.between in prompt[len(form.start) :]:
            inner = prompt[len(form.start) : len(prompt) - len(form.end)]
            first, _, second = inner.rpartition(form.between)
            return (second, first) if form.after_first else (first, second)
    if suffix is None and prompt.startswith(_REWRITES):
        raise RefusedError(
            400,
            "this prompt asks for a rewritten region; set the client's prompt format to `qwen`, or another of FIM",
        )
    return prompt, suffix or ""
