"""Kind `again`: two of the last edits are instances of one pattern, so the next matching place gets the same edit."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.languages.entry import Language
from lsp_server.core.next_edits.patterns import instance, matched
from lsp_server.core.next_edits.proposal import NextEdit, Situation, smallest
from lsp_server.core.next_edits.templates import Template, own_spaces, pairs, templates
from lsp_server.core.next_edits.tokens import tokens_of
from lsp_server.core.next_edits.trees import language_of, tree_of

# How many places in one document are tried for one pattern, and how many parses are made for all of them.
_MOST_PLACES, _MOST_PARSES = 400, 8
# In recorded sessions no user wanted an edit more than this many lines from the last one.
_FAR_LINES = 300
# Longer texts are data.
_MOST_BYTES = 4000


def do_it_again(situation: Situation) -> Iterator[NextEdit]:
    """The next places for the pattern of the last edits, in the order in which the user comes to them."""
    hunks = [hunk for hunk in situation.hunks if hunk.language_id == situation.document.language_id]
    if not hunks or hunks[-1] is not situation.hunks[-1]:
        return
    search = _Search(situation)
    for one, other in pairs(hunks, situation):
        for found in search.places(list(templates(one, other, situation.language))):
            search.found = True
            yield found
        if search.found or search.parses_left <= 0:
            return


class _Search:
    """One search for places. parses_left: how many parses it may still make. found: whether it has found any place."""

    def __init__(self, situation: Situation) -> None:
        self._situation = situation
        self.parses_left = _MOST_PARSES
        self.found = False

    @cached_property
    def in_code(self) -> bool:
        """Whether the last edit was of code, as far as is known, and not of a comment or a multi-line string."""
        last, document = self._situation.hunks[-1], self._situation.document
        start = last.trimmed().start
        if last.uri != document.uri or not 0 <= start < len(document.source):
            return True
        while start + 1 < len(document.source) and document.source[start : start + 1].isspace():
            start += 1
        return tree_of(document).is_code(start, start + 1)

    def places(self, found: Sequence[Template]) -> Iterator[NextEdit]:
        """The places of the first template that has any. Matches ahead of the user in the document come first, even if
        their template is less specific than one with matches elsewhere."""
        document = self._situation.document
        others = [each for each in self._situation.others if language_of(each) is self._situation.language]
        for ahead, documents in ((True, [document]), (False, [document, *others])):
            for each in documents:
                for template in found:
                    some = False
                    for edit in self._checked(template, each, ahead=ahead):
                        some = True
                        yield edit
                    if some or self.parses_left <= 0:
                        return

    def _checked(self, template: Template, document: DocumentSnapshot, *, ahead: bool) -> Iterator[NextEdit]:
        for start, end, text in _fitting(template, document, self._situation, ahead=ahead):
            edit = smallest(NextEdit("again", document, start, end, text, "as in your last edits"))
            if edit is None:
                continue
            if self.parses_left <= 0:
                return
            self.parses_left -= 1
            tree = tree_of(document)
            is_code = tree.is_code(start, start + 1)
            if is_code == self.in_code and tree.stays_whole(edit.start, edit.end, edit.text):
                yield replace(edit, certainty=2) if self._is_far(document, start) else edit

    def _is_far(self, document: DocumentSnapshot, offset: int) -> bool:
        """Whether a place is too far from the last edit for the user to have it in mind."""
        last = self._situation.hunks[-1]
        if last.uri != document.uri or last.start < 0:
            return False
        return abs(document.line_at(offset) - document.line_at(min(last.start, len(document.source)))) > _FAR_LINES


def _fitting(
    template: Template, document: DocumentSnapshot, situation: Situation, *, ahead: bool
) -> Iterator[tuple[int, int, bytes]]:
    """The ranges in a document that a template matches, each with its new text."""
    source, language = document.source, language_of(document)
    done = [(h.start, h.end) for h in situation.hunks if h.uri == document.uri and h.start >= 0]
    words = template.pattern.words
    seen: set[int] = set()
    for offset in _in_order(template.anchor, document, situation, ahead=ahead):
        line = document.line_at(offset) - template.anchor_line
        last_line = line + template.lines - 1
        if line in seen or line < 0 or last_line >= document.line_count:
            continue
        seen.add(line)
        first, last = document.line_start(line), document.line_end(last_line)
        text = source[first:last]
        if len(text) > _MOST_BYTES or not all(word in text for word in words):
            continue
        for start, end, new in _instances(template, text, language):
            old = text[start:end]
            if any(first + start < b and a < first + end for a, b in done) or _is_there(
                source, first + start, old, new
            ):
                continue
            if template.whole and not new.strip():  # the new text is empty: whole lines are deleted
                behind = document.line_start(last_line + 1) if last_line + 1 < document.line_count else last
                yield first, behind, b""
            else:
                yield first + start, first + end, new.replace(b"\n", document.newline)
            break


def _in_order(anchor: bytes, document: DocumentSnapshot, situation: Situation, *, ahead: bool) -> Iterator[int]:
    """Offsets of the anchor word. ahead: those from the last edit on in the direction of the user; else the others."""
    word = re.compile(rb"(?<![\w\x80-\xff])%b(?![\w\x80-\xff])" % re.escape(anchor))
    found = []
    for match in word.finditer(document.source):
        found.append(match.start())
        if len(found) >= 4 * _MOST_PLACES:
            break
    here = [hunk.start for hunk in situation.hunks if hunk.uri == document.uri and hunk.start >= 0]
    if not here:
        return iter([] if ahead else found[:_MOST_PLACES])
    behind = [offset for offset in found if offset >= here[-1]]
    before = [offset for offset in found if offset < here[-1]]
    first, rest = (before[::-1], behind) if len(here) > 1 and here[-2] > here[-1] else (behind, before)
    return iter((first if ahead else rest)[:_MOST_PLACES])


def _instances(template: Template, text: bytes, language: Language) -> Iterator[tuple[int, int, bytes]]:
    """The ranges in the lines `text` that the pattern matches, each with its new text."""
    tokens = tokens_of(text, language)
    pattern = template.pattern
    for at in range(1 if pattern.starts else len(tokens)):
        found = matched(pattern, tokens, at)
        if found is None or (pattern.stops and found[0] != len(tokens)):
            continue
        end, bound = found
        parts = instance(pattern, bound, text)
        if parts is None or end == at:
            continue
        old = text[tokens[at].start : tokens[end - 1].end]
        yield tokens[at].start, tokens[end - 1].end, _made(template, parts, old, text, language)


def _made(template: Template, parts: Sequence[bytes], old: bytes, text: bytes, language: Language) -> bytes:
    """The new text of a place. White space that the example left unchanged is taken from the place, else from the
    example."""
    indent = text[: len(text) - len(text.lstrip())]
    tokens = [tokens_of(part, language) for part in parts]
    own = own_spaces(tokens_of(old, language), old, [token for each in tokens for token in each])
    made, index = [], 0
    for number, (part, (space, kept)) in enumerate(zip(parts, template.spaces, strict=True)):
        if number:
            made.append(own[index - 1] if kept and index - 1 in own else _indented(space, template.indent, indent))
        made.append(part)
        index += len(tokens[number])
    return b"".join(made)


def _indented(space: bytes, example: bytes, here: bytes) -> bytes:
    """White space with line endings, with the indentation of this place instead of the example's."""
    if b"\n" not in space:
        return space
    return b"\n".join(
        here + line[len(example) :] if index and line.startswith(example) else line
        for index, line in enumerate(space.split(b"\n"))
    )


def _is_there(source: bytes, start: int, old: bytes, new: bytes) -> bool:
    """Whether the new text is there already."""
    if old not in new:
        return False
    found = source.find(new, max(0, start - len(new)), start + len(new) + len(old))
    return 0 <= found <= start and found + len(new) >= start + len(old)
