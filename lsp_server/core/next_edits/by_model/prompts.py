"""What a model is asked for the next edit: the window that it is to rewrite, and what it is shown around that. Pure.

What changes seldom stands first, as far as the format's order allows: the document around the window is shown as it was
before the last edit, so that a key which goes on with that edit changes only the end of the prompt.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.next_edits.by_model.formats import NUMBERED, NUMBERED_END, EditFormat, Layout, Part
from lsp_server.core.next_edits.history import Hunk
from lsp_server.core.prompt import BYTES_PER_TOKEN, Segment
from lsp_server.core.secrets import REDACTED, without_secrets

# A window's end moves to a shorter one rather than to more bytes than this; the cursor's line alone may not have more.
_MOST_WINDOW = 6000
# The first line that is shown of a file changes by so many lines at a time, so that the prompt's beginning stays.
_STEP_LINES = 16
# Of a prompt, the share of the history at most.
_HISTORY_SHARE = 0.3
# Blocks between numbered markers have so many lines, where they can end at a blank one.
_LEAST_BLOCK, _MOST_BLOCK = 6, 16
# Where a private key begins is looked for in so many bytes above what is shown.
_KEY_BYTES = 1 << 13
# What an answer may have beyond the window, in tokens; and a window beyond its lines, in bytes: marks and numbers.
_MORE_TOKENS, _SPARE_BYTES = 96, 80

# What the engine may cut, by the part of the document that it shows.
_CUT = {Part.FILE: "before", Part.BEFORE: "before", Part.AFTER: "after"}


@dataclass(frozen=True, slots=True)
class _Content:
    """A text of the user's, which is no marker even if it is spelled like one."""

    text: str


@dataclass(frozen=True, slots=True)
class Window:
    """The whole lines `first` to `last` of a document, without the last line end: the bytes `start:end`."""

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
        """Its text, with `\\n` for line ends."""
        return _decoded(self.document.source[self.start : self.end])

    @property
    def is_plain(self) -> bool:
        """Whether its bytes can be told from its text: it has one kind of line ends, and no bytes that are no text."""
        return self.as_source(self.text) == self.document.source[self.start : self.end]

    def as_source(self, text: str) -> bytes:
        """A text for the window, with the document's line ends."""
        return text.replace("\n", self.document.newline.decode()).encode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class EditPrompt:
    """A question. messages: role and segments of each; one without a role for a model that goes on with a text. The
    segments are of the kinds `marker` and `text`, and `before` and `after` where the engine may cut some. draft: what
    the answer would be if nothing changed, behind the format's lead. max_tokens: of the answer."""

    form: EditFormat
    window: Window
    messages: tuple[tuple[str, tuple[Segment, ...]], ...]
    draft: str
    max_tokens: int


def window_at(document: DocumentSnapshot, cursor: int, form: EditFormat) -> Window | None:
    """The window around a byte of a document; None if the line there is too long."""
    line = document.line_at(cursor)
    first, last = max(0, line - form.above), min(document.line_count - 1, line + form.below)
    if last > line and not document.line(last):
        last -= 1  # what stands behind the document's last line end is no line to show
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
    """What to ask for the next edit near a byte of a document, after `hunks`, the latest last. context_tokens: of the
    model's window. hides_secrets: whether lines of the document with a secret are left out, for another program's
    model. None if there is nothing to go by, or the format cannot say what the document has there."""
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
    """The blocks of a window between numbered markers: each ends with its line end, but for the last one."""
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
    """What a prompt has without the history and the text around the window."""
    pieces = [piece for _, layout in form.messages for piece in layout]
    windows = sum(piece in (Part.FILE, Part.ORIGINAL, Part.CURRENT, Part.NUMBERED) for piece in pieces)
    paths = pieces.count(Part.PATH) * len(window.document.path)
    texts = sum(len(piece) for piece in pieces if isinstance(piece, str))
    return windows * (len(window.text.encode()) + _SPARE_BYTES) + paths + texts


def _history(form: EditFormat, hunks: Sequence[Hunk], room: int) -> list[str | _Content]:
    """The last edits in the format's layout, as many as there is room for; none if not even the latest fits."""
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
    """Fills layouts for one window. latest: the last edit. history: all that are shown, laid out. room: how many bytes
    the history and the text around the window may have."""

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
        """The parts of a layout: special tokens apart, and all text between two of them in one piece, so that it has
        the tokens that it has as a whole."""
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
        """A layout with the history's own in its place."""
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
    """Whole lines as a prompt shows them, which stand at the byte `start` of a document, or stood there. Secrets are
    looked for before any mark is put between them, and with what stands above: they may be in the midst of a key."""
    text = _decoded(source)
    lines = text.split("\n")
    if not hides_secrets:
        return lines
    above = _decoded(document.source[document.line_start(document.line_at(max(0, start - _KEY_BYTES))) : start])
    shown = _decoded(without_secrets((above + text).encode())).split("\n")[above.count("\n") :]
    return shown if len(shown) == len(lines) else [REDACTED.decode()] * len(lines)


def _is_hidden(document: DocumentSnapshot, hunk: Hunk) -> bool:
    """Whether lines of a document that an edit has changed hold a secret, or are in the midst of a key."""
    if hunk.uri != document.uri or hunk.start < 0 or document.source[hunk.start : hunk.end] != hunk.new:
        return False
    lines = _lines(document, hunk.start, hunk.new, hides_secrets=True)
    return lines != _lines(document, hunk.start, hunk.new, hides_secrets=False)


def _marked(window: Window, lines: Sequence[str], cursor: str) -> str:
    """The window's lines, as they are shown, with a mark at the cursor; at the line's end if the line is hidden."""
    document, at = window.document, min(max(window.cursor, window.start), window.end)
    number = document.line_at(at)
    start, end = document.line_start(number), document.line_end(number)
    line = lines[number - window.first]
    is_shown = line == _decoded(document.source[start:end])
    column = len(_decoded(document.source[start : min(at, end)])) if is_shown else len(line)
    marked = line[:column] + cursor + line[column:]
    return "\n".join((*lines[: number - window.first], marked, *lines[number - window.first + 1 :]))


def _numbered(window: Window, lines: Sequence[str], cursor: str) -> str:
    """The same, with a numbered marker on a line of its own around each block."""
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
    """A document as it was before an edit, if that was made in it and stands where it is known to; else as it is."""

    def __init__(self, document: DocumentSnapshot, hunk: Hunk) -> None:
        self._source = document.source
        is_here = hunk.uri == document.uri and hunk.start >= 0
        self._hunk = hunk if is_here and self._source[hunk.start : hunk.end] == hunk.new else None

    def is_within(self, start: int, end: int) -> bool:
        """Whether the edit is known and stands within the bytes `start:end` of the document as it is."""
        hunk = self._hunk
        return hunk is not None and start <= hunk.start <= hunk.end <= end

    def source(self, start: int, end: int) -> bytes:
        """What stood at the bytes `start:end` of the document as it is; as it stands, where the edit is only partly in
        them."""
        hunk, source = self._hunk, self._source
        if hunk is None or not self.is_within(start, end):
            return source[start:end]
        return b"".join((source[start : hunk.start], hunk.old, source[hunk.end : end]))


def _start_before(window: Window, most: int) -> int:
    """Where the text above a window begins that is shown: at a line, at most `most` bytes before it. It moves by some
    lines at a time, so that the prompt's beginning stays."""
    document, line = window.document, window.first
    while line > 0 and window.start - document.line_start(line - 1) <= most:
        line -= 1
    stepped = -(-line // _STEP_LINES) * _STEP_LINES
    return document.line_start(min(stepped, window.first))


def _end_behind(window: Window, most: int) -> int:
    """Where the text below a window ends that is shown."""
    document, line = window.document, window.last
    while line + 1 < document.line_count and document.line_end(line + 1) - window.end <= most:
        line += 1
    return document.line_end(line)


def _decoded(source: bytes) -> str:
    return source.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
