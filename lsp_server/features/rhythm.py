"""How fast the user types and the model writes, as far as it has been seen: what the delay is decided by."""

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
    """The times of the last keys, and the mean time of a decoded token, the newer the weightier."""

    def __init__(self) -> None:
        self._keys: deque[float] = deque(maxlen=_REMEMBERED_KEYS)
        self.step_ms = _FIRST_STEP_MS

    def key(self, now: float) -> None:
        """Notes a change of the text at `now`, in seconds."""
        self._keys.append(now)

    def decoded(self, usage: Usage) -> None:
        """Learns from a request that has ended."""
        if usage.decoded_tokens > 1:
            # The first token belongs to the evaluation of the prompt.
            self.step_ms += _STEP_SHARE * (usage.decode_ms / (usage.decoded_tokens - 1) - self.step_ms)

    def delay_ms(self, document: DocumentSnapshot, hole: Hole) -> float:
        """How long decoding should wait at `hole`."""
        gaps = [1000 * (later - earlier) for earlier, later in pairwise(self._keys)]
        useful = USEFUL_TOKENS_IN_COMMENTS if hole.comment is not None else USEFUL_TOKENS
        return decode_delay_ms(gaps, self.step_ms, document.source[: hole.cursor], useful)
