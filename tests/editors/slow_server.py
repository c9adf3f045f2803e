"""The server with scripted models that take their time.

    python -m tests.editors.slow_server SECONDS READING WRITING serve …

An answer of the chat model takes SECONDS, in equal parts for the bytes of it; a batch of any prompt takes READING, and
each byte of a completion WRITING.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lsp_server import cli
from lsp_server.backends import scripted

if TYPE_CHECKING:
    from lsp_server.backends.base import Logits


class SlowBackend(scripted.ScriptedBackend):
    """seconds: for one answer. reading: for a batch of a prompt. writing: for a byte of a completion."""

    seconds = reading = writing = 0.0

    def evaluate(self, sequence: int, position: int, tokens: Sequence[int], *, logits: int) -> list[Logits]:
        if len(tokens) > 1:
            time.sleep(self.reading)
        if self._replies and len(tokens) == 1:  # a step of an answer, not a part of a question
            asked = b"".join(map(self.piece, self._cells[sequence]))
            time.sleep(self.seconds / next(len(reply) for key, reply in self._replies if key in asked))
        elif len(tokens) == 1:
            time.sleep(self.writing)
        return super().evaluate(sequence, position, tokens, logits=logits)


if __name__ == "__main__":
    SlowBackend.seconds, SlowBackend.reading, SlowBackend.writing = map(float, sys.argv[1:4])
    scripted.ScriptedBackend = SlowBackend  # type: ignore[misc]
    sys.exit(cli.run(sys.argv[4:]))
