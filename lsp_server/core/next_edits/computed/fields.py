"""Kind `member`: a tuple type was replaced by a struct (Rust), so accesses by number become accesses by field name."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lsp_server.core.edits import Replacement
from lsp_server.core.next_edits.calls import combined
from lsp_server.core.next_edits.names import together
from lsp_server.core.next_edits.proposal import NextEdit, Situation
from lsp_server.core.next_edits.trees import tree_of

_STRUCT = re.compile(rb"struct[ \t]+(\w+)(?:<[^{}]*>)?[ \t]*\{([^{}]*)\}")
_FIELD = re.compile(rb"(?:pub(?:\([^)]*\))?[ \t]+)?(\w+)[ \t]*:[ \t]*(.+)", re.S)
# A name with its type.
_TYPED = re.compile(rb"(\w+)[ \t]*:[ \t]*([^=;{]+)")
# An access by number to a variable, to an element of it, or to the result of a method of it.
_PART = rb"(?<![\w.])(?:self\.)?%b(?:\[[^\[\]]*\]|\.\w+\(\)|\?)*\.(\d+)\b"


def follow_fields(situation: Situation) -> Iterator[NextEdit]:
    if situation.language.name != "Rust":
        return
    structs = _structs(situation)
    for hunk in situation.hunks[::-1]:
        trimmed = hunk.trimmed()
        for old, new in zip(trimmed.old, trimmed.new, strict=False):
            was, now = _TYPED.search(old), _TYPED.search(new)
            if was is None or now is None or was[1] != now[1]:
                continue
            for name, fields in structs.items():
                if name not in now[2] or re.search(rb"\b%b\b" % name, was[2]):
                    continue
                if _squeezed(b"(" + b",".join(kind for _, kind in fields) + b")") not in _squeezed(was[2]):
                    continue
                yield from _uses(situation, was[1], [field for field, _ in fields], name)
                return


def _structs(situation: Situation) -> dict[bytes, list[tuple[bytes, bytes]]]:
    """The structs that the last edits added, with the names and types of their fields."""
    found = {}
    for hunk in situation.hunks:
        for match in _STRUCT.finditer(hunk.new):
            if match[0] in hunk.old:
                continue
            fields = [_FIELD.match(part.strip()) for part in _split(match[2])]
            if fields and all(fields):
                found[match[1]] = [(field[1], field[2].strip()) for field in fields if field is not None]
    return found


def _split(text: bytes) -> list[bytes]:
    """The parts between commas that are not inside brackets."""
    parts, depth = [b""], 0
    for byte in text:
        character = bytes([byte])
        depth += (character in b"(<[{") - (character in b")>]}")
        if character == b"," and depth == 0:
            parts.append(b"")
        else:
            parts[-1] += character
    return [part for part in parts if part.strip()]


def _squeezed(text: bytes) -> bytes:
    return re.sub(rb"\s+", b"", text).replace(b",)", b")")


def _uses(situation: Situation, variable: bytes, fields: list[bytes], struct: bytes) -> Iterator[NextEdit]:
    """The edits where `variable` or an element of it is accessed by number."""
    document = situation.document
    part = re.compile(_PART % re.escape(variable))
    edits = [
        Replacement(match.start(1), match.end(1), fields[int(match[1])])
        for match in part.finditer(document.source)
        if int(match[1]) < len(fields) and tree_of(document).is_code(match.start(1), match.end(1))
    ]
    if not edits:
        return
    last = situation.last
    start = last.end if last is not None and last.uri == document.uri and last.start >= 0 else situation.cursor
    lines = together(document, [edit.start for edit in edits], document.line_start(document.line_at(start)))
    first, end, text = combined(document, [edit for edit in edits if edit.start in lines])
    if tree_of(document).stays_whole(first, end, text):
        why = f"{variable.decode()} holds {struct.decode()} now"
        yield NextEdit("member", document, first, end, text, why, 3)
