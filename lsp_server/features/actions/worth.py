"""Checks that an edit is worth proposing: an edit that parses may still lose code that the user needs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from lsp_server.core.chatter import is_placeholder
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.idioms import repeated_statement
from lsp_server.core.languages import Language, find_language
from lsp_server.core.outline import called_in, comments_in, has_definitions, leaves_in, names_in
from lsp_server.features.actions.catalogue import Action
from lsp_server.features.actions.names import known_names
from lsp_server.features.actions.subject import Subject

_MODIFIERS = re.compile(
    r"\b(?:public|private|protected|static|final|abstract|synchronized|native|default|export|async|override|readonly"
    r"|pub|const|unsafe|extern|inline|virtual|constexpr)\b"
)
# Actions that must not remove anything.
_ONLY_ADD = frozenset({"errors", "types"})
# The share of names, and of comments, that an edit must keep.
_KEPT = 0.5


def loss(document: DocumentSnapshot, subject: Subject, new: bytes, action: Action) -> str:
    """What `new` loses of the subject's range, or that it changes nothing, in words for the model and the user; empty
    if it is worth proposing. For actions that keep the behaviour of the code, and for code that parses."""
    language = find_language(document.language_id, document.path)
    if not has_definitions(language):
        return ""
    old = document.source[subject.start : subject.end]
    edited = document.edited(subject.start, subject.end, new).source
    end = subject.start + len(new)
    said = comments_in(language, edited, subject.start, end)
    placeholder = next((text for text in said if is_placeholder(text) and text.encode() not in old), "")
    if placeholder:
        return f"the answer leaves code out: `{_short(placeholder)}`"
    twice = repeated_statement(language, edited, subject.start, end)
    if twice and not repeated_statement(language, document.source, subject.start, subject.end):
        return f"the answer says `{_short(twice)}` twice"
    before = leaves_in(language, document.source, subject.start, subject.end)
    after = leaves_in(language, edited, subject.start, end)
    if [text for _, text in before] == [text for _, text in after]:
        return "the answer only changes comments"
    if not subject.problems and _without_last_commas(before) == _without_last_commas(after):
        return "the answer only changes the layout"
    if not subject.problems and _only_renames(before, after):
        return "the answer only gives other names or words to what is there"
    if action.id == "types" and not _is_within([text for _, text in before], [text for _, text in after]):
        return "the answer changes more than the types"
    if len(after) < len(before) and action.id in _ONLY_ADD:
        return "the answer takes code away, which was not asked for"
    missing = _lost_marks(document, subject, edited, end)
    if missing:
        return f"the answer loses `{missing}`"
    lost = _lost_names(document, subject, edited, end, language, strict=action.id == "errors")
    if lost:
        return f"the answer no longer uses {', '.join(f'`{name}`' for name in lost[:4])}"
    was = comments_in(language, document.source, subject.start, subject.end)
    gone = [text for text in was if text not in said]
    if len(gone) > (1 - _KEPT) * len(was):
        return f"the answer loses the comment `{_short(gone[0])}`"
    result = _no_result(language, [text for _, text in before], [text for _, text in after])
    if subject.whole and result:
        return f"the answer has no `{result}` any more"
    return ""


def _no_result(language: Language, before: list[str], after: list[str]) -> str:
    """`return` or `yield`, if the old code has it and the new one has not: only part of a function was answered."""
    if language.name == "Rust" or "=>" in after:  # there the last expression may be the result
        return ""
    return next((word for word in ("return", "yield") if word in before and word not in after), "")


def _without_last_commas(leaves: Sequence[tuple[str, str]]) -> list[str]:
    """The tokens, but for a comma in front of a closing bracket, which comes and goes with the line breaks."""
    texts = [text for _, text in leaves]
    return [text for text, behind in zip(texts, [*texts[1:], ""], strict=True) if text != "," or behind not in {*")]}"}]


def _only_renames(before: list[tuple[str, str]], after: list[tuple[str, str]]) -> bool:
    """Whether the two differ only by names, each replaced by the same other name everywhere, or by the words in
    strings."""
    if len(before) != len(after):
        return False
    names: dict[str, str] = {}
    for (kind, old), (other, new) in zip(before, after, strict=True):
        is_name = kind.endswith("identifier")
        if kind != other or (old != new and not is_name and "string" not in kind):
            return False
        if is_name and names.setdefault(old, new) != new:
            return False
    return len(set(names.values())) == len(names)


def _is_within(part: Iterable[str], whole: Iterable[str]) -> bool:
    """Whether all of `part` occurs in `whole`, in the same order."""
    rest = iter(whole)
    return all(text in rest for text in part)


def _lost_names(
    document: DocumentSnapshot, subject: Subject, edited: bytes, end: int, language: Language, *, strict: bool
) -> list[str]:
    """The names from outside the code that the edit no longer uses: a parameter that is assigned instead, or most of
    all names. strict: any of the names, and any called function."""
    begin = subject.start
    if subject.whole and subject.definition is not None:
        begin = subject.definition.header_end
    used, bound = names_in(language, document.source, begin, subject.end)
    ours = used - bound - known_names(language)
    kept, introduced = names_in(language, edited, subject.start, end)
    lost = sorted(ours - kept)
    parameters = subject.definition.parameters if subject.whole and subject.definition is not None else ()
    dropped = [name for name in lost if name in parameters and name in introduced]
    if strict:
        calls = set(called_in(language, edited, subject.start, end))
        called = called_in(language, document.source, begin, subject.end)
        return dropped or lost + [name for name in called if name not in calls]
    return dropped or (lost if len(lost) > (1 - _KEPT) * len(ours) else [])


def _lost_marks(document: DocumentSnapshot, subject: Subject, edited: bytes, end: int) -> str:
    """A decorator, an attribute or a modifier of a function that the edit removes; empty if there is none."""
    definition = subject.definition
    if not subject.whole or definition is None or subject.has_problem_in_header:
        return ""
    header = document.source[definition.start : definition.header_end].decode("utf-8", "replace")
    new = edited[subject.start : end].decode("utf-8", "replace")
    squeezed = re.sub(r"\s+", "", new)
    for mark in re.findall(r"^\s*(@[\w.]+|#\[.*\])", header, re.MULTILINE):
        if re.sub(r"\s+", "", mark) not in squeezed:
            return str(mark)
    head = re.split(rf"(?<!\w){re.escape(definition.name)}(?!\w)", header, maxsplit=1)[0]
    return next((word for word in _MODIFIERS.findall(head) if not re.search(rf"\b{word}\b", new)), "")


def _short(comment: str) -> str:
    line = " ".join(comment.split())
    return line if len(line) <= 60 else line[:59] + "…"
