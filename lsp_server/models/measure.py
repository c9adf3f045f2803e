"""Measures how fast a model is on this machine: prefill, then decode, through the backend that serves the editor."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from lsp_server.backends.base import BackendFactory, ModelSpec

PROMPT = b"def area(width, height):\n    return width * height\n\n\n" * 200
_PROMPT_TOKENS, _DECODED_TOKENS = 512, 64


@dataclass(frozen=True, slots=True)
class Speed:
    """token_ms: the time of one decoded token. grown_bytes: the growth of this process after loading and using the
    model."""

    name: str
    path: str
    bytes: int
    device: str
    chunk_tokens: int
    load_ms: float
    prefill_tokens_s: float
    decode_tokens_s: float
    token_ms: float
    grown_bytes: int

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def measure(factory: BackendFactory, spec: ModelSpec, clock: Callable[[], float] = time.perf_counter) -> Speed:
    """Loads a model and times it. Raises ModelError if it cannot be loaded."""
    import numpy as np
    import psutil

    process = psutil.Process()
    before = process.memory_info().rss
    began = clock()
    backend = factory(spec, lambda _: True)
    try:
        load_ms = 1000 * (clock() - began)
        info = backend.info
        count = min(_PROMPT_TOKENS, info.context_tokens - _DECODED_TOKENS - 1)
        tokens = [*backend.start_tokens(), *backend.tokenize(PROMPT)][:count]
        backend.evaluate(0, 0, tokens[: info.chunk_tokens], logits=1)  # warm-up: the first call is slower
        backend.truncate(0, 0)
        began, logits = clock(), []
        for start in range(0, len(tokens), info.chunk_tokens):
            logits = backend.evaluate(0, start, tokens[start : start + info.chunk_tokens], logits=1)
        prefill_s = clock() - began
        began = clock()
        for position in range(len(tokens), len(tokens) + _DECODED_TOKENS):
            logits = backend.evaluate(0, position, [int(np.argmax(logits[0]))], logits=1)
        decode_s = clock() - began
        return Speed(
            name=info.name,
            path=info.path,
            bytes=info.bytes,
            device=info.device,
            chunk_tokens=info.chunk_tokens,
            load_ms=load_ms,
            prefill_tokens_s=len(tokens) / max(prefill_s, 1e-9),
            decode_tokens_s=_DECODED_TOKENS / max(decode_s, 1e-9),
            token_ms=1000 * decode_s / _DECODED_TOKENS,
            grown_bytes=max(0, process.memory_info().rss - before),
        )
    finally:
        backend.close()
