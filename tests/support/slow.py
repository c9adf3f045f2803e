"""Scripted backends for what takes long: a slow one, and one that its user stops."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from lsp_server.backends.base import InterruptedEvaluation, ModelSpec
from lsp_server.backends.scripted import ScriptedBackend

if TYPE_CHECKING:
    from lsp_server.backends.base import Logits

_LONG_SECONDS = 30


class SlowReader(ScriptedBackend):
    """Says that a token of a prompt takes 2 ms, so that a quick prompt is made. Its first batch takes longer than the
    shortest deadline that can be set."""

    def __init__(self, spec: ModelSpec, progress: Callable[[float], bool]) -> None:
        super().__init__(spec, progress)
        self.info = replace(self.info, token_ms=2.0)

    def evaluate(self, sequence: int, position: int, tokens: Sequence[int], *, logits: int) -> list[Logits]:
        if not position:
            threading.Event().wait(0.2)
        return super().evaluate(sequence, position, tokens, logits=logits)


class Interrupting(ScriptedBackend):
    """Its user presses Ctrl-C when it has written some tokens; it goes on only when it is told to stop."""

    def __init__(self, spec: ModelSpec, progress: Callable[[float], bool]) -> None:
        super().__init__(spec, progress)
        self._decoded = 0
        self._told = threading.Event()

    def interrupt(self, wanted: bool) -> None:
        if wanted:
            self._told.set()

    def evaluate(self, sequence: int, position: int, tokens: Sequence[int], *, logits: int) -> list[Logits]:
        self._decoded += len(tokens) == 1
        if self._decoded == 20:
            os.kill(os.getpid(), signal.SIGINT)
            self._told.wait(_LONG_SECONDS)
            raise InterruptedEvaluation
        return super().evaluate(sequence, position, tokens, logits=logits)
