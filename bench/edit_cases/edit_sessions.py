"""Next edits in recorded sessions: how many are proposed per hour, and how many of them the user made later."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from bench.edit_cases.edit_models import EAGERNESS, Propose, computed
from bench.sessions.recordings import Change
from bench.sessions.timeline import with_gaps
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.next_edits.gates import SETTLED_MS, delay_ms
from lsp_server.core.next_edits.history import EditHistory
from lsp_server.core.next_edits.proposal import NextEdit, Situation
from lsp_server.core.next_edits.trees import forget_tree

# Times in ms: a longer pause is not work; an edit that the user makes within this time agrees with the proposal; an
# edit that is proposed again within this time is the same proposal.
_ABSENT_MS, _AGREES_MS, _SAME_MS = 120_000.0, 60_000.0, 300_000.0
_KEYS, _MOST_OTHERS = 13, 8


@dataclass(slots=True)
class Proposed:
    """agreed: whether the user made the edit within the next minute. before: how often the old and the new lines were
    in the document."""

    edit: NextEdit
    time_ms: float
    before: tuple[int, int]
    agreed: bool = False

    def look(self, document: DocumentSnapshot) -> None:
        """Checks whether the edit was made in a later version of its document."""
        old, new = _counts(document, self.edit)
        more_new, less_old = new > self.before[1], old < self.before[0]
        self.agreed = self.agreed or (more_new and (less_old or self.edit.start == self.edit.end))


@dataclass(slots=True)
class Session:
    """The results of a recording. hours: of work, without pauses."""

    name: str
    hours: float = 0.0
    proposed: list[Proposed] = field(default_factory=list)


def replay(name: str, changes: Iterable[Change], propose: Propose = computed) -> Session:
    """The automatic proposals at the pauses of a recording that are long enough."""
    session, history = Session(name), EditHistory()
    documents: dict[str, DocumentSnapshot] = {}
    keys: deque[float] = deque(maxlen=_KEYS)
    shown: dict[object, float] = {}
    for change, gap_ms in with_gaps(changes):
        pause_ms = gap_ms if math.isfinite(gap_ms) else 0.0  # the pause after the last change is unknown
        document, now = change.document, change.time_ms
        session.hours += min(pause_ms, _ABSENT_MS if pause_ms <= _ABSENT_MS else 0.0) / 3_600_000
        documents.pop(document.uri, None)
        documents[document.uri] = document
        for each in session.proposed[-_MOST_OTHERS:]:
            if each.edit.document.uri == document.uri and now - each.time_ms <= _AGREES_MS:
                each.look(document)
        if not change.types:
            history.opened(document)
            continue
        keys.append(now)
        history.changed(change.before, document, now / 1000)
        edit = _at_rest(change, pause_ms, keys, history, documents, propose)
        if edit is None:
            continue
        old, new = edit.lines()
        key = edit.document.uri, old.strip(), new.strip()
        if now - shown.get(key, -_SAME_MS) >= _SAME_MS:
            session.proposed.append(Proposed(edit, now, _counts(edit.document, edit)))
        shown[key] = now
    for uri in documents:
        forget_tree(uri)
    return session


def _at_rest(
    change: Change,
    pause_ms: float,
    keys: Sequence[float],
    history: EditHistory,
    documents: dict[str, DocumentSnapshot],
    propose: Propose,
) -> NextEdit | None:
    """The proposal before the next change, if there is enough time."""
    waits = delay_ms([later - earlier for earlier, later in pairwise(keys)], EAGERNESS), SETTLED_MS[EAGERNESS]
    others = tuple(list(documents.values())[-2::-1][:_MOST_OTHERS])
    for settled, wait_ms in zip((False, True), waits, strict=True):
        if pause_ms < wait_ms or not len(history):
            return None
        situation = Situation(change.document, change.cursor, history.hunks(), others, settled=settled)
        edit = propose(situation) if settled else computed(situation)
        if edit is not None:
            return edit
    return None


def _counts(document: DocumentSnapshot, edit: NextEdit) -> tuple[int, int]:
    source = b"\n" + document.source.replace(b"\r\n", b"\n") + b"\n"
    old, new = (b"\n" + lines.replace(b"\r\n", b"\n") + b"\n" for lines in edit.lines())
    return source.count(old), source.count(new)


def table(sessions: Sequence[Session]) -> str:
    lines = ["| session | hours | proposals | an hour | agreed |", "|---|---|---|---|---|"]
    total = Session("all", sum(each.hours for each in sessions), [one for each in sessions for one in each.proposed])
    for session in [*sessions, *([total] if len(sessions) > 1 else [])]:
        agreed = sum(each.agreed for each in session.proposed)
        rate = len(session.proposed) / session.hours if session.hours else 0.0
        lines.append(f"| {session.name} | {session.hours:.1f} | {len(session.proposed)} | {rate:.1f} | {agreed} |")
    kinds = Counter((each.edit.kind, each.agreed) for each in total.proposed)
    lines += [""] + [
        f"{kind}: {kinds[kind, True]} agreed, {kinds[kind, False]} not" for kind in sorted({k for k, _ in kinds})
    ]
    return "\n".join(lines)


def shown(proposed: Proposed) -> str:
    """A proposal, with the last edits before it."""
    edit = proposed.edit
    old, new = edit.lines()
    place = f"{edit.kind} {edit.document.path}:{edit.document.line_at(edit.start) + 1} ({edit.why})"
    return f"{place}\n-{old.decode('utf-8', 'replace')}\n+{new.decode('utf-8', 'replace')}\n"
