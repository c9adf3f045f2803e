"""Ranks the definitions of other files that an index has found for a prompt, and tells which to show.

Pure functions of a hole, the text near it and the candidates that an index has found. A candidate is shown for one of
three reasons: its names are used near the hole, the file imports it, or its code is similar to that around the hole.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from lsp_server.core.context import NEAR_BEFORE_BYTES
from lsp_server.core.declarations import Declaration
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.hole import Hole
from lsp_server.core.index_listing import Visible, lists_of, long_words_of
from lsp_server.core.index_offer import Why
from lsp_server.core.index_query import LIKE_BYTES, Query, distinct_words_in
from lsp_server.core.languages import find_language
from lsp_server.core.modules import Module, shares_folder
from lsp_server.core.pieces import Piece, identifiers_in, unique

# How many candidates are scored, and how many segments are offered to a prompt.
MOST_CANDIDATES, MOST_OFFERED = 400, 32

# The factor of a definition by its place: imported by name, in an imported file, in the same folder if the language
# sees definitions there, anywhere.
_BY_NAME, _IN_IMPORTED, _BESIDE, _ANYWHERE = 1.0, 0.8, 0.7, 0.12
# The factor of a definition in an imported package that may export it again: imported by name, and not. Then: imported
# by name from a module that was not found, if only one definition has that name.
_BY_NAME_IN_PACKAGE, _IN_PACKAGE, _BY_NAME_ALONE = 0.9, 0.6, 0.6
# The weights of: a definition in the module whose name and a dot stand before the hole; each use of it in the document;
# and a name whose words stand near the hole.
_OF_QUALIFIER, _EACH_USE, _MOST_USES, _BY_WORDS = 0.8, 0.25, 1.0, 0.6
_LEAST_SHARE_OF_WORDS = 0.5
# The weight of a method of the type that stands before the dot at the hole.
_OF_TYPE = 0.6
# The factors of a name used near the hole, if the candidate defines it and if it has it as a member.
_DEFINES, _MEMBER = 3.0, 1.0
# Makes scores comparable to those of pieces of open buffers, whose names are weighted by rarity.
_SCALE = 4.0
# Candidates with a lower score are not offered. A single name that is defined just anywhere does not reach it.
LEAST_SCORE = 4.0
# From this score on a definition is shown whole, and not only by its signature.
_WHOLE_SCORE = 24.0
# How many definitions are shown whole, and how many with their first fields: room is short, and more candidates help
# more.
_MOST_WHOLE, _MOST_DETAILED = 1, 1
# The share of common words from which code counts as similar, and from which it counts as the same.
_ALIKE, _SAME, _ALIKE_WORTH = 0.34, 0.9, 12.0
_LEAST_WORDS = 5
# How many members of a class are shown, and of a class whose members are wanted; and how many bytes of members: of
# such a class, of the best definitions, of others.
_MOST_SHOWN_MEMBERS, _MOST_WANTED_MEMBERS, _MEMBERS_BYTES, _SOME_BYTES, _BRIEF_BYTES = 12, 40, 700, 200, 100

# A block that repeats the name of its type; it is shown for its members.
_IMPLEMENTS = re.compile(rb"(?:#\[[^\]]*\]\s*)*(?:unsafe\s+)?(?:impl|extension)\b")
_REPEATED = 0.4
_CONSTRUCTORS = frozenset({"__init__", "constructor", "new", "New"})


@dataclass(frozen=True, slots=True)
class Candidate:
    """A result of an index: a declaration and its place. shared: how many other files define the same name. alike:
    whether it was found by similar words. library: whether it is in an installed package. files: how many other files
    use its name, behind the hole's qualifier if there is one. listed: whether it is only for lists of names."""

    uri: str
    path: str
    declaration: Declaration
    shared: int = 0
    alike: bool = False
    library: bool = False
    files: int = 0
    listed: bool = False


def choose(
    query: Query, document: DocumentSnapshot, hole: Hole, candidates: Sequence[Candidate], held: Collection[Piece] = ()
) -> dict[Piece, Why]:
    """The candidates to show, as pieces with reason and score, the best first.

    Near-duplicates of each other and of the text before the hole are left out. held: the pieces that the prompt shows
    now, which stay unchanged where they are as good. A pure function.
    """
    like = distinct_words_in(document.source[max(0, hole.cursor - LIKE_BYTES) : hole.cursor])
    here = distinct_words_in(document.source[max(0, hole.cursor - NEAR_BEFORE_BYTES) : hole.line_end])
    shown = {(piece.uri, piece.defines): piece for piece in held}
    qualifying = query.qualifying
    attributes = query.attributes.intersection(query.names)
    scored: list[tuple[float, str, Candidate]] = []
    matching: dict[str, _Matching] = {}
    for candidate in [each for each in candidates if not each.listed][:MOST_CANDIDATES]:
        if candidate.path not in matching:
            matching[candidate.path] = _matching(query, candidate.path, qualifying)
        score, reason = _score(query, candidate, matching[candidate.path], like, attributes)
        if candidate.path == query.path or (score < LEAST_SCORE and not candidate.alike):
            continue
        if candidate.alike:
            alike, same = _alike(candidate.declaration, like, here)
            if alike * _ALIKE_WORTH > score:
                score, reason = (0.0 if same else alike * _ALIKE_WORTH), "like the code before the cursor"
        if score >= LEAST_SCORE:
            scored.append((score, reason, candidate))
    scored.sort(key=lambda each: (-each[0], each[2].path, each[2].declaration.offset))
    found: dict[Piece, Why] = {}
    kept: list[frozenset[str]] = []
    for score, reason, candidate in scored:
        piece = _held_or_new(query, candidate, score, len(found), shown)
        names = frozenset(piece.names)
        if not any(_is_same(names, other) for other in kept):
            found[piece] = Why(reason, round(score, 1))
            kept.append(names)
        if len(found) == MOST_OFFERED:
            break
    if (not found and not qualifying) or (query.qualifier and not qualifying):
        return found
    for candidate in candidates:
        if candidate.path not in matching:
            matching[candidate.path] = _matching(query, candidate.path, qualifying)
    visible = _visible(query, candidates, matching, qualified=bool(qualifying))
    lists = lists_of(visible, here, query.counts, query.qualifier)
    return {**found, **lists}


def _visible(
    query: Query, candidates: Sequence[Candidate], matching: Mapping[str, _Matching], *, qualified: bool
) -> list[Visible]:
    """The names for lists: those of the module whose name stands before the hole, else what the file can use as well.
    qualified: whether there is such a module."""
    found: list[Visible] = []
    for each in candidates:
        if each.path == query.path or each.declaration.receiver or (qualified and not matching[each.path].qualified):
            continue
        nearness = _nearness(query, each, matching[each.path])[0]
        if nearness >= _IN_PACKAGE:
            found += [
                Visible(each.uri, each.path, name, each.declaration.offset, each.files, nearness)
                for name in each.declaration.defines
                if not name.startswith("_")
            ]
    return found


def _score(
    query: Query, candidate: Candidate, matching: _Matching, near: frozenset[str], attributes: frozenset[str]
) -> tuple[float, str]:
    """The score of a candidate by its names, and the reason. attributes: those of the query's that are names of it."""
    declaration = candidate.declaration
    nearness, place = _nearness(query, candidate, matching)
    rarity = 1.0 / math.sqrt(1.0 + candidate.shared)
    best, reason, total = 0.0, "", 0.0
    repeated = _IMPLEMENTS.match(declaration.head) and query.types.isdisjoint(declaration.defines)
    for name in declaration.defines if not declaration.receiver else ():
        weight, why = query.names.get(name, 0.0), f"defines {name}"
        if matching.qualified and not name.startswith("_"):
            weight += _OF_QUALIFIER + min(_MOST_USES, _EACH_USE * query.counts.get(name, 0))
        elif not weight and nearness >= _IN_PACKAGE and (share := _share_of_words(name, near)):
            weight, why = _BY_WORDS * share, f"defines {name}, of which the words are near"
        value = _DEFINES * weight * (rarity if nearness < _IN_IMPORTED else 1.0)
        if repeated:
            value *= _REPEATED
        total += value
        if value > best:
            best, reason = value, why + place
    if declaration.receiver:  # a method, which is used behind a dot only
        is_type = declaration.receiver in query.types
        for name in attributes.intersection(declaration.defines):
            total = best = (_DEFINES if is_type else _MEMBER) * query.names[name] * rarity
            reason = f"defines {name}{place}"
        if is_type and not total:
            total, reason = _DEFINES * _OF_TYPE * rarity, f"has the receiver {declaration.receiver}{place}"
    used = [each for each in declaration.members if not attributes.isdisjoint(each.names)] if attributes else ()
    for name in dict.fromkeys(name for member in used for name in member.names):
        if name in attributes:
            value = _MEMBER * query.names[name] * rarity
            total += value
            if value > best:
                best, reason = value, f"has {name}{place}"
    return _SCALE * nearness * total, reason


def _share_of_words(name: str, near: frozenset[str]) -> float:
    """The share of a name's words that stand near the hole; 0 if it is small or the name is a single word."""
    words = long_words_of(name)
    share = sum(word in near for word in words) / len(words) if len(words) > 1 else 0.0
    return share if share >= _LEAST_SHARE_OF_WORDS else 0.0


@dataclass(frozen=True, slots=True)
class _Matching:
    """How a file belongs to the document: whether the document imports it, or a package above it, and the names that it
    imports from them; whether it is in the same folder, if the language sees definitions there; and whether the hole's
    qualifier names its module."""

    imported: bool
    in_package: bool
    names: frozenset[str]
    names_of_package: frozenset[str]
    beside: bool
    qualified: bool


def _matching(query: Query, path: str, qualifying: Sequence[Module]) -> _Matching:
    files, packages = query.imports.of(path), query.imports.packages_of(path)
    return _Matching(
        bool(files),
        bool(packages),
        frozenset().union(*(each.names for each in files)),
        frozenset().union(*(each.names for each in packages)),
        path.rpartition("/")[0] == query.path.rpartition("/")[0] and shares_folder(query.language),
        any(each in qualifying for each in (*files, *packages)),
    )


def _nearness(query: Query, candidate: Candidate, matching: _Matching) -> tuple[float, str]:
    names = candidate.declaration.defines
    if candidate.library and not (matching.imported or matching.in_package):
        return 0.0, ""
    if not matching.names.isdisjoint(names):
        return _BY_NAME, ", which is imported"
    if not matching.names_of_package.isdisjoint(names):
        return _BY_NAME_IN_PACKAGE, ", which is imported"
    if matching.imported:
        return _IN_IMPORTED, ", in a file that is imported"
    if matching.beside:
        return _BESIDE, ", in the same folder"
    if matching.in_package:
        return _IN_PACKAGE, ", in a package that is imported"
    if query.language.name != "Python" and not candidate.shared and any(map(query.imports.strange, names)):
        return _BY_NAME_ALONE, ", which is imported"
    return _ANYWHERE, ""


def _alike(declaration: Declaration, like: frozenset[str], here: frozenset[str]) -> tuple[float, bool]:
    """How similar a small definition is to the code before the cursor, and whether all of it is already there."""
    words = distinct_words_in(declaration.whole) if declaration.whole else frozenset()
    if len(words) < _LEAST_WORDS or len(like) < _LEAST_WORDS:
        return 0.0, False
    share = _overlap(words, like)
    same = len(words & here) > _SAME * len(words)
    return (share if share >= _ALIKE else 0.0), same


def _overlap(a: frozenset[str], b: frozenset[str]) -> float:
    both = len(a & b)
    return both / max(1, len(a) + len(b) - both)


def _is_same(a: frozenset[str], b: frozenset[str]) -> bool:
    """Whether nearly all names are in both. Sets of different sizes are not compared."""
    return min(len(a), len(b)) > _SAME * max(len(a), len(b)) and _overlap(a, b) > _SAME


def _held_or_new(
    query: Query, candidate: Candidate, score: float, rank: int, shown: Mapping[tuple[str, tuple[str, ...]], Piece]
) -> Piece:
    """The candidate as it is shown now, if that is still valid and has all wanted names; else a new piece. So a prompt
    does not change for one line more or less."""
    whole = score >= _WHOLE_SCORE and rank < _MOST_WHOLE
    piece = excerpt(candidate, query, whole=whole, brief=rank >= _MOST_DETAILED)
    before = shown.get((piece.uri, piece.defines))
    if before is None or not _holds(before, candidate.declaration):
        return piece
    is_type = not query.types.isdisjoint(piece.defines)
    wanted = frozenset(piece.names) if is_type else query.attributes.intersection(piece.names)
    return before if wanted.issubset(before.names) else piece


def _holds(piece: Piece, declaration: Declaration) -> bool:
    """Whether a piece shows the current text of the declaration."""
    if piece.text in (declaration.whole, declaration.head):
        return True
    lines = [declaration.head, declaration.tail, b"    ...", *(member.text for member in declaration.members)]
    return frozenset(piece.text.split(b"\n")) <= frozenset(line for text in lines for line in text.split(b"\n"))


def excerpt(candidate: Candidate, query: Query, *, whole: bool, brief: bool = False) -> Piece:
    """A candidate as a prompt shows it: all of it if `whole` and it is small; else its signature. Of a class also the
    constructor, the first fields unless `brief`, and the members that are used near the hole."""
    declaration = candidate.declaration
    used = frozenset(query.attributes)
    members: list[str] = []
    if whole and declaration.whole:
        text = declaration.whole
    elif not declaration.members:
        text = declaration.head
    else:
        lines, left_out, fields = [declaration.head], False, 0
        is_type = not query.types.isdisjoint(declaration.defines)
        most = _MOST_WANTED_MEMBERS if is_type else _MOST_SHOWN_MEMBERS
        room = _MEMBERS_BYTES if is_type else _BRIEF_BYTES if brief else _SOME_BYTES
        for member in declaration.members:
            fields += not member.method
            first = _CONSTRUCTORS.intersection(member.names) or (not member.method and fields <= (0 if brief else 4))
            is_shown = first or is_type or used.intersection(member.names)
            if is_shown and len(members) < most and len(member.text) < room:
                lines.append(member.text)
                members.extend(member.names)
                room -= len(member.text)
            else:
                left_out = True
        lines += [b"    ..."] if left_out or len(lines) == 1 else []
        text = b"\n".join([*lines, declaration.tail] if declaration.tail else lines)
    names = unique(identifiers_in(text))
    language = find_language("", candidate.path)
    return Piece(
        candidate.uri, candidate.path, text, language, declaration.offset, declaration.defines, unique(members), names
    )
