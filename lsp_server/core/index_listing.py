"""Lists of names for a prompt: what a hole can see of other files, where there is no room for the definitions.

After `util.`, or in a package of many files, nothing tells which definition is wanted. A name takes a tenth of the room
of a signature.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from lsp_server.core.index_offer import Why
from lsp_server.core.languages import find_language
from lsp_server.core.pieces import Piece, unique

# How many lists are offered, how long each is, and from how many names on there are any.
_MOST_LISTS, _LIST_BYTES, _LEAST_LISTED = 5, 220, 5
# The first lists of a module whose name stands before the hole are worth as much as a good definition. Others take the
# room that is left.
_OF_QUALIFIER, _OTHERS, _STEP = 28.0, 9.0, 1.0
# The weights of: the words of a name that stand near the hole; the files that use it; a use in the document.
_NEAR, _USED, _HERE = 1.0, 0.35, 0.5

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


@dataclass(frozen=True, slots=True)
class Visible:
    """A name that the hole can see. uri, path: of its file. files: how many other files use it, in the same way as the
    hole if there is a qualifier. nearness: from 0 to 1, by how the document gets it."""

    uri: str
    path: str
    name: str
    offset: int
    files: int
    nearness: float


@lru_cache(maxsize=1 << 14)
def long_words_of(name: str) -> tuple[str, ...]:
    """Those of the words of an identifier that have three letters or more."""
    return tuple(word for word in words_of(name) if len(word) > 2)


def words_of(name: str) -> tuple[str, ...]:
    """The words that an identifier consists of, in lower case."""
    if name.isascii():
        return tuple(word.lower() for word in _WORD.findall(name))
    # For other alphabets a pattern cannot tell lower case from upper case.
    divided = "".join(
        f" {character}" if character.isupper() and not before.isupper() else character
        for before, character in zip(" " + name, name, strict=False)
    )
    return tuple(re.findall(r"[^\W\d_]+|\d+", divided.lower()))


def lists_of(
    visible: Sequence[Visible], near: Collection[str], counts: Mapping[str, int], qualifier: str
) -> dict[Piece, Why]:
    """The most likely of the visible names, in lists of one folder each, the best first.

    near: the words near the hole. counts: how often each name occurs in the document. qualifier: the module's name, if
    the visible names are those behind it; else empty.
    """
    best: dict[str, tuple[float, Visible]] = {}
    for each in visible:
        worth = _worth(each, near, counts)
        if each.name not in best or worth > best[each.name][0]:
            best[each.name] = worth, each
    if len(best) < _LEAST_LISTED:
        return {}
    ranked = [each for _, each in sorted(best.values(), key=lambda pair: (-pair[0], pair[1].path, pair[1].offset))]
    open_lists: dict[str, list[Visible]] = defaultdict(list)
    sizes: dict[str, int] = {}
    full: list[tuple[str, list[Visible]]] = []
    for each in ranked:
        folder = each.path.rpartition("/")[0]
        size = len(each.name.encode()) + 2
        if folder in sizes and sizes[folder] + size > _LIST_BYTES:
            full.append((folder, open_lists.pop(folder)))
            del sizes[folder]
        open_lists[folder].append(each)
        sizes[folder] = sizes.get(folder, 0) + size
        if len(full) + len(open_lists) > _MOST_LISTS:
            open_lists.pop(folder)
            break
    worth = _OF_QUALIFIER if qualifier else _OTHERS
    found: dict[Piece, Why] = {}
    for number, (folder, names) in enumerate([*full, *open_lists.items()]):
        reason = f"names in {qualifier}" if qualifier else "names that the file can use"
        found[_piece(folder, names)] = Why(reason, worth - number * _STEP)
    return found


def _worth(each: Visible, near: Collection[str], counts: Mapping[str, int]) -> float:
    words = long_words_of(each.name)
    share = sum(word in near for word in words) / len(words) if words else 0.0
    used = _USED * math.log2(1 + each.files)
    return each.nearness * (_NEAR * share + used + (_HERE if each.name in counts else 0.0))


def _piece(folder: str, visible: Sequence[Visible]) -> Piece:
    # In file order, which does not change from key to key.
    inside = sorted(visible, key=lambda each: (each.path, each.offset, each.name))
    names = unique(each.name for each in inside)
    first = inside[0]
    language = find_language("", first.path)
    uri = first.uri.rpartition("/")[0] + "/"
    text = language.as_comment(", ".join(names)).encode()
    return Piece(uri, f"{folder}/" if folder else "./", text, language, 0, names, (), names)
