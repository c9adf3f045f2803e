"""The documents behind HTTP requests. Clients send the text around the cursor, but not the name of its file.

That text is a window of a file, which moves with the cursor. If a window equals a part of a known file except for one
edit, it belongs to that file, and the file's known text around it is kept. So prompts are made from one document that
is edited, as with an editor that speaks LSP, and the KV cache holds the beginning of the next prompt.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, replace

from lsp_server.core import text
from lsp_server.core.document import DocumentSnapshot
from lsp_server.http.guess_language import guess_language
from lsp_server.http.request import MOST_BYTES

MOST_FILES = 16
# How many bytes of a file are kept on either side of the window.
_KEPT_AROUND = 1 << 16
# The start and the end of a window are found in a file by this many bytes of it.
_HEAD_BYTES, _LEAST_HEAD_BYTES = 400, 12
# A window belongs to a file if this share of it is in the file already.
_LEAST_SHARE = 0.5
# This many bytes may always be new or deleted, however short the text is.
_FREE_BYTES = 200


@dataclass(slots=True)
class _File:
    """A document and the position of its last window. guessed: its length when its language was guessed."""

    document: DocumentSnapshot
    start: int
    end: int
    guessed: int = 0


@dataclass(frozen=True, slots=True)
class _Fit:
    """How a window matches a file. front, behind: text of the window that must first be added before and after the
    file's text. start, end: the window's place in the file after that. kept_start, kept_end: how many bytes at its
    start and end are unchanged. gone: how many bytes of the file it deletes."""

    front: bytes
    behind: bytes
    start: int
    end: int
    kept_start: int
    kept_end: int
    gone: int

    @property
    def worth(self) -> int:
        """The unchanged bytes minus the deleted ones. Deletions lower the value: if a window begins one line later than
        the last one, it has moved by one line, and the line is still in the file."""
        return self.kept_start + self.kept_end - self.gone


@dataclass(frozen=True, slots=True)
class Placed:
    """A position in a document. before: the previous version of the document; None if it is new. closed: documents that
    were forgotten to make room for it."""

    document: DocumentSnapshot
    offset: int
    before: DocumentSnapshot | None
    closed: tuple[str, ...] = ()


class ClientFiles:
    """The files that clients have sent requests for, at most `MOST_FILES`, the latest last. Owned by the event loop's
    thread."""

    def __init__(self) -> None:
        self._files: OrderedDict[str, _File] = OrderedDict()
        self._opened = 0

    def place(self, before: str, after: str) -> Placed:
        """The document that contains this text on the two sides of a cursor, and the cursor's offset in it."""
        left, right = _near(text.encode(before), text.encode(after))
        window = left + right
        best: tuple[_File, _Fit] | None = None
        for file in reversed(self._files.values()):
            fit = _fit(file, window)
            if fit is not None and (best is None or fit.worth > best[1].worth):
                best = file, fit
                if fit.worth == len(window):
                    break
        if best is None:
            return self._open(window, len(left))
        file, fit = best
        old = file.document
        edited = _apply(old, fit, window)
        document, cut = _bounded(edited, fit.start, fit.start + len(window))
        document = _in_language(file, document)
        file.document, file.start = document, fit.start - cut
        file.end = file.start + len(window)
        self._files.move_to_end(document.uri)
        return Placed(document, file.start + len(left), old)

    def _open(self, window: bytes, cursor: int) -> Placed:
        self._opened += 1
        document = DocumentSnapshot.of(f"untitled:fimble-http-{self._opened}", window, version=0)
        file = _File(document, 0, len(window))
        file.document = document = replace(_in_language(file, document), edit_end=cursor)
        self._files[document.uri] = file
        closed = tuple(self._files)[: max(0, len(self._files) - MOST_FILES)]
        for uri in closed:
            del self._files[uri]
        return Placed(document, cursor, None, closed)


def _near(left: bytes, right: bytes) -> tuple[bytes, bytes]:
    """The part of a window near the cursor that is used, in whole characters."""
    start = text.next_character_start(left, max(0, len(left) - MOST_BYTES))
    return left[start:], right[: text.character_start(right, MOST_BYTES)]


def _fit(file: _File, window: bytes) -> _Fit | None:
    """The best match of a window with a file; None if it is no window of this file."""
    best: _Fit | None = None
    for front, start in _starts(file, window):
        for behind, end in _ends(file, window):
            whole = _Joined(front, file.document.source, behind)
            first, last = start, end + len(front)
            if last < first:
                continue
            part = whole.slice(first, last)
            most = min(len(part), len(window))
            kept_start = text.shared_start(part, window, most)
            kept_end = text.shared_start(part[::-1], window[::-1], most - kept_start)
            new, gone = len(window) - kept_start - kept_end, len(part) - kept_start - kept_end
            allowed = max(_FREE_BYTES, (1 - _LEAST_SHARE) * len(window))
            if kept_start + kept_end < _LEAST_SHARE * len(window) or gone > allowed or new > allowed:
                continue
            fit = _Fit(front, behind, first, last, kept_start, kept_end, gone)
            if best is None or fit.worth > best.worth:
                best = fit
                if new == gone == 0:
                    return best
    return best


@dataclass(frozen=True, slots=True)
class _Joined:
    """A file with the text that is to be added around it. Joined only if a slice needs it."""

    front: bytes
    source: bytes
    behind: bytes

    def slice(self, start: int, end: int) -> bytes:
        if start >= len(self.front) and end <= len(self.front) + len(self.source):
            return self.source[start - len(self.front) : end - len(self.front)]
        return (self.front + self.source + self.behind)[start:end]


def _starts(file: _File, window: bytes) -> Iterator[tuple[bytes, int]]:
    """Possible starts of a window: the text to add before the file, and the offset after that. The last window's start
    is first."""
    yield b"", file.start
    source, head = file.document.source, _lines(window[:_HEAD_BYTES])
    if len(head) >= _LEAST_HEAD_BYTES:
        for found in {source.find(head, file.start), source.rfind(head, 0, file.start + len(head))} - {-1, file.start}:
            yield b"", found
    beginning = _lines(source[:_HEAD_BYTES])
    if len(beginning) >= _LEAST_HEAD_BYTES and (found := window.find(beginning)) > 0:
        yield window[:found], 0


def _ends(file: _File, window: bytes) -> Iterator[tuple[bytes, int]]:
    """Possible ends of a window: the text to add after the file, and the offset in the file with that text."""
    yield b"", file.end
    source, tail = file.document.source, _last_lines(window[-_HEAD_BYTES:])
    if len(tail) >= _LEAST_HEAD_BYTES:
        found_at = {source.rfind(tail, 0, file.end), source.find(tail, max(0, file.end - len(tail)))} - {-1}
        for found in found_at - {file.end - len(tail)}:
            yield b"", found + len(tail)
    end = _last_lines(source[-_HEAD_BYTES:])
    if len(end) >= _LEAST_HEAD_BYTES and (found := window.rfind(end)) >= 0 and found + len(end) < len(window):
        yield window[found + len(end) :], len(source) + len(window) - found - len(end)


def _lines(head: bytes) -> bytes:
    """The whole lines at the beginning of a text; the text itself if it has no line end."""
    return head[: head.rfind(b"\n") + 1] or head


def _last_lines(tail: bytes) -> bytes:
    """The whole lines at the end of a text."""
    first = tail.find(b"\n") + 1
    return tail[first:] if 0 < first < len(tail) else tail


def _apply(document: DocumentSnapshot, fit: _Fit, window: bytes) -> DocumentSnapshot:
    """The document with the window in its place; the same object if nothing is new."""
    if fit.behind:
        document = document.edited(len(document.source), len(document.source), fit.behind)
    if fit.front:
        document = document.edited(0, 0, fit.front)
    # Extend the edit to whole characters.
    start = text.character_start(window, fit.kept_start)
    end = text.next_character_start(window, len(window) - fit.kept_end)
    first, last = fit.start + start, fit.end - (len(window) - end)
    if document.source[first:last] == window[start:end]:
        return document
    return document.edited(first, last, window[start:end])


def _bounded(document: DocumentSnapshot, start: int, end: int) -> tuple[DocumentSnapshot, int]:
    """The document without text far from the window, and how many bytes were removed before it."""
    size = len(document.source)
    if start <= 2 * _KEPT_AROUND and size - end <= 2 * _KEPT_AROUND:
        return document, 0
    first = max(0, document.source.rfind(b"\n", 0, max(0, start - _KEPT_AROUND)) + 1) if start > _KEPT_AROUND else 0
    last = document.source.find(b"\n", end + _KEPT_AROUND) + 1 if size - end > _KEPT_AROUND else size
    if 0 < last < size:
        document = document.edited(last, size, b"")
    if first:
        document = document.edited(0, first, b"")
    return replace(document, edit_end=end - first), first


def _in_language(file: _File, document: DocumentSnapshot) -> DocumentSnapshot:
    """The document with its language. That is guessed again when the text has grown much since the last guess."""
    if document.language_id or (file.guessed and len(document.source) < 1.5 * file.guessed + _FREE_BYTES):
        return document
    file.guessed = len(document.source)
    language = guess_language(document.source)
    return replace(document, language_id=language) if language else document
