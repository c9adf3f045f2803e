"""Checks that an edit is safe to propose: it parses, a function remains that function, and its names exist."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Set as AbstractSet

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.edits import Replacement
from lsp_server.core.idioms import returns_outside
from lsp_server.core.languages import Language, find_language
from lsp_server.core.outline import Definition, broken_at, definitions, leaves_in, names_in, top_level
from lsp_server.features.actions.catalogue import Action
from lsp_server.features.actions.names import known_names
from lsp_server.features.actions.rest_of_file import objection_to_part
from lsp_server.features.actions.subject import Subject
from lsp_server.features.actions.worth import loss

# A replacement that is longer than this compared to the old text is refused.
_GROWTH, _GROWTH_BYTES = 4, 4000
# Python's own parser holds the interpreter's lock during the whole parse, about 20 ms for this size. Of a longer file
# only the edited statements are parsed.
_MOST_COMPILED_BYTES = 1 << 16
# In these languages all statements must be in functions, but the grammars accept them anywhere.
_IN_FUNCTIONS = frozenset({"C", "C++", "Go", "Rust", "Java"})
_STATEMENT = re.compile(r"(?:expression|if|for|while|do|switch|return|short_var|assignment|block|loop|match)_?\w*$")


def objection(document: DocumentSnapshot, subject: Subject, new: bytes, action: Action) -> str:
    """The reason why `new` must not replace the subject's range, in words for the model and the user; empty if it
    may."""
    language = find_language(document.language_id, document.path)
    old = document.source[subject.start : subject.end]
    if new.split() == old.split():
        return "the answer is the code as it was"
    if len(new) > _GROWTH * len(old) + _GROWTH_BYTES:
        return f"the answer has {len(new)} bytes in place of {len(old)}"
    edited = document.edited(subject.start, subject.end, new)
    problem = syntax_objection(document, edited, language, subject.start, subject.start + len(new))
    if problem:
        return problem
    if not subject.whole or subject.definition is None:
        outside = _statement_outside(document, edited, language, subject)
        if outside:
            return f"the answer has code outside any function: `{outside[:60]}`"
        problem = objection_to_part(document, subject, new, keeps=action.keeps)
        return problem or _loss(document, subject, new, action)
    was = subject.definition
    found = definitions(language, edited.source)
    inside = [one for one in found if subject.start <= one.start and one.end <= subject.start + len(new)]
    same = [one for one in inside if one.name == was.name and one.kind == was.kind and one.parents == was.parents]
    if len(same) != 1:
        return f"`{was.name}` is {'missing' if not same else 'defined more than once'} in the answer"
    if not subject.lets_header_change(action.signature) and same[0].parameters != was.parameters:
        listed = ", ".join(was.parameters)
        return f"the parameters of `{was.name}` must stay ({listed}), the answer has ({', '.join(same[0].parameters)})"
    if was.kind == "class" and action.keeps:
        before = definitions(language, document.source)
        problem = _changed_member(before, found, subject, len(new))
        kept = _outside_bodies(language, document.source, before, subject.start, subject.end)
        rest = iter(_outside_bodies(language, edited.source, found, subject.start, subject.start + len(new)))
        lost = next((text for text in kept if text not in rest), "")
        if lost and not problem:
            problem = f"the answer loses `{lost[:60]}` of the class, outside its methods' bodies"
        if problem:
            return problem
    others = [one.name for one in inside if one.parents == was.parents and one is not same[0]]
    others = [name for name in others if not _nested(inside, name, same[0].start, same[0].end)]
    if others and not action.more:
        return f"the answer defines `{others[0]}`, which was not asked for"
    return _loss(document, subject, new, action)


def _changed_member(
    before: tuple[Definition, ...], after: tuple[Definition, ...], subject: Subject, length: int
) -> str:
    """What the edit removes from a class: a method, or a method's parameters; empty if nothing."""
    old = [one for one in before if subject.start < one.start and one.end <= subject.end and one.kind == "function"]
    new = {(one.parents, one.name, one.parameters) for one in after if one.end <= subject.start + length}
    names = {(parents, name) for parents, name, _ in new}
    for one in old:
        if (one.parents, one.name) not in names:
            return f"`{one.name}` is missing in the answer"
        if (one.parents, one.name, one.parameters) not in new:
            return f"the parameters of `{one.name}` must stay ({', '.join(one.parameters)})"
    return ""


def _outside_bodies(
    language: Language, source: bytes, found: tuple[Definition, ...], start: int, end: int
) -> list[str]:
    """The tokens of a class outside the bodies of its methods: its header, its fields, the methods' headers and
    decorators."""
    texts, at = [], start
    for one in sorted(found, key=lambda one: one.start):
        if one.kind == "function" and at <= one.start and one.end <= end:
            texts += leaves_in(language, source, at, one.header_end)
            at = one.end
    return [text for _, text in texts + leaves_in(language, source, at, end)]


def _loss(document: DocumentSnapshot, subject: Subject, new: bytes, action: Action) -> str:
    return loss(document, subject, new, action) if action.keeps else ""


def syntax_objection(
    document: DocumentSnapshot, edited: DocumentSnapshot, language: Language, start: int, end: int
) -> str:
    """The new syntax error in the edited document, in words; empty if there is none. start, end: the edited range."""
    errors = broken_at(language, edited.source)
    inside = [error for error in errors if error[0] < end and error[1] >= start]
    if inside or len(errors) > len(broken_at(language, document.source)):
        line = edited.line_at((inside or errors)[0][0])
        return f"it does not parse (line {line + 1}: {edited.line(line).decode('utf-8', 'replace').strip()[:80]!r})"
    before = end - len(edited.source) + len(document.source)
    if language.name == "Python" and not _python_error(_statements(language, document.source, start, before)):
        return _python_error(_statements(language, edited.source, start, end))
    return ""


def _statements(language: Language, source: bytes, start: int, end: int) -> bytes:
    """`source`. If it is long: only its statements that touch `start:end`, on their original lines."""
    if len(source) <= _MOST_COMPILED_BYTES:
        return source
    touched = [(first, last) for _, first, last in top_level(language, source) if first <= end and start <= last]
    if not touched or touched[-1][1] - touched[0][0] > _MOST_COMPILED_BYTES:
        return b""
    first = source.rfind(b"\n", 0, touched[0][0]) + 1
    return b"\n" * source.count(b"\n", 0, first) + source[first : touched[-1][1]]


def _python_error(source: bytes) -> str:
    """The error of Python's own parser, which is stricter than the grammar; empty if none. Nothing is run."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(source)
    except SyntaxError as error:
        return f"it does not parse (line {error.lineno}: {error.msg})"
    except (ValueError, RecursionError, MemoryError) as error:
        return f"it does not parse ({error})"
    return ""


def _statement_outside(
    document: DocumentSnapshot, edited: DocumentSnapshot, language: Language, subject: Subject
) -> str:
    """The first line of a statement that would be outside any function, in a file that has none so far; else empty."""
    scripts = language.name in {"Python", "JavaScript", "TypeScript", "TSX"}
    if subject.definition is not None or (not scripts and language.name not in _IN_FUNCTIONS):
        return ""
    end = subject.end + len(edited.source) - len(document.source)
    known = {kind for kind, _, _ in top_level(language, document.source)}
    for kind, first, last in top_level(language, edited.source):
        if first >= end or last <= subject.start:
            continue
        text = edited.line(edited.line_at(first)).decode("utf-8", "replace").strip()
        if scripts and returns_outside(language, edited.source, first, last):
            return text
        if not scripts and kind not in known and _STATEMENT.search(kind):
            return text
    return ""


def unknown_names(
    document: DocumentSnapshot, edits: list[Replacement], edited: bytes, known: AbstractSet[str] = frozenset()
) -> list[str]:
    """The names that the edit uses and that are unknown: not in the file, not in the language, not in `known`."""
    language = find_language(document.language_id, document.path)
    used: set[str] = set()
    shift = 0
    for edit in edits:
        start = edit.start + shift
        used |= names_in(language, edited, start, start + len(edit.text))[0]
        shift += len(edit.text) - (edit.end - edit.start)
    before, bound = names_in(language, document.source)
    _, bound_after = names_in(language, edited)
    return sorted(used - before - bound - bound_after - known_names(language) - set(known))


def _nested(found: list[Definition], name: str, start: int, end: int) -> bool:
    return all(start <= one.start and one.end <= end for one in found if one.name == name)
