"""Where a completion ends, judged by its text while it is being decoded."""

from __future__ import annotations

from dataclasses import dataclass

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.hole import Hole, HoleKind
from lsp_server.core.text import indent_width


@dataclass(frozen=True, slots=True)
class StopRule:
    """What ends a completion. indent: for a block, lines indented by less than this lie below it.
    next_line: the next line of the document that is not blank, which the completion must not repeat.
    """

    kind: HoleKind
    max_lines: int
    indent: int = 0
    next_line: str = ""


def stop_rule(document: DocumentSnapshot, hole: Hole, max_lines: int) -> StopRule:
    """The rule for `hole`, from the text around it."""
    following = document.source[hole.line_end : hole.line_end + 2000].decode("utf-8", "replace")
    next_line = next((line.strip() for line in following.splitlines() if line.strip()), "")
    return StopRule(hole.kind, max_lines, hole.indent, next_line)


def find_end(text: str, rule: StopRule) -> int | None:
    """The length of the part of `text` that is the completion, or None if it may still go on.

    Looks at whole lines, and at a line that is still being decoded as far as its indentation goes.
    """
    if rule.kind is HoleKind.LINE:
        end = text.find("\n")
        return end if end >= 0 else None
    offset, shown = 0, 0
    lines = text.split("\n")
    for number, line in enumerate(lines):
        complete = number < len(lines) - 1
        content = line.strip()
        # The first line continues the cursor's own; the others have an indentation of their own.
        if number > 0 and content and indent_width(line.encode()) < rule.indent:
            return offset - 1
        if complete and content and content == rule.next_line and len(content) > 2:
            return max(0, offset - 1)
        if complete and not content and shown:
            return offset - 1
        shown += bool(content)
        offset += len(line) + 1
        if complete and shown >= rule.max_lines:
            return offset - 1
    return None
