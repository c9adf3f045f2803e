"""Sees what token healing does, without touching what it decides."""

from __future__ import annotations

from typing import Any

import pytest

from lsp_server.engine.vocabulary import Vocabulary


def record_healing(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bytes, bytes]]:
    """A list that grows with every healing: the bytes that stood there, and those of the token put in their place."""
    seen: list[tuple[bytes, bytes]] = []
    healed = Vocabulary.healed

    def recording(self: Vocabulary, logits: Any, written: bytes, *others: Any) -> int | None:
        found = healed(self, logits, written, *others)
        if found is not None:
            seen.append((written, self.piece(found)))
        return found

    monkeypatch.setattr(Vocabulary, "healed", recording)
    return seen
