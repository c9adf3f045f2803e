"""Makes training samples: prompts as the server builds them, with the text for the hole.

The server's own code (`new_anchor`, `lay_out`) makes the prompts. So training and use have the same window, the same
imports before it, and the same start of the text after the hole. Most holes are syntax nodes; most of those are
anchored as the server anchors them, at the line's start, with a part of the middle already typed, cut at any character.
Some are random spans of characters (Bavarian et al., arXiv 2207.14255), and the rest of the samples is plain text, left
to right.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import accumulate
from typing import TYPE_CHECKING

from bench.training.corpus import SourceFile
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.fim_formats import FimFormat
from lsp_server.core.hole import Hole, HoleKind
from lsp_server.core.languages import find_language
from lsp_server.core.parsing import parser_of
from lsp_server.core.pieces import Piece, identifiers_in
from lsp_server.core.prompt import NO_CONTEXT, Context, PromptBudget, Segment, lay_out, new_anchor, piece_size
from lsp_server.core.text import next_character_start

if TYPE_CHECKING:
    from tree_sitter import Node

# The shares of all samples; those of AST and RANDOM have a hole.
AST_SHARE, RANDOM_SHARE = 0.55, 0.10

# The share of holes at syntax nodes in the server's form, which begins at a line's start and ends at a line's end.
ANCHORED_SHARE = 0.75

# The share of those with a short suffix, as a new anchor has.
SHORT_SHARE = 0.3

# The share of holes that show parts of other files of the package, if there are any, and the maximum share of the
# window for them.
CONTEXT_SHARE, CONTEXT_OF_WINDOW = 0.3, 0.25

LONGEST_MIDDLE, SHORTEST_MIDDLE = 600, 3
MEAN_WINDOW_BYTES = 3600


class HoleOrigin(str, Enum):
    """The origin of a sample's middle."""

    STATEMENT = "statement"
    BLOCK = "block"
    ARGUMENTS = "arguments"
    VALUE = "value"
    RANDOM = "random"
    NONE = "none"


# How often each kind of node is chosen in a file that has all kinds.
_WEIGHTS = {HoleOrigin.STATEMENT: 5, HoleOrigin.BLOCK: 2, HoleOrigin.ARGUMENTS: 2, HoleOrigin.VALUE: 3}


@dataclass(frozen=True, slots=True)
class Sample:
    """prompt: its segments; the last may be the typed text. middle: the text that the model must write. ends: whether
    the middle is complete, so that the end token follows. joined: whether the typed text and the middle are tokenised
    as one text, as after token healing; else a token ends at the cursor."""

    prompt: tuple[Segment, ...]
    middle: bytes
    origin: HoleOrigin
    ends: bool = True
    joined: bool = False


@dataclass(frozen=True, slots=True)
class NodeSpan:
    """A syntax node of this kind at the bytes `start:end` of a file."""

    origin: HoleOrigin
    start: int
    end: int


def document_of(file: SourceFile) -> DocumentSnapshot:
    return DocumentSnapshot.of(f"{file.package}:{file.path}", file.text.encode(), path=file.path)


def samples_of(
    file: SourceFile, form: FimFormat, context_tokens: int, seed: str, others: Sequence[Piece] = ()
) -> Iterator[Sample]:
    """The samples of one file; about as many as needed to show each byte once. The same for the same arguments.
    context_tokens: the model's context size, the maximum length of a sample. others: parts of other files of its
    package, as `pieces_of` gives them.
    """
    maker = _Maker(
        document_of(file), form, context_tokens, random.Random(f"{seed}\0{file.package}\0{file.path}"), others
    )
    size = len(maker.document.source)
    count = max(1, round(size / min(MEAN_WINDOW_BYTES, context_tokens * 2)))
    for index in range(count):
        yield maker.sample(index * size // count, (index + 1) * size // count)


def node_spans(document: DocumentSnapshot) -> list[NodeSpan]:
    """The nodes of a document that make good holes, in no particular order; none without a grammar."""
    parser = parser_of(find_language(document.language_id, document.path))
    if parser is None:
        return []
    found: set[NodeSpan] = set()
    nodes = [parser.parse(document.source).root_node]
    while nodes:
        node = nodes.pop()
        nodes.extend(node.children)
        size = node.end_byte - node.start_byte
        if node.is_named and not node.has_error and SHORTEST_MIDDLE <= size <= LONGEST_MIDDLE:
            origin = _origin(node)
            if origin is not None:
                found.add(NodeSpan(origin, node.start_byte, node.end_byte))
    return sorted(found, key=lambda span: (span.start, span.end, span.origin.value))


def _origin(node: Node) -> HoleOrigin | None:
    """The origin for a node, by words in node types that grammars share."""
    kind, parent = node.type, node.parent
    if parent is None:
        return None
    if kind in ("argument_list", "arguments", "parameters", "formal_parameters", "parameter_list"):
        return HoleOrigin.ARGUMENTS
    if kind in ("block", "statement_block", "compound_statement", "class_body", "declaration_list"):
        return HoleOrigin.BLOCK
    if kind.endswith(("_statement", "_definition", "_declaration", "_item")) or kind == "decorator":
        return HoleOrigin.STATEMENT
    for field in ("right", "value", "condition"):
        if parent.child_by_field_name(field) == node:
            return HoleOrigin.VALUE
    return None


def _choose(nodes: list[NodeSpan], draw: random.Random) -> NodeSpan:
    origins = sorted({span.origin for span in nodes}, key=lambda origin: origin.value)
    origin = draw.choices(origins, [_WEIGHTS[origin] for origin in origins])[0]
    return draw.choice([span for span in nodes if span.origin is origin])


class _Maker:
    """Makes samples of one document."""

    def __init__(
        self,
        document: DocumentSnapshot,
        form: FimFormat,
        context_tokens: int,
        draw: random.Random,
        others: Sequence[Piece],
    ) -> None:
        self.document, self._form, self._tokens, self._draw = document, form, context_tokens, draw
        self._others, self._spans = others, node_spans(document)

    def sample(self, low: int, high: int) -> Sample:
        """A sample at a place in the bytes `low:high`."""
        kind = self._draw.random()
        sample = None
        if kind < AST_SHARE:
            nodes = [span for span in self._spans if low <= span.start < high]
            sample = self._of_node(_choose(nodes, self._draw)) if nodes else None
        elif kind < AST_SHARE + RANDOM_SHARE:
            sample = self._of_random_span(low, high)
        return sample or self._left_to_right(low)

    def _of_node(self, span: NodeSpan) -> Sample:
        document, draw = self.document, self._draw
        line = document.line_start(document.line_at(span.start))
        end = document.line_end(document.line_at(max(span.start, span.end - 1)))
        if draw.random() >= ANCHORED_SHARE or end - line > 2 * LONGEST_MIDDLE or end <= span.start:
            return self._with_hole(span.start, span.start, span.end, span.origin)
        # The cursor: at the start of the node, at the start of the line, or anywhere in the first half of the middle.
        cursor = draw.choice((span.start, line, draw.randint(line, max(line, (line + end) // 2))))
        return self._with_hole(line, min(next_character_start(document.source, cursor), end), end, span.origin)

    def _of_random_span(self, low: int, high: int) -> Sample | None:
        source, draw = self.document.source, self._draw
        start = next_character_start(source, draw.randint(low, max(low, high - 1)))
        end = min(len(source), start + draw.randint(SHORTEST_MIDDLE, LONGEST_MIDDLE // 2))
        end = next_character_start(source, end)
        return self._with_hole(start, start, end, HoleOrigin.RANDOM) if end - start >= SHORTEST_MIDDLE else None

    def _with_hole(self, anchor: int, cursor: int, end: int, origin: HoleOrigin) -> Sample:
        """The sample with the middle `anchor:end`, typed up to `cursor`."""
        draw, source = self._draw, self.document.source
        budget = PromptBudget.of_tokens(draw.randint(self._tokens // 8, self._tokens * 3 // 4))
        hole = Hole(HoleKind.LINE, anchor, cursor, end)
        frozen = new_anchor(self.document, hole, self._form, budget, short=draw.random() < SHORT_SHARE)
        context = NO_CONTEXT
        if self._others and draw.random() < CONTEXT_SHARE:
            context = self._context(frozen.before + source[anchor:end])
        prompt = lay_out(self.document, frozen, cursor, self._form, context)
        joined = cursor == anchor or draw.random() < 0.7
        return Sample(prompt.segments, source[cursor:end], origin, joined=joined)

    def _context(self, text: bytes) -> Context:
        """Definitions of other files that `text` uses, as many as fit."""
        used = set(identifiers_in(text))
        room = int(self._tokens * CONTEXT_OF_WINDOW * 3)
        wanted = [piece for piece in self._others if not used.isdisjoint(piece.defines)]
        ends = accumulate(map(piece_size, wanted))
        return Context(tuple(piece for piece, end in zip(wanted, ends, strict=True) if end <= room))

    def _left_to_right(self, low: int) -> Sample:
        """Plain text from the line of `low` on, as much as fits into the window; at the start of a file also its
        path."""
        document, form = self.document, self._form
        start = document.line_start(document.line_at(low))
        end = next_character_start(document.source, min(len(document.source), start + int(self._tokens * 2.4)))
        segments: list[Segment] = []
        if start == 0 and form.file:
            segments.append(Segment("marker", form.file.encode()))
            segments.append(Segment("path", f"{document.path}\n".encode()))
        return Sample(tuple(segments), document.source[start:end], HoleOrigin.NONE, ends=end == len(document.source))
