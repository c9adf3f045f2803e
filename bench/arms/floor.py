"""The floor of a comparison: evaluates new prompt tokens and decodes tokens with bare `llama_decode` calls."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from bench.arms.arm import Answer
from bench.arms.engine_arm import OpenedBackend
from bench.sessions.recordings import Change
from lsp_server.backends.base import ModelError, ModelSpec
from lsp_server.backends.llama_library import put_token
from lsp_server.engine.prefix_cache import common_prefix

# The time does not depend on which tokens are evaluated.
_SOME_TOKEN = 50


class Floor:
    """A context with one sequence on a loaded model, with the same threads and flash attention as the backend's
    context. Nothing is sampled, and logits are read only to wait for them. chunk_tokens: how many tokens are evaluated
    at once; by default as many as in the backend. opened: flash attention and threads, if they are not the backend's.
    """

    def __init__(
        self,
        backend: OpenedBackend,
        spec: ModelSpec,
        chunk_tokens: int | None = None,
        opened: tuple[bool, int, int] | None = None,
    ) -> None:
        # The weights are shared, so that both arms read the same memory; the copy has its own context and batch.
        self._own = copy.copy(backend)
        self._own._context = self._own._batch = None
        self._own._chunk = self._chunk = chunk_tokens or backend.info.chunk_tokens
        self._own._open_context(replace(spec, sequences=1), *(opened or backend.opened))
        self._api: Any = backend._api
        self._held: list[int] = []

    def prepare(self, tokens: list[int]) -> None:
        """Makes the cache hold these tokens. This is not measured."""
        common = self._own.truncate(0, common_prefix(self._held, tokens))
        self._held = list(tokens[:common])
        while len(self._held) < len(tokens):
            self._decode(tokens[len(self._held) : len(self._held) + self._chunk])
        if tokens:
            self._wait()

    def run(self, new: Sequence[int], decoded: int) -> tuple[float, float]:
        """Evaluates the `new` tokens, then `decoded` - 1 single tokens: the last decoded token is only chosen, not
        evaluated. Returns the time of the first part and of both parts, in ms. The time does not depend on which tokens
        are decoded.
        """
        began = time.perf_counter()
        for start in range(0, len(new), self._chunk):
            self._decode(new[start : start + self._chunk])
        if new:
            self._wait()
        prompt = time.perf_counter()
        token = self._held[-1]
        for _ in range(decoded - 1):
            self._decode([token])
            self._wait()
        ended = time.perf_counter()
        return 1000 * (prompt - began), 1000 * (ended - began)

    def close(self) -> None:
        self._own._model = None  # it belongs to the backend
        self._own.close()

    def _decode(self, tokens: Sequence[int]) -> None:
        batch = self._own._batch
        batch.n_tokens = len(tokens)
        for index, token in enumerate(tokens):
            put_token(batch, index, 0, len(self._held) + index, token, wanted=index == len(tokens) - 1)
        code = self._api.llama_decode(self._own._context, batch)
        if code != 0:
            raise ModelError(f"llama.cpp could not evaluate {len(tokens)} tokens (code {code})")
        self._held.extend(tokens)

    def _wait(self) -> None:
        """Waits for the end of the computation, because a GPU computes asynchronously."""
        self._api.llama_get_logits_ith(self._own._context, -1)


class BareArm:
    """An `Arm` that does the work of a peer without the peer: it evaluates and decodes as many tokens as the peer's
    latest answer had, with bare `llama_decode` calls of fimble's own llama.cpp. So the comparison does not depend on
    how the peer's llama.cpp was built.
    """

    def __init__(self, name: str, floor: Floor, latest: Callable[[], Answer | None]) -> None:
        self.name = name
        self._floor = floor
        self._latest = latest

    async def answer(self, change: Change, tokens: int | None) -> Answer:
        peer = self._latest()
        if peer is None or tokens is None or peer.source != "model":
            return Answer(0, 0, 0, 0.0, 0.0, "none")
        prompt = [_SOME_TOKEN + index % 200 for index in range(peer.prompt_tokens)]
        split = peer.prompt_tokens - peer.evaluated_tokens
        self._floor.prepare(prompt[:split])
        prompt_ms, ms = self._floor.run(prompt[split:], tokens)
        return Answer(peer.prompt_tokens, peer.evaluated_tokens, tokens, prompt_ms, ms)

    async def rest(self, change: Change, pause_ms: float) -> None:
        return
