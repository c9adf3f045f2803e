"""Handles suggestions with findings: an automatic answer ends before the first finding.

The whole text is kept, because a user who requests it may see it together with the findings. A look-alike name is
never shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from lsp_server.core.danger.check import check
from lsp_server.core.danger.verdict import NO_DANGER, Danger
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.insertion import Insertion
from lsp_server.core.languages import find_language
from lsp_server.core.reuse import Typed
from lsp_server.core.shape import Suggestion
from lsp_server.features.outcome import Outcome
from lsp_server.features.reasons import why_dangerous


def look_for_danger(
    suggestion: Suggestion | None,
    document: DocumentSnapshot,
    shaped: Callable[[str], Suggestion | None],
    *,
    rules: bool,
) -> Danger:
    """The findings in `suggestion`. Parses. shaped: makes a suggestion from a beginning of the text."""
    if suggestion is None:
        return NO_DANGER
    found = check(document, suggestion, rules=rules)
    if not found.findings:
        return NO_DANGER if found.whole else Danger(whole=False)
    cut = max(0, min(each.statement for each in found.findings))
    begun = suggestion.text.encode()[:cut].decode("utf-8", "ignore").rstrip()
    begun = _without_useless_end(begun, document)
    safe = shaped(begun) if begun.strip() else None
    # The beginning may be shaped differently when alone: its closing bracket may be behind the cut.
    if safe is None or not suggestion.text.startswith(safe.text) or check(document, safe, rules=rules).findings:
        return Danger(found.findings, whole=found.whole)
    return Danger(found.findings, Insertion.of(safe, document), found.whole)


def _without_useless_end(text: str, document: DocumentSnapshot) -> str:
    """`text` without comments and headers at its end, which belong to the removed code and are useless without it."""
    language = find_language(document.language_id, document.path)
    lines = text.split("\n")
    while lines:
        last = lines[-1].strip()
        is_header = language.reindents and last.endswith(":") and language.opens_block(last)
        if last and not last.startswith(language.comment[0]) and not is_header:
            break
        lines.pop()
    return "\n".join(lines)


class Dangers:
    """Must only be used on the event loop. Counts the checked texts, and the answers that a finding has changed."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def count(self, danger: Danger) -> None:
        """Counts one text at its end."""
        self._counts["checked" if danger.whole else "unchecked"] += 1
        self._counts["found"] += bool(danger.findings)

    def answer(self, outcome: Outcome, danger: Danger | None, typed: Typed, *, asked: bool) -> Outcome:
        """`outcome` as it is shown after `typed`. danger: None if the text was not checked. asked: whether the user
        wants the whole text with its findings."""
        live = danger.left(len(typed.text)) if danger is not None else ()
        if danger is None or outcome.suggestion is None or outcome.hole is None or not live:
            return outcome
        if asked:
            self._counts["shown"] += 1
            return replace(outcome, found=tuple(live))
        left = typed.rest_of(danger.safe)
        counts = outcome.source == "model"
        if left is not None and left.text.strip():
            self._counts["cut"] += counts
            return replace(outcome, suggestion=left.at(outcome.hole.cursor))
        self._counts["withheld"] += counts
        return replace(outcome, suggestion=None, alternatives=(), reason=why_dangerous(live))

    def summary(self) -> dict[str, dict[str, int]]:
        """For `fimble/status`: how many texts were checked, how many had findings, and how many answers were cut,
        withheld or shown with a warning."""
        names: Sequence[str] = ("checked", "unchecked", "found", "cut", "withheld", "shown")
        return {"danger": {name: self._counts[name] for name in names}}
