"""Requests as the clients' own sources make them, for a text with a cursor in it."""

from __future__ import annotations

from typing import Any

from bench.arms.zed import window

Body = dict[str, Any]

VIM_FIELDS = [
    "content",
    "timings/prompt_n",
    "timings/prompt_ms",
    "timings/prompt_per_token_ms",
    "timings/prompt_per_second",
    "timings/predicted_n",
    "timings/predicted_ms",
    "timings/predicted_per_token_ms",
    "timings/predicted_per_second",
    "truncated",
    "tokens_cached",
]


def _around(source: str, above: int, below: int) -> tuple[list[str], str, str, list[str]]:
    """The lines above the cursor, the two parts of its line, the lines below."""
    left, right = source.split("$0")
    *before, line_left = left.split("\n")
    line_right, *after = right.split("\n")
    if after and after[-1] == "":
        after.pop()  # the last line's end begins no line
    return before[max(0, len(before) - above) :], line_left, line_right, after[:below]


def llama_vim(source: str, *, extra: list[Body] | None = None) -> Body:
    """llama.vim (commit a1c8e6e): `llama#fim` in autoload/llama.vim, of the request whose answer is shown."""
    before, left, right, after = _around(source, 256, 64)
    indent = len(left + right) - len((left + right).lstrip())
    if not (left + right).strip():
        left, right, indent = "", "", 0
    return {
        "id_slot": 0,
        "input_prefix": "\n".join(before) + "\n",
        "input_suffix": right + "\n" + "\n".join(after) + "\n",
        "input_extra": extra or [],
        "prompt": left,
        "n_predict": 128,
        "stop": [],
        "n_indent": indent,
        "top_k": 40,
        "top_p": 0.90,
        "samplers": ["top_k", "top_p", "infill"],
        "stream": False,
        "cache_prompt": True,
        "t_max_prompt_ms": 500,
        "t_max_predict_ms": 250,
        "response_fields": VIM_FIELDS,
    }


def llama_vim_ring(extra: list[Body]) -> Body:
    """The same plug-in's `s:ring_update`: has parts of other files evaluated, and wants no text."""
    return {
        "id_slot": 0,
        "input_prefix": "",
        "input_suffix": "",
        "input_extra": extra,
        "prompt": "",
        "n_predict": 0,
        "temperature": 0.0,
        "samplers": [],
        "stream": False,
        "cache_prompt": True,
        "t_max_prompt_ms": 1,
        "t_max_predict_ms": 1,
        "response_fields": [""],
    }


def llama_vscode(source: str, *, extra: list[Body] | None = None) -> Body:
    """llama.vscode (commit 3938fb3): `createRequestPayload` in src/llama-server.ts, the windows of completion.ts."""
    before, left, right, after = _around(source, 256, 64)
    indent = len(left + right) - len((left + right).lstrip())
    return {
        "id_slot": 0,
        "input_prefix": "\n".join(before) + "\n",
        "input_suffix": right + "\n" + "\n".join(after) + "\n",
        "input_extra": extra or [],
        "prompt": left if left.strip() else "",
        "n_predict": 128,
        "n_cmpl": 1,
        "top_k": 40,
        "top_p": 0.99,
        "stream": False,
        "samplers": ["top_k", "top_p", "infill"],
        "cache_prompt": True,
        **({"n_indent": indent} if indent else {}),
        "t_max_prompt_ms": 500,
        "t_max_predict_ms": 500,
    }


ZED_FORMATS = {
    "code_llama": ("<PRE> {prefix} <SUF>{suffix} <MID>", ["<PRE>", "<SUF>", "<MID>"]),
    "star_coder": (
        "<fim_prefix>{prefix}<fim_suffix>{suffix}<fim_middle>",
        ["<|endoftext|>", "<fim_prefix>", "<fim_middle>", "<fim_suffix>"],
    ),
    "deepseek_coder": (
        "<｜fim▁begin｜>{prefix}<｜fim▁hole｜>{suffix}<｜fim▁end｜>",
        ["<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"],
    ),
    "qwen": (
        "<|fim_prefix|>{prefix}<|fim_suffix|>{suffix}<|fim_middle|>",
        ["<|endoftext|>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>"],
    ),
    "codestral": ("[SUFFIX]{suffix}[PREFIX]{prefix}", ["[PREFIX]", "[SUFFIX]"]),
    "glm": (
        "<|code_prefix|>{prefix}<|code_suffix|>{suffix}<|code_middle|>",
        ["<|endoftext|>", "<|code_prefix|>", "<|code_suffix|>", "<|code_middle|>"],
    ),
}


def zed(source: str, form: str = "qwen", max_tokens: int = 64) -> Body:
    """Zed (commit 09512d2): `request_prediction` in crates/edit_prediction/src/fim.rs, and open_ai_compatible.rs."""
    prefix, suffix = window(source.replace("$0", ""), source.index("$0"))
    template, stops = ZED_FORMATS[form]
    prompt = template.format(prefix=prefix, suffix=suffix)
    return {"model": "fimble", "prompt": prompt, "max_tokens": max_tokens, "stop": stops}
