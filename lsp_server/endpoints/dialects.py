"""The request bodies for each kind of server, and how their answers are read. Pure: no socket is opened here.

Sources: llama.cpp's `tools/server/README.md`; OpenAI's API reference for `/v1/completions` and `/v1/chat/completions`,
which vLLM, LM Studio and others follow; Ollama's `docs/api.md`; Mistral's page on fill-in-the-middle; DeepSeek's page
on FIM completion; Inception's page on next edits.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lsp_server.core.prompt import FimPrompt
from lsp_server.endpoints.rendering import around, as_messages, as_text
from lsp_server.engine.endpoint import Endpoint, Kind

# How long a model stays loaded in Ollama after a request.
_KEEP_ALIVE = "30m"
# A larger number of tokens is a mistake.
_MOST_COUNTED = 1 << 31


class DialectError(Exception):
    """An answer does not follow the server's protocol. The message is one line."""


@dataclass(frozen=True, slots=True)
class Piece:
    """The content of one event of a stream. logprob: of `text`, if the server sends it, else 0. reason: the server's
    name for why the text has ended; empty if it goes on. prompt_tokens: how many prompt tokens the server has
    evaluated; -1 if unknown."""

    text: str = ""
    logprob: float = 0.0
    reason: str = ""
    prompt_tokens: int = -1


@dataclass(frozen=True, slots=True)
class Dialect:
    """One protocol.

    path: of a completion call.
    body: makes the request's body from the endpoint, the prompt, the most tokens to decode, and the text that the
    answer has to begin with, which only some servers support.
    read: reads one event.
    events: whether answers are server-sent events; if not, each line is a JSON value.
    alive: a path that shows whether the server is running.
    models: the path of the list of its models; empty if `alive` answers with that list.
    markers: whether prompts are text with markers.
    warms: whether a prompt can be evaluated in advance, at no cost except the server's time.
    whole: whether the answer is one JSON value and not a stream.
    """

    path: str
    body: Callable[[Endpoint, FimPrompt, int, str], dict[str, Any]]
    read: Callable[[dict[str, Any]], Piece]
    alive: str
    models: str = ""
    events: bool = True
    markers: bool = True
    warms: bool = False
    whole: bool = False


def _llama_server(endpoint: Endpoint, prompt: FimPrompt, most: int, begins: str) -> dict[str, Any]:
    body: dict[str, Any] = {
        "prompt": as_text(prompt),
        "n_predict": most,
        "temperature": 0,
        "samplers": ["top_k"],
        "top_k": 1,
        "n_probs": 1,
        "cache_prompt": True,
        "timings_per_token": True,
        "stream": True,
    }
    if begins:
        # The answer must begin with these bytes, and then anything may follow: llama.cpp masks the logits by a grammar.
        body["grammar"] = f"root ::= {json.dumps(begins)} [^\\x00]*"
    return body


def _read_llama_server(event: dict[str, Any]) -> Piece:
    timings = event.get("timings") or {}
    logprob = sum(_logprob(each) for each in event.get("completion_probabilities") or [])
    reason = str(event.get("stop_type") or "stop") if event.get("stop") else ""
    return Piece(str(event.get("content") or ""), logprob, reason, _count(timings.get("prompt_n")))


def _logprob(token: dict[str, Any]) -> float:
    """The log probability of a token. Newer servers send it, older ones send the probability."""
    if "logprob" in token:
        return float(token["logprob"])
    probs = token.get("probs") or [{}]
    return math.log(max(1e-9, float(probs[0].get("prob", 1.0))))


def _openai(endpoint: Endpoint, prompt: FimPrompt, most: int, begins: str) -> dict[str, Any]:
    return {
        "model": endpoint.model,
        "prompt": as_text(prompt),
        "max_tokens": most,
        "temperature": 0,
        "logprobs": 1,
        "stream": True,
    }


def _read_openai(event: dict[str, Any]) -> Piece:
    choice = _choice(event)
    if choice is None:
        return Piece(prompt_tokens=_prompt_tokens(event))
    logprobs = (choice.get("logprobs") or {}).get("token_logprobs") or []
    logprob = sum(float(each) for each in logprobs if each is not None)
    return Piece(str(choice.get("text") or ""), logprob, str(choice.get("finish_reason") or ""), _prompt_tokens(event))


def _ollama(endpoint: Endpoint, prompt: FimPrompt, most: int, begins: str) -> dict[str, Any]:
    options = {"num_ctx": endpoint.window, "num_predict": most, "temperature": 0}
    given = {"model": endpoint.model, "raw": True, "prompt": as_text(prompt), "options": options}
    return {**given, "keep_alive": _KEEP_ALIVE, "stream": True}


def _read_ollama(event: dict[str, Any]) -> Piece:
    reason = str(event.get("done_reason") or "stop") if event.get("done") else ""
    return Piece(str(event.get("response") or ""), 0.0, reason, _count(event.get("prompt_eval_count")))


def _suffixed(endpoint: Endpoint, prompt: FimPrompt, most: int, begins: str) -> dict[str, Any]:
    before, after = around(prompt)
    given = {"model": endpoint.model, "prompt": before, "suffix": after, "max_tokens": most, "temperature": 0}
    return {**given, "stream": True}


def _read_mistral(event: dict[str, Any]) -> Piece:
    choice = _choice(event)
    if choice is None:
        return Piece(prompt_tokens=_prompt_tokens(event))
    delta = choice.get("delta") or choice.get("message") or {}
    text = delta.get("content") or ""
    if isinstance(text, list):  # a list of parts; only those of text are used
        text = "".join(str(part.get("text", "")) for part in text if part.get("type") == "text")
    return Piece(str(text), 0.0, str(choice.get("finish_reason") or ""), _prompt_tokens(event))


def _chat(endpoint: Endpoint, prompt: FimPrompt, most: int, begins: str) -> dict[str, Any]:
    given = {"model": endpoint.model, "messages": as_messages(prompt), "max_tokens": most, "temperature": 0}
    return {**given, "stream": True}


def _mercury(endpoint: Endpoint, prompt: FimPrompt, most: int, begins: str) -> dict[str, Any]:
    """One message, without a stream: the server has the instructions itself."""
    asked = "".join(message["content"] for message in as_messages(prompt))
    return {"model": endpoint.model, "messages": [{"role": "user", "content": asked}], "max_tokens": most}


def _count(value: Any) -> int:
    """A count that a server sends, or -1."""
    return value if type(value) is int and 0 <= value <= _MOST_COUNTED else -1


def _choice(event: dict[str, Any]) -> dict[str, Any] | None:
    choices = event.get("choices")
    return choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else None


def _prompt_tokens(event: dict[str, Any]) -> int:
    return _count((event.get("usage") or {}).get("prompt_tokens"))


DIALECTS: dict[Kind, Dialect] = {
    "llama-server": Dialect("/completion", _llama_server, _read_llama_server, "/props", warms=True),
    "openai": Dialect("/v1/completions", _openai, _read_openai, "/v1/models"),
    "ollama": Dialect("/api/generate", _ollama, _read_ollama, "/api/version", "/api/tags", events=False),
    "mistral": Dialect("/v1/fim/completions", _suffixed, _read_mistral, "/v1/models", markers=False),
    "deepseek": Dialect("/beta/completions", _suffixed, _read_openai, "/models", markers=False),
    "chat": Dialect("/v1/chat/completions", _chat, _read_mistral, "/v1/models", markers=False),
    "mercury": Dialect(
        "/v1/edit/completions", _mercury, _read_mistral, "/v1/models", events=False, markers=False, whole=True
    ),
}


def piece_of(dialect: Dialect, line: str) -> Piece | None:
    """The content of a line of a stream; None if it has none. Raises DialectError."""
    text = line
    if dialect.events:
        if not line.startswith("data:"):
            return None
        text = line.removeprefix("data:").strip()
        if text == "[DONE]":
            return None
    if not text.strip():
        return None
    try:
        event = json.loads(text)
    except ValueError:
        raise DialectError(f"answers what is no JSON: {text[:80]!r}") from None
    if not isinstance(event, dict):
        raise DialectError(f"answers what is no event: {text[:80]!r}")
    if event.get("error"):
        raise DialectError(f"says: {error_text(event)}")
    try:
        return dialect.read(event)
    except (AttributeError, TypeError, ValueError, KeyError, IndexError):
        raise DialectError(f"answers in a way that is not this protocol's: {text[:80]!r}") from None


def error_text(answer: Any) -> str:
    """The text of a server's error, in one short line."""
    error = answer.get("error", answer) if isinstance(answer, dict) else answer
    if isinstance(error, dict):
        error = error.get("message") or error.get("detail") or error
    return " ".join(str(error).split())[:200]
