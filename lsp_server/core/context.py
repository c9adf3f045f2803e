"""Chooses the parts of other files that a prompt shows. A new choice keeps the KV cache valid as far as possible.

The parts come from documents that the editor has open in the workspace's folders or had open recently, and from the
offers of an index; nothing is read from disk here. Files with secrets, data files and generated files are left out.
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
from lsp_server.core.languages import UNKNOWN, find_language
from lsp_server.core.languages.entry import Language
from lsp_server.core.pieces import Piece, defined_names, identifiers_in, pieces_of
from lsp_server.core.prompt import IMPORTS_WITHIN_BYTES, NO_CONTEXT, Context, PromptBudget, piece_size
from lsp_server.core.secrets import holds_secret, is_secret_file, speaks_of_secrets

# How many buffers are considered, the most recent first, and how many bytes of them are parsed for one choice: about
# 2 ms of work. Larger buffers are parsed in advance (`read_pieces`) outside the event loop; until then they offer
# nothing.
MOST_BUFFERS, PARSED_BYTES = 16, 1 << 14

# How many pieces are compared with each other: about 5 ms of work.
WEIGHED_PIECES = 800

# A file larger than `MOST_BYTES`, or with longer lines on average, counts as generated or as data.
MOST_BYTES, MOST_LINE_BYTES = 1 << 18, 160

# How much text around the cursor counts as near it.
NEAR_BEFORE_BYTES, NEAR_AFTER_BYTES = 1500, 500
# In a large document, names further from the cursor than this do not count.
ELSEWHERE_BYTES = 1 << 15
# The weights of a name: elsewhere in the document, in its imports, near the cursor.
_ELSEWHERE, _IMPORTED, _NEAR = 0.25, 0.5, 1.0

# The worth of a piece for each name that the document uses: the piece defines the name, has it as a member (and the
# document uses it after a dot), or only uses it. For a piece of an imported file the sum is multiplied by
# `_FROM_IMPORTED`.
_DEFINES, _MEMBER, _USES, _FROM_IMPORTED = 3.0, 1.0, 0.1, 1.5
_LEAST_WORTH, _LEAST_SHARE_OF_BEST = 0.5, 0.1

# A new choice must gain this share of the possible worth if the whole prompt has to be evaluated again, and
# proportionally less if only a part of it.
_GAIN_PER_PROMPT = 0.4

# The share of a prompt's tokens for other files if the user sets none: for models with FIM tokens, and without.
# The default model has none and completes as well without other files as with them (`bench context`).
FIM_SHARE, PREFIX_ONLY_SHARE = 0.15, 0.0

# For how many documents the context is remembered.
REMEMBERED = 32

# The pieces of the buffers that were parsed last.
_read: OrderedDict[DocumentSnapshot, tuple[Piece, ...]] = OrderedDict()
_MOST_READ = 3 * MOST_BUFFERS

_UNSAVED = "untitled:"
_SCHEMES = ("file:", _UNSAVED)
_DATA = {"JSON", "YAML", "TOML", "Markdown", UNKNOWN.name}
_ATTRIBUTE = re.compile(rb"(?:\.|->|::)(?=[^\W\d])(\w{3,})")
_IMPORT = re.compile(rb"^[ \t]*(?:import|from|use|using|require\w*|#[ \t]*include|load|source)\b.*", re.MULTILINE)


def prompt_budget(form: FimFormat, tokens: int, buffers_tokens: int = -1) -> PromptBudget:
    """The budget of a prompt of `tokens` in a format. buffers_tokens: for other files; -1: the default share."""
    if buffers_tokens < 0:
        buffers_tokens = int(tokens * (FIM_SHARE if form.has_fim else PREFIX_ONLY_SHARE))
    return PromptBudget.of_tokens(tokens, buffers_tokens)


def may_show(buffer: DocumentSnapshot, document: DocumentSnapshot) -> bool:
    """Whether a prompt for `document` may show parts of `buffer`, judged by the kind and place of the buffer.

    Excluded: the document itself under another URI (a diff view), files outside the workspace's folders, and files
    whose names suggest secrets. Data files are shown only for documents of the same language.
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
    """Whether people wrote a buffer's text: it is not huge, binary or minified, and has no keys or tokens in it."""
    source = buffer.source
    if len(source) > MOST_BYTES or len(source) > MOST_LINE_BYTES * buffer.line_count:
        return False
    return b"\0" not in source and not holds_secret(source)


def shown_buffers(document: DocumentSnapshot, buffers: Sequence[DocumentSnapshot]) -> list[DocumentSnapshot]:
    """Those of `buffers` that prompts for `document` may show parts of, the most recent first."""
    return list(islice((buffer for buffer in buffers if may_show(buffer, document)), MOST_BUFFERS))


def is_read(buffer: DocumentSnapshot) -> bool:
    return buffer in _read


def read_pieces(buffer: DocumentSnapshot) -> tuple[Piece, ...]:
    """The pieces that a buffer offers to prompts for other documents. Computed once per version, on any thread; the
    latest results are kept."""
    found = _read.get(buffer)
    if found is None:
        found = _read[buffer] = pieces_of(buffer) if is_source(buffer) else ()
        while len(_read) > _MOST_READ:
            _read.popitem(last=False)
    return found


class PieceIndex:
    """The pieces of the buffers that were considered last."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[Piece, ...]] = {}

    def pieces(self, buffers: Sequence[DocumentSnapshot]) -> list[Piece]:
        """At most `WEIGHED_PIECES` pieces of `buffers`. Changed buffers are parsed in order, up to `PARSED_BYTES`
        together. A buffer that is not parsed yet offers the pieces of its earlier version."""
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
    """The names that a document uses and does not define. names: each with its weight. attributes: names after a dot.
    imported: names in its imports."""

    names: Mapping[str, float]
    attributes: frozenset[str]
    imported: frozenset[str]


def wanted_names(document: DocumentSnapshot, hole: Hole, elsewhere: int = ELSEWHERE_BYTES) -> Wanted:
    """The names that `document` uses; those near `hole` weigh most. elsewhere: how many bytes on either side of the
    cursor are read."""
    source = document.source[max(0, hole.cursor - elsewhere) : hole.cursor + elsewhere]
    imported = imported_names(document)
    attributes = frozenset(name.decode("utf-8", "replace") for name in _ATTRIBUTE.findall(source))
    return Wanted(weighed_names(document, hole, imported, elsewhere), attributes, imported)


def weighed_names(
    document: DocumentSnapshot, hole: Hole, imported: frozenset[str], elsewhere: int = ELSEWHERE_BYTES
) -> dict[str, float]:
    """The names that `document` uses and does not define, each with its weight, as `wanted_names` has them."""
    source = document.source[max(0, hole.cursor - elsewhere) : hole.cursor + elsewhere]
    near = document.source[max(0, hole.cursor - NEAR_BEFORE_BYTES) : hole.cursor + NEAR_AFTER_BYTES]
    names = dict.fromkeys(identifiers_in(source), _ELSEWHERE)
    for name in imported:
        names[name] = names.get(name, 0.0) + _IMPORTED
    for name in set(identifiers_in(near)):
        names[name] = names.get(name, 0.0) + _NEAR
    for name in defined_names(source):
        names.pop(name, None)
    return names


def imported_names(document: DocumentSnapshot) -> frozenset[str]:
    """The names in the import lines of `document`."""
    language = find_language(document.language_id, document.path)
    return frozenset(identifiers_in(_imports(language, document.source[:IMPORTS_WITHIN_BYTES])))


def _imports(language: Language, head: bytes) -> bytes:
    if language.wheel is not None and language.imports:
        return b"\n".join(import_lines(language, head))
    return b"\n".join(_IMPORT.findall(head))


def worths(pieces: Sequence[Piece], wanted: Wanted) -> dict[Piece, float]:
    """The worth of each piece for a document: the sum over the names they share, each weighted by its inverse document
    frequency among the pieces. Pieces of very low worth are left out.
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
    """The context that a prompt for `hole` shows, chosen from `pieces` and from the offer of an index, within `budget`
    bytes. It is `held` unless another choice gains more than it costs. A pure function.

    A change invalidates the cache of everything behind it, including `prompt_bytes` of the document itself. So two
    candidates are compared: `held` with its valid pieces kept in place and new pieces added at the end (in place of
    the last ones if there is no room), and a completely new choice.
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
    """The sum of the pieces' worths. A piece whose text has changed is not in `worth` and counts nothing."""
    return sum(worth.get(piece, 0.0) for piece in context.pieces)


def _kept(old: Sequence[Piece], new: Sequence[Piece]) -> int:
    """How many pieces at the beginning of both sequences are the same."""
    return next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))


def _fitting(ranked: Sequence[Piece], budget: int) -> list[Piece]:
    chosen = []
    for piece in ranked:
        if piece_size(piece) <= budget:
            budget -= piece_size(piece)
            chosen.append(piece)
    return chosen


def _in_reading_order(pieces: Sequence[Piece]) -> tuple[Piece, ...]:
    """The pieces grouped by file and in file order; the file with the best piece comes first."""
    files = {piece.path: index for index, piece in reversed(list(enumerate(pieces)))}
    return tuple(sorted(pieces, key=lambda piece: (files[piece.path], piece.offset)))


def _grown(
    held: Sequence[Piece],
    right: Collection[Piece],
    ranked: Sequence[Piece],
    worth: Mapping[Piece, float],
    budget: int,
) -> tuple[Piece, ...]:
    """`held` without the pieces that are not in `right`, with the best of the other pieces added at its end."""
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
    """held: the context that the document's prompts show. next: a newer choice that waits to be evaluated. why: what
    the index said about the pieces that it offered."""

    held: Context
    next: Context | None = None
    why: Mapping[Piece, Why] = field(default_factory=dict)


class ContextBook:
    """The context of each document. All anchors of a document share it, and so its KV cache. Plain data."""

    def __init__(self) -> None:
        self._choices: OrderedDict[str, _Choice] = OrderedDict()
        self._index = PieceIndex()

    def __len__(self) -> int:
        return len(self._choices)

    def held(self, uri: str) -> Context:
        """The context that the prompts for a document show now."""
        choice = self._choices.get(uri)
        return choice.held if choice else NO_CONTEXT

    def why(self, uri: str) -> Mapping[Piece, Why]:
        """Why the prompts for a document show pieces of an index. Pieces of open buffers have no entry."""
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
        """The context that a key is answered with: the held one, even if buffers have changed since. A new context is
        chosen only for a document that has none, because nothing is evaluated for it yet."""
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
        """A context that is worth evaluating while the user pauses; None if the held one is good enough.

        A choice whose evaluation was interrupted is returned again unless there is a better one. If a file of the
        held context no longer exists, a new context is chosen whatever it costs.
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
        """Makes `context` the held one, after it was evaluated."""
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
