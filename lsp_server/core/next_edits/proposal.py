"""A proposed next edit, and the situation that it is made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.edits import common_ends
from lsp_server.core.languages.entry import Language
from lsp_server.core.next_edits.history import Hunk
from lsp_server.core.next_edits.trees import language_of
from lsp_server.core.text import character_start

Kind = Literal["rename", "again", "arguments", "async", "member", "import", "mend", "model"]


@dataclass(frozen=True, slots=True)
class NextEdit:
    """`document.source[start:end]` should become `text`. why: the reason, in words for the user. certainty: from 1
    (only likely) to 3 (sure); the user's eagerness setting decides which are shown."""

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
        """The whole document after the edit."""
        return b"".join((self.document.source[: self.start], self.text, self.document.source[self.end :]))

    def lines(self) -> tuple[bytes, bytes]:
        """The whole lines that the edit changes, before and after it."""
        document = self.document
        first = document.line_start(document.line_at(self.start))
        last = document.line_end(document.line_at(self.end))
        head, tail = document.source[first : self.start], document.source[self.end : last]
        return document.source[first:last], head + self.text + tail


@dataclass(frozen=True, slots=True)
class Situation:
    """document: the user's current document. cursor: a byte offset in it. others: other open documents, the latest
    first. hunks: the last edits, the latest last. asked: whether the user has requested a next edit. settled: whether
    the pause is so long that the last edit is probably finished."""

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
        """The edits of this document whose positions are known, the latest last."""
        return [hunk for hunk in self.hunks if hunk.uri == self.document.uri and hunk.start >= 0]


def smallest(edit: NextEdit) -> NextEdit | None:
    """The same edit without the unchanged text at its ends, in whole characters; None if it changes nothing."""
    old = edit.old
    if old == edit.text:
        return None
    start, tail = common_ends(old, edit.text)
    start = min(character_start(old, start), character_start(edit.text, start))
    while tail and old[len(old) - tail] & 0xC0 == 0x80:
        tail -= 1
    text = edit.text[start : len(edit.text) - tail]
    return NextEdit(edit.kind, edit.document, edit.start + start, edit.end - tail, text, edit.why, edit.certainty)
