"""The requests of llama.vim and llama.vscode to llama-server's `/infill` at a key, with their constants and windows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.arms.arm import Answer
from bench.sessions.recordings import Change

Payload = dict[str, Any]

_TIMINGS = ("prompt_n", "prompt_ms", "cache_n", "predicted_n", "predicted_ms")

# For a fixed number of tokens these are switched off, because each can end a text early: the infill sampler, the time
# limit, the indentation limit, and the stop tokens.
_FORCED: Payload = {
    "samplers": ["top_k", "top_p"],
    "ignore_eos": True,
    "stop": [],
    "t_max_predict_ms": -1,
    "n_indent": 0,
}


@dataclass(frozen=True, slots=True)
class InfillClient:
    """The request of one plug-in. n_prefix, n_suffix: how many lines it sends. max_line_suffix: with more characters
    right of the cursor it sends no automatic request. constants: the fields besides the text."""

    name: str
    constants: Mapping[str, Any]
    n_prefix: int = 256
    n_suffix: int = 64
    max_line_suffix: int = 8
    # llama.vscode omits an indentation of 0, and keeps the text right of the cursor on a blank line.
    sends_zero_indent: bool = True
    blank_line_is_empty: bool = True
    response_fields: tuple[str, ...] = field(default=())

    def payload(self, change: Change, tokens: int | None) -> Payload | None:
        """The request at a key; None if the plug-in sends none there. With `tokens` it sends one everywhere."""
        text = change.document.source.decode("utf-8", "replace")
        cursor = len(change.document.source[: change.cursor].decode("utf-8", "replace"))
        row = text.count("\n", 0, cursor)
        column = cursor - (text.rfind("\n", 0, cursor) + 1)
        lines = text.split("\n")
        if lines[-1] == "" and row < len(lines) - 1:
            lines.pop()  # the end of the last line does not begin a new line
        left, right = lines[row][:column], lines[row][column:]
        if tokens is None and len(right) > self.max_line_suffix:
            return None
        indent = len(lines[row]) - len(lines[row].lstrip(" \t"))
        blank = not lines[row].strip() if self.blank_line_is_empty else not left.strip()
        if blank:
            left = ""
            if self.blank_line_is_empty:
                right, indent = "", 0
        before = lines[max(0, row - self.n_prefix) : row]
        after = lines[row + 1 : row + 1 + self.n_suffix]
        payload: Payload = {
            "input_prefix": "\n".join(before) + "\n",
            "input_suffix": right + "\n" + "\n".join(after) + "\n",
            "input_extra": [],
            "prompt": left,
            **self.constants,
        }
        if indent or self.sends_zero_indent:
            payload["n_indent"] = indent
        if self.response_fields:
            payload["response_fields"] = list(self.response_fields)
        if tokens is not None:
            payload.update(_FORCED, n_predict=tokens)
        return payload


_SHARED: Payload = {
    "n_predict": 128,
    "top_k": 40,
    "stream": False,
    "samplers": ["top_k", "top_p", "infill"],
    "cache_prompt": True,
    "t_max_prompt_ms": 500,
}

# Both without chunks of other files, which would make the prompt longer.
LLAMA_VIM = InfillClient(
    "llama.vim",
    # The time limit of the request whose answer is shown; a request that continues it has 1,000 ms.
    {**_SHARED, "stop": [], "top_p": 0.90, "t_max_predict_ms": 250},
    # The fields that it requests, and cache_n, which it does not request.
    response_fields=("content", *(f"timings/{name}" for name in _TIMINGS), "truncated", "tokens_cached"),
)
LLAMA_VSCODE = InfillClient(
    "llama.vscode",
    {**_SHARED, "top_p": 0.99, "t_max_predict_ms": 500},
    sends_zero_indent=False,
    blank_line_is_empty=False,
)


def answer_of(response: Mapping[str, Any], ms: float) -> Answer:
    """The cost that llama-server reports, in a whole answer or in the requested fields."""
    nested = response.get("timings", {})
    prompt_n, prompt_ms, cache_n, predicted_n, _ = (
        response.get(f"timings/{name}", nested.get(name, 0)) for name in _TIMINGS
    )
    return Answer(prompt_n + cache_n, prompt_n, predicted_n, prompt_ms, ms)
