"""llama-server's `POST /infill`, as llama.vim and llama.vscode use it."""

from __future__ import annotations

from typing import Any

import msgspec

from lsp_server.http.decoding import decoded, event
from lsp_server.http.request import Chunk, CompletionAnswer, CompletionRequest


class _Extra(msgspec.Struct):
    text: str
    filename: str = ""


class _Body(msgspec.Struct):
    """The fields of a request that are used. The samplers are ignored: decoding is greedy. `n_indent` is ignored too,
    because the indentation is fitted to the document."""

    input_prefix: str = ""
    input_suffix: str = ""
    input_extra: list[_Extra] = []
    prompt: str = ""
    n_predict: int = -1
    stop: list[str] = []
    stream: bool = False
    t_max_predict_ms: float = -1
    response_fields: list[str] = []


class Infill:
    """See `request.Dialect`."""

    def read(self, body: bytes) -> CompletionRequest:
        """The clients send the text left of the cursor on its line in `prompt`, and the text above in `input_prefix`.
        On the first line they send a line end as `input_prefix`, though there is no text above. On the last line they
        send one for the text below."""
        sent = decoded(body, _Body)
        above = "" if sent.input_prefix == "\n" else sent.input_prefix
        right, end, below = sent.input_suffix.partition("\n")
        after = right + end if below == "\n" else sent.input_suffix
        return CompletionRequest(
            above + sent.prompt,
            after,
            tuple(Chunk(extra.filename, extra.text) for extra in sent.input_extra),
            sent.n_predict if sent.n_predict > 0 else None,
            sent.t_max_predict_ms if sent.t_max_predict_ms > 0 else None,
            tuple(filter(None, sent.stop)),
            sent.stream,
            sent.n_predict == 0,
            tuple(sent.response_fields),
        )

    def whole(self, request: CompletionRequest, answer: CompletionAnswer) -> dict[str, Any]:
        usage = answer.usage
        fields = {
            "content": answer.text,
            "model": answer.model,
            "stop": True,
            "stop_type": "limit" if answer.is_cut else "eos",
            "truncated": usage.cut_tokens > 0,
            "tokens_cached": usage.prompt_tokens + usage.decoded_tokens,
            "tokens_evaluated": usage.prompt_tokens,
            "tokens_predicted": usage.decoded_tokens,
            "timings": {
                "cache_n": usage.reused_tokens,
                # An answer from memory has the times of the earlier request that wrote its text.
                **_pace("prompt", usage.evaluated_tokens, usage.prefill_ms if usage.evaluated_tokens else 0.0),
                **_pace("predicted", usage.decoded_tokens, usage.decode_ms),
            },
        }
        return fields if not request.fields else _chosen(fields, request.fields)

    def piece(self, text: str, answer: CompletionAnswer) -> bytes:
        return event({"content": text, "stop": False})

    def last(self, request: CompletionRequest, answer: CompletionAnswer) -> bytes:
        return event({**self.whole(request, answer), "content": ""})


def _pace(what: str, tokens: int, ms: float) -> dict[str, float]:
    """How many tokens took how long, with llama-server's field names."""
    return {
        f"{what}_n": tokens,
        f"{what}_ms": ms,
        f"{what}_per_token_ms": ms / tokens if tokens else 0.0,
        f"{what}_per_second": 1000 * tokens / ms if ms > 0 else 0.0,
    }


def _chosen(answer: dict[str, Any], fields: tuple[str, ...]) -> dict[str, Any]:
    """The requested fields, each under its path: `timings/prompt_n`. Fields that do not exist are left out."""
    found = {}
    for path in fields:
        value: Any = answer
        for name in path.split("/"):
            value = value.get(name) if isinstance(value, dict) else None
        if value is not None:
            found[path] = value
    return found
