"""Prompts: which parts of the document a model is shown, laid out in its format, most stable part first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.embedded import language_at
from lsp_server.core.enclosing import enclosing_text
from lsp_server.core.fim_formats import FimFormat, Slot
from lsp_server.core.hole import Hole
from lsp_server.core.imports import import_lines
from lsp_server.core.language_entry import Language
from lsp_server.core.languages import find_language
from lsp_server.core.pieces import Piece
from lsp_server.core.text import character_start, encode, next_character_start

# Imports are looked for in this much of a file's beginning.
IMPORTS_WITHIN_BYTES = 1 << 16

# Of a prompt's tokens, what goes to the text before and after the hole; the rest is for path, imports,
# markers and what is generated. What is shown of other files comes out of the text before, but for this much.
BEFORE_SHARE, AFTER_SHARE, SPARE_SHARE = 0.70, 0.15, 0.05

# Source code has 3.2 to 3.9 bytes a token with the vocabularies in use. Guessing low keeps a prompt inside
# its window; text with less (CJK, binary) is cut by the engine, which counts real tokens.
BYTES_PER_TOKEN = 3.0

# Imports and headers of a small window get at least this, or a quarter of it each.
_LEAST_HEAD_BYTES = 64

# Where the suffix is laid out behind the text before it, a new anchor re-evaluates all of the suffix. It is
# answered from a short one, and gets the full one when the user rests.
SHORT_SUFFIX_BYTES = int(60 * BYTES_PER_TOKEN)


@dataclass(frozen=True, slots=True)
class PromptBudget:
    """How many bytes of text before and after the hole a prompt may show, and of other files."""

    before: int
    after: int
    context: int = 0

    @classmethod
    def of_tokens(cls, tokens: int, context_tokens: int = 0) -> PromptBudget:
        """The budget of a prompt of `tokens`, of which at most half can be for other files."""
        size = tokens * BYTES_PER_TOKEN
        context = min(context_tokens, tokens // 2) * BYTES_PER_TOKEN
        return cls(int(size * BEFORE_SHARE), int(size * AFTER_SHARE), int(context))

    def beside(self, context_bytes: int) -> PromptBudget:
        """What is left for the document itself beside so much of other files."""
        spare = int(self.before * SPARE_SHARE / BEFORE_SHARE)
        return replace(self, before=self.before - context_bytes + min(context_bytes // 3, spare))


@dataclass(frozen=True, slots=True)
class Anchor:
    """offset: where the middle of the prompt begins. start: where the shown text before it begins; head:
    what is shown in front of that, the imports of the part left out. before is the document's text from
    start to offset. short: the suffix may become longer. size: the document's length when it was made.
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
        """How much of the document a prompt with it shows, without what has been typed since."""
        return len(self.head) + len(self.before) + len(self.after)


@dataclass(frozen=True, slots=True)
class Context:
    """What a prompt shows of other files, in order. repository: the name of the folder that they lie in."""

    pieces: tuple[Piece, ...] = ()
    repository: str = ""

    @property
    def size(self) -> int:
        """About how many bytes of the prompt it takes."""
        return sum(map(piece_size, self.pieces))


NO_CONTEXT = Context()


@dataclass(frozen=True, slots=True)
class Segment:
    """One part of a prompt. kind: the slot's name; or `marker`, whose text is a special token's spelling; or
    `template`, text of a chat template, in which special tokens count. In all others they do not."""

    kind: str
    text: bytes


@dataclass(frozen=True, slots=True)
class FimPrompt:
    """A prompt, most stable segment first. Equal prompts ask for the same completion."""

    format: str
    segments: tuple[Segment, ...]

    def text(self, kind: str) -> bytes:
        """The text of all segments of one kind, for showing."""
        return b"".join(segment.text for segment in self.segments if segment.kind == kind)

    def with_written(self, text: str) -> FimPrompt:
        """The prompt with `text` behind what was typed, which every layout ends with."""
        if not text:
            return self
        typed = self.segments[-1].text if self.segments and self.segments[-1].kind == Slot.TYPED.kind else b""
        kept = self.segments[:-1] if typed else self.segments
        return replace(self, segments=(*kept, Segment(Slot.TYPED.kind, typed + encode(text))))


def piece_size(piece: Piece) -> int:
    """The bytes that a piece takes of a prompt, its path among them as a comment on a line of its own."""
    return len(piece.text) + len(piece.path.encode()) + 9


def new_anchor(
    document: DocumentSnapshot, hole: Hole, form: FimFormat, budget: PromptBudget, *, short: bool = False
) -> Anchor:
    """An anchor at the hole's own place. short: with a short suffix, if the full one is longer."""
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
    """The prompt for byte offset `cursor` of `document`, frozen around `anchor`, in `form`, behind `context`."""
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
    """The language that comments for `line` are written in: in a page's script, the script's. In Markdown it is always
    Markdown, for they stand in front of all of the text."""
    language = find_language(document.language_id, document.path)
    return language_at(document, line)[0] if language.embedded else language


def _of_other_files(context: Context, form: FimFormat) -> Iterator[Segment]:
    """Each piece as a segment of its own, so that one more at the end changes none before it."""
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
    """Where the shown text before `anchor` begins: at a line, at most `budget` bytes in front of it.

    The start moves by a quarter of the budget at a time. Sliding by a line would change the prompt's
    beginning at every new line, and with it throw away everything a cache holds of it.
    """
    if anchor <= budget:
        return 0
    step = max(1, budget // 4)
    start = -(-(anchor - budget) // step) * step
    line = document.line_at(start)
    if document.line_start(line) != start:
        line += 1
    if line < document.line_count and document.line_start(line) <= anchor - budget // 4:
        return document.line_start(line)
    return next_character_start(document.source, start)  # one line is longer than what may be shown


def kept_head(document: DocumentSnapshot, start: int, budget: int) -> bytes:
    """What is shown in front of a window that begins at `start`: of the part that is left out, the imports and the
    headers of the class and function that go on in the window, each within an eighth of the budget (a quarter, if that
    is small), and comments that mark the gaps. It depends on the window's start alone, so that all places in the window
    share it. Empty for a window from the beginning."""
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
    """The text from the end of the cursor's line on, whole lines within the budget; empty if it is blank."""
    after = source[line_end : line_end + budget]
    if len(after) < len(source) - line_end:
        # The first line end is the one at the cursor's line; behind it begins the first whole line.
        last = after.rfind(b"\n")
        after = after[:last] if last > 1 else source[line_end : character_start(source, line_end + budget)]
        after = after.removesuffix(b"\r")
    return after if after.strip() else b""


def _as_reference(after: bytes, language: Language) -> bytes:
    """What follows the hole, as comments in front of the code, for a model that can only continue."""
    lines = after.decode("utf-8", "replace").splitlines()
    while lines and not lines[0].strip():
        lines.pop(0)
    if not lines:
        return b""
    text = "\n".join(map(language.as_comment, ["Later in this file:", *lines]))
    return text.encode() + b"\n\n"
