"""One request while it is being worked on: computed tokens catching up with the tokens that are wanted.

There is no prefill phase and no decode phase (an idea of vLLM's v1 engine): a prompt's tokens are wanted at
once, and each decoded token is one more that is wanted.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from lsp_server.backends.base import Backend
from lsp_server.core.stopping import find_end
from lsp_server.engine.prefix_cache import PrefixCache
from lsp_server.engine.request import Finished, FinishReason, Generate, TextDelta, Usage

if TYPE_CHECKING:
    from lsp_server.backends.base import Logits


class Generation:
    """A request's tokens, text and cost. It has a sequence of the cache from `place` until `release`."""

    def __init__(self, request: Generate, tokens: list[int], cut: int, stops: frozenset[int], now: float) -> None:
        self.request = request
        self.text = ""
        self.sequence: int | None = None
        self._tokens = tokens
        self._prompt_tokens = len(tokens)
        self._cut = cut
        self._stops = stops
        self._submitted = now
        self._started: float | None = None
        self._reused: int | None = None
        self._evaluated = 0
        self._decoded = 0
        self._prefill_seconds = 0.0
        self._decode_seconds = 0.0
        self._logprob = 0.0
        self._delta_logprob = 0.0
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")

    def already_done(self, cache: PrefixCache) -> bool:
        """Whether there is nothing to do: the prompt alone is wanted, and all of it is in the cache."""
        if self.request.max_tokens > 0 or cache.match(self._tokens)[1] < len(self._tokens):
            return False
        self._reused = len(self._tokens)
        return True

    def place(self, backend: Backend, cache: PrefixCache, now: float) -> bool:
        """Takes a sequence of the cache; False if all are busy."""
        placement = cache.place(self._tokens)
        if placement is None:
            return False
        self.sequence = placement.target
        try:
            if placement.source is not None:
                backend.copy(placement.source, placement.target)
            # What is left is asked of the backend, not assumed: a recurrent model drops everything.
            kept = backend.truncate(placement.target, placement.reuse)
        except Exception:
            cache.truncate(placement.target, backend.truncate(placement.target, 0))
            raise
        cache.truncate(placement.target, kept)
        if self._reused is None:
            self._started, self._reused = now, kept
        return True

    def release(self, cache: PrefixCache) -> None:
        """Gives the sequence back; what it holds stays resident."""
        if self.sequence is not None:
            cache.release(self.sequence)
            self.sequence = None

    def advance(
        self, backend: Backend, cache: PrefixCache, clock: Callable[[], float]
    ) -> tuple[TextDelta | None, FinishReason | None]:
        """Evaluates one chunk, and decodes a token if that was the last one wanted.

        Returns the text that came of it, if any, and why the request is done, if it is.
        """
        assert self.sequence is not None
        began = clock()
        computed = len(cache.tokens(self.sequence))
        chunk = self._tokens[computed : computed + backend.info.chunk_tokens]
        in_prompt = computed < self._prompt_tokens
        last = computed + len(chunk) == len(self._tokens)
        wants_text = self.request.max_tokens > 0
        try:
            logits = backend.evaluate(self.sequence, computed, chunk, logits=last and wants_text)
        except Exception:
            # Part of the chunk may be in the cache; only the backend knows.
            cache.truncate(self.sequence, backend.truncate(self.sequence, computed))
            raise
        cache.append(self.sequence, chunk)
        delta, reason = None, None
        if logits is not None:
            delta, reason = self._decode(backend, logits)
        elif last:
            reason = FinishReason.LENGTH
        now = clock()
        seconds = now - began
        if in_prompt:
            self._evaluated += len(chunk)
            self._prefill_seconds += seconds
        else:
            self._decode_seconds += seconds
        if delta is not None:
            delta = replace(delta, usage=self._usage(now))
        return delta, reason

    def finished(self, reason: FinishReason, now: float, message: str = "") -> Finished:
        """The request's last event."""
        mean = self._logprob / self._decoded if self._decoded else 0.0
        return Finished(self.request.id, self.text, reason, self._usage(now), mean, message)

    def _usage(self, now: float) -> Usage:
        started = now if self._started is None else self._started
        return Usage(
            prompt_tokens=self._prompt_tokens,
            reused_tokens=self._reused or 0,
            evaluated_tokens=self._evaluated,
            cut_tokens=self._cut,
            decoded_tokens=self._decoded,
            queued_ms=1000 * (started - self._submitted),
            prefill_ms=1000 * self._prefill_seconds,
            decode_ms=1000 * self._decode_seconds,
            total_ms=1000 * (now - self._submitted),
        )

    def _decode(self, backend: Backend, logits: Logits) -> tuple[TextDelta | None, FinishReason | None]:
        import numpy as np

        token = int(logits.argmax())
        top = logits[token]
        logprob = -float(np.log(np.exp(logits - top).sum()))
        if backend.ends(token) or token in self._stops:
            return None, FinishReason.END
        self._tokens.append(token)
        self._decoded += 1
        self._logprob += logprob
        new = self._utf8.decode(backend.piece(token))
        self.text += new
        self._delta_logprob += logprob
        delta = None
        if new:
            delta, self._delta_logprob = TextDelta(self.request.id, new, self._delta_logprob), 0.0
        if find_end(self.text, self.request.stop) is not None:
            return delta, FinishReason.STOP
        if self._decoded >= self.request.max_tokens:
            return delta, FinishReason.LENGTH
        return delta, None
