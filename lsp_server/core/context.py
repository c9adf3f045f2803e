"""Context from other files: which parts of them a prompt shows, chosen so that the KV cache survives the choice.

They are of text that the editor has open in the workspace's folders, or had open there a moment ago, and of what an
index offers; nothing is read from disk here. What holds secrets, or looks like data or like a machine's output, is left
out.
"""

from __future__ import annotations

import math
import re
from collections import Counter, OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain, islice
from pathlib import PurePosixPath

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.fim_formats import FimFormat
from lsp_server.core.hole import Hole
from lsp_server.core.imports import import_lines
from lsp_server.core.index_offer import NO_OFFER, Index, Offer, Why, no_index
from lsp_server.core.language_entry import Language
from lsp_server.core.languages import UNKNOWN, find_language
from lsp_server.core.pieces import Piece, defined_names, identifiers_in, pieces_of
from lsp_server.core.prompt import IMPORTS_WITHIN_BYTES, NO_CONTEXT, Context, PromptBudget, piece_size
from lsp_server.core.secrets import holds_secret, is_secret_file, speaks_of_secrets

# How many buffers are looked at, the most recent first, and how much text of theirs is read for one choice, about
# 2 ms of work. Larger ones are read beforehand (`read_pieces`), beside the loop, or offer nothing until then.
MOST_BUFFERS, PARSED_BYTES = 16, 1 << 14

# How many of their pieces are weighed against each other: about 5 ms of work.
WEIGHED_PIECES = 800

# A larger file is generated or data; so is one whose lines are this long on average.
MOST_BYTES, MOST_LINE_BYTES = 1 << 18, 160

# How much text around the cursor counts as near it, and what a name there weighs against one elsewhere.
NEAR_BEFORE_BYTES, NEAR_AFTER_BYTES = 1500, 500
# Of a large document, what lies further from the cursor counts for nothing.
ELSEWHERE_BYTES = 1 << 15
_ELSEWHERE, _IMPORTED, _NEAR = 0.25, 0.5, 1.0

# What a piece is worth for each name the document uses: that it defines the name, has it as a member (and the
# document uses it behind a dot), or only uses it too. A piece of a file that the document imports is worth more.
_DEFINES, _MEMBER, _USES, _FROM_IMPORTED = 3.0, 1.0, 0.1, 1.5
_LEAST_WORTH, _LEAST_SHARE_OF_BEST = 0.5, 0.1

# A new choice has to gain this share of its worth for each whole prompt that it makes evaluate again.
_GAIN_PER_PROMPT = 0.4

# Of a prompt's tokens, what other files get unless the user says: of a model with FIM tokens, and of one without.
# The default model, which has none, completes as well without other files as with (`bench context`).
FIM_SHARE, PREFIX_ONLY_SHARE = 0.15, 0.0

# How many documents' contexts are remembered.
REMEMBERED = 32

# What the buffers that were read last offer.
_read: OrderedDict[DocumentSnapshot, tuple[Piece, ...]] = OrderedDict()
_MOST_READ = 3 * MOST_BUFFERS

_UNSAVED = "untitled:"
_SCHEMES = ("file:", _UNSAVED)
_DATA = {"JSON", "YAML", "TOML", "Markdown", UNKNOWN.name}
_ATTRIBUTE = re.compile(rb"(?:\.|->|::)(?=[^\W\d])(\w{3,})")
_IMPORT = re.compile(rb"^[ \t]*(?:import|from|use|using|require\w*|#[ \t]*include|load|source)\b.*", re.MULTILINE)


def prompt_budget(form: FimFormat, tokens: int, buffers_tokens: int = -1) -> PromptBudget:
    """The budget of a prompt of `tokens` in a format. buffers_tokens: for other files; -1 is what suits it."""
    if buffers_tokens < 0:
        buffers_tokens = int(tokens * (FIM_SHARE if form.has_fim else PREFIX_ONLY_SHARE))
    return PromptBudget.of_tokens(tokens, buffers_tokens)


def may_show(buffer: DocumentSnapshot, document: DocumentSnapshot) -> bool:
    """Whether parts of `buffer` may stand in a prompt for `document`, judged by what and where it is.

    Not the document itself under another name (a diff view), nothing that lies outside the workspace's folders, and
    nothing whose name speaks of secrets. Data files only beside others in the same language.
    """
    if buffer.uri == document.uri or (buffer.path, buffer.folder) == (document.path, document.folder):
        return False
    if not (buffer.folder or buffer.uri.lower().startswith(_UNSAVED)) or not buffer.uri.lower().startswith(_SCHEMES):
        return False
    if speaks_of_secrets(buffer.path) or is_secret_file(buffer.path):
        return False
    language = find_language(buffer.language_id, buffer.path)
    return language.name not in _DATA or bool(buffer.language_id and buffer.language_id == document.language_id)


def is_source(buffer: DocumentSnapshot) -> bool:
    """Whether a buffer's text is what people write: not huge, binary or minified, and without keys or tokens."""
    source = buffer.source
    if len(source) > MOST_BYTES or len(source) > MOST_LINE_BYTES * buffer.line_count:
        return False
    return b"\0" not in source and not holds_secret(source)


def shown_buffers(document: DocumentSnapshot, buffers: Sequence[DocumentSnapshot]) -> list[DocumentSnapshot]:
    """Those of `buffers`, the most recent first, that prompts for `document` may show parts of."""
    return list(islice((buffer for buffer in buffers if may_show(buffer, document)), MOST_BUFFERS))


def is_read(buffer: DocumentSnapshot) -> bool:
    return buffer in _read


def read_pieces(buffer: DocumentSnapshot) -> tuple[Piece, ...]:
    """What a buffer offers to the prompts for others. Worked out once for a version, on any thread; the latest ones are
    kept."""
    found = _read.get(buffer)
    if found is None:
        found = _read[buffer] = pieces_of(buffer) if is_source(buffer) else ()
        while len(_read) > _MOST_READ:
            _read.popitem(last=False)
    return found


class PieceIndex:
    """The pieces of the buffers that were looked at last."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[Piece, ...]] = {}

    def pieces(self, buffers: Sequence[DocumentSnapshot]) -> list[Piece]:
        """The pieces of `buffers`, up to the limit; reads small ones that have changed, the first ones first, within
        the limit. A buffer that has to wait offers what it did before."""
        old, self._found = self._found, {}
        room = PARSED_BYTES
        for buffer in buffers:
            if is_read(buffer) or room >= len(buffer.source):
                room -= 0 if is_read(buffer) else len(buffer.source)
                self._found[buffer.uri] = read_pieces(buffer)
            elif buffer.uri in old:
                self._found[buffer.uri] = old[buffer.uri]
        return list(islice(chain.from_iterable(self._found.values()), WEIGHED_PIECES))


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a document uses and does not define. names: each with its weight; attributes: those behind a dot;
    imported: those in its imports."""

    names: Mapping[str, float]
    attributes: frozenset[str]
    imported: frozenset[str]


def wanted_names(document: DocumentSnapshot, hole: Hole) -> Wanted:
    """What `document` uses, most of all near `hole`."""
    start = max(0, hole.cursor - ELSEWHERE_BYTES)
    head = document.source[:IMPORTS_WITHIN_BYTES]
    source = document.source[start : hole.cursor + ELSEWHERE_BYTES]
    near = document.source[max(0, hole.cursor - NEAR_BEFORE_BYTES) : hole.cursor + NEAR_AFTER_BYTES]
    language = find_language(document.language_id, document.path)
    imported = frozenset(identifiers_in(_imports(language, head)))
    names = dict.fromkeys(identifiers_in(source), _ELSEWHERE)
    for name in imported:
        names[name] = names.get(name, 0.0) + _IMPORTED
    for name in set(identifiers_in(near)):
        names[name] = names.get(name, 0.0) + _NEAR
    for name in defined_names(source):
        names.pop(name, None)
    attributes = frozenset(name.decode("utf-8", "replace") for name in _ATTRIBUTE.findall(source))
    return Wanted(names, attributes, imported)


def _imports(language: Language, head: bytes) -> bytes:
    if language.wheel is not None and language.imports:
        return b"\n".join(import_lines(language, head))
    return b"\n".join(_IMPORT.findall(head))


def worths(pieces: Sequence[Piece], wanted: Wanted) -> dict[Piece, float]:
    """What each piece is worth to a document: the sum over the names they share, each by how few of the pieces
    have it (inverse document frequency). Pieces that are worth next to nothing are left out.
    """
    names = frozenset(wanted.names)
    shared = [names.intersection(piece.names) for piece in pieces]
    frequency = Counter(name for found in shared for name in found)
    found: dict[Piece, float] = {}
    for piece, common in zip(pieces, shared, strict=True):
        worth = 0.0
        for name in sorted(common):  # in a fixed order, or the sum would differ from run to run
            member = name in piece.members and name in wanted.attributes
            role = _DEFINES if name in piece.defines else _MEMBER if member else _USES
            worth += role * wanted.names[name] * math.log((len(pieces) + 1) / frequency[name])
        if _stem(piece.path) in wanted.imported:
            worth *= _FROM_IMPORTED
        found[piece] = worth
    least = max([_LEAST_WORTH, *(worth * _LEAST_SHARE_OF_BEST for worth in found.values())])
    return {piece: worth for piece, worth in found.items() if worth >= least}


@lru_cache(maxsize=256)
def _stem(path: str) -> str:
    """The name by which a file is imported."""
    parts = PurePosixPath(path)
    return parts.parent.name if parts.stem in ("__init__", "index", "mod") else parts.stem


def choose_context(
    document: DocumentSnapshot,
    hole: Hole,
    pieces: Sequence[Piece],
    budget: int,
    held: Context = NO_CONTEXT,
    prompt_bytes: int = 0,
    offer: Offer = NO_OFFER,
) -> Context:
    """What a prompt for `hole` shows of `pieces`, and of what an index offers, within `budget` bytes: `held`, unless
    another choice gains more than it costs.

    A change makes everything behind it evaluate again, `prompt_bytes` of the document's own among it. So a
    piece that is still right stays where it is and new ones come behind it, in place of those at the end if
    there is no room; or, if that gains more, everything is chosen anew. A pure function.
    """
    worth = {piece: why.score for piece, why in offer.pieces.items()}
    worth.update(worths(pieces, wanted_names(document, hole)) if pieces else {})
    ranked = sorted(worth, key=lambda piece: (-worth[piece], piece.path, piece.offset))
    ranked = [piece for piece in ranked if piece_size(piece) <= budget]
    total = max(sum(worth[piece] for piece in _fitting(ranked, budget)), 1e-9)

    def gain(context: Context) -> float:
        gained = (_worth_of(context, worth) - _worth_of(held, worth)) / total
        same = _kept(held.pieces, context.pieces)
        kept = sum(map(piece_size, held.pieces[:same]))
        whole = prompt_bytes + max(held.size, context.size)
        return gained - _GAIN_PER_PROMPT * (whole - kept) / max(1, whole)

    anew = Context(_in_reading_order(_fitting(ranked, budget)), document.folder)
    if not held.pieces:
        return anew
    grown = Context(_grown(held.pieces, frozenset((*pieces, *offer.pieces)), ranked, worth, budget), document.folder)
    best = max((grown, anew), key=gain)
    return best if best.pieces != held.pieces and gain(best) > 0 else held


def _worth_of(context: Context, worth: Mapping[Piece, float]) -> float:
    """A piece whose text is not what it was is worth nothing: it is not among those that were found."""
    return sum(worth.get(piece, 0.0) for piece in context.pieces)


def _kept(old: Sequence[Piece], new: Sequence[Piece]) -> int:
    """How many pieces at the beginning are the same."""
    return next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))


def _fitting(ranked: Sequence[Piece], budget: int) -> list[Piece]:
    chosen = []
    for piece in ranked:
        if piece_size(piece) <= budget:
            budget -= piece_size(piece)
            chosen.append(piece)
    return chosen


def _in_reading_order(pieces: Sequence[Piece]) -> tuple[Piece, ...]:
    """The pieces of one file together and as they stand in it; the file with the best one first."""
    files = {piece.path: index for index, piece in reversed(list(enumerate(pieces)))}
    return tuple(sorted(pieces, key=lambda piece: (files[piece.path], piece.offset)))


def _grown(
    held: Sequence[Piece],
    right: Collection[Piece],
    ranked: Sequence[Piece],
    worth: Mapping[Piece, float],
    budget: int,
) -> tuple[Piece, ...]:
    """`held` without what is not right any more, and with the best of the others at its end."""
    kept = [piece for piece in held if piece in right]
    room = budget - sum(map(piece_size, kept))
    added: list[Piece] = []
    for piece in ranked:
        if piece in held:
            continue
        size, stays, freed = piece_size(piece), len(kept), 0
        while room + freed < size and stays and worth.get(kept[stays - 1], 0.0) < worth[piece]:
            stays -= 1
            freed += piece_size(kept[stays])
        if room + freed >= size:
            room += freed - size
            del kept[stays:]
            added.append(piece)
    return (*kept, *_in_reading_order(added))


@dataclass(slots=True)
class _Choice:
    """held: what the document's prompts show. next: what was chosen since and waits to be evaluated. why: what an index
    said of what it offered for these."""

    held: Context
    next: Context | None = None
    why: Mapping[Piece, Why] = field(default_factory=dict)


class ContextBook:
    """The context of each document: one for all its anchors, so that they share it in the cache. Plain data."""

    def __init__(self) -> None:
        self._choices: OrderedDict[str, _Choice] = OrderedDict()
        self._index = PieceIndex()

    def __len__(self) -> int:
        return len(self._choices)

    def held(self, uri: str) -> Context:
        """What the prompts for a document show of others."""
        choice = self._choices.get(uri)
        return choice.held if choice else NO_CONTEXT

    def why(self, uri: str) -> Mapping[Piece, Why]:
        """Why prompts for a document show pieces of an index; nothing is said of those of open buffers."""
        choice = self._choices.get(uri)
        return choice.why if choice else {}

    def choose(
        self,
        document: DocumentSnapshot,
        hole: Hole,
        budget: int,
        buffers: Sequence[DocumentSnapshot],
        index: Index = no_index,
    ) -> Context:
        """The context that a key is answered with: the one held, whatever has become of the buffers. Only a
        document without one gets it here, since nothing is evaluated for it yet."""
        choice = self._choices.get(document.uri)
        if choice is None:
            pieces = self._pieces(document, budget, buffers)
            offer = index(document, hole, buffers, ()) if budget > 0 else NO_OFFER
            found = choose_context(document, hole, pieces, budget, offer=offer)
            choice = self._choices[document.uri] = _Choice(found, why=_reasons(found, offer))
            if len(self._choices) > REMEMBERED:
                self._choices.popitem(last=False)
        self._choices.move_to_end(document.uri)
        return choice.held

    def at_rest(
        self,
        document: DocumentSnapshot,
        hole: Hole,
        budget: int,
        buffers: Sequence[DocumentSnapshot],
        prompt_bytes: int,
        index: Index = no_index,
    ) -> Context | None:
        """A context that is worth being evaluated while the user rests; None if the one held is good enough.

        One whose evaluation was interrupted is taken up again unless a better one has come. What comes from a
        file that is not there any more goes whatever that costs.
        """
        held = self.choose(document, hole, budget, buffers, index)
        choice = self._choices[document.uri]
        pieces = self._pieces(document, budget, buffers)
        base = choice.next or held
        offer = index(document, hole, buffers, base.pieces) if budget > 0 else NO_OFFER
        present = {*(buffer.uri for buffer in buffers), *offer.present}
        if any(piece.uri not in present for piece in base.pieces):
            base = NO_CONTEXT
        found = choose_context(document, hole, pieces, budget, base, prompt_bytes, offer)
        choice.next = None if found.pieces == held.pieces else found
        choice.why = {**choice.why, **_reasons(found, offer)}
        return choice.next

    def adopt(self, uri: str, context: Context) -> None:
        """Puts a context in force, once it has been evaluated."""
        if uri in self._choices:
            why = self._choices[uri].why
            kept = {piece: why[piece] for piece in context.pieces if piece in why}
            self._choices[uri] = _Choice(context, why=kept)

    def _pieces(self, document: DocumentSnapshot, budget: int, buffers: Sequence[DocumentSnapshot]) -> list[Piece]:
        if budget <= 0:
            return []
        return self._index.pieces(shown_buffers(document, buffers))


def _reasons(context: Context, offer: Offer) -> dict[Piece, Why]:
    return {piece: offer.pieces[piece] for piece in context.pieces if piece in offer.pieces}
