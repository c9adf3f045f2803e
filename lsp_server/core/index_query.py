"""What to ask an index of a project for at a place: the names near it, what the file imports, and the words before it.

Pure functions of a document and a hole.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from lsp_server.core.context import NEAR_BEFORE_BYTES, imported_names, weighed_names
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.hole import Hole
from lsp_server.core.index_listing import long_words_of, words_of
from lsp_server.core.languages import find_language
from lsp_server.core.languages.entry import Language
from lsp_server.core.modules import Imports, Module, imported_modules, rust_path
from lsp_server.core.pieces import identifiers_in, unique

# How many names and words an index is asked for.
MOST_NAMES, MOST_WORDS = 64, 10
# How many bytes before the cursor similar code is compared with.
LIKE_BYTES = 600

# How many bytes on either side of the cursor are read to count names and to find assignments, and to find names.
_COUNTED_BYTES, _NAMED_BYTES = 6_000, 12_000
# The weight of a name right before the hole, and the distance at which it has fallen to a third.
_CLOSE, _CLOSE_BYTES = 1.0, 400
# The weight of a name that is imported but not used yet: it is likely to be used soon.
_UNUSED_IMPORT = 1.75

_ASSIGNED = re.compile(r"(?<![.\w])([^\W\d]\w*)[ \t]*(?::[^=\n]{1,80})?(?::=|=)(?![=>])")
_ATTRIBUTE = re.compile(r"(?:\.|->|::)(?=[^\W\d])(\w{2,})")
_QUALIFIER = re.compile(r"([^\W\d]\w*)(?:\([^()]*\))?\s*(?:\.|->|::)\s*\w*$")
# For the type of a variable, at the end of its name, and in front of it; and how far in front of it this may begin.
_GIVEN = re.compile(r"\s*(?::=|[:=])\s*(?:&|\*|new\s+|await\s+|Optional\[)*((?:[^\W\d]\w*(?:\.|::))*[^\W\d]\w*)")
_TYPE_BEFORE = re.compile(r"\b([A-Z]\w*)\s+[&*]?\Z")
_TYPE_CHARACTERS = 200
_WORD = re.compile(r"\w")
_RUST_PATH = re.compile(r"((?:[^\W\d]\w*::)+)\w*$")


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


def words_in(text: bytes) -> list[str]:
    """The words of three letters or more of the identifiers in `text`, in order."""
    return [word for name in identifiers_in(text) for word in long_words_of(name)]


def distinct_words_in(text: bytes) -> frozenset[str]:
    """The same words, without order and repetitions."""
    return frozenset().union(*map(long_words_of, frozenset(identifiers_in(text))))


def query_of(document: DocumentSnapshot, hole: Hole) -> Query:
    """The query for a hole."""
    language = find_language(document.language_id, document.path)
    modules = imported_modules(language, document.source, document.path)
    wanted = weighed_names(document, hole, imported_names(document), _NAMED_BYTES)
    by_name = frozenset(name for module in modules for name in module.names)
    start = max(0, hole.cursor - NEAR_BEFORE_BYTES)
    near = document.source[start : hole.cursor].decode("utf-8", "replace")
    around = document.source[start : hole.line_end].decode("utf-8", "replace")
    attributes = frozenset(_ATTRIBUTE.findall(around))
    elsewhere = document.source[max(0, hole.cursor - _COUNTED_BYTES) : hole.cursor + _COUNTED_BYTES]
    code = elsewhere.decode("utf-8", "replace")
    counts = Counter(identifiers_in(elsewhere))
    assigning = "\n".join(line for line in code.split("\n") if "=" in line)
    own = frozenset(_ASSIGNED.findall(assigning)) - by_name
    weights: dict[str, float] = {}
    for name, weight in wanted.items():
        if name in own and name not in attributes:
            continue
        if name in by_name and counts[name] <= 1:  # it occurs only in its import, which is not a use near the hole
            weights[name] = _UNUSED_IMPORT
            continue
        found = near.rfind(name)
        weights[name] = weight + (_CLOSE * math.exp((found - len(near)) / _CLOSE_BYTES) if found >= 0 else 0.0)
    ranked = sorted(weights, key=lambda name: (-weights[name], name))
    best = unique([*ranked[:MOST_NAMES], *(name for name in ranked if name in by_name)])[: 2 * MOST_NAMES]
    recent = words_in(document.source[max(0, hole.cursor - LIKE_BYTES) : hole.cursor])
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
    types = {name, "".join(word.capitalize() for word in words_of(name))}
    # A pattern with the name in it would have to be compiled for each name, which takes longer than the search.
    start, read = -1, 0
    while (start := code.find(name, start + 1)) >= 0:
        before, end = code[start - 1 : start], start + len(name)
        if _WORD.match(before):
            continue
        if start >= read and (given := _GIVEN.match(code, end)) is not None:
            types.update(given[1].replace("::", ".").split("."))
            read = given.end()
        if (before.isspace() or before in "&*") and not _WORD.match(code, end):
            declared = _TYPE_BEFORE.search(code, max(0, start - _TYPE_CHARACTERS), start)
            types.update([declared[1]] if declared is not None else [])
    return frozenset(types)
