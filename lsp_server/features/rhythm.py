"""Measures how fast the user types and the model decodes; the delay of decoding depends on both."""

from __future__ import annotations

from collections import deque
from itertools import pairwise

from lsp_server.core.debounce import USEFUL_TOKENS, USEFUL_TOKENS_IN_COMMENTS, decode_delay_ms
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.hole import Hole
from lsp_server.engine.api import Usage

_REMEMBERED_KEYS = 13
_FIRST_STEP_MS, _STEP_SHARE = 30.0, 0.2


class Rhythm:
    """The times of the last keys, and the mean decode time of a token, where newer requests weigh more."""

    def __init__(self) -> None:
        self._keys: deque[float] = deque(maxlen=_REMEMBERED_KEYS)
        self.step_ms = _FIRST_STEP_MS

    def key(self, now: float) -> None:
        """Records a change of the text at `now`, in seconds."""
        self._keys.append(now)

    def decoded(self, usage: Usage) -> None:
        """Updates the decode time from a finished request."""
        if usage.decoded_tokens > 1:
            # The time of the first token is part of the prefill.
            self.step_ms += _STEP_SHARE * (usage.decode_ms / (usage.decoded_tokens - 1) - self.step_ms)

    def delay_ms(self, document: DocumentSnapshot, hole: Hole) -> float:
        """How long decoding should wait at `hole`, in ms."""
        gaps = [1000 * (later - earlier) for earlier, later in pairwise(self._keys)]
        useful = USEFUL_TOKENS_IN_COMMENTS if hole.comment is not None else USEFUL_TOKENS
        return decode_delay_ms(gaps, self.step_ms, document.source[: hole.cursor], useful)
