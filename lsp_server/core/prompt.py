"""Builds prompts: the parts of the document that a model is shown, laid out in its format, most stable part first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.embedded import language_at
from lsp_server.core.enclosing import enclosing_text
from lsp_server.core.fim_formats import FimFormat, Slot
from lsp_server.core.hole import Hole
from lsp_server.core.imports import import_lines
from lsp_server.core.languages import find_language
from lsp_server.core.languages.entry import Language
from lsp_server.core.pieces import Piece
from lsp_server.core.text import character_start, encode, next_character_start

# How many bytes at the beginning of a file are searched for imports.
IMPORTS_WITHIN_BYTES = 1 << 16

# The shares of a prompt's tokens for the text before and after the hole. The rest is for the path, imports, markers and
# generated tokens. Text of other files takes room from the text before, except for up to `SPARE_SHARE`.
BEFORE_SHARE, AFTER_SHARE, SPARE_SHARE = 0.70, 0.15, 0.05

# Source code has 3.2 to 3.9 bytes per token with the vocabularies in use. A low estimate keeps a prompt inside the
# context; text with fewer bytes per token (CJK, binary) is cut by the engine, which counts real tokens.
BYTES_PER_TOKEN = 3.0

# In a small window, imports and headers get at least this many bytes, but at most a quarter of the window each.
_LEAST_HEAD_BYTES = 64

# If the suffix follows the text before it in the layout, a new anchor must evaluate the whole suffix again. So it first
# gets a short suffix, and the full one when the user pauses.
SHORT_SUFFIX_BYTES = int(60 * BYTES_PER_TOKEN)


@dataclass(frozen=True, slots=True)
class PromptBudget:
    """How many bytes a prompt may show of the text before and after the hole, and of other files."""

    before: int
    after: int
    context: int = 0

    @classmethod
    def of_tokens(cls, tokens: int, context_tokens: int = 0) -> PromptBudget:
        """The budget of a prompt of `tokens`, at most half of which can be for other files."""
        size = tokens * BYTES_PER_TOKEN
        context = min(context_tokens, tokens // 2) * BYTES_PER_TOKEN
        return cls(int(size * BEFORE_SHARE), int(size * AFTER_SHARE), int(context))

    def beside(self, context_bytes: int) -> PromptBudget:
        """The budget that is left for the document when other files take `context_bytes`."""
        spare = int(self.before * SPARE_SHARE / BEFORE_SHARE)
        return replace(self, before=self.before - context_bytes + min(context_bytes // 3, spare))


@dataclass(frozen=True, slots=True)
class Anchor:
    """A frozen point of a document. offset: where the middle of the prompt begins. start: where the shown text before
    it begins. head: the text shown before `start`: imports and headers from the omitted part. before: the document's
    text from start to offset. after: the shown suffix. short: whether a longer suffix is possible. size: the
    document's length when the anchor was made.
    """

    uri: str
    start: int
    offset: int
    head: bytes
    before: bytes
    after: bytes
    short: bool
    size: int

    @property
    def frozen_bytes(self) -> int:
        """How many bytes of the document a prompt with this anchor shows, without the text typed since."""
        return len(self.head) + len(self.before) + len(self.after)


@dataclass(frozen=True, slots=True)
class Context:
    """The pieces of other files in a prompt, in order. repository: the name of the folder that they are in."""

    pieces: tuple[Piece, ...] = ()
    repository: str = ""

    @property
    def size(self) -> int:
        """The approximate number of bytes that they take in the prompt."""
        return sum(map(piece_size, self.pieces))


NO_CONTEXT = Context()


@dataclass(frozen=True, slots=True)
class Segment:
    """One part of a prompt. kind: the name of its slot; or `marker`: the spelling of a special token; or `template`:
    text of a chat template. Special tokens are recognised only in the last two."""

    kind: str
    text: bytes


@dataclass(frozen=True, slots=True)
class FimPrompt:
    """A prompt, the most stable segment first. Equal prompts request the same completion."""

    format: str
    segments: tuple[Segment, ...]

    def text(self, kind: str) -> bytes:
        """The text of all segments of one kind, for display."""
        return b"".join(segment.text for segment in self.segments if segment.kind == kind)

    def with_written(self, text: str) -> FimPrompt:
        """The prompt with `text` appended to the typed text, which ends every layout."""
        if not text:
            return self
        typed = self.segments[-1].text if self.segments and self.segments[-1].kind == Slot.TYPED.kind else b""
        kept = self.segments[:-1] if typed else self.segments
        return replace(self, segments=(*kept, Segment(Slot.TYPED.kind, typed + encode(text))))


def piece_size(piece: Piece) -> int:
    """How many bytes a piece takes in a prompt, including its path as a comment on its own line."""
    return len(piece.text) + len(piece.path.encode()) + 9


def new_anchor(
    document: DocumentSnapshot, hole: Hole, form: FimFormat, budget: PromptBudget, *, short: bool = False
) -> Anchor:
    """An anchor at the hole's own place. short: whether to use a short suffix if the full one is longer."""
    start = window_start(document, hole.anchor, budget.before)
    full = following_text(document.source, hole.line_end, budget.after)
    after = full
    if short and not form.suffix_first:
        after = following_text(document.source, hole.line_end, min(SHORT_SUFFIX_BYTES, budget.after))
    return Anchor(
        uri=document.uri,
        start=start,
        offset=hole.anchor,
        head=kept_head(document, start, budget.before),
        before=document.source[start : hole.anchor],
        after=after,
        short=len(after) < len(full),
        size=len(document.source),
    )


def lay_out(
    document: DocumentSnapshot, anchor: Anchor, cursor: int, form: FimFormat, context: Context = NO_CONTEXT
) -> FimPrompt:
    """The prompt in `form` for byte offset `cursor` of `document`, frozen around `anchor`, after `context`."""
    language = _written_in(document, document.line_at(anchor.offset))
    before = anchor.head + anchor.before
    path = document.path.encode() + b"\n" if document.path else b""
    after = anchor.after
    if not form.has_path and document.path:
        path = language.as_comment(document.path).encode() + b"\n"
        if form.has_fim:
            before = path + before
    if not form.has_fim:
        after = _as_reference(after, language)
    texts = {
        Slot.PATH: path,
        Slot.BEFORE: before,
        Slot.AFTER: after,
        Slot.TYPED: document.source[anchor.offset : cursor],
    }
    layout = form.layout
    if not form.path_alone and not context.pieces:
        layout = tuple(part for part in layout if part not in (form.file, Slot.PATH))
    segments: list[Segment] = []
    for part in layout:
        if isinstance(part, str):
            segments.append(Segment("marker", part.encode()))
        elif part is Slot.CONTEXT:
            segments.extend(_of_other_files(context, form))
        else:
            segments.append(Segment(part.kind, texts[part]))
    return FimPrompt(form.name, tuple(segment for segment in segments if segment.text))


def _written_in(document: DocumentSnapshot, line: int) -> Language:
    """The language for comments at `line`: in a script of a web page, the script's language. In Markdown always
    Markdown, because the comments stand before all of the text."""
    language = find_language(document.language_id, document.path)
    return language_at(document, line)[0] if language.embedded else language


def _of_other_files(context: Context, form: FimFormat) -> Iterator[Segment]:
    """Each piece as a segment of its own, so that another one at the end does not change those before it."""
    if context.pieces and context.repository and form.repository:
        yield Segment("marker", form.repository.encode())
        yield Segment("context", context.repository.encode() + b"\n")
    shown = ""
    for piece in context.pieces:
        path = b""
        if piece.path != shown and form.file:
            yield Segment("marker", form.file.encode())
            path = piece.path.encode() + b"\n"
        elif piece.path != shown:
            path = piece.language.as_comment(piece.path).encode() + b"\n"
        shown = piece.path
        yield Segment("context", path + piece.text + b"\n\n")


def window_start(document: DocumentSnapshot, anchor: int, budget: int) -> int:
    """The start of the shown text before `anchor`: a line's start, at most `budget` bytes before it.

    The start moves in steps of a quarter of the budget. If it moved line by line, every new line would change the
    beginning of the prompt and invalidate the whole KV cache.
    """
    if anchor <= budget:
        return 0
    step = max(1, budget // 4)
    start = -(-(anchor - budget) // step) * step
    return next_line_start(document, start, anchor - budget // 4)


def next_line_start(document: DocumentSnapshot, start: int, limit: int) -> int:
    """The start of the first line that begins at `start` or behind it; of the next character if that is behind `limit`,
    because the line there is long."""
    line = document.line_at(start)
    if document.line_start(line) != start:
        line += 1
    if line < document.line_count and document.line_start(line) <= limit:
        return document.line_start(line)
    return next_character_start(document.source, start)


def kept_head(document: DocumentSnapshot, start: int, budget: int) -> bytes:
    """The text shown before a window that begins at `start`: from the omitted part, the imports and the headers of the
    class and function that continue in the window, each at most an eighth of the budget (a quarter if that is small),
    with comments for the gaps. It depends only on the window's start, so all places in the window share it. Empty for a
    window from the beginning of the file."""
    if start == 0:
        return b""
    language = find_language(document.language_id, document.path)
    room = room_each = max(budget // 8, min(_LEAST_HEAD_BYTES, budget // 4))
    kept: list[bytes] = []
    for line in import_lines(language, document.source[: min(start, IMPORTS_WITHIN_BYTES)]):
        room -= len(line) + 1
        if room < 0:
            break
        kept.append(line)
    elision = _written_in(document, document.line_at(start)).as_comment("...").encode()
    first = document.line_at(start)
    enclosing = enclosing_text(document, language, first, room_each) if document.line_start(first) == start else b""
    return document.newline.join([*kept, elision, enclosing])


def following_text(source: bytes, line_end: int, budget: int) -> bytes:
    """The text from the end of the cursor's line on, in whole lines within the budget; empty if it is blank."""
    after = source[line_end : line_end + budget]
    if len(after) < len(source) - line_end:
        # The first line ending is that of the cursor's line; the first whole line begins after it.
        last = after.rfind(b"\n")
        after = after[:last] if last > 1 else source[line_end : character_start(source, line_end + budget)]
        after = after.removesuffix(b"\r")
    return after if after.strip() else b""


def _as_reference(after: bytes, language: Language) -> bytes:
    """The text after the hole as comments before the code, for a model that can only continue a text."""
    lines = after.decode("utf-8", "replace").splitlines()
    while lines and not lines[0].strip():
        lines.pop(0)
    if not lines:
        return b""
    text = "\n".join(map(language.as_comment, ["Later in this file:", *lines]))
    return text.encode() + b"\n\n"
