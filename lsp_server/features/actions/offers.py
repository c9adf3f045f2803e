"""Decides which actions are offered at a place, from the syntax tree alone: no model is asked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.languages import Language, find_language
from lsp_server.core.outline import Definition, definition_at, definitions, has_definitions
from lsp_server.features.actions.applies import applies
from lsp_server.features.actions.catalogue import EDIT, EXPLAIN, FIX, Action, Result, Target
from lsp_server.features.actions.subject import Problem, Subject

_INSTRUCTION = re.compile(r"fimble\s*:\s*(?P<text>\S.*?)\s*(?:\*/|-->)?\s*$", re.IGNORECASE)
_MOST_SHOWN = 60
# Larger subjects would not fit the context of a model together with their new version.
_MOST_BYTES = 40_000


@dataclass(frozen=True, slots=True)
class Offer:
    """An action that can be carried out at a place. instruction: from a comment above, for the action `edit`."""

    action: Action
    subject: Subject
    title: str
    instruction: str = ""


def offers(
    document: DocumentSnapshot,
    start: int,
    end: int,
    problems: Sequence[Problem],
    actions: Mapping[str, Action],
    only: Iterable[str] | None = None,
    asked: bool = True,
) -> list[Offer]:
    """The actions to offer for the byte range `start:end`. only: the kinds that the client wants; None means all.
    asked: whether the user has opened the menu. If not, the cursor has only moved, and a blank line has no offers.

    A pure function. Fixes come first, because clients keep the order of the list.
    """
    language = find_language(document.language_id, document.path)
    blank = start == end and not document.line(document.line_at(start)).strip()
    subject = subject_at(document, start, end) if asked or not blank else None
    wanted = None if only is None else tuple(only)
    found: list[Offer] = []
    for action in actions.values():
        if not is_wanted(action.kind, wanted) or not _speaks(action, language):
            continue
        if problems and action.id in (FIX.id, EXPLAIN.id):
            found.append(_offer(action, problem_subject(document, problems)))
        if subject is not None and subject.target in action.targets:
            found += _offer_on(document, language, subject, action)
    return found


def _offer_on(document: DocumentSnapshot, language: Language, subject: Subject, action: Action) -> list[Offer]:
    """The offer of the action for a definition or a selection; empty if it does not apply."""
    if action.id == EDIT.id:
        instruction = instruction_above(document, subject)
        return [_offer(action, subject, instruction)] if instruction else []
    if not applies(action.needs, document, language, subject):
        return []
    if action.result is Result.DOC_COMMENT and subject.definition is not None and subject.definition.doc:
        return [Offer(action, subject, _title(action, subject).replace("Write", "Update", 1))]
    return [_offer(action, subject)]


def subject_at(document: DocumentSnapshot, start: int, end: int) -> Subject | None:
    """The subject at a range: the definition around a cursor, or the selected lines; None if there is neither."""
    language = find_language(document.language_id, document.path)
    found = definitions(language, document.source)
    source = document.source
    if start == end:
        return _subject_at_cursor(document, language, found, start)
    while start < end and source[start : start + 1].isspace():
        start += 1
    while end > start and source[end - 1 : end].isspace():
        end -= 1
    if start == end:
        return None
    definition = definition_at(found, start, end)
    selected = _selected_definition(document, found, definition, start, end)
    if selected is not None:
        return _limited(_of_definition(selected))
    first, last = document.line_at(start), document.line_at(end)
    return _limited(Subject(Target.SELECTION, document.line_start(first), document.line_end(last), definition))


def _subject_at_cursor(
    document: DocumentSnapshot, language: Language, found: tuple[Definition, ...], cursor: int
) -> Subject | None:
    line = document.line_at(cursor)
    text = document.line(line)
    # Any place on the line of a header counts, including its indentation.
    probe = max(cursor, document.line_start(line) + len(text) - len(text.lstrip())) if text.strip() else cursor
    definition = definition_at(found, probe, probe)
    if definition is not None:
        return _limited(_of_definition(definition))
    if has_definitions(language) or not text.strip():
        return None
    return Subject(Target.SELECTION, document.line_start(line), document.line_end(line), None)


def _selected_definition(
    document: DocumentSnapshot,
    found: tuple[Definition, ...],
    around: Definition | None,
    start: int,
    end: int,
) -> Definition | None:
    """The definition that a selection covers: with all its lines, and nothing else but its doc comment."""
    if around is not None:
        lines = document.line_at(around.start), document.line_at(around.end)
        covers = document.line_at(start) <= lines[0] and document.line_at(end) >= lines[1]
        return around if covers else None
    inside = [one for one in found if start <= one.start and one.end <= end]
    if not inside or any(one.start >= inside[0].end for one in inside):
        return None
    outer = inside[0]
    first = outer.start if outer.doc is None else min(outer.doc[0], outer.start)
    rest = document.source[start:first] + document.source[outer.end : end]
    return None if rest.strip() else outer


def problem_subject(document: DocumentSnapshot, problems: Sequence[Problem]) -> Subject:
    """The range to change so that the problems go away: the function around them, else their lines."""
    language = find_language(document.language_id, document.path)
    start, end = min(problem.start for problem in problems), max(problem.end for problem in problems)
    definition = definition_at(definitions(language, document.source), start, end)
    given = tuple(problems)
    if definition is not None and definition.kind == "function" and definition.end - definition.start <= 6000:
        return Subject(Target.DIAGNOSTIC, definition.start, definition.end, definition, given)
    first, last = document.line_at(start), document.line_at(end)
    return Subject(Target.DIAGNOSTIC, document.line_start(first), document.line_end(last), definition, given)


def instruction_above(document: DocumentSnapshot, subject: Subject) -> str:
    """The instruction in a comment `fimble: …` above the subject, or on its first line; empty if there is none."""
    language = find_language(document.language_id, document.path)
    openers = {language.comment[0], "//", "#", "/*", "--"} if language.comment[0] != "#" else {"#"}
    line = document.line_at(subject.start)
    for number in (line, line - 1, line - 2):
        if number < 0:
            break
        text = document.line(number).decode("utf-8", "replace").strip()
        if any(text.startswith(opener) for opener in openers):
            match = _INSTRUCTION.search(text)
            if match:
                return match["text"]
        elif number != line:
            break
    return ""


def describe(subject: Subject) -> str:
    """The subject in a few words, for titles."""
    if subject.problems:
        if len(subject.problems) > 1:
            return f"these {len(subject.problems)} problems"
        message = " ".join(subject.problems[0].message.split())
        return message if len(message) <= _MOST_SHOWN else message[: _MOST_SHOWN - 1] + "…"
    if subject.target is Target.SELECTION or subject.definition is None:
        return "the selection"
    return f"`{subject.definition.name}`"


def _of_definition(definition: Definition) -> Subject:
    return Subject(Target(definition.kind), definition.start, definition.end, definition)


def _limited(subject: Subject) -> Subject | None:
    return subject if subject.end - subject.start <= _MOST_BYTES else None


def _offer(action: Action, subject: Subject, instruction: str = "") -> Offer:
    return Offer(action, subject, _title(action, subject), instruction)


def _title(action: Action, subject: Subject) -> str:
    title = action.title.replace("{target}", describe(subject))
    if action.id == FIX.id and len(subject.problems) == 1:
        return f"Fix: {describe(subject)}"
    return title


def is_wanted(kind: str, only: Iterable[str] | None) -> bool:
    """Whether a client wants actions of a kind. only: the kinds that it asks for; None means all."""
    return only is None or any(not want or kind == want or kind.startswith(want + ".") for want in only)


def _speaks(action: Action, language: Language) -> bool:
    return not action.languages or language.name in action.languages or bool(action.languages & set(language.ids))
