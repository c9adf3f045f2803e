"""Scenarios of next edits in txtar form: a buffer, the earlier edits, the request, and the expected result."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.edit_cases.edit_models import Propose, computed
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.next_edits.history import EditHistory, Hunk
from lsp_server.core.next_edits.proposal import Situation

_SECTION = re.compile(r"^-- (.+) --$", re.MULTILINE)
_LONGEST_NGRAM = 6
_BETA = 2.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """cursors: the cursor's byte offset in the buffer; if there are several, no proposal is expected at any of them.
    edits: the file, the old text and the new text, the oldest first. steps: `request`, `manual` and `accept`. expected:
    None if no edit is expected. modified: whether the buffer was edited at all."""

    name: str
    path: str
    buffer: bytes
    cursors: tuple[int, ...]
    edits: tuple[tuple[str, bytes, bytes], ...]
    steps: tuple[str, ...]
    expected: bytes | None
    modified: bool


@dataclass(frozen=True, slots=True)
class Result:
    """exact: whether the buffer is the expected one. shown: whether anything was proposed. delta: deltaChrF, from 0 to
    100."""

    scenario: Scenario
    shown: bool
    exact: bool
    delta: float
    why: str = ""

    @property
    def right(self) -> bool:
        return self.exact if self.scenario.expected is not None else not self.shown


def read(path: Path) -> Scenario:
    """Raises ValueError if the file is no scenario."""
    head, *parts = _SECTION.split(path.read_text("utf-8"))
    sections = dict(zip(parts[::2], (part.removeprefix("\n") for part in parts[1::2]), strict=True))
    values = dict(re.findall(r"^([\w-]+): (.*)$", head, re.MULTILINE))
    if "buffer.txt" not in sections or "steps" not in sections:
        raise ValueError(f"{path} has no buffer or no steps")
    buffer = sections["buffer.txt"].encode()
    places = [f"{values['row']}:{values['col']}", *values.get("cursor-positions", "").split(",")]
    steps = []
    for line in sections["steps"].split("\n"):
        words = line.split()
        if words[:1] == ["request-completion"]:
            steps.append("manual" if "manual" in words else "request")
        elif words[:1] == ["accept"]:
            steps.append("accept")
    silent = re.search(r"expect !shown", sections["steps"]) is not None
    expected = sections.get("expected")
    return Scenario(
        values["id"],
        values["file"],
        buffer,
        tuple(_offset(buffer, *map(int, place.split(":"))) for place in places if place.strip()),
        tuple(_edits(sections.get("history", ""))),
        tuple(steps),
        None if silent or expected is None else expected.encode(),
        values.get("modified", "true") != "false",
    )


def _offset(buffer: bytes, row: int, column: int) -> int:
    lines = buffer.split(b"\n")
    row = min(row, len(lines))
    return sum(len(line) + 1 for line in lines[: row - 1]) + min(column, len(lines[row - 1]))


def _edits(text: str) -> list[tuple[str, bytes, bytes]]:
    found = re.findall(r"<\|file\|> ([^\n]*)\n<\|old\|>\n(.*?)<\|new\|>\n(.*?)(?=<\|file\|>|\Z)", text, re.DOTALL)
    return [(path, old.encode().rstrip(b"\n"), new.encode().rstrip(b"\n")) for path, old, new in found]


def run(scenario: Scenario, propose: Propose = computed) -> Result:
    """The result of a scenario, at the first cursor where something is shown."""
    results = [_run(scenario, cursor, propose) for cursor in scenario.cursors]
    return next((result for result in results if result.shown), results[0])


def _run(scenario: Scenario, cursor: int, propose: Propose) -> Result:
    document = DocumentSnapshot.of(f"file:///{scenario.path}", scenario.buffer, path=scenario.path, version=1)
    history = EditHistory()
    given = list(_hunks(scenario, document)) if scenario.modified else []
    shown, edit, why = False, None, ""
    for number, step in enumerate(scenario.steps):
        if step == "accept":
            if edit is not None:
                changed = document.edited(edit.start, edit.end, edit.text)
                history.changed(document, changed, float(number))
                document, cursor, edit = changed, changed.edit_end, None
                given = [_moved(hunk, document) for hunk in given]
            continue
        hunks = (*given, *history.hunks())
        situation = Situation(document, cursor, hunks, asked=step == "manual" and scenario.modified)
        edit = propose(situation)
        if edit is not None:
            shown, why = True, f"{edit.kind}: {edit.why}"
    final = document.source if edit is None else edit.result
    expected = scenario.buffer if scenario.expected is None else scenario.expected
    exact = final.rstrip() == expected.rstrip()
    return Result(scenario, shown, exact, delta_chrf(scenario.buffer, expected, final), why)


def _hunks(scenario: Scenario, document: DocumentSnapshot) -> list[Hunk]:
    hunks = []
    for number, (path, old, new) in enumerate(scenario.edits):
        uri = document.uri if path == scenario.path else f"file:///{path}"
        hunks.append(_moved(Hunk(number + 1, uri, path, "", old, new, -1), document))
    return hunks


def _moved(hunk: Hunk, document: DocumentSnapshot) -> Hunk:
    known = hunk.uri == document.uri and document.source.count(hunk.new) == 1
    return replace(hunk, start=document.source.index(hunk.new) if known else -1)


def delta_chrf(original: bytes, expected: bytes, actual: bytes) -> float:
    """How well the change agrees with the expected change, by n-grams of characters, from 0 to 100."""
    if expected == actual:
        return 100.0
    precisions, recalls = [], []
    for size in range(1, _LONGEST_NGRAM + 1):
        counts = [_ngrams(text, size) for text in (original, expected, actual)]
        wanted, made = _difference(counts[0], counts[1]), _difference(counts[0], counts[2])
        agreed = sum(min(abs(wanted[key]), abs(value)) for key, value in made.items() if wanted.get(key, 0) * value > 0)
        if wanted:
            recalls.append(agreed / sum(map(abs, wanted.values())))
        if made:
            precisions.append(agreed / sum(map(abs, made.values())))
    if not precisions or not recalls:
        return 0.0
    precision, recall = sum(precisions) / len(precisions), sum(recalls) / len(recalls)
    if precision + recall == 0:
        return 0.0
    return 100 * (1 + _BETA**2) * precision * recall / (_BETA**2 * precision + recall)


def _ngrams(text: bytes, size: int) -> Counter[str]:
    plain = "".join(text.decode("utf-8", "replace").split())
    return Counter(plain[index : index + size] for index in range(len(plain) - size + 1))


def _difference(before: Counter[str], after: Counter[str]) -> dict[str, int]:
    return {key: after[key] - before[key] for key in before | after if after[key] != before[key]}


def table(results: Sequence[Result]) -> str:
    lines = ["| scenario | due | shown | exact | deltaChrF | |", "|---|---|---|---|---|---|"]
    for result in results:
        due = "an edit" if result.scenario.expected is not None else "silence"
        shown, exact = ("yes" if each else "no" for each in (result.shown, result.exact))
        lines.append(f"| {result.scenario.name} | {due} | {shown} | {exact} | {result.delta:.0f} | {result.why} |")
    return "\n".join(lines)
