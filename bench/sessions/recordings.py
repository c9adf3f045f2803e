"""Reads recorded editing sessions in their published formats, as one stream of changes."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.text import encode

# A recorded selection gives the cursor after a change if it was recorded within this time after the change.
_SELECTION_WITHIN_MS = 50

# A change of a whole document is a load and no typing if it removes or inserts at least this many characters.
_LOADED_CHARACTERS = 80


@dataclass(frozen=True, slots=True)
class Replacement:
    """A replacement of the bytes `start:end`. If there are several, each refers to the text after the ones before
    it."""

    start: int
    end: int
    inserted: bytes


@dataclass(frozen=True, slots=True)
class Change:
    """A document before and after a change, the byte offset of the cursor after it, and the time in ms.

    types: whether an editor would request a completion: after any change by the user in the focused file, also pastes
    and deletions; not after the loading of a file, or a tool's change of another file.
    """

    time_ms: float
    before: DocumentSnapshot
    document: DocumentSnapshot
    replacements: tuple[Replacement, ...]
    cursor: int
    types: bool

    @property
    def key(self) -> str | None:
        """The character that the change inserted, if it inserted exactly one and changed nothing else."""
        if len(self.replacements) != 1 or self.replacements[0].start != self.replacements[0].end:
            return None
        inserted = self.replacements[0].inserted.decode("utf-8", "replace")
        return inserted if len(inserted) == 1 else None


def read(path: Path) -> Iterator[Change]:
    """The changes of a recording: a `workspaceRecording` of VS Code or a trace of josephg/editing-traces.

    Raises ValueError if the file is neither.
    """
    try:
        opener = gzip.open if path.suffix == ".gz" else open
        with opener(path, "rt", encoding="utf-8") as file:
            data = json.load(file)
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
    if isinstance(data, dict) and "txns" in data:
        return _editing_trace(data, path.name.split(".")[0])
    if isinstance(data, dict) and "log" in data:
        return _workspace_recording(data["log"])
    raise ValueError(f"{path} is neither a workspace recording nor an editing trace")


# Traces do not name the file that was edited.
_EDITED_FILES = {"rustcode": "src/skiplist.rs", "sveltecomponent": "src/App.svelte"}


def _editing_trace(data: dict[str, Any], name: str) -> Iterator[Change]:
    """Offsets in a trace count code points, and the patches of a transaction apply one after the other. The cursor is
    not recorded. It is assumed after the first patch that inserts text, which is the last in the text."""
    path = _EDITED_FILES.get(name, f"{name}.txt")
    text: str = data["startContent"]
    document = DocumentSnapshot.of(f"file:///{path}", encode(text), path=path)
    for transaction in data["txns"]:
        time_ms = 1000 * datetime.fromisoformat(transaction["time"].replace("Z", "+00:00")).timestamp()
        before, cursor, loads, inserts = document, 0, False, False
        made = []
        for position, deleted, inserted in transaction["patches"]:
            loads = loads or (deleted == len(text) and deleted + len(inserted) > _LOADED_CHARACTERS)
            start = len(encode(text[:position]))
            change = Replacement(start, start + len(encode(text[position : position + deleted])), encode(inserted))
            text = text[:position] + inserted + text[position + deleted :]
            document = _edited(document, change)
            cursor = _shifted(cursor, change) if inserts else change.start + len(change.inserted)
            inserts = inserts or bool(inserted)
            made.append(change)
        yield Change(time_ms, before, document, tuple(made), cursor, types=not loads)


def _workspace_recording(log: list[dict[str, Any]]) -> Iterator[Change]:
    """Offsets in such a log count UTF-16 units; all edits of one change refer to the old text."""
    paths: dict[int, str] = {}
    texts: dict[int, bytes] = {}  # in UTF-16, so that the log's offsets can be used
    documents: dict[int, DocumentSnapshot] = {}
    stored: dict[str, bytes] = {}
    focused: int | None = None
    for index, entry in enumerate(log):
        kind, id = entry["kind"], int(entry.get("id", -1))
        if kind == "documentEncountered":
            paths[id] = entry["relativePath"].replace("\\", "/")
        elif kind == "focused":
            focused = id
        elif kind == "storeContent":
            stored[entry["contentId"]] = texts[id]
        elif kind in ("setContent", "restoreContent"):
            restored = kind == "restoreContent"
            texts[id] = (
                stored[entry["contentId"]] if restored else entry["content"].encode("utf-16-le", "surrogatepass")
            )
            documents[id] = DocumentSnapshot.of(f"file:///{paths[id]}", _utf8(texts[id]), path=paths[id])
        elif kind == "changed":
            before, old = documents[id], texts[id]
            loads = any(
                end - start == len(old) // 2 and end - start + len(inserted) > _LOADED_CHARACTERS
                for start, end, inserted in entry["edit"]
            )
            made = []
            # From the last to the first, so that an edit does not move the offsets of the remaining ones.
            for start, end, inserted in sorted(entry["edit"], reverse=True):
                old = texts[id]
                begin = len(_utf8(old[: 2 * start]))
                change = Replacement(begin, begin + len(_utf8(old[2 * start : 2 * end])), encode(inserted))
                texts[id] = old[: 2 * start] + inserted.encode("utf-16-le", "surrogatepass") + old[2 * end :]
                documents[id] = _edited(documents[id], change)
                made.append(change)
            caret = _caret_after(log, index)
            if caret is None:
                cursor = made[-1].start + len(made[-1].inserted) if made else 0
            else:
                cursor = len(_utf8(texts[id][: 2 * caret]))
            typed = not loads and id == focused
            yield Change(float(entry["time"]), before, documents[id], tuple(made), cursor, types=typed)


def _caret_after(log: Sequence[dict[str, Any]], index: int) -> int | None:
    """The cursor that was recorded after the change at `index`, in UTF-16 units; None if none was."""
    change = log[index]
    for following in range(index + 1, len(log)):
        entry = log[following]
        if entry["time"] > change["time"] + _SELECTION_WITHIN_MS:
            return None
        if entry.get("id") == change["id"] and entry["kind"] == "changed":
            return None
        if entry.get("id") == change["id"] and entry["kind"] == "selectionChanged" and entry["selection"]:
            return int(entry["selection"][0][1])
    return None


def _edited(document: DocumentSnapshot, change: Replacement) -> DocumentSnapshot:
    return document.edited(change.start, change.end, change.inserted)


def _shifted(offset: int, change: Replacement) -> int:
    """The offset in the new text for an offset in the old one."""
    if offset <= change.start:
        return offset
    return max(change.start, offset - (change.end - change.start)) + len(change.inserted)


def _utf8(utf16: bytes) -> bytes:
    return encode(utf16.decode("utf-16-le", "surrogatepass"))
