"""What a prompt shows of a project's other files: what an index is asked for, and which of its answers are worth it.

Pure functions from a hole, what is near it and the candidates that an index has found. Three kinds are told apart: what
is used near the hole, what the file imports, and code that is like that around the hole.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from lsp_server.core.context import NEAR_BEFORE_BYTES, wanted_names
from lsp_server.core.declarations import Declaration
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.hole import Hole
from lsp_server.core.index_offer import Why
from lsp_server.core.language_entry import Language
from lsp_server.core.languages import find_language
from lsp_server.core.modules import Imports, Module, imported_modules, shares_folder
from lsp_server.core.pieces import Piece, identifiers_in, unique

# How many names and words an index is asked for, and how many candidates are weighed.
MOST_NAMES, MOST_WORDS, MOST_CANDIDATES = 64, 10, 400
# How many segments are offered to a prompt.
MOST_OFFERED = 48

# How much text on either side of the cursor is looked through for how often names stand there and what is assigned.
_COUNTED_BYTES = 10_000
# How much text before the cursor counts as like that which is looked for.
_LIKE_BYTES = 600

# What a name weighs where it stands close to the hole, and by how far from it that has fallen to a third.
_CLOSE, _CLOSE_BYTES = 1.0, 400
# What a definition is worth by where it lies: imported by name, in an imported file, beside the file where the language
# sees what is beside, anywhere.
_BY_NAME, _IN_IMPORTED, _BESIDE, _ANYWHERE = 1.0, 0.8, 0.7, 0.12
# The same for what lies in a package that is imported and may be handed on by it, and for what is imported by its name
# from a module that is not found and is defined once.
_BY_NAME_IN_PACKAGE, _IN_PACKAGE, _BY_NAME_ALONE = 0.9, 0.6, 0.6
# What is worth a definition of the module whose name and dot stand before the hole; each use of it in the document; and
# a name whose words stand near.
_OF_QUALIFIER, _EACH_USE, _MOST_USES, _BY_WORDS = 0.8, 0.25, 1.0, 0.6
_LEAST_SHARE_OF_WORDS = 0.5
# What a use near the hole is worth of a name that is defined, and of one that is a member.
_DEFINES, _MEMBER = 3.0, 1.0
# What is imported and used nowhere yet is likely to be wanted.
_UNUSED_IMPORT = 1.75
# Scores are of the same size as those of the pieces of open buffers, whose names are weighed by how rare they are.
_SCALE = 4.0
# Below this score nothing is offered. With a definition anywhere it is reached by no name alone.
LEAST_SCORE = 4.0
# Beyond this score a definition is shown as it is, and not only by its signature.
_WHOLE_SCORE = 24.0
# How many are shown whole, and how many with their first fields: there is room for few, and more are of use.
_MOST_WHOLE, _MOST_DETAILED = 2, 3
# Code counts as alike where so much of its words stands near the hole, and as the same where nearly all do.
_ALIKE, _SAME, _ALIKE_WORTH = 0.34, 0.9, 12.0
_LEAST_WORDS = 5
# How many lists of names there are, of how many names one is made, how long each is, and what it is worth.
_MOST_LISTINGS, _LEAST_LISTED, _LISTING_BYTES, _LISTING_WORTH = 2, 8, 640, 28.0
# Of a class, and of one whose member is wanted; and how many bytes of those.
_MOST_SHOWN_MEMBERS, _MOST_WANTED_MEMBERS, _MEMBERS_BYTES, _BRIEF_BYTES = 12, 40, 700, 160

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_ASSIGNED = re.compile(r"(?<![.\w])([^\W\d]\w*)[ \t]*(?::[^=\n]{1,80})?(?::=|=)(?![=>])")
_ATTRIBUTE = re.compile(r"(?:\.|->|::)(?=[^\W\d])(\w{2,})")
_QUALIFIER = re.compile(r"([^\W\d]\w*)(?:\([^()]*\))?\s*(?:\.|->|::)\s*\w*$")
_CONSTRUCTORS = frozenset({"__init__", "constructor", "new", "New"})


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked of an index. names: what the document uses and may come from elsewhere, with its weight;
    attributes: those that stand behind a dot near the hole; words: the parts of the names before the hole; counts: how
    often each name stands in the document. qualifier: what stands with a dot before the hole; types: the names of types
    that it seems to be of."""

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
        """The modules that the qualifier is the name of."""
        return self.imports.named(self.qualifier) if self.qualifier else []


@dataclass(frozen=True, slots=True)
class Candidate:
    """What an index has found: a declaration and where it is. shared: how many others define the same name. alike:
    whether it was found by its words. library: whether it is of an installed package."""

    uri: str
    path: str
    declaration: Declaration
    shared: int = 0
    alike: bool = False
    library: bool = False


def words_of(name: str) -> list[str]:
    """The words that an identifier is made of, in small letters."""
    if name.isascii():
        return [word.lower() for word in _WORD.findall(name)]
    # A pattern does not tell small letters from capital ones in other alphabets.
    divided = "".join(
        f" {character}" if character.isupper() and not before.isupper() else character
        for before, character in zip(" " + name, name, strict=False)
    )
    return re.findall(r"[^\W\d_]+|\d+", divided.lower())


def words_in(text: bytes) -> list[str]:
    """The words of three letters or more of the identifiers in `text`, in order."""
    return [word for name in identifiers_in(text) for word in words_of(name) if len(word) > 2]


def query_of(document: DocumentSnapshot, hole: Hole) -> Query:
    """What is asked for a hole."""
    language = find_language(document.language_id, document.path)
    modules = imported_modules(language, document.source, document.path)
    wanted = wanted_names(document, hole)
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
        if name in by_name and counts[name] <= 1:  # in its import alone, which is not a use near the hole
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
    imports = Imports(modules, language)
    return Query(document.path, language, names, attributes, imports, words, counts, qualifier, types)


def _types_of(name: str, code: str) -> frozenset[str]:
    """The names of the types that a name seems to be of: what is called or named where it is given a value or declared,
    and itself, written as types are."""
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
    """The candidates that are worth being shown, as they are shown, with reason and score, the best first.

    Near-duplicates of one another and of what stands before the hole are left out. held: what the prompt shows now,
    which stays as it is where that is as good. A pure function.
    """
    like = frozenset(words_in(document.source[max(0, hole.cursor - _LIKE_BYTES) : hole.cursor]))
    here = frozenset(words_in(document.source[max(0, hole.cursor - NEAR_BEFORE_BYTES) : hole.line_end]))
    shown = {(piece.uri, piece.defines): piece for piece in held}
    scored: list[tuple[float, str, Candidate]] = []
    matching: dict[str, _Matching] = {}
    for candidate in candidates[:MOST_CANDIDATES]:
        if candidate.path not in matching:
            matching[candidate.path] = _matching(query, candidate.path)
        score, reason = _score(query, candidate, matching[candidate.path], like)
        if candidate.path == query.path or (score < LEAST_SCORE and not candidate.alike):
            continue
        alike, same = _alike(candidate.declaration, like, here)
        if alike * _ALIKE_WORTH > score and candidate.alike:
            score, reason = alike * _ALIKE_WORTH, "like the code before the cursor"
            score = 0.0 if same else score
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
    qualified = [each for each in candidates[:MOST_CANDIDATES] if matching[each.path].qualified]
    return {**found, **_listings(query, qualified, like)} if qualified else found


def _listings(query: Query, qualified: Sequence[Candidate], near: frozenset[str]) -> dict[Piece, Why]:
    """The names alone of what the module defines behind whose name and dot the hole stands, where these are many:
    nothing near a hole such as `util.` tells which of them is wanted, and there is room for few signatures."""
    found: dict[Piece, Why] = {}
    for path in unique(each.path for each in qualified)[:_MOST_LISTINGS]:
        mine = [each.declaration for each in qualified if each.path == path]
        every = {name: each for each in mine for name in each.defines if not name.startswith("_")}
        if len(every) < _LEAST_LISTED or path == query.path:
            continue

        def wanted(name: str, every: dict[str, Declaration] = every) -> tuple[bool, bool, float]:
            return query.counts.get(name, 0) > 0, b"(" in every[name].head, _share_of_words(name, near)

        size, kept = 0, []
        for name in sorted(every, key=wanted, reverse=True):
            size += len(name.encode()) + 2
            if size > _LISTING_BYTES:
                break
            kept.append(name)
        # In the order of the file, which stays as it is from key to key.
        names = tuple(sorted(kept, key=lambda name: (every[name].offset, name)))
        uri = next(each.uri for each in qualified if each.path == path)
        language = find_language("", path)
        text = language.as_comment(", ".join(names)).encode()
        found[Piece(uri, path, text, language, 0, names, (), names)] = Why(
            f"names in {query.qualifier}", _LISTING_WORTH
        )
    return found


def _score(query: Query, candidate: Candidate, matching: _Matching, near: frozenset[str]) -> tuple[float, str]:
    """How much a candidate is wanted for its names, and why."""
    declaration = candidate.declaration
    nearness, place = _nearness(query, candidate, matching)
    rarity = 1.0 / math.sqrt(1.0 + candidate.shared)
    best, reason, total = 0.0, "", 0.0
    for name in declaration.defines:
        weight, why = query.names.get(name, 0.0), f"defines {name}"
        if matching.qualified and not name.startswith("_"):
            weight += _OF_QUALIFIER + min(_MOST_USES, _EACH_USE * query.counts.get(name, 0))
        elif not weight and nearness >= _IN_PACKAGE and (share := _share_of_words(name, near)):
            weight, why = _BY_WORDS * share, f"defines {name}, of which the words are near"
        value = _DEFINES * weight * (rarity if nearness < _IN_IMPORTED else 1.0)
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
    """How much of a name of several words stands near, if that is much."""
    words = [word for word in words_of(name) if len(word) > 2]
    share = sum(word in near for word in words) / len(words) if len(words) > 1 else 0.0
    return share if share >= _LEAST_SHARE_OF_WORDS else 0.0


@dataclass(frozen=True, slots=True)
class _Matching:
    """The imported modules that a file is, those it lies in, and whether the hole's qualifier is one of either."""

    files: tuple[Module, ...]
    packages: tuple[Module, ...]
    qualified: bool


def _matching(query: Query, path: str) -> _Matching:
    files, packages = query.imports.of(path), query.imports.packages_of(path)
    qualifying = query.qualifying
    return _Matching(tuple(files), tuple(packages), any(each in qualifying for each in (*files, *packages)))


def _nearness(query: Query, candidate: Candidate, matching: _Matching) -> tuple[float, str]:
    names = frozenset(candidate.declaration.defines)
    if candidate.library and not (matching.files or matching.packages):
        return 0.0, ""
    if any(names & module.names for module in matching.files):
        return _BY_NAME, ", which is imported"
    if any(names & module.names for module in matching.packages):
        return _BY_NAME_IN_PACKAGE, ", which is imported"
    if matching.files:
        return _IN_IMPORTED, ", in a file that is imported"
    same = PurePosixPath(candidate.path).parent == PurePosixPath(query.path).parent
    if same and shares_folder(query.language):
        return _BESIDE, ", in the same folder"
    if matching.packages:
        return _IN_PACKAGE, ", in a package that is imported"
    if query.language.name != "Python" and not candidate.shared and any(map(query.imports.strange, names)):
        return _BY_NAME_ALONE, ", which is imported"
    return _ANYWHERE, ""


def _alike(declaration: Declaration, like: frozenset[str], here: frozenset[str]) -> tuple[float, bool]:
    """How much a small definition is like the code before the cursor, and whether all of it stands there already."""
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
    """The candidate as it is shown now, where that holds and has all that is wanted of it, else anew: a prompt does not
    change for a line more or less."""
    whole = score >= _WHOLE_SCORE and rank < _MOST_WHOLE
    piece = excerpt(candidate, query, whole=whole, brief=rank >= _MOST_DETAILED)
    before = shown.get((piece.uri, piece.defines))
    if before is None or not _holds(before, candidate.declaration):
        return piece
    is_type = not query.types.isdisjoint(piece.defines)
    wanted = frozenset(piece.names) if is_type else query.attributes.intersection(piece.names)
    return before if wanted.issubset(before.names) else piece


def _holds(piece: Piece, declaration: Declaration) -> bool:
    """Whether a piece shows what the declaration says now."""
    if piece.text in (declaration.whole, declaration.head):
        return True
    lines = [declaration.head, declaration.tail, b"    ...", *(member.text for member in declaration.members)]
    return frozenset(piece.text.split(b"\n")) <= frozenset(line for text in lines for line in text.split(b"\n"))


def excerpt(candidate: Candidate, query: Query, *, whole: bool, brief: bool = False) -> Piece:
    """A candidate as a prompt shows it: whole if that is wanted and it is small; else its signature, and of a class the
    constructor, the first fields unless that is to be brief, and the members that are used near the hole."""
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
        room = _BRIEF_BYTES if brief and not is_type else _MEMBERS_BYTES
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
