"""Recorded editing sessions, in the formats they are published in, as one stream of changes."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.text import encode


@dataclass(frozen=True, slots=True)
class Change:
    """A document after a change, the byte offset of the cursor in it, and the time in ms. A change that
    types is one that a completion would be asked for; a load or a paste of another file is not."""

    time_ms: float
    document: DocumentSnapshot
    cursor: int
    types: bool


def read(path: Path) -> Iterator[Change]:
    """The changes of a recording: a `workspaceRecording` of VS Code or a trace of josephg/editing-traces."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as file:
        data = json.load(file)
    if "txns" in data:
        return _editing_trace(data, path.name.split(".")[0])
    if "log" in data:
        return _workspace_recording(data["log"])
    raise ValueError(f"{path} is neither a workspace recording nor an editing trace")


_SUFFIXES = {"rustcode": "list.rs", "sveltecomponent": "App.svelte"}


def _editing_trace(data: dict[str, Any], name: str) -> Iterator[Change]:
    path = _SUFFIXES.get(name, f"{name}.txt")
    document = DocumentSnapshot.of(f"file:///{path}", encode(data["startContent"]), path=path)
    text: str = data["startContent"]
    for transaction in data["txns"]:
        time_ms = 1000 * datetime.fromisoformat(transaction["time"].replace("Z", "+00:00")).timestamp()
        for position, deleted, inserted in transaction["patches"]:
            start = len(encode(text[:position]))
            end = start + len(encode(text[position : position + deleted]))
            text = text[:position] + inserted + text[position + deleted :]
            document = document.edited(start, end, encode(inserted))
            cursor = start + len(encode(inserted))
        yield Change(time_ms, document, cursor, types=len(document.source) > len(inserted.encode()) + 1)


def _workspace_recording(log: list[dict[str, Any]]) -> Iterator[Change]:
    """Offsets in such a log count UTF-16 units."""
    paths: dict[int, str] = {}
    texts: dict[int, bytes] = {}  # UTF-16, so that its offsets are ours
    documents: dict[int, DocumentSnapshot] = {}
    stored: dict[str, bytes] = {}
    for entry in log:
        kind, id = entry["kind"], int(entry.get("id", -1))
        if kind == "documentEncountered":
            paths[id] = entry["relativePath"].replace("\\", "/")
        elif kind == "setContent":
            texts[id] = entry["content"].encode("utf-16-le", "surrogatepass")
        elif kind == "storeContent":
            stored[entry["contentId"]] = texts[id]
        elif kind == "restoreContent":
            texts[id] = stored[entry["contentId"]]
        elif kind == "changed":
            cursor = 0
            old = texts[id]
            # The edits of one change count in the old text; from the last to the first they do not move.
            for start, end, inserted in sorted(entry["edit"], reverse=True):
                new = inserted.encode("utf-16-le", "surrogatepass")
                cursor = 2 * start + len(new)
                old = old[: 2 * start] + new + old[2 * end :]
            texts[id] = old
        if kind in ("setContent", "restoreContent", "changed"):
            source = encode(texts[id].decode("utf-16-le", "surrogatepass"))
            uri = f"file:///{paths[id]}"
            documents[id] = DocumentSnapshot.of(uri, source, path=paths[id])
        if kind == "changed":
            before = encode(texts[id][:cursor].decode("utf-16-le", "surrogatepass"))
            yield Change(entry["time"], documents[id], len(before), types=True)
