"""Checks that an answer about a part of a file does not conflict with the rest of the file.

A definition of a name from elsewhere must replace the old definition; else the answer is refused. Names that the rest
of the file uses must remain.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.languages import Language, find_language
from lsp_server.core.outline import Definition, definitions, has_definitions, named_in, names_in, top_level
from lsp_server.features.actions.answer import is_prose
from lsp_server.features.actions.subject import Subject

# The text around a method, for grammars that recognise methods only inside a class.
SHELLS = {
    "Java": ("class Shell {\n", "\n}\n"),
    "JavaScript": ("class Shell {\n", "\n}\n"),
    "TypeScript": ("class Shell {\n", "\n}\n"),
    "TSX": ("class Shell {\n", "\n}\n"),
    "C++": ("class Shell {\n", "\n};\n"),
}
# The first line of a definition in languages without a grammar: with a keyword, as `name <- function`, as a Haskell
# type, and as in C and similar languages.
_WORDS = (
    "pub public private protected internal static final abstract async export default local inline override open data "
    "sealed unsafe extern virtual const"
)
_KEYWORDS = (
    "def defp defmacro defmodule defn defun define fn fun func function sub proc procedure class module struct "
    "interface trait object enum record protocol macro"
)
_DEFINES = re.compile(
    rf"^[ \t(]*(?:(?:{'|'.join(_WORDS.split())})[ \t]+)*(?:{'|'.join(_KEYWORDS.split())})[ \t]+\(?([\w.:!?'-]*\w[!?']?)"
    r"|^([\w.]+)[ \t]*(?:<-|=)[ \t]*function\b"
    r"|^([a-z_][\w']*)[ \t]*::[ \t]"
    r"|^(?!(?:if|for|while|switch|return|else|catch|do)\b)"
    r"[A-Za-z_][\w<>\[\], *&]*[ \t*&](\w+)[ \t]*\([^;]*\)[ \t]*\{\s*$"
)
# A longer line begins no definition. The pattern would take too long on it.
_LONGEST_HEADER = 300
# How many statements are searched for an assignment to a name.
_MOST_STATEMENTS = 400


def objection_to_part(document: DocumentSnapshot, subject: Subject, new: bytes, *, keeps: bool) -> str:
    """The reason, from the rest of the file, why `new` must not replace a subject that is not a whole definition; empty
    if it may. keeps: whether names that the rest uses must remain."""
    start, end, around = subject.start, subject.end, subject.definition
    again = defined_again(document, start, end, new)
    if again:
        return f"the answer defines `{again}`, which stands elsewhere in the file"
    language = find_language(document.language_id, document.path)
    if not keeps or not has_definitions(language):
        return ""
    edited = document.edited(start, end, new).source
    first, last = (around.start, around.end) if around is not None else (0, len(document.source))
    bound = names_in(language, document.source, start, end)[1]
    used_after, bound_after = names_in(language, edited, first, last + len(edited) - len(document.source))
    lost = sorted((bound & used_after) - bound_after)
    if lost:
        return f"the answer takes away `{lost[0]}`, which the code around it uses"
    if around is None:
        used, _ = names_in(language, document.source, start, end)
        fresh = names_in(language, edited, start, start + len(new))[1] - bound - used
        elsewhere = _set_elsewhere(language, document.source, start, end, fresh)
        if elsewhere:
            return f"the answer sets `{elsewhere}`, which stands elsewhere in the file"
    return ""


def defined_again(document: DocumentSnapshot, start: int, end: int, new: bytes) -> str:
    """A name that is defined twice after `new` has replaced `start:end`; empty if there is none."""
    language = find_language(document.language_id, document.path)
    edited = document.edited(start, end, new).source
    last = start + len(new)
    if not has_definitions(language):
        source = document.source
        was = _named(language, source, start, end)
        others = _named(language, source, 0, start) | _named(language, source, end, len(source))
        return min((_named(language, edited, start, last) - was) & others, default="")
    found = definitions(language, edited)
    before = definitions(language, document.source)
    was = {one.name for one in before if start <= one.start and one.end <= end}
    here = [one for one in found if start <= one.start and one.end <= last]
    rest = [one for one in found if one not in here]
    again = (one.name for one in here if one.name not in was and any(_is_same(one, other, found) for other in rest))
    return next(again, "")


def other_subject(candidate: str, document: DocumentSnapshot, subject: Subject) -> Subject | None:
    """The subject for the single definition of the file that an answer rewrites instead of the requested range: the
    function around the range, or for a diagnostic any definition. None if it rewrites none or several, or has other
    code as well."""
    language = find_language(document.language_id, document.path)
    if not has_definitions(language) or subject.whole:
        return None
    text = textwrap.dedent(candidate)
    known = definitions(language, document.source)
    for shell in filter(None, (("", ""), SHELLS.get(language.name))):
        source = (shell[0] + text + shell[1]).encode("utf-8", "replace")
        found = [one for one in definitions(language, source) if one.start >= len(shell[0].encode())]
        outer = [one for one in found if not any(o.start < one.start and one.end <= o.end for o in found)]
        old_ones = [(one, old) for one in outer for old in known if (old.name, old.kind) == (one.name, one.kind)]
        if old_ones and len(old_ones) == len(outer) == len({one.start for one, _ in old_ones}):
            break
    else:
        return None
    if _other_code(source[len(shell[0]) : len(source) - len(shell[1])], outer, document, len(shell[0])):
        return None
    changed = [
        old
        for one, old in old_ones
        if _squeezed(source[one.start : one.end]) != _squeezed(document.source[old.start : old.end])
    ]
    if len(changed) != 1:
        return None
    old = changed[0]
    if not subject.problems and not (old.start <= subject.start and subject.end <= old.end):
        return None
    return Subject(subject.target, old.start, old.end, old, subject.problems)


def _other_code(text: bytes, outer: Iterable[Definition], document: DocumentSnapshot, shift: int) -> bool:
    """Whether the answer has code, besides its definitions, that the file does not have."""
    kept, at = [], 0
    for one in outer:
        first = min(one.start, one.doc[0]) if one.doc else one.start
        kept.append(text[at : max(at, first - shift)])
        at = one.end - shift
    rest = b"\n".join([*kept, text[at:]]).decode("utf-8", "replace")
    known = {_squeezed(line) for line in document.source.split(b"\n")}
    return any(
        line.strip(" \t;}") and _squeezed(line.encode()) not in known and not is_prose(line)
        for line in rest.split("\n")
    )


def _is_same(one: Definition, other: Definition, found: tuple[Definition, ...]) -> bool:
    """Whether two definitions of a name conflict: they are in the same scope, one is inside the other, or one is a
    method of the other's class without the class."""
    if (one.name, one.kind) != (other.name, other.kind):
        return False
    if other.start <= one.start and one.end <= other.end:
        return True
    scopes = _scope(one, found), _scope(other, found)
    if scopes[0] == scopes[1]:
        return True
    bare_method = scopes[0] is None and scopes[1] is not None and scopes[1].kind == "class"
    return bare_method and one.parameters == other.parameters


def _scope(one: Definition, found: tuple[Definition, ...]) -> Definition | None:
    """The innermost definition around `one`."""
    around = [each for each in found if each is not one and each.start <= one.start and one.end <= each.end]
    return min(around, key=lambda each: each.end - each.start, default=None)


def _named(language: Language, source: bytes, start: int, end: int) -> set[str]:
    """The names defined in `start:end`, for a language without detailed knowledge of its definitions."""
    if language.wheel is not None:
        return {name for name, at in named_in(language, source) if start <= at < end}
    lines = source[start:end].decode("utf-8", "replace").split("\n")
    found = (_DEFINES.match(line) for line in lines if len(line) <= _LONGEST_HEADER)
    return {next(filter(None, match.groups())) for match in found if match is not None}


def _set_elsewhere(language: Language, source: bytes, start: int, end: int, names: set[str]) -> str:
    """One of `names` that is assigned at the top level outside `start:end`; empty if there is none."""
    if not names:
        return ""
    defined = {(one.start, one.end) for one in definitions(language, source)}
    looked_at = 0
    for kind, first, last in top_level(language, source):
        part = source[first:last]
        if (first < end and start < last) or (first, last) in defined or "comment" in kind:
            continue
        if not any(name.encode() in part for name in names):
            continue
        looked_at += 1
        if looked_at > _MOST_STATEMENTS:
            return ""
        # Skips statements that contain a function or a class, because names in it are not those of the top level.
        if any(first <= one and other <= last for one, other in defined):
            continue
        found = names & names_in(language, source, first, last)[1]
        if found:
            return min(found)
    return ""


def _squeezed(text: bytes) -> bytes:
    return b"".join(text.split())
