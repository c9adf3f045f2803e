"""Asks a model for next edits as the server does: only if no edit can be computed, and with the same gates."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from lsp_server.backends.base import BackendFactory, ModelSpec
from lsp_server.core.next_edits.gates import Rejected, next_edits
from lsp_server.core.next_edits.proposal import NextEdit, Situation
from lsp_server.engine.client import in_this_process
from lsp_server.features.model_edit import EditOptions, ModelEditor, why_not_models

Propose = Callable[[Situation], NextEdit | None]
EAGERNESS = "low"


def computed(situation: Situation) -> NextEdit | None:
    """The edit that is proposed without a model."""
    return next(next_edits(situation, EAGERNESS, Rejected()), None)


class EditModel:
    """path: a GGUF file. form: the name of its format; empty to derive it from the model's name. alone: whether only
    the model is asked, and no edit is computed. seconds: the time of each answer. withheld: the reasons why answers
    were not shown."""

    def __init__(self, path: Path, form: str, factory: BackendFactory, *, alone: bool = False) -> None:
        self._loop = asyncio.new_event_loop()
        self._engine = in_this_process(factory)
        spec = ModelSpec(str(path), 4096, 1, chat=True)
        options = EditOptions(spec, is_set=True, form=form, deadline_seconds=300.0)
        self._editor = ModelEditor(self._engine, lambda: options)
        self._engine.on_model = lambda *_: self._editor.changed()
        self._alone = alone
        self.seconds: list[float] = []
        self.withheld: list[str] = []
        self._loop.run_until_complete(self._start())

    async def _start(self) -> None:
        self._engine.start()

    def __call__(self, situation: Situation) -> NextEdit | None:
        edit = None if self._alone else computed(situation)
        if edit is not None:
            return edit
        began, asked = time.perf_counter(), self._editor.asked
        edit = self._loop.run_until_complete(self._editor.propose(situation))
        if self._editor.problem:
            raise ValueError(self._editor.problem)
        if self._editor.asked > asked:
            self.seconds.append(time.perf_counter() - began)
        if edit is None:
            return None
        why = why_not_models(edit, situation, EAGERNESS, Rejected(), danger=True)
        if why:
            self.withheld.append(why)
            return None
        return edit

    def summary(self) -> str:
        """The cost, in a few lines."""
        editor = self._editor
        seconds = statistics.median(self.seconds) if self.seconds else 0.0
        reasons = ", ".join(f"{count} times {why}" for why, count in Counter(self.withheld).items()) or "nothing"
        return (
            f"{editor.asked} questions, {seconds:.1f} s each at the median; {editor.decoded} tokens written, of which "
            f"{editor.accepted} were drafted from the window\nwithheld: {reasons}"
        )

    def close(self) -> None:
        self._loop.run_until_complete(self._engine.stop())
        self._loop.close()
