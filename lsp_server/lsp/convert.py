"""Converts between the protocol's types and ours: positions, edits, suggestions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from lsprotocol import types

from lsp_server.core.danger.finding import Finding
from lsp_server.core.document import Document, Edit, Seen
from lsp_server.core.names.missing_imports import ImportEdit
from lsp_server.core.shape import Suggestion
from lsp_server.core.text import Encoding, character_start

_WORD_BEFORE = re.compile(r"\w*$")
# The word before the cursor is searched in this many bytes of the line.
_WORD_BYTES = 256
# A menu is as wide as its longest entry; a longer text is shown in the box beside it.
_LABEL_CHARACTERS = 60


class PositionError(ValueError):
    """A position that is not in its document."""


def offset_of(document: Document, position: types.Position, encoding: Encoding) -> int:
    """The byte offset of `position`. A character beyond the end of its line means the line's end, as in the protocol.

    Raises PositionError for a line that the document does not have.
    """
    if not 0 <= position.line < document.line_count or position.character < 0:
        raise PositionError(
            f"position {position.line}:{position.character} is outside {document.path or document.uri}, "
            f"which has {document.line_count} lines"
        )
    return document.offset(position.line, position.character, encoding)


def edits_of(changes: Sequence[types.TextDocumentContentChangeEvent]) -> list[Edit]:
    edits = []
    for change in changes:
        if isinstance(change, types.TextDocumentContentChangePartial):
            start, end = change.range.start, change.range.end
            edits.append(Edit(((start.line, start.character), (end.line, end.character)), change.text))
        else:
            edits.append(Edit(None, change.text))
    return edits


def asked_place(params: Any) -> tuple[str, int] | None:
    """The document's URI and the line in the untyped parameters of one of our own requests; None if they have none."""

    def part(value: Any, name: str) -> Any:
        return value.get(name) if isinstance(value, dict) else getattr(value, name, None)

    uri, line = part(part(params, "textDocument"), "uri"), part(part(params, "position"), "line")
    return (uri, line) if isinstance(uri, str) and isinstance(line, int) else None


def range_of(document: Document, start: int, end: int, encoding: Encoding) -> types.Range:
    first, last = document.position(start, encoding), document.position(end, encoding)
    return types.Range(types.Position(*first), types.Position(*last))


def inline_item(
    suggestion: Suggestion, document: Document, encoding: Encoding, base: int = 0
) -> types.InlineCompletionItem:
    """The suggestion as an item for `document`. base: the offset in `document` of the text that the suggestion is
    for."""
    return types.InlineCompletionItem(
        insert_text=suggestion.text,
        range=range_of(document, base + suggestion.start, base + suggestion.end, encoding),
    )


def completion_item(
    suggestion: Suggestion,
    document: Document,
    encoding: Encoding,
    seen: Seen | None = None,
    mark: str = "",
    found: Sequence[Finding] = (),
    imports: Sequence[ImportEdit] = (),
) -> types.CompletionItem:
    """The suggestion as one item of a completion menu.

    seen: the part of `document` that the suggestion is for; None: all. mark: appended to the label. found: dangers that
    a check has found in it. imports: the edits that add missing imports.

    The word before the cursor is part of the item and of its filter text, because clients filter the items by it. Its
    kind is Text and it is never a snippet: in snippets, some clients interpret `$` and braces.
    """
    seen = seen or document.near(0)
    source, line_start = seen.document.source, seen.document.line_start(seen.document.line_at(suggestion.start))
    first = character_start(source, max(line_start, suggestion.start - _WORD_BYTES))
    before = source[first : suggestion.start].decode("utf-8", "replace")
    begun = _WORD_BEFORE.search(before)
    word = begun.group() if begun else ""
    start = suggestion.start - len(word.encode())
    text = word + suggestion.text
    label = text.strip().split("\n")[0].strip()
    if len(label) > _LABEL_CHARACTERS:
        label = f"{label[: _LABEL_CHARACTERS - 1]}…"
    told = [f"Look at this before you take it: {each.in_words()}." for each in found]
    more = [types.TextEdit(range_of(document, start, end, encoding), made.decode()) for start, end, made in imports]
    told += ["It is inserted with `" + each.new_text.strip(", \r\n") + "`." for each in more]
    told += [text] if "\n" in text.strip() or label.endswith("…") else []
    edit_range = range_of(document, seen.base + start, seen.base + suggestion.end, encoding)
    return types.CompletionItem(
        label=label + mark,
        kind=types.CompletionItemKind.Text,
        # A detail would open a box beside the menu, over the code.
        label_details=types.CompletionItemLabelDetails(description="fimble"),
        documentation="\n\n".join(told) or None,
        filter_text=text.lstrip(),
        sort_text="\uffff",
        insert_text_format=types.InsertTextFormat.PlainText,
        text_edit=types.TextEdit(edit_range, text),
        additional_text_edits=more or None,
    )


def path_of(uri: str) -> Path | None:
    """The path in a `file:` URI; None for any other URI."""
    try:
        parts = urlsplit(uri)
    except ValueError:  # brackets that look like a broken IPv6 address
        return None
    if parts.scheme != "file":
        return None
    path = unquote(parts.path)
    if re.match(r"^/[A-Za-z]:", path):
        path = path[1:]  # file:///C:/…
    return Path(path)


def paths_of(uris: Iterable[str]) -> list[Path]:
    return [path for uri in uris if (path := path_of(uri)) is not None]


def folder_name(uri: str, roots: Sequence[Path]) -> str:
    """The name of the workspace folder that contains a document; empty if none does."""
    path = path_of(uri)
    return next((root.name for root in roots if path is not None and path.is_relative_to(root)), "")


def place_of(uri: str, roots: Sequence[Path]) -> tuple[str, str]:
    """The name of a document in the workspace, and the name of its folder."""
    return shown_path(uri, roots), folder_name(uri, roots)


def shown_path(uri: str, roots: Sequence[Path]) -> str:
    """The name of a document in prompts: its path relative to its workspace folder, or the last part of its URI."""
    path = path_of(uri)
    if path is None:
        plain = uri.partition("#")[0].partition("?")[0]
        return PurePosixPath(unquote(plain.partition(":")[2] or plain)).name
    for root in roots:
        if path.is_relative_to(root):
            return path.relative_to(root).as_posix()
    return path.name
