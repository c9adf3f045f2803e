"""One request while it is being worked on: computed tokens catching up with the tokens that are wanted.

There is no prefill phase and no decode phase (an idea of vLLM's v1 engine): a prompt's tokens are wanted at
once, and each decoded token is one more that is wanted.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from lsp_server.core.stopping import find_end
from lsp_server.engine.encode import Encoded
from lsp_server.engine.model import LoadedModel
from lsp_server.engine.prefix_cache import common_prefix
from lsp_server.engine.request import Finished, FinishReason, Generate, TextDelta, Usage

if TYPE_CHECKING:
    from lsp_server.backends.base import Logits

# The text that came of a step, if any, and why the request is done, if it is.
Step = tuple[TextDelta | None, FinishReason | None]

# How much of what was typed a longer token may take over.
MOST_HEALED_TOKENS = 4


class Generation:
    """A request's tokens, text and cost. It has a sequence of the cache from `place` until `release`.

    Healing: the last tokens of what was typed are only proposed. Where the model would rather write one
    longer token over all that follows, it does, as far as its bytes agree with what stands there. The
    logits that decide it are kept with the sequence, so that they cost no evaluation at the next key.
    """

    def __init__(
        self,
        request: Generate,
        encoded: Encoded,
        model: LoadedModel,
        now: float,
    ) -> None:
        self.request = request
        self.text = ""
        self.sequence: int | None = None
        self._tokens = list(encoded.tokens)
        self._prompt_tokens = len(encoded.tokens)
        self._heal_from = self._prompt_tokens - min(MOST_HEALED_TOKENS, encoded.typed)
        self._cut = encoded.cut
        self.model = model
        self._submitted = now
        self._started: float | None = None
        self._reused = 0
        self._evaluated = 0
        self._decoded = 0
        self._prefill_seconds = 0.0
        self._decode_seconds = 0.0
        self._logprob = 0.0
        self._delta_logprob = 0.0
        self._last_row: Logits | None = None
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")

    def already_done(self) -> bool:
        """Whether there is nothing to do: the prompt alone is wanted, and all of it is in the cache."""
        if self.request.max_tokens > 0 or self.model.cache.match(self._tokens)[1] < len(self._tokens):
            return False
        self._reused = len(self._tokens)
        return True

    def place(self, now: float) -> bool:
        """Takes a sequence of the cache; False if all are busy."""
        backend, cache = self.model.backend, self.model.cache
        placement = cache.place(self._tokens)
        if placement is None:
            return False
        self.sequence = placement.target
        if placement.source is not None:
            try:
                backend.copy(placement.source, placement.target)
            except Exception:
                cache.truncate(placement.target, backend.truncate(placement.target, 0))
                raise
        if self._started is None:
            self._started = now
        return True

    def release(self) -> None:
        """Gives the sequence back; what it holds stays resident."""
        if self.sequence is not None:
            self.model.cache.release(self.sequence)
            self.sequence = None

    def advance(self, clock: Callable[[], float]) -> Step:
        """Evaluates one chunk, if anything is missing, and decodes a token once nothing is.

        Returns the text that came of it, if any, and why the request is done, if it is.
        """
        assert self.sequence is not None
        began = clock()
        decoding = self._decoded > 0
        evaluated = 0
        # A healed token needs nothing that was typed in its place, so that is evaluated only if need be.
        step = None if decoding or self.request.max_tokens == 0 else self._heal(self.sequence)
        if step is None:
            complete, evaluated = self._catch_up(self.sequence)
            if complete:
                step = self._next(self.sequence)
        now = clock()
        if decoding:
            self._decode_seconds += now - began
        else:
            self._evaluated += evaluated
            self._prefill_seconds += now - began
            if step is not None:
                self._reused = max(0, self._prompt_tokens - self._evaluated)
        delta, reason = step or (None, None)
        if delta is not None:
            delta = replace(delta, usage=self._usage(now))
        return delta, reason

    def _catch_up(self, sequence: int) -> tuple[bool, int]:
        """Evaluates the next chunk of what is wanted and not in the cache. Returns whether all is in it now,
        with the logits that decoding needs, and how many tokens were evaluated."""
        backend, cache = self.model.backend, self.model.cache
        first_row = (self._heal_from if self._decoded == 0 else len(self._tokens)) - 1
        held = cache.tokens(sequence)
        position = common_prefix(held, self._tokens)
        if self.request.max_tokens > 0:
            missing = (i for i in range(max(0, first_row), position) if cache.row(sequence, i) is None)
            position = next(missing, position)
        if position == len(self._tokens):
            return True, 0
        if len(held) > position:
            # What is left is asked of the backend, not assumed: a recurrent model drops everything.
            position = backend.truncate(sequence, position)
            cache.truncate(sequence, position)
        chunk = self._tokens[position : position + backend.info.chunk_tokens]
        end = position + len(chunk)
        try:
            rows = backend.evaluate(sequence, position, chunk, logits=max(0, end - max(position, first_row)))
        except Exception:
            # Part of the chunk may be in the cache; only the backend knows.
            cache.truncate(sequence, backend.truncate(sequence, position))
            raise
        cache.append(sequence, chunk)
        for index, row in enumerate(rows, end - len(rows)):
            cache.keep_row(sequence, index, row, first=self._heal_from - 1)
        self._last_row = rows[-1] if rows else None
        return end == len(self._tokens), len(chunk)

    def finished(self, reason: FinishReason, now: float, message: str = "") -> Finished:
        """The request's last event."""
        mean = self._logprob / self._decoded if self._decoded else 0.0
        return Finished(self.request.id, self.text, reason, self._usage(now), mean, message)

    def _usage(self, now: float) -> Usage:
        started = now if self._started is None else self._started
        return Usage(
            prompt_tokens=self._prompt_tokens,
            reused_tokens=self._reused,
            evaluated_tokens=self._evaluated,
            cut_tokens=self._cut,
            decoded_tokens=self._decoded,
            queued_ms=1000 * (started - self._submitted),
            prefill_ms=1000 * self._prefill_seconds,
            decode_ms=1000 * self._decode_seconds,
            total_ms=1000 * (now - self._submitted),
        )

    def _next(self, sequence: int) -> Step:
        """The next token, where all that is wanted has been evaluated."""
        if self.request.max_tokens == 0:
            return None, FinishReason.LENGTH
        if self._decoded == 0 and (step := self._heal(sequence)) is not None:
            return step
        row = self.model.cache.row(sequence, len(self._tokens) - 1)
        if row is None:
            row = self._last_row
        assert row is not None
        token = int(row.argmax())
        if self.model.ends(token):
            return None, FinishReason.END
        return self._write(token, row, self.model.vocabulary.piece(token))

    def _heal(self, sequence: int) -> Step | None:
        """Writes a longer token over the end of what was typed, if the model prefers one. None if it does
        not, or if that cannot be told yet because logits are missing."""
        cache = self.model.cache
        known = common_prefix(cache.tokens(sequence), self._tokens)
        for index in range(max(1, self._heal_from), self._prompt_tokens):
            row = cache.row(sequence, index - 1)
            if index > known or row is None:
                return None
            written = b"".join(map(self.model.vocabulary.piece, self._tokens[index:]))
            token = self.model.vocabulary.healed(row, written, self._tokens[index])
            if token is not None and not self.model.ends(token):
                del self._tokens[index:]
                return self._write(token, row, self.model.vocabulary.piece(token)[len(written) :])
        return None

    def _write(self, token: int, logits: Logits, piece: bytes) -> Step:
        """Takes `token` as the next one; `piece` is what it adds to the text."""
        import numpy as np

        logprob = -float(np.log(np.exp(logits - logits[token]).sum()))
        self._tokens.append(token)
        self._decoded += 1
        self._logprob += logprob
        self._delta_logprob += logprob
        new = self._utf8.decode(piece)
        self.text += new
        delta = None
        if new:
            delta, self._delta_logprob = TextDelta(self.request.id, new, self._delta_logprob), 0.0
        if self.request.stop is not None and find_end(self.text, self.request.stop) is not None:
            return delta, FinishReason.STOP
        if self._decoded >= self.request.max_tokens:
            return delta, FinishReason.LENGTH
        return delta, None
