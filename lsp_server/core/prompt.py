"""Prompts: which parts of the document a model is shown, laid out in its format, most stable part first."""

from __future__ import annotations

from dataclasses import dataclass

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.formats import FimFormat, Slot
from lsp_server.core.hole import Hole
from lsp_server.core.languages import Language, find_language
from lsp_server.core.syntax import import_lines
from lsp_server.core.text import character_start

# Of a prompt's tokens, what goes to the text before and after the hole; the rest is for path, imports,
# markers and what is generated.
BEFORE_SHARE, AFTER_SHARE = 0.70, 0.15

# Source code has 3.2 to 3.9 bytes a token with the vocabularies in use. Guessing low keeps a prompt inside
# its window; text with less (CJK, binary) is cut by the engine, which counts real tokens.
BYTES_PER_TOKEN = 3.0


@dataclass(frozen=True, slots=True)
class PromptBudget:
    """How many bytes of text before and after the hole a prompt may show."""

    before: int
    after: int

    @classmethod
    def of_tokens(cls, tokens: int) -> PromptBudget:
        size = tokens * BYTES_PER_TOKEN
        return cls(int(size * BEFORE_SHARE), int(size * AFTER_SHARE))


@dataclass(frozen=True, slots=True)
class Segment:
    """One part of a prompt. kind: the slot's name, or `marker`, whose text is a special token's spelling."""

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


def build_prompt(document: DocumentSnapshot, hole: Hole, form: FimFormat, budget: PromptBudget) -> FimPrompt:
    """Lays out `document` around `hole` in `form`. A pure function: the same key gives the same prompt."""
    language = find_language(document.language_id, document.path)
    source = document.source
    after = _after(source, hole.line_end, budget.after)
    texts = {
        Slot.PATH: document.path.encode() + b"\n" if document.path else b"",
        Slot.BEFORE: _before(document, hole.anchor, budget.before, language),
        Slot.AFTER: after,
        Slot.TYPED: source[hole.anchor : hole.cursor],
    }
    if not form.has_path and document.path:
        comment = language.as_comment(document.path).encode() + b"\n"
        if form.has_fim:
            texts[Slot.BEFORE] = comment + texts[Slot.BEFORE]
        texts[Slot.PATH] = comment
    if not form.has_fim:
        texts[Slot.AFTER] = _as_reference(after, language)
    segments = [
        Segment("marker", piece.encode()) if isinstance(piece, str) else Segment(piece.value, texts[piece])
        for piece in form.layout
    ]
    return FimPrompt(form.name, tuple(segment for segment in segments if segment.text))


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
    return character_start(document.source, start)  # one line is longer than what may be shown


def _before(document: DocumentSnapshot, anchor: int, budget: int, language: Language) -> bytes:
    """The text before the anchor; where it is cut, the imports from the part that is left out stay."""
    start = window_start(document, anchor, budget)
    window = document.source[start:anchor]
    if start == 0:
        return window
    room = budget // 4
    kept: list[bytes] = []
    for line in import_lines(language, document.source[:start]):
        room -= len(line) + 1
        if room < 0:
            break
        kept.append(line)
    newline = document.newline
    elision = language.as_comment("...").strip().encode()
    return newline.join([*kept, elision, window])


def _after(source: bytes, line_end: int, budget: int) -> bytes:
    """The text from the end of the cursor's line on, whole lines within the budget."""
    if len(source) - line_end <= budget:
        after = source[line_end:]
    else:
        after = source[line_end : line_end + budget]
        last = after.rfind(b"\n")
        after = after[:last] if last > 0 else after[: character_start(after, len(after) - 1)]
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
