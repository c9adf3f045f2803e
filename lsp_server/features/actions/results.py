"""Reads a model's answer as an edit: the replacement for a range, or the reason why there is none."""

from __future__ import annotations

from dataclasses import dataclass

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.languages import Language, find_language
from lsp_server.core.outline import has_definitions
from lsp_server.features.actions.answer import is_prose
from lsp_server.features.actions.catalogue import Action, Result
from lsp_server.features.actions.fitting import fit, names_header, with_old_docstring
from lsp_server.features.actions.margins import indent_of
from lsp_server.features.actions.objections import objection, syntax_objection
from lsp_server.features.actions.readings import candidates, fenced, is_fence
from lsp_server.features.actions.rest_of_file import defined_again, other_subject
from lsp_server.features.actions.subject import Subject

_MOST_CANDIDATES = 12
# In these languages any sentence parses, so only a fence separates the text from sentences about it.
_TAKE_PROSE = frozenset({"Markdown", "HTML", "YAML"})


@dataclass(frozen=True, slots=True)
class Proposal:
    """A proposal to replace the bytes `start:end` of the document by `text`; or no proposal, and `problem` says why.
    other_subject: the rewritten subject, if that is another part of the file than the requested one."""

    start: int = 0
    end: int = 0
    text: bytes = b""
    problem: str = ""
    other_subject: Subject | None = None


def _readings(answer: str, language: Language, code: bytes = b"", *, whole: bool = False) -> list[str]:
    """The possible readings of the code in an answer, the best guess first. code: the text to be replaced. whole:
    whether that is a definition, whose name identifies the new text. Else the most similar reading comes first."""
    old = code.decode("utf-8", "replace")
    needs_no_fence = language.wheel is not None and language.name not in _TAKE_PROSE
    if not needs_no_fence or (not has_definitions(language) and any(map(is_fence, answer.split("\n")))):
        found = fenced(answer, old)
    else:
        found = candidates(answer, old)[:_MOST_CANDIDATES]
    return found if whole else sorted(found, key=lambda text: _shared_lines(text, old), reverse=True)


def _shared_lines(text: str, old: str) -> int:
    """The number of lines of `old` that are also in `text`."""
    return len({line.strip() for line in text.split("\n")} & {line.strip() for line in old.split("\n") if line.strip()})


def read_rewriting(answer: str, document: DocumentSnapshot, subject: Subject, action: Action) -> Proposal:
    """The text that replaces the subject's range: the first reading of the answer that passes all checks. If the answer
    rewrites another definition of the file, that one is replaced."""
    problems: list[str] = []
    language = find_language(document.language_id, document.path)
    definition = subject.definition if subject.whole else None
    body = definition is not None and not names_header(answer, document, definition)
    code = document.source[subject.start : subject.end]
    for candidate in _readings(answer, language, code, whole=definition is not None):
        for where in filter(None, (subject, other_subject(candidate, document, subject))):
            for fitted in fit(candidate, document, where, action, body=body):
                new = with_old_docstring(document, where, fitted) if action.keeps else fitted
                problem = objection(document, where, new, action)
                if not problem:
                    return Proposal(where.start, where.end, new, other_subject=where if where is not subject else None)
                problems.append(problem)
    if not problems:
        name = subject.definition.name if subject.whole and subject.definition else ""
        problems.append(f"`{name}` is missing in the answer" if name else "there is no code in the answer")
    # Several readings fail for several reasons. "Nothing changed" is reported only if there is no other.
    return Proposal(problem=min(problems, key=lambda text: ("as it was" in text, problems.index(text))))


def read_insertion(answer: str, document: DocumentSnapshot, subject: Subject, action: Action) -> Proposal:
    """The insertion before or after the subject, on its own lines."""
    language = find_language(document.language_id, document.path)
    newline = document.newline
    first = document.line_start(document.line_at(subject.start))
    indent = indent_of(document.source[first : subject.end].decode("utf-8", "replace").split("\n")[0])
    problem = "there is no code in the answer"
    for candidate in _readings(answer, language):
        lines = [(indent + line).rstrip() for line in candidate.strip("\n").split("\n")]
        text = newline.join(line.encode("utf-8", "replace") for line in lines)
        if action.result is Result.BEFORE:
            start, text = first, text + newline
        else:
            start, text = document.line_end(document.line_at(subject.end)), newline + text
        edited = document.edited(start, start, text)
        problem = syntax_objection(document, edited, language, start, start + len(text))
        again = defined_again(document, start, start, text)
        if again and not problem:
            problem = f"the answer defines `{again}`, which is there already"
        if not problem and not all(is_prose(line) for line in lines):
            return Proposal(start, start, text)
    return Proposal(problem=problem or "there is no code in the answer")
