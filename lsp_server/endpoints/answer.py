"""One streamed answer of a server: its text so far, its cost, and whether to stop reading."""

from __future__ import annotations

import time
from collections.abc import Callable

from lsp_server.core.stopping import find_end
from lsp_server.endpoints.sent_log import Sent, own_words
from lsp_server.engine.endpoint import Endpoint
from lsp_server.engine.home import Post
from lsp_server.engine.request import JOBS, Finished, FinishReason, Generate, TextDelta, Usage

# The most characters per token, on average, and how many tokens more than wanted an answer may have.
_MOST_CHARACTERS, _SPARE_TOKENS = 16, 32
# If a server does not report the number of prompt tokens, it is estimated: one token per this many bytes. The estimated
# cost is rather too high than too low.
_BYTES_PER_TOKEN = 3
_JOBS = {role: job for job, role in JOBS.items()}


class MismatchError(Exception):
    """An answer does not begin with the required text."""


class Answer:
    """The text of one request so far, and its cost. begins: the text that the stream must begin with; it is in the
    document already. is_sent: whether anything was sent. is_free: whether the server has refused it, so that it costs
    nothing. sent_bytes: the length of the prompt as it was sent. problem: what went wrong. clock: gives seconds."""

    def __init__(
        self,
        request: Generate,
        post: Post,
        name: str,
        endpoint: Endpoint,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._request = request
        self._post = post
        self._name, self._endpoint = name, endpoint
        self.is_sent = self.is_free = False
        self.sent_bytes = 0
        self.problem = ""
        self._clock = clock
        self._began = clock()
        self._first: float | None = None
        self.begin_again()

    @property
    def has_begun(self) -> bool:
        """Whether any text has arrived."""
        return self._first is not None

    @property
    def seconds(self) -> float:
        """The time since the request was sent."""
        return self._clock() - self._began

    def begin_again(self) -> None:
        """To be called when the request is sent once more."""
        self._at = time.time()
        self.begins = ""
        self.text = ""
        self._stream = ""
        self._tokens = 0
        self._prompt_tokens = 0
        self._logprob = 0.0

    def take(self, text: str, logprob: float, prompt_tokens: int, stops: tuple[str, ...]) -> FinishReason | None:
        """Adds a piece of the stream. Returns the finish reason if no more is wanted, else None. Raises
        MismatchError."""
        self._prompt_tokens = max(self._prompt_tokens, prompt_tokens)
        if not text:
            return None
        self._first = self._first or self._clock()
        self._stream += text
        self._tokens += 1
        self._logprob += logprob
        if not self._stream.startswith(self.begins):
            if self.begins.startswith(self._stream):
                return None
            raise MismatchError
        before, self.text = self.text, self._stream.removeprefix(self.begins)
        ends = [at for stop in stops if (at := self.text.find(stop)) >= 0]
        if ends:
            self.text = self.text[: min(ends)]
        new = self.text[len(before) :]
        if new:
            self._post(TextDelta(self._request.id, new, logprob, self.usage()))
        if ends:
            return FinishReason.END
        if len(self._stream) > _MOST_CHARACTERS * (self._request.max_tokens + _SPARE_TOKENS):
            return FinishReason.LENGTH  # a server may ignore `max_tokens`
        stop = self._request.stop
        return FinishReason.STOP if stop is not None and find_end(self.text, stop) is not None else None

    def usage(self) -> Usage:
        now = self._clock()
        first = self._first or now
        return Usage(
            prompt_tokens=self._prompt_tokens,
            evaluated_tokens=self._prompt_tokens,
            decoded_tokens=self._tokens,
            prefill_ms=1000 * (first - self._began),
            decode_ms=1000 * (now - first),
            total_ms=1000 * (now - self._began),
            place=self._name,
            cost=self._cost(),
            estimated=not self._prompt_tokens,
        )

    def _cost(self) -> float | None:
        if self.is_free or not self.is_sent:
            return self._endpoint.cost(0, 0)
        return self._endpoint.cost(self._prompt_tokens or -(-self.sent_bytes // _BYTES_PER_TOKEN), self._tokens)

    def sent(self, reason: FinishReason) -> Sent:
        """The request's entry for the log, which has no text."""
        usage = self.usage()
        return Sent(
            at=round(self._at, 3),
            endpoint=self._name,
            job=_JOBS[self._request.role],
            prompt_tokens=self._prompt_tokens or None,
            answer_tokens=self._tokens,
            first_ms=round(usage.prefill_ms, 1) if self.has_begun else None,
            total_ms=round(usage.total_ms, 1),
            result=reason.value if self._request.max_tokens or reason is not FinishReason.LENGTH else "ahead",
            problem=own_words(self.problem),
            cost=usage.cost,
            estimated=usage.cost is not None and usage.estimated,
        )

    def finished(self, reason: FinishReason, message: str) -> Finished:
        mean = self._logprob / self._tokens if self._tokens else 0.0
        return Finished(self._request.id, self.text, reason, self.usage(), mean, message)
