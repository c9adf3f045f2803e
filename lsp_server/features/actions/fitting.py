"""Makes the replacement text for a range from a candidate text: the relevant part, with the document's indentation."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.languages import Language, find_language
from lsp_server.core.outline import Definition, broken_at, definitions
from lsp_server.features.actions.catalogue import Action
from lsp_server.features.actions.margins import dedented, held_lines, indent_of, indent_unit, reindented, shifted
from lsp_server.features.actions.rest_of_file import SHELLS
from lsp_server.features.actions.subject import Subject

_STATEMENT = re.compile(r"=|;|\w\(|\b(return|yield|raise|pass|throw|panic)\b")
# Actions that may change the header of a function. For all others the old header is kept exactly.
_CHANGES_HEADER = frozenset({"types", "to_async"})


def document_unit(document: DocumentSnapshot) -> str:
    """The document's own step of indentation; if it has none, that of the language's convention."""
    text = document.source[:40_000].decode("utf-8", "replace")
    language = find_language(document.language_id, document.path)
    held = held_lines(text, language)
    lines = [line for row, line in enumerate(text.split("\n")) if line.strip() and row not in held]
    lines = [line for line in lines if not line.lstrip().startswith(("*", "/*"))]
    if sum(line.startswith("\t") for line in lines) > sum(line.startswith("  ") for line in lines):
        return "\t"
    widths = [len(indent_of(line)) for line in lines if line[0] == " "]
    for step in (4, 2, 3, 8):
        if widths and sum(width % step == 0 for width in widths) >= 0.9 * len(widths):
            return " " * step
    return " " * (2 if language.name in SHELLS else 4)


def names_header(answer: str, document: DocumentSnapshot, definition: Definition) -> bool:
    """Whether an answer has the header of `definition` up to its name, and so is more than a body."""
    header = document.source[definition.start : definition.header_end].decode("utf-8", "replace")
    last = [line for line in header.split("\n") if definition.name in line][-1:]
    return any(_squeezed(line[: line.rindex(definition.name)]) + definition.name in _squeezed(answer) for line in last)


def fit(
    candidate: str, document: DocumentSnapshot, subject: Subject, action: Action, *, body: bool = True
) -> Iterator[bytes]:
    """The possible replacements of the subject's range made from `candidate`, the best guess first; none if it has
    nothing usable.

    For a function: the function of that name in it. For other ranges: the candidate itself, without lines around the
    range that it repeats. body: whether the candidate may be a function's body without the header.
    """
    base = _base_indent(document, subject)
    unit = document_unit(document)
    language = find_language(document.language_id, document.path)
    if subject.whole and subject.definition is not None:
        found = _definition_texts(candidate, document, subject, subject.definition, action, body=body)
    else:
        found = _part_texts(candidate, document, subject)
    seen: set[bytes] = set()
    newline = document.newline.decode()
    for text in found:
        mended = reindented(text, language, unit, base)
        if not subject.whole:
            mended = base + mended
        result = mended.replace("\n", newline).encode("utf-8", "replace")
        if result.strip() and result not in seen:
            seen.add(result)
            yield result


def with_old_docstring(document: DocumentSnapshot, subject: Subject, new: bytes) -> bytes:
    """`new` with the function's old docstring, exactly as it was, because only the action for docstrings may change
    it."""
    language, old = find_language(document.language_id, document.path), subject.definition
    if language.name != "Python" or not subject.whole or old is None or old.doc is None:
        return new
    edited = document.edited(subject.start, subject.end, new)
    end = subject.start + len(new)
    found = [
        one
        for one in definitions(language, edited.source)
        if (one.name, one.parents) == (old.name, old.parents) and subject.start <= one.start and one.end <= end
    ]
    if len(found) != 1 or broken_at(language, edited.source) != broken_at(language, document.source):
        return new
    doc, at = document.source[slice(*old.doc)], found[0].header_end
    if found[0].doc is not None:
        start, stop = found[0].doc
        return edited.source[subject.start : start] + doc + edited.source[stop:end]
    line = edited.line_at(at)
    lead = edited.source[edited.line_start(line) : at]
    if lead.strip():  # the body is on the same line as the header
        return new
    while edited.line(line - 1).lstrip().startswith(b"#"):  # for the grammar, comments stand before the body
        line -= 1
    at = edited.line_start(line) + len(lead)
    return edited.source[subject.start : at] + doc + document.newline + lead + edited.source[at:end]


def _base_indent(document: DocumentSnapshot, subject: Subject) -> str:
    """The indentation of the subject's first line that is not blank."""
    text = document.source[document.line_start(document.line_at(subject.start)) : subject.end]
    for line in text.decode("utf-8", "replace").split("\n"):
        if line.strip():
            return indent_of(line)
    return ""


def _realigned(candidate: str, language: Language, old: str) -> list[str]:
    """The candidate without its common indentation, repaired in the ways in which that may have been damaged. old: the
    replaced text."""
    lines = candidate.split("\n")
    held = held_lines(candidate, language)
    code = [line for row, line in enumerate(lines) if row not in held]
    if _mixed(code) and not _mixed(old.split("\n")):
        lines = [line if row in held else _expanded(line) for row, line in enumerate(lines)]
    found = [dedented("\n".join(lines), language)]
    if len(lines) > 1 and lines[0].strip() and not lines[0][0].isspace():
        rest = [line for row, line in enumerate(lines) if row and row not in held and line.strip()]
        least = min((len(indent_of(line)) for line in rest), default=0)
        if least:  # the first line has lost its indentation, the others have not
            closing = rest[-1].lstrip()[:1] in "})" if rest else False
            step = len(indent_unit(rest)) or 4
            cut = least if closing else max(0, least - step)
            shallow = (
                line if row in held else line[min(cut, len(indent_of(line))) :] for row, line in enumerate(lines)
            )
            found.append("\n".join(shallow))
    return found


def _mixed(lines: list[str]) -> bool:
    starts = {line[0] for line in lines if line.strip() and line[0] in " \t"}
    return len(starts) == 2


def _expanded(line: str) -> str:
    """The line with spaces instead of tabs in its indentation."""
    indent = indent_of(line)
    return indent.expandtabs(4) + line[len(indent) :]


def _definition_texts(
    candidate: str, document: DocumentSnapshot, subject: Subject, old: Definition, action: Action, *, body: bool
) -> Iterator[str]:
    language = find_language(document.language_id, document.path)
    old_text = _dedented(document, old.start, old.end)
    found: list[str] = []
    for even in _realigned(candidate, language, old_text):
        for start in _starts(even, old.name):
            part = even[start:]
            for shell in filter(None, (("", ""), SHELLS.get(language.name) if old.parents else None)):
                found += _in_shell(part, shell, language, old, action)
        if not found and body:
            found += _body_alone(even, document, language, old)
    new = [text for text in dict.fromkeys(found) if _squeezed(text) != _squeezed(old_text)]
    elsewhere = bool(subject.problems) and not any(old.start <= each.start < old.end for each in subject.problems)
    keeps = action.id not in _CHANGES_HEADER and (not action.signature or elsewhere) and old.kind == "function"
    for text in reversed(new):
        if keeps:
            yield _with_old_header(text, document, language, old)
        yield text
    if found and not new:
        yield old_text


def _dedented(document: DocumentSnapshot, start: int, end: int) -> str:
    """The text of a range moved to the left margin, with `\\n` for line endings."""
    first = document.line_start(document.line_at(start))
    lead = document.source[first:start].decode("utf-8", "replace")
    text = (lead if not lead.strip() else " " * len(lead)) + document.source[start:end].decode("utf-8", "replace")
    language = find_language(document.language_id, document.path)
    return dedented(text.replace("\r\n", "\n").replace("\r", "\n"), language)


def _starts(text: str, name: str) -> list[int]:
    """Offsets where a definition of `name` may begin: at the text's start, or at a line that has the name."""
    starts = [0]
    offset = 0
    for line in text.split("\n"):
        if offset and re.search(rf"(?<![\w.]){re.escape(name)}\b", line) and len(starts) < 12:
            starts.append(offset)
        offset += len(line) + 1
    return starts


def _in_shell(text: str, shell: tuple[str, str], language: Language, old: Definition, action: Action) -> list[str]:
    """The definitions in `text` with the name of the old one that are complete and have no errors."""
    source = (shell[0] + text + shell[1]).encode("utf-8", "replace")
    errors = broken_at(language, source)
    all_found = definitions(language, source)

    def sound(one: Definition) -> bool:
        return one.header_end < one.end and not any(a < one.end and one.start <= b for a, b in errors)

    good = [one for one in all_found if one.name == old.name and one.kind == old.kind and sound(one)]
    texts = []
    for one in good:
        start, end = one.start, one.end
        if action.more:  # includes new definitions beside it on the same level
            level = [d for d in all_found if d.parents == one.parents and sound(d)]
            outer = [d for d in level if not any(o.start < d.start and d.end <= o.end for o in level)]
            start = min((_with_doc(d) for d in outer), default=start)
            end = max((d.end for d in outer), default=end)
            if any(a < end and start <= b for a, b in errors):
                start, end = one.start, one.end
        line_start = source.rfind(b"\n", 0, start) + 1
        lead = source[line_start:start].decode("utf-8", "replace")
        body = source[start:end].decode("utf-8", "replace")
        texts.append(dedented(lead + body, language) if not lead.strip() else body)
    return texts


def _with_doc(definition: Definition) -> int:
    return min(definition.start, definition.doc[0]) if definition.doc else definition.start


def _body_alone(text: str, document: DocumentSnapshot, language: Language, old: Definition) -> list[str]:
    """The old header with `text` as its body, if the answer is a body without a header."""
    header = _dedented(document, old.start, old.header_end).rstrip()
    if any(one.kind == "function" for one in definitions(language, text.encode("utf-8", "replace"))):
        return []
    if not _STATEMENT.search(text):  # without this, a word or a sentence would parse as a body
        return []
    unit = document_unit(document)
    body = shifted(dedented(text, language), language, unit)
    if language.name == "Python":
        whole = f"{header}\n{body}"
    elif text.lstrip().startswith("{"):
        whole = f"{header} {dedented(text, language)}"
    else:
        whole = f"{header} {{\n{body}\n}}"
    source = whole.encode("utf-8", "replace")
    found = [one for one in definitions(language, source) if one.name == old.name]
    return [whole] if found and not broken_at(language, source) and found[0].end >= len(source.rstrip()) else []


def _with_old_header(text: str, document: DocumentSnapshot, language: Language, old: Definition) -> str:
    """`text` with the old function's exact header: modifiers, decorators, types and name."""
    shell = SHELLS.get(language.name, ("", "")) if old.parents else ("", "")
    for lead, tail in (("", ""), shell):
        source = (lead + text + tail).encode("utf-8", "replace")
        errors = broken_at(language, source)
        found = [one for one in definitions(language, source) if one.name == old.name]
        if found and not errors:
            break
    else:
        return text
    new = found[0]
    if new.parameters != old.parameters:
        return text  # a later check reports the changed parameters
    old_header = _dedented(document, old.start, old.header_end)
    new_header = source[len(lead) + (new.start - len(lead)) : new.header_end].decode("utf-8", "replace")
    on_next_line = old_header.rstrip(" \t") != old_header.rstrip(), new_header.rstrip(" \t") != new_header.rstrip()
    if on_next_line[0] != on_next_line[1]:
        return text
    end = len(source) - len(tail.encode())
    before = source[len(lead) : new.start].decode("utf-8", "replace")
    after = source[new.header_end : end].decode("utf-8", "replace")
    indent = indent_of(new_header.split("\n")[-1]) if on_next_line[1] else ""
    kept = old_header.rstrip() + ("\n" + indent if on_next_line[0] else " " * (old_header != old_header.rstrip()))
    return before + kept + after


def _part_texts(candidate: str, document: DocumentSnapshot, subject: Subject) -> Iterator[str]:
    """Candidates for a part of a definition, or for lines outside any, without lines around the range that they
    repeat."""
    language = find_language(document.language_id, document.path)
    for even in _realigned(
        candidate, language, document.source[subject.start : subject.end].decode("utf-8", "replace")
    ):
        if subject.definition is not None:
            around = subject.definition
            before = _lines(document.source[around.start : subject.start])
            after = _lines(document.source[subject.end : around.end])
            stripped = _without_context(even.split("\n"), before, after)
            if stripped is not None:
                yield dedented("\n".join(stripped), language)
                continue
        yield even.strip("\n")


def _lines(source: bytes) -> list[str]:
    text = source.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
    return [line.strip() for line in text.split("\n") if line.strip()]


def _without_context(lines: list[str], before: list[str], after: list[str]) -> list[str] | None:
    """`lines` without the lines of `before` at the start and of `after` at the end; None if they do not start like
    `before`. Blank lines and indentation are ignored."""
    rest = list(lines)
    for expected in before:
        while rest and not rest[0].strip():
            rest.pop(0)
        if not rest or _squeezed(rest[0]) != _squeezed(expected):
            return None
        rest.pop(0)
    if not before:
        return None
    for expected in reversed(after):
        while rest and not rest[-1].strip():
            rest.pop()
        if not rest or _squeezed(rest[-1]) != _squeezed(expected):
            break  # the model stopped at the end of the range
        rest.pop()
    return rest


def _squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text)
