"""The request of Zed's edit predictions to an OpenAI-compatible server at a key, with its window."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.arms.arm import Answer
from bench.sessions.recordings import Change

# Zed's constants FIM_CONTEXT_TOKENS and BYTES_PER_TOKEN_GUESS.
_TOKENS, _BYTES_PER_TOKEN = 512, 3
_STOPS = ["<|endoftext|>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>"]


def window(text: str, cursor: int) -> tuple[str, str]:
    """The text on the two sides of the cursor that Zed sends: whole lines, in turn below and above, as long as they
    fit. (Zed also adds the rest of a syntax node if it fits.)"""
    row = text.count("\n", 0, cursor)
    lines = text.split("\n")
    column = cursor - (text.rfind("\n", 0, cursor) + 1)
    budget = _TOKENS - _cost(lines[row])
    first, last, grows = row, row, True
    while grows:
        grows = False
        if last + 1 < len(lines) and _cost(lines[last + 1]) <= budget:
            last, grows = last + 1, True
            budget -= _cost(lines[last])
        if first > 0 and _cost(lines[first - 1]) <= budget:
            first, grows = first - 1, True
            budget -= _cost(lines[first])
    before = "\n".join([*lines[first:row], lines[row][:column]])
    return before, "\n".join([lines[row][column:], *lines[row + 1 : last + 1]])


def payload(change: Change) -> dict[str, Any]:
    """The request at a key."""
    source = change.document.source
    before, after = window(source.decode("utf-8", "replace"), len(source[: change.cursor].decode("utf-8", "replace")))
    prompt = f"<|fim_prefix|>{before}<|fim_suffix|>{after}<|fim_middle|>"
    return {"model": "fimble", "prompt": prompt, "max_tokens": 64, "stop": _STOPS}


def answer_of(response: Mapping[str, Any], ms: float) -> Answer:
    """The cost that the server reports."""
    usage = response["usage"]
    cached = usage["prompt_tokens_details"]["cached_tokens"]
    return Answer(usage["prompt_tokens"], usage["prompt_tokens"] - cached, usage["completion_tokens"], 0.0, ms)


def _cost(line: str) -> int:
    return max(1, len(line.encode()) // _BYTES_PER_TOKEN)
