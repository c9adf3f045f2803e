"""Describes dangerous code in an edit for the model and the user, and checks code that is already in a document."""

from __future__ import annotations

from collections.abc import Sequence

from lsp_server.core.danger.check import check_edit, check_range
from lsp_server.core.danger.finding import Finding
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.hidden_characters import escaped
from lsp_server.features.actions.offers import describe
from lsp_server.features.actions.subject import Subject

_MOST_TOLD, _MOST_SHOWN = 6, 80


def found_in(document: DocumentSnapshot, start: int, end: int, text: bytes) -> tuple[str, ...]:
    """The findings that `text` would add in place of the bytes `start:end`, one sentence each. Parses."""
    checked = check_edit(document, start, end, text.decode("utf-8", "replace"))
    encoded = text.decode("utf-8", "replace").encode()
    return tuple(f"`{_shown(encoded, each)}`: {each.in_words()}" for each in checked.findings[:_MOST_TOLD])


def found_in_file(path: str, text: str) -> tuple[str, ...]:
    """The findings in a new file, one sentence each. Parses."""
    return found_in(DocumentSnapshot.of("", b"", path=path), 0, 0, text.encode("utf-8", "replace"))


def complaint(found: Sequence[str]) -> str:
    """The reason given to the model when it is asked once more."""
    return f"it has dangerous code: {'. '.join(found)}"


def warning(note: str, found: Sequence[str]) -> str:
    """The text that the user should read before accepting: `note` and the findings."""
    return "; ".join([*filter(None, [note]), *(f"dangerous: {each}" for each in found)])


def report(document: DocumentSnapshot, subject: Subject) -> str:
    """The findings of the rules in the subject, as Markdown. Parses."""
    checked = check_range(document, subject.start, subject.end)
    what = describe(subject)
    lines = []
    for each in checked.findings:
        line = document.line_at(subject.start + each.start) + 1
        code = _shown(document.source[subject.start : subject.end], each)
        lines.append(f"- line {line}: `{code}`\n  {each.sentence} (CWE-{each.cwe}). Instead: {each.safe}.")
    if lines:
        count = "1 place" if len(lines) == 1 else f"{len(lines)} places"
        head = f"In {what}, {count}:"
    else:
        head = f"In {what} no dangerous pattern was found. The rules know common ones, and no more."
    if not checked.whole:
        lines.append("\nThe code is too long or too broken to look at all of it.")
    return "\n".join([head, "", *lines]).rstrip()


def _shown(source: bytes, finding: Finding) -> str:
    """The beginning of a finding's code, on one line."""
    code = source[max(0, finding.start) : max(0, finding.end)].decode("utf-8", "replace")
    line = " ".join(code.split()).replace("`", "'")
    return escaped(line if len(line) <= _MOST_SHOWN else f"{line[: _MOST_SHOWN - 1]}…")
