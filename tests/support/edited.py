"""Documents in the middle of being edited: source text in which `[-old-][+new+]` marks each edit, in order."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.next_edits.gates import Rejected, next_edits
from lsp_server.core.next_edits.history import EditHistory
from lsp_server.core.next_edits.proposal import NextEdit, Situation
from lsp_server.features.options import Eagerness

_EDIT = re.compile(r"\[-(.*?)-\](?:\[\+(.*?)\+\])?|\[\+(.*?)\+\]", re.DOTALL)
# Edits are so far apart in time, in seconds.
APART = 10.0


class Edited:
    """What came of a fixture. A `$0` in it is the cursor; without one, it is behind the last edit."""

    def __init__(self, source: str, path: str = "main.py", others: Mapping[str, str] | None = None) -> None:
        self.history = EditHistory()
        self.document = DocumentSnapshot.of(f"file:///{path}", _EDIT.sub(r"\1", _plain(source)).encode(), path=path)
        shift = 0  # of what is left of the next edit, by the edits before it and by their marks
        for number, match in enumerate(_EDIT.finditer(_plain(source))):
            old, new = match[1] or "", match[2] or match[3] or ""
            start = len(_plain(source)[: match.start()].encode()) + shift
            self.edit(start, start + len(old.encode()), new, APART * number)
            shift += len(new.encode()) - len(match[0].encode())
        cursor = _EDIT.sub(lambda match: match[2] or match[3] or "", source).find("$0")
        text = _EDIT.sub(lambda match: match[2] or match[3] or "", source)
        self.cursor = len(text[:cursor].encode()) if cursor >= 0 else self.document.edit_end
        self.others = tuple(
            DocumentSnapshot.of(f"file:///{name}", text.encode(), path=name) for name, text in (others or {}).items()
        )

    def edit(self, start: int, end: int, text: str, now: float = 1000.0) -> None:
        before = self.document
        self.document = before.edited(start, end, text.encode())
        self.history.changed(before, self.document, now)

    def situation(self, *, asked: bool = False) -> Situation:
        return Situation(self.document, self.cursor, self.history.hunks(), self.others, asked)

    def proposals(
        self, eagerness: Eagerness = "high", rejected: Rejected | None = None, *, asked: bool = False
    ) -> Iterator[NextEdit]:
        return next_edits(self.situation(asked=asked), eagerness, rejected or Rejected())

    def accept(self, edit: NextEdit) -> None:
        assert edit.document is self.document
        self.edit(edit.start, edit.end, edit.text.decode())


def _plain(source: str) -> str:
    return source.replace("$0", "")


def proposed(
    source: str,
    path: str = "main.py",
    others: Mapping[str, str] | None = None,
    eagerness: Eagerness = "high",
    *,
    asked: bool = False,
) -> str | None:
    """The whole text of the document that the first proposal is for, with that proposal; None if there is none."""
    edit = next(Edited(source, path, others).proposals(eagerness, asked=asked), None)
    return None if edit is None else edit.result.decode()
