"""Ranks the definitions of other files of a project for a prompt: what to ask an index, and which results to show.

Pure functions of a hole, the text near it and the candidates that an index has found. A candidate is shown for one of
three reasons: its names are used near the hole, the file imports it, or its code is similar to that around the hole.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from lsp_server.core.context import NEAR_BEFORE_BYTES, wanted_names
from lsp_server.core.declarations import Declaration
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.hole import Hole
from lsp_server.core.index_listing import Visible, lists_of, words_of
from lsp_server.core.index_offer import Why
from lsp_server.core.languages import find_language
from lsp_server.core.languages.entry import Language
from lsp_server.core.modules import Imports, Module, imported_modules, rust_path, shares_folder
from lsp_server.core.pieces import Piece, identifiers_in, unique

# How many names and words an index is asked for, and how many candidates are scored.
MOST_NAMES, MOST_WORDS, MOST_CANDIDATES = 64, 10, 400
# How many segments are offered to a prompt.
MOST_OFFERED = 32

# How many bytes on either side of the cursor are read to count names and to find assignments, and to find names.
_COUNTED_BYTES, _NAMED_BYTES = 6_000, 12_000
# How many bytes before the cursor similar code is compared with.
_LIKE_BYTES = 600

# The weight of a name right before the hole, and the distance at which it has fallen to a third.
_CLOSE, _CLOSE_BYTES = 1.0, 400
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
# The factors of a name used near the hole, if the candidate defines it and if it has it as a member.
_DEFINES, _MEMBER = 3.0, 1.0
# The weight of a name that is imported but not used yet: it is likely to be used soon.
_UNUSED_IMPORT = 1.75
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

_ASSIGNED = re.compile(r"(?<![.\w])([^\W\d]\w*)[ \t]*(?::[^=\n]{1,80})?(?::=|=)(?![=>])")
_ATTRIBUTE = re.compile(r"(?:\.|->|::)(?=[^\W\d])(\w{2,})")
_QUALIFIER = re.compile(r"([^\W\d]\w*)(?:\([^()]*\))?\s*(?:\.|->|::)\s*\w*$")
# A block that repeats the name of its type; it is shown for its members.
_IMPLEMENTS = re.compile(rb"(?:#\[[^\]]*\]\s*)*(?:unsafe\s+)?(?:impl|extension)\b")
_REPEATED = 0.4
_RUST_PATH = re.compile(r"((?:[^\W\d]\w*::)+)\w*$")
_CONSTRUCTORS = frozenset({"__init__", "constructor", "new", "New"})


@dataclass(frozen=True, slots=True)
class Query:
    """A query to an index. names: the names that the document uses and that other files may define, with their weights.
    attributes: names after a dot near the hole. words: the parts of the names before the hole. counts: how often each
    name occurs in the document. qualifier: the expression before the dot at the hole. types: the possible names of its
    type."""

    path: str
    language: Language
    names: Mapping[str, float]
    attributes: frozenset[str]
    imports: Imports
    words: tuple[str, ...]
    counts: Mapping[str, int] = field(default_factory=dict)
    qualifier: str = ""
    types: frozenset[str] = frozenset()

    @property
    def qualifying(self) -> list[Module]:
        """The modules that the qualifier names."""
        return self.imports.named(self.qualifier) if self.qualifier else []


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


def words_in(text: bytes) -> list[str]:
    """The words of three letters or more of the identifiers in `text`, in order."""
    return [word for name in identifiers_in(text) for word in words_of(name) if len(word) > 2]


def query_of(document: DocumentSnapshot, hole: Hole) -> Query:
    """The query for a hole."""
    language = find_language(document.language_id, document.path)
    modules = imported_modules(language, document.source, document.path)
    wanted = wanted_names(document, hole, _NAMED_BYTES)
    by_name = frozenset(name for module in modules for name in module.names)
    start = max(0, hole.cursor - NEAR_BEFORE_BYTES)
    near = document.source[start : hole.cursor].decode("utf-8", "replace")
    around = document.source[start : hole.line_end].decode("utf-8", "replace")
    attributes = frozenset(_ATTRIBUTE.findall(around))
    elsewhere = document.source[max(0, hole.cursor - _COUNTED_BYTES) : hole.cursor + _COUNTED_BYTES]
    code = elsewhere.decode("utf-8", "replace")
    counts = Counter(identifiers_in(elsewhere))
    own = frozenset(_ASSIGNED.findall(code)) - by_name
    weights: dict[str, float] = {}
    for name, weight in wanted.names.items():
        if name in own and name not in attributes:
            continue
        if name in by_name and counts[name] <= 1:  # it occurs only in its import, which is not a use near the hole
            weights[name] = _UNUSED_IMPORT
            continue
        found = near.rfind(name)
        weights[name] = weight + (_CLOSE * math.exp((found - len(near)) / _CLOSE_BYTES) if found >= 0 else 0.0)
    ranked = sorted(weights, key=lambda name: (-weights[name], name))
    best = unique([*ranked[:MOST_NAMES], *(name for name in ranked if name in by_name)])[: 2 * MOST_NAMES]
    recent = words_in(document.source[max(0, hole.cursor - _LIKE_BYTES) : hole.cursor])
    words = unique(reversed(recent))[:MOST_WORDS]
    line = document.source[document.line_start(document.line_at(hole.cursor)) : hole.cursor].decode("utf-8", "replace")
    match = _QUALIFIER.search(line)
    qualifier = match[1] if match is not None else ""
    types = _types_of(qualifier, code) if qualifier else frozenset()
    names = {name: weights[name] for name in best}
    if (written := _RUST_PATH.search(line)) is not None and language.name == "Rust":
        parts = rust_path(tuple(written[1].split("::")[:-1]), document.path)
        modules = (*modules, Module(parts)) if parts else modules
    imports = Imports(modules, language)
    return Query(document.path, language, names, attributes, imports, words, counts, qualifier, types)


def _types_of(name: str, code: str) -> frozenset[str]:
    """The possible type names of a variable: the names called or written where it is assigned or declared, and its own
    name written as a type."""
    found = re.findall(
        rf"\b{re.escape(name)}\s*(?::=|[:=])\s*(?:&|\*|new\s+|await\s+|Optional\[)*((?:[^\W\d]\w*(?:\.|::))*)([^\W\d]\w*)",
        code,
    )
    types = {last for _, last in found} | {part for path, _ in found for part in re.split(r"\.|::", path) if part}
    types |= set(re.findall(rf"\b([A-Z]\w*)\s+[&*]?{re.escape(name)}\b", code))
    return frozenset(types | {name, "".join(word.capitalize() for word in words_of(name))})


def choose(
    query: Query, document: DocumentSnapshot, hole: Hole, candidates: Sequence[Candidate], held: Collection[Piece] = ()
) -> dict[Piece, Why]:
    """The candidates to show, as pieces with reason and score, the best first.

    Near-duplicates of each other and of the text before the hole are left out. held: the pieces that the prompt shows
    now, which stay unchanged where they are as good. A pure function.
    """
    like = frozenset(words_in(document.source[max(0, hole.cursor - _LIKE_BYTES) : hole.cursor]))
    here = frozenset(words_in(document.source[max(0, hole.cursor - NEAR_BEFORE_BYTES) : hole.line_end]))
    shown = {(piece.uri, piece.defines): piece for piece in held}
    scored: list[tuple[float, str, Candidate]] = []
    matching: dict[str, _Matching] = {}
    for candidate in [each for each in candidates if not each.listed][:MOST_CANDIDATES]:
        if candidate.path not in matching:
            matching[candidate.path] = _matching(query, candidate.path)
        score, reason = _score(query, candidate, matching[candidate.path], like)
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
        if not any(_overlap(names, other) > _SAME for other in kept):
            found[piece] = Why(reason, round(score, 1))
            kept.append(names)
        if len(found) == MOST_OFFERED:
            break
    if not found and not query.qualifying:
        return found
    for candidate in candidates:
        if candidate.path not in matching:
            matching[candidate.path] = _matching(query, candidate.path)
    lists = lists_of(_visible(query, candidates, matching), here, query.counts, query.qualifier)
    return {**found, **lists}


def _visible(query: Query, candidates: Sequence[Candidate], matching: Mapping[str, _Matching]) -> list[Visible]:
    """The names for lists: those of the module whose name stands before the hole, else what the file can use as well.
    None behind anything else: what `value.` has are members."""
    found: list[Visible] = []
    qualified = bool(query.qualifying)
    if query.qualifier and not qualified:
        return found
    for each in candidates:
        if each.path == query.path or (qualified and not matching[each.path].qualified):
            continue
        nearness = _nearness(query, each, matching[each.path])[0]
        if nearness >= _IN_PACKAGE:
            found += [
                Visible(each.uri, each.path, name, each.declaration.offset, each.files, nearness)
                for name in each.declaration.defines
                if not name.startswith("_")
            ]
    return found


def _score(query: Query, candidate: Candidate, matching: _Matching, near: frozenset[str]) -> tuple[float, str]:
    """The score of a candidate by its names, and the reason."""
    declaration = candidate.declaration
    nearness, place = _nearness(query, candidate, matching)
    rarity = 1.0 / math.sqrt(1.0 + candidate.shared)
    best, reason, total = 0.0, "", 0.0
    repeated = _IMPLEMENTS.match(declaration.head) and query.types.isdisjoint(declaration.defines)
    for name in declaration.defines:
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
    for name in dict.fromkeys(name for member in declaration.members for name in member.names):
        if name in query.attributes and name in query.names:
            value = _MEMBER * query.names[name] * rarity
            total += value
            if value > best:
                best, reason = value, f"has {name}{place}"
    return _SCALE * nearness * total, reason


def _share_of_words(name: str, near: frozenset[str]) -> float:
    """The share of a name's words that stand near the hole; 0 if it is small or the name is a single word."""
    words = [word for word in words_of(name) if len(word) > 2]
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


def _matching(query: Query, path: str) -> _Matching:
    files, packages = query.imports.of(path), query.imports.packages_of(path)
    qualifying = query.qualifying if query.qualifier else ()
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
    words = frozenset(words_in(declaration.whole)) if declaration.whole else frozenset()
    if len(words) < _LEAST_WORDS or len(like) < _LEAST_WORDS:
        return 0.0, False
    share = _overlap(words, like)
    same = len(words & here) > _SAME * len(words)
    return (share if share >= _ALIKE else 0.0), same


def _overlap(a: frozenset[str], b: frozenset[str]) -> float:
    return len(a & b) / max(1, len(a | b))


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
