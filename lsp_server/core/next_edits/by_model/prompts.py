"""Builds the prompt for a model's next edit: the window that the model rewrites, and the text around it. Pure.

Parts that change seldom come first, as far as the format's order allows. The document around the window is shown as it
was before the last edit, so a key that continues this edit changes only the end of the prompt.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.next_edits.by_model.formats import NUMBERED, NUMBERED_END, EditFormat, Layout, Part
from lsp_server.core.next_edits.history import Hunk
from lsp_server.core.prompt import BYTES_PER_TOKEN, Segment
from lsp_server.core.secrets import REDACTED, without_secrets

# A window of more bytes is shortened line by line; if the cursor's line alone has more, there is no window.
_MOST_WINDOW = 6000
# The first shown line of a file moves in steps of this many lines, so that the beginning of the prompt stays the same.
_STEP_LINES = 16
# The maximum share of a prompt for the history.
_HISTORY_SHARE = 0.3
# The length of a block between numbered markers, in lines: from the minimum on it ends at a blank line.
_LEAST_BLOCK, _MOST_BLOCK = 6, 16
# How many bytes above the shown text are searched for the beginning of a private key.
_KEY_BYTES = 1 << 13
# An answer may have half as many tokens as the window has bytes, and this many more. Then: how many bytes marks and
# numbers may add to the window.
_MORE_TOKENS, _SPARE_BYTES = 96, 80

# The kinds of segments that the engine may shorten, by part of the document.
_CUT = {Part.FILE: "before", Part.BEFORE: "before", Part.AFTER: "after"}


@dataclass(frozen=True, slots=True)
class _Content:
    """Text of the user. It never becomes a marker, even if it is spelled like one."""

    text: str


@dataclass(frozen=True, slots=True)
class Window:
    """The whole lines `first` to `last` of a document, without the last line ending: the bytes `start:end`."""

    document: DocumentSnapshot
    first: int
    last: int
    cursor: int

    @property
    def start(self) -> int:
        return self.document.line_start(self.first)

    @property
    def end(self) -> int:
        return self.document.line_end(self.last)

    @property
    def text(self) -> str:
        """The text, with `\\n` for line endings."""
        return _decoded(self.document.source[self.start : self.end])

    @property
    def is_plain(self) -> bool:
        """Whether its bytes can be restored from its text: uniform line endings, and valid UTF-8."""
        return self.as_source(self.text) == self.document.source[self.start : self.end]

    def as_source(self, text: str) -> bytes:
        """A new text of the window, in bytes, with the document's line endings."""
        return text.replace("\n", self.document.newline.decode()).encode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class EditPrompt:
    """A prompt for the next edit. messages: the role and the segments of each; one message without a role for a model
    that continues a text. Segments are of the kinds `marker` and `text`, or `before` and `after` if the engine may
    shorten them. draft: the answer without any change, after the format's lead. max_tokens: the limit of the answer."""

    form: EditFormat
    window: Window
    messages: tuple[tuple[str, tuple[Segment, ...]], ...]
    draft: str
    max_tokens: int


def window_at(document: DocumentSnapshot, cursor: int, form: EditFormat) -> Window | None:
    """The window around the byte offset `cursor`; None if the line there is too long."""
    line = document.line_at(cursor)
    first, last = max(0, line - form.above), min(document.line_count - 1, line + form.below)
    if last > line and not document.line(last):
        last -= 1  # the empty line after the document's last line ending is not shown
    while document.line_end(last) - document.line_start(first) > _MOST_WINDOW and first < last:
        first, last = (first + 1, last) if line - first >= last - line else (first, last - 1)
    if document.line_end(last) - document.line_start(first) > _MOST_WINDOW:
        return None
    return Window(document, first, last, cursor)


def edit_prompt(
    document: DocumentSnapshot,
    cursor: int,
    hunks: Sequence[Hunk],
    form: EditFormat,
    context_tokens: int,
    *,
    hides_secrets: bool = False,
) -> EditPrompt | None:
    """The prompt for the next edit near the byte offset `cursor`, after `hunks`, the latest last. context_tokens: the
    model's context size. hides_secrets: whether lines with secrets are left out, because another program runs the
    model. None if there are no hunks, or if the format cannot represent the window's text."""
    window = window_at(document, cursor, form)
    if hides_secrets:
        hunks = [hunk for hunk in hunks if not _is_hidden(document, hunk)]
    if window is None or not hunks or not window.is_plain or any(text in window.text for text in form.own_texts):
        return None
    max_tokens = min(context_tokens // 2, len(window.text.encode()) // 2 + _MORE_TOKENS)
    room = int((context_tokens - max_tokens) * BYTES_PER_TOKEN) - _least_bytes(form, window)
    history = _history(form, hunks, room)
    if not history:
        return None
    filling = _Filling(form, window, hunks[-1], history, room, hides_secrets=hides_secrets)
    messages = tuple((role, tuple(filling.segments(layout))) for role, layout in form.messages)
    draft = window.text
    if form.is_numbered:
        draft = f"{_marker(1)}\n{draft}\n{_marker(len(blocks(window.text)) + 1)}"
    elif form.ends and form.ends[0].startswith("\n"):
        draft += form.ends[0]
    else:
        draft += "\n" + (form.ends[0] if form.ends and form.ends[0] not in form.markers else "")
    return EditPrompt(form, window, messages, draft, max_tokens)


def blocks(text: str) -> list[str]:
    """The blocks of a window between numbered markers. Each ends with its line ending, except the last one."""
    found: list[str] = []
    block: list[str] = []
    *whole, last = text.split("\n")
    lines = [*(f"{line}\n" for line in whole), *filter(None, [last])]
    for number, line in enumerate(lines):
        after_blank = bool(block) and not block[-1].strip() and bool(line.strip())
        splits = after_blank and len(block) >= _LEAST_BLOCK and len(lines) - number >= _LEAST_BLOCK
        if splits or len(block) >= _MOST_BLOCK:
            found.append("".join(block))
            block = []
        block.append(line)
    return [*found, "".join(block)]


def _least_bytes(form: EditFormat, window: Window) -> int:
    """An estimate of the prompt's size in bytes without the history and the text around the window."""
    pieces = [piece for _, layout in form.messages for piece in layout]
    windows = sum(piece in (Part.FILE, Part.ORIGINAL, Part.CURRENT, Part.NUMBERED) for piece in pieces)
    paths = pieces.count(Part.PATH) * len(window.document.path)
    texts = sum(len(piece) for piece in pieces if isinstance(piece, str))
    return windows * (len(window.text.encode()) + _SPARE_BYTES) + paths + texts


def _history(form: EditFormat, hunks: Sequence[Hunk], room: int) -> list[str | _Content]:
    """The last edits in the format's layout, as many as there is room for; none if not even the latest one fits."""
    shown: list[list[str | _Content]] = []
    left = room
    for hunk in hunks[::-1][: form.hunks]:
        pieces = [piece if isinstance(piece, str) else _Content(_of_hunk(hunk, piece)) for piece in form.hunk]
        left -= sum(len((piece.text if isinstance(piece, _Content) else piece).encode()) for piece in pieces)
        if left < (room * (1 - _HISTORY_SHARE) if shown else 0):
            break
        shown.append(pieces)
    return [piece for pieces in reversed(shown) for piece in pieces]


class _Filling:
    """Fills the layouts for one window. latest: the last edit. history: all shown edits in the format's layout. room:
    how many bytes the history and the text around the window may have together."""

    def __init__(
        self,
        form: EditFormat,
        window: Window,
        latest: Hunk,
        history: list[str | _Content],
        room: int,
        *,
        hides_secrets: bool,
    ) -> None:
        self._form, self._window, self._history = form, window, history
        document = window.document
        left = room - sum(len((piece.text if isinstance(piece, _Content) else piece).encode()) for piece in history)
        around = min(form.around, left // 2)
        start, end = _start_before(window, around), _end_behind(window, around)
        lines = _lines(document, start, document.source[start:end], hides_secrets=hides_secrets)
        above = window.first - document.line_at(start)
        below = len(lines) - above - (window.last - window.first + 1)
        self._before = "".join(f"{line}\n" for line in lines[:above])
        self._current = lines[above : len(lines) - below]
        self._after = "\n".join(lines[len(lines) - below :]).removesuffix("\n")
        original = _Original(document, latest)
        old = _lines(document, start, original.source(start, end), hides_secrets=hides_secrets)
        self._file = "\n".join(old).removesuffix("\n")
        is_in_window = original.is_within(window.start, window.end)
        self._original = "\n".join(old[above : len(old) - below] if is_in_window else self._current)

    def segments(self, layout: Layout) -> Iterable[Segment]:
        """The segments of a layout: special tokens separately, and all text between two of them in one segment, so that
        it is tokenised as a whole."""
        kind, text = "text", ""
        for piece in self._flat(layout):
            if isinstance(piece, str) and piece in self._form.markers:
                if text:
                    yield Segment(kind, text.encode())
                yield Segment("marker", piece.encode())
                kind, text = "text", ""
            elif isinstance(piece, Part):
                kind = _CUT.get(piece, kind)
                text += self._text(piece)
            else:
                text += piece.text if isinstance(piece, _Content) else piece
        if text:
            yield Segment(kind, text.encode())

    def _flat(self, layout: Layout) -> Iterable[str | Part | _Content]:
        """The layout with the history in place of `Part.HISTORY`."""
        for piece in layout:
            if piece is Part.HISTORY:
                yield from (*self._form.heading, *self._history, self._form.foot)
            else:
                yield piece

    def _text(self, part: Part) -> str:
        window = self._window
        if part is Part.PATH:
            return window.document.path or "untitled"
        if part is Part.LINES:
            return f"{window.first + 1}:{window.last + 1}"
        if part is Part.CURRENT:
            return _marked(window, self._current, self._form.cursor)
        if part is Part.NUMBERED:
            return _numbered(window, self._current, self._form.cursor)
        return {
            Part.FILE: self._file,
            Part.BEFORE: self._before,
            Part.AFTER: self._after,
            Part.ORIGINAL: self._original,
        }[part]


def _of_hunk(hunk: Hunk, part: Part) -> str:
    if part is Part.PATH:
        return hunk.path or "untitled"
    if part is Part.DIFF:
        trimmed = hunk.trimmed()
        lines = [*(f"-{_decoded(line)}" for line in trimmed.old), *(f"+{_decoded(line)}" for line in trimmed.new)]
        return "\n".join(lines)
    return _decoded(hunk.old if part is Part.OLD else hunk.new)


def _lines(document: DocumentSnapshot, start: int, source: bytes, *, hides_secrets: bool) -> list[str]:
    """The lines of `source` as a prompt shows them; `start` is their offset in the document. Secrets are searched for
    together with the text above, because the lines may be in the middle of a key, and before markers are added."""
    text = _decoded(source)
    lines = text.split("\n")
    if not hides_secrets:
        return lines
    above = _decoded(document.source[document.line_start(document.line_at(max(0, start - _KEY_BYTES))) : start])
    shown = _decoded(without_secrets((above + text).encode())).split("\n")[above.count("\n") :]
    return shown if len(shown) == len(lines) else [REDACTED.decode()] * len(lines)


def _is_hidden(document: DocumentSnapshot, hunk: Hunk) -> bool:
    """Whether the changed lines of a document contain a secret or are in the middle of a key."""
    if hunk.uri != document.uri or hunk.start < 0 or document.source[hunk.start : hunk.end] != hunk.new:
        return False
    lines = _lines(document, hunk.start, hunk.new, hides_secrets=True)
    return lines != _lines(document, hunk.start, hunk.new, hides_secrets=False)


def _marked(window: Window, lines: Sequence[str], cursor: str) -> str:
    """The shown lines of the window with a mark at the cursor; at the end of its line if that line is hidden."""
    document, at = window.document, min(max(window.cursor, window.start), window.end)
    number = document.line_at(at)
    start, end = document.line_start(number), document.line_end(number)
    line = lines[number - window.first]
    is_shown = line == _decoded(document.source[start:end])
    column = len(_decoded(document.source[start : min(at, end)])) if is_shown else len(line)
    marked = line[:column] + cursor + line[column:]
    return "\n".join((*lines[: number - window.first], marked, *lines[number - window.first + 1 :]))


def _numbered(window: Window, lines: Sequence[str], cursor: str) -> str:
    """The same, with a numbered marker on its own line before and after each block."""
    left, text = _marked(window, lines, cursor).split("\n"), ""
    *others, _ = parts = blocks(window.text)
    for number, block in enumerate(others, 1):
        count = block.count("\n")
        text += "\n".join((_marker(number), *left[:count], ""))
        left = left[count:]
    return "\n".join((f"{text}{_marker(len(parts))}", *left, _marker(len(parts) + 1)))


def _marker(number: int) -> str:
    return f"{NUMBERED}{number}{NUMBERED_END}"


class _Original:
    """A document as it was before an edit. If the edit is elsewhere or its position is unknown: as it is now."""

    def __init__(self, document: DocumentSnapshot, hunk: Hunk) -> None:
        self._source = document.source
        is_here = hunk.uri == document.uri and hunk.start >= 0
        self._hunk = hunk if is_here and self._source[hunk.start : hunk.end] == hunk.new else None

    def is_within(self, start: int, end: int) -> bool:
        """Whether the position of the edit is known and inside the bytes `start:end` of the current document."""
        hunk = self._hunk
        return hunk is not None and start <= hunk.start <= hunk.end <= end

    def source(self, start: int, end: int) -> bytes:
        """The earlier text of the bytes `start:end` of the current document. If the edit is not entirely inside them:
        the current text."""
        hunk, source = self._hunk, self._source
        if hunk is None or not self.is_within(start, end):
            return source[start:end]
        return b"".join((source[start : hunk.start], hunk.old, source[hunk.end : end]))


def _start_before(window: Window, most: int) -> int:
    """The start of the shown text above a window: a line's start, at most `most` bytes before the window. It moves in
    steps of some lines, so that the beginning of the prompt stays the same."""
    document, line = window.document, window.first
    while line > 0 and window.start - document.line_start(line - 1) <= most:
        line -= 1
    stepped = -(-line // _STEP_LINES) * _STEP_LINES
    return document.line_start(min(stepped, window.first))


def _end_behind(window: Window, most: int) -> int:
    """The end of the shown text below a window."""
    document, line = window.document, window.last
    while line + 1 < document.line_count and document.line_end(line + 1) - window.end <= most:
        line += 1
    return document.line_end(line)


def _decoded(source: bytes) -> str:
    return source.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
