"""Next edits for one client: records the history of edits, and finds the one edit that is proposed next.

Changes of documents are recorded on the event loop; proposals are computed on the parsing thread.
"""

from __future__ import annotations

import statistics
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import anyio

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.next_edits.history import EditHistory
from lsp_server.features.background import Background
from lsp_server.features.options import Eagerness

if TYPE_CHECKING:
    from lsp_server.core.next_edits.gates import Rejected
    from lsp_server.core.next_edits.proposal import NextEdit, Situation
    from lsp_server.features.model_edit import ModelEditor

_KEYS, _TIMES, _REMEMBERED = 13, 200, 16
# How many of the other open documents are used.
_MOST_OTHERS = 8
# After the last edit, the model is asked automatically only for this many seconds.
_FRESH_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Proposal:
    """An edit with the id by which it is accepted or rejected."""

    id: str
    edit: NextEdit


class NextEditor:
    """Proposes edits to one client. eagerness: called for each request, so that the setting can change. documents: the
    open ones, the latest first. model: asked if no edit can be computed; None for no model.

    It is told every change of a document, in order. One edit is proposed at a time.
    """

    def __init__(
        self,
        eagerness: Callable[[], Eagerness],
        documents: Callable[[], Sequence[DocumentSnapshot]],
        clock: Callable[[], float] = time.monotonic,
        model: ModelEditor | None = None,
    ) -> None:
        self._eagerness, self._documents, self._clock, self._model = eagerness, documents, clock, model
        self.history = EditHistory()
        self.saves_power: Callable[[], bool] = lambda: False  # whether only explicit requests may use the model
        self._background = Background()
        self._rejected: Rejected | None = None  # the parsing thread reads it, so it is replaced and never changed
        self._keys: deque[float] = deque(maxlen=_KEYS)
        self._turns: dict[str, object] = {}
        self._number = 0
        self._proposed: dict[str, NextEdit] = {}
        self._known: tuple[object, NextEdit | None] = (None, None)
        self._of_model: NextEdit | None = None  # the last proposal of the model
        self._accepted: tuple[NextEdit, bytes] | None = None
        self._completing: DocumentSnapshot | None = None
        self._counts: Counter[str] = Counter()
        self._times: deque[float] = deque(maxlen=_TIMES)

    # Documents ------------------------------------------------------------------------------------------

    def opened(self, document: DocumentSnapshot) -> None:
        self.history.opened(document)

    def changed(self, old: DocumentSnapshot, new: DocumentSnapshot) -> None:
        now = self._clock()
        self._keys.append(now)
        self._turns.clear()  # requests that wait for a pause get nothing
        if self._model is not None:
            self._model.cancel()
        self.history.changed(old, new, now)
        if self._accepted is not None and self._accepted[0].document.uri == new.uri:
            edit, before = self._accepted
            if new.source == before:
                self._reject(edit)
                self._accepted = None
            elif new.source != edit.result:
                self._accepted = None

    def closed(self, uri: str) -> None:
        from lsp_server.core.next_edits.trees import forget_tree

        self.history.closed(uri)
        forget_tree(uri)

    def completing(self, document: DocumentSnapshot | None) -> None:
        """Records that a completion is shown in this version of the document, so that no edit is; None: none is."""
        self._completing = document

    # Proposals ------------------------------------------------------------------------------------------

    async def propose(self, document: DocumentSnapshot, cursor: int, *, asked: bool = False) -> Proposal | None:
        """The edit to show for the cursor at a byte offset. Unless the user has requested one, it waits for a pause in
        the typing. A newer request or a change of a document ends the wait without an edit."""
        if self._eagerness() == "off":
            return None
        self._turns["edit"] = turn = object()
        if not asked:
            if not self._may_propose(document):
                return None
            await anyio.sleep(self._wait_seconds())
            if turn is not self._turns.get("edit") or not self._may_propose(document):
                return None
        edit = await self._edit(document, cursor, asked, settled=asked)
        if edit is None and not asked and turn is self._turns.get("edit"):
            await anyio.sleep(self._wait_seconds(settled=True))
            if turn is self._turns.get("edit"):
                edit = await self._edit(document, cursor, asked)
        if edit is None and turn is self._turns.get("edit") and (asked or self._may_propose(document)):
            edit = await self._models_edit(document, cursor, asked)
            if not asked and not self._may_propose(document):
                return None
        return None if edit is None or turn is not self._turns.get("edit") else self._named(edit)

    async def beside(
        self, document: DocumentSnapshot, cursor: int, fits: Callable[[NextEdit], bool]
    ) -> Proposal | None:
        """The edit to show, if it `fits`, for a request for a completion that has no result. It waits for a pause only
        if there is such an edit, so all other requests are answered at once."""
        if self._eagerness() == "off" or not self._may_propose(document):
            return None
        self._turns["completion"] = turn = object()
        edit = await self._edit(document, cursor, False, settled=False) or self._remembered(document)
        if edit is None or not fits(edit):
            return None
        await anyio.sleep(self._wait_seconds())
        return None if turn is not self._turns.get("completion") else self._named(edit)

    def _may_propose(self, document: DocumentSnapshot) -> bool:
        """Whether there are edits in the history, and no completion is shown."""
        return len(self.history) > 0 and self._completing is not document

    async def at_once(self, document: DocumentSnapshot, cursor: int) -> Proposal | None:
        """The edit that is known or can be computed without a wait, for a list of code actions."""
        if self._eagerness() == "off" or not len(self.history):
            return None
        edit = await self._edit(document, cursor, False) or self._remembered(document)
        return None if edit is None else self._named(edit)

    def find(self, id: str) -> NextEdit | None:
        return self._proposed.get(id)

    def shown(self, id: str) -> None:
        if id in self._proposed:
            self._counts["shown"] += 1

    def accepted(self, id: str) -> None:
        edit = self._proposed.pop(id, None)
        if edit is not None:
            self._counts["accepted"] += 1
            self._accepted = edit, edit.document.source

    def rejected(self, id: str) -> None:
        edit = self._proposed.pop(id, None)
        if edit is not None:
            self._reject(edit)

    def close(self) -> None:
        self._background.close()

    def summary(self) -> dict[str, Any]:
        """For `fimble/status`."""
        times = sorted(self._times)
        return {
            "edits": len(self.history),
            **({} if self._model is None else {"model": self._model.summary()}),
            "counts": {key: self._counts[key] for key in ("proposed", "shown", "accepted", "rejected", "withheld")},
            "kinds": {key[5:]: count for key, count in self._counts.items() if key.startswith("kind:")},
            "ms": {
                "median": round(statistics.median(times), 3) if times else None,
                "p95": round(times[int(0.95 * (len(times) - 1))], 3) if times else None,
            },
        }

    def _reject(self, edit: NextEdit) -> None:
        from lsp_server.core.next_edits.gates import Rejected

        self._counts["rejected"] += 1
        # Makes a new object, because the parsing thread may be reading the old one.
        self._rejected = Rejected(self._rejected)
        self._rejected.add(edit)
        self._known, self._of_model = (None, None), None

    def _wait_seconds(self, *, settled: bool = False) -> float:
        """The remaining wait for a pause, in seconds; for the longer pause if `settled`."""
        from lsp_server.core.next_edits.gates import SETTLED_MS, delay_ms

        gaps = [1000 * (later - earlier) for earlier, later in pairwise(self._keys)]
        since = self._clock() - self._keys[-1] if self._keys else 0.0
        eagerness = self._eagerness()
        wanted = SETTLED_MS.get(eagerness, 0.0) if settled else delay_ms(gaps, eagerness)
        return max(0.0, wanted / 1000 - since)

    async def _edit(
        self, document: DocumentSnapshot, cursor: int, asked: bool, *, settled: bool = True
    ) -> NextEdit | None:
        from lsp_server.core.next_edits.proposal import Situation

        others = tuple(each for each in self._documents() if each.uri != document.uri)[:_MOST_OTHERS]
        hunks = self.history.hunks()
        key = (document, cursor, hunks, others, asked, settled, self._eagerness(), self._rejected)
        if self._known[0] == key:
            return self._known[1]
        situation = Situation(document, cursor, hunks, others, asked, settled)
        edit, milliseconds = await self._background.parse(_first, situation, self._eagerness(), self._rejected)
        self._times.append(milliseconds)
        self._known = key, edit
        return edit

    async def _models_edit(self, document: DocumentSnapshot, cursor: int, asked: bool) -> NextEdit | None:
        """The model's edit, if it may be shown."""
        from lsp_server.core.next_edits.gates import Rejected
        from lsp_server.core.next_edits.proposal import Situation
        from lsp_server.features.model_edit import why_not_models

        hunks = self.history.hunks()
        if self._model is None or not hunks:
            return None
        if not asked and (self.saves_power() or self._clock() - hunks[-1].ended > _FRESH_SECONDS):
            return None
        situation = Situation(document, cursor, hunks, tuple(self._documents()), asked)
        edit = await self._model.propose(situation)
        if edit is None:
            return None
        gates = partial(why_not_models, danger=self._model.checks_danger)
        why = await self._background.parse(gates, edit, situation, self._eagerness(), self._rejected or Rejected())
        self._counts["withheld"] += bool(why)
        self._of_model = None if why else edit
        return self._of_model

    def _remembered(self, document: DocumentSnapshot) -> NextEdit | None:
        """The last proposal of the model, if it is for this version of the document."""
        edit = self._of_model
        return edit if edit is not None and edit.document is document else None

    def _named(self, edit: NextEdit) -> Proposal:
        for id, known in self._proposed.items():
            if known == edit:
                return Proposal(id, edit)
        self._number += 1
        self._counts["proposed"] += 1
        self._counts[f"kind:{edit.kind}"] += 1
        self._proposed[str(self._number)] = edit
        while len(self._proposed) > _REMEMBERED:
            del self._proposed[next(iter(self._proposed))]
        return Proposal(str(self._number), edit)


def _first(situation: Situation, eagerness: Eagerness, rejected: Rejected | None) -> tuple[NextEdit | None, float]:
    """The edit to show, and the time to compute it, in ms."""
    from lsp_server.core.next_edits.gates import Rejected, next_edits

    began = time.perf_counter()
    edit = next(next_edits(situation, eagerness, rejected or Rejected()), None)
    return edit, 1000 * (time.perf_counter() - began)
