"""A proposed next edit, and what it is made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.edits import common_ends
from lsp_server.core.language_entry import Language
from lsp_server.core.next_edits.history import Hunk
from lsp_server.core.next_edits.trees import language_of
from lsp_server.core.text import character_start

Kind = Literal["rename", "again", "arguments", "async", "member", "import", "mend", "model"]


@dataclass(frozen=True, slots=True)
class NextEdit:
    """`document.source[start:end]` should become `text`. why: in words for the user. certainty: from 1, only likely, to
    3, sure: the eagerness that the user has chosen decides which are shown."""

    kind: Kind
    document: DocumentSnapshot
    start: int
    end: int
    text: bytes
    why: str
    certainty: int = 3

    @property
    def old(self) -> bytes:
        return self.document.source[self.start : self.end]

    @property
    def result(self) -> bytes:
        """The whole document with the edit."""
        return b"".join((self.document.source[: self.start], self.text, self.document.source[self.end :]))

    def lines(self) -> tuple[bytes, bytes]:
        """The whole lines that it changes, before and after."""
        document = self.document
        first = document.line_start(document.line_at(self.start))
        last = document.line_end(document.line_at(self.end))
        head, tail = document.source[first : self.start], document.source[self.end : last]
        return document.source[first:last], head + self.text + tail


@dataclass(frozen=True, slots=True)
class Situation:
    """document: where the user is, and cursor: at which byte. others: further open documents, the latest first. hunks:
    what was edited, the latest last. asked: whether the user has asked, and does not only pause. settled: whether the
    pause is so long that what was typed last is hardly the half of something."""

    document: DocumentSnapshot
    cursor: int
    hunks: Sequence[Hunk]
    others: Sequence[DocumentSnapshot] = ()
    asked: bool = False
    settled: bool = True

    @property
    def language(self) -> Language:
        return language_of(self.document)

    @property
    def last(self) -> Hunk | None:
        return self.hunks[-1] if self.hunks else None

    def here(self) -> list[Hunk]:
        """The edits of the document whose place is known, the latest last."""
        return [hunk for hunk in self.hunks if hunk.uri == self.document.uri and hunk.start >= 0]


def smallest(edit: NextEdit) -> NextEdit | None:
    """The same edit without what it leaves alone at its ends, of whole characters; None if it changes nothing."""
    old = edit.old
    if old == edit.text:
        return None
    start, tail = common_ends(old, edit.text)
    start = min(character_start(old, start), character_start(edit.text, start))
    while tail and old[len(old) - tail] & 0xC0 == 0x80:
        tail -= 1
    text = edit.text[start : len(edit.text) - tail]
    return NextEdit(edit.kind, edit.document, edit.start + start, edit.end - tail, text, edit.why, edit.certainty)
