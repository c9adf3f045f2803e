"""A document as an editor holds it: text, edits and positions in the client's units, with none of our own code."""

from __future__ import annotations

import re
from typing import Any

_UNITS = {
    "utf-8": lambda text: len(text.encode()),
    "utf-16": lambda text: len(text.encode("utf-16-le")) // 2,
    "utf-32": len,
}


class Buffer:
    """Offsets count characters of `text`; positions are what goes over the wire."""

    def __init__(self, uri: str, text: str, encoding: str = "utf-16", version: int = 1) -> None:
        self.uri = uri
        self.text = text
        self.version = version
        self._units = _UNITS[encoding]

    def position(self, offset: int) -> tuple[int, int]:
        lines = re.split("\r\n|\r|\n", self.text[:offset])
        return len(lines) - 1, self._units(lines[-1])

    def edit(self, start: int, end: int, text: str) -> dict[str, Any]:
        """Replaces a part and returns the change to send; `version` goes up by one."""
        first, last = self.position(start), self.position(end)
        self.text = self.text[:start] + text + self.text[end:]
        self.version += 1
        return {"range": {"start": _point(first), "end": _point(last)}, "text": text}

    def did_change(self, *changes: dict[str, Any]) -> dict[str, Any]:
        """The parameters of a didChange that takes the document to its present version."""
        return {"textDocument": {"uri": self.uri, "version": self.version}, "contentChanges": list(changes)}


def _point(position: tuple[int, int]) -> dict[str, int]:
    return {"line": position[0], "character": position[1]}
