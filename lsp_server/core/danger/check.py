"""Checks a suggestion within its surrounding code for dangerous patterns and for look-alike names.

Only findings that the suggestion adds count; code that is already there is the user's. A parse that takes too many
steps is stopped, and the suggestion then counts as unchecked.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lsp_server.core.brackets import closers
from lsp_server.core.danger import lookalikes
from lsp_server.core.danger.finding import Finding
from lsp_server.core.danger.reading import MOST_NODES, MOST_NODES_OF_FILE
from lsp_server.core.danger.search import Search, rules_of
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.languages.entry import Language
from lsp_server.core.parsing import PARSE_STEPS, parse
from lsp_server.core.shape import Suggestion
from lsp_server.core.syntax import WINDOW_BYTES, window_at
from lsp_server.core.text import encode

if TYPE_CHECKING:
    from tree_sitter import Node

# How many bytes of a document are searched for names that the user has written.
_NAMES_BYTES = 1 << 20
_TEXT_KINDS = frozenset({"jsx_text", "text", "text_interpolation", "html_text"})
# How many bytes of a document are parsed: for a suggestion, and for a range of a file.
_MOST_BYTES, _MOST_BYTES_OF_FILE = 64 << 10, 256 << 10
# The limit of parse steps, in multiples of the steps for one window: for a suggestion, and for a range of a file.
_MOST_WINDOWS, _MOST_WINDOWS_OF_FILE = 4, 32
# How many brackets are closed behind a text that ends inside them.
_MOST_CLOSERS = 8
# What joins strings or assigns them, and a variable behind it where `x` is none.
_OPERATORS = ("+", "%", ".", "=")
_OPERANDS = {"php": "$x"}
# How many look-alike names are reported at most, and how many odd spaces.
_MOST_LOOKALIKES = 50


@dataclass(frozen=True, slots=True)
class Checked:
    """findings: with offsets in bytes from the start of the suggestion. whole: whether everything was checked."""

    findings: tuple[Finding, ...] = ()
    whole: bool = True


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of a document with its tree. end: its end in the document. moved: what to add to an offset in the document
    to get one in `source`."""

    language: Language
    source: bytes
    end: int
    moved: int
    root: Node | None
    steps: int


def check(document: DocumentSnapshot, suggestion: Suggestion, *, rules: bool = True) -> Checked:
    """The findings that `suggestion` would add to `document`. rules: whether dangerous patterns are looked for, too."""
    text = encode(suggestion.text)
    after = document.edited(suggestion.start, suggestion.end, text)
    start, end = suggestion.start, suggestion.start + len(text)
    part: _Part | None = None
    found: list[Finding] = []
    looked_at = whole = True
    if not suggestion.text.isascii():
        part = _part(after, start, end)
        found, looked_at = _lookalikes(document, after, part, start, end)
    if rules:
        part = part or _part(after, start, end)
        if rules_of(part.language.name) is not None:
            dangers, whole = _dangers(part, start, end)
            if not dangers and part.root is not None and part.root.has_error:
                dangers = _dangers_closed(after, part.language, start, end)
            begun = [each for each in dangers if each.start < start]
            if begun:  # the pattern begins before the suggestion, so it may have been there already
                before = _part(document, suggestion.start, suggestion.end)
                known = {(each.id, each.start) for each in _dangers(before, begun[0].start, suggestion.end + 1)[0]}
                dangers = [each for each in dangers if (each.id, each.start) not in known]
            found += dangers
    found.sort(key=lambda each: (each.start, each.id))
    return Checked(tuple(_shifted(each, -start) for each in found), whole and looked_at)


def check_edit(document: DocumentSnapshot, start: int, end: int, text: str) -> Checked:
    """The findings that `text` adds when it replaces the bytes `start:end`. Findings with the same words in the old
    text do not count."""
    found = check(document, Suggestion(text, start, end))
    if not found.findings or start == end:
        return found
    source, new = document.source[start:end], encode(text)
    kept = Counter(_words(source, each) for each in check_range(document, start, end).findings)
    brought = []
    for each in found.findings:
        words = _words(new, each)
        kept[words] -= 1
        if kept[words] < 0:
            brought.append(each)
    return Checked(tuple(brought), found.whole)


def _words(source: bytes, finding: Finding) -> tuple[str, bytes]:
    return finding.id, b" ".join(source[max(0, finding.start) : finding.end].split())


def check_range(document: DocumentSnapshot, start: int, end: int) -> Checked:
    """The findings in the bytes `start:end` of a document as it is. Offsets are in bytes from `start`."""
    part = _part(document, start, end, _MOST_BYTES_OF_FILE)
    found, looked_at = _lookalikes(document, document, part, start, end, _MOST_BYTES_OF_FILE, known=frozenset())
    has_rules = rules_of(part.language.name) is not None
    dangers, whole = _dangers(part, start, end, MOST_NODES_OF_FILE) if has_rules else ([], True)
    found = sorted([*found, *dangers], key=lambda each: (each.start, each.id))
    return Checked(tuple(_shifted(each, -start) for each in found), whole and looked_at)


def _shifted(finding: Finding, by: int) -> Finding:
    return replace(finding, start=finding.start + by, end=finding.end + by, statement=finding.statement + by)


def _part(document: DocumentSnapshot, start: int, end: int, most_bytes: int = _MOST_BYTES) -> _Part:
    """The part of a document around the bytes `start:end`, parsed."""
    size = min(most_bytes, max(WINDOW_BYTES, 4 * (end - start)))
    window = window_at(document, document.line_at(start), size)
    source = window.head + document.source[window.start : window.end] + window.tail
    if document.newline == b"\r":
        source = source.replace(b"\r", b"\n")
    windows = _MOST_WINDOWS if most_bytes == _MOST_BYTES else _MOST_WINDOWS_OF_FILE
    most = PARSE_STEPS * max(1, min(windows, size // WINDOW_BYTES))
    tree, steps = parse(window.language, source, most)
    root = None if tree is None else tree.root_node
    return _Part(window.language, source, window.end, len(window.head) - window.start, root, steps)


def _dangers(part: _Part, start: int, end: int, most_nodes: int = MOST_NODES) -> tuple[list[Finding], bool]:
    """The findings of the rules, and whether everything was checked."""
    if part.root is None or rules_of(part.language.name) is None:
        return [], part.root is not None
    search = Search(part.language, part.source, part.root, most_nodes)
    found = search.findings(start + part.moved, end + part.moved)
    return [_shifted(each, -part.moved) for each in found], search.whole and part.end >= end


def _dangers_closed(document: DocumentSnapshot, language: Language, start: int, end: int) -> list[Finding]:
    """The findings of the rules after the open brackets at `end` are closed: an unfinished call matches no rule. Behind
    an operator comes a variable first, because that is what a concatenation or an assignment goes on with."""
    text = document.source[document.line_start(document.line_at(start)) : end].decode("utf-8", "replace")
    closing = closers(text, language.quotes, language.comment[0])[:_MOST_CLOSERS]
    operand = _OPERANDS.get(language.name, "x") if text.rstrip().endswith(_OPERATORS) else ""
    if not closing and not operand:
        return []
    part = _part(document.edited(end, end, f"{operand}{closing}".encode()), start, end)
    return _dangers(part, start, end)[0]


def _lookalikes(
    before: DocumentSnapshot,
    after: DocumentSnapshot,
    part: _Part,
    start: int,
    end: int,
    most_bytes: int = _MOST_BYTES,
    known: frozenset[str] | None = None,
) -> tuple[list[Finding], bool]:
    """The look-alike names and odd spaces, and whether the whole text was searched."""
    language = part.language
    if not lookalikes.has_names(language):
        return [], True
    # A name may begin before the text and end after it.
    line_start = after.line_start(after.line_at(start))
    text_start = max(line_start, start - 256)
    text_end = min(end + 256, text_start + most_bytes, max(text_start + _MOST_BYTES, part.end))
    text = after.source[text_start:text_end].decode("utf-8", "replace")
    found: list[Finding] = []
    names = lookalikes.names_in(before.source[:_NAMES_BYTES].decode("utf-8", "replace")) if known is None else known
    places = [(*place, True) for place in lookalikes.suspicious_names(text, names)]
    spaces = [(*match.span(), "there is a space in it that is no plain one", False) for match in _odd_spaces(text)]
    for first, last, why, is_name in [*places[:_MOST_LOOKALIKES], *spaces[:_MOST_LOOKALIKES]]:
        began = text_start + len(text[:first].encode())
        ended = began + len(text[first:last].encode())
        if ended <= start or began >= end or _is_text(part, began + part.moved):
            continue
        safe = lookalikes.SAFE if is_name else "write a plain space"
        id = "lookalike" if is_name else "space"
        found.append(Finding(id, lookalikes.CWE, why, safe, began, ended, _line_start(after, began), never=True))
    return found, text_end >= min(end, len(after.source))


def _odd_spaces(text: str) -> list[lookalikes.Match]:
    return list(lookalikes.ODD_SPACE.finditer(text))


def _line_start(document: DocumentSnapshot, offset: int) -> int:
    return document.line_start(document.line_at(offset))


def _is_text(part: _Part, offset: int) -> bool:
    """Whether a byte of the part is inside a string, a comment or prose, according to the tree."""
    if part.root is None:
        return False
    language = part.language
    node = part.root.descendant_for_byte_range(offset, offset)
    while node is not None:
        if node.type in language.code_in_strings:
            return False
        if node.type in language.strings or node.type in language.comments or node.type in _TEXT_KINDS:
            return True
        node = node.parent
    return False
