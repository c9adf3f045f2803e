"""Sees what token healing does, without touching what it decides."""

from __future__ import annotations

import pytest

from lsp_server.engine.vocabulary import Vocabulary


def record_healing(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bytes, bytes]]:
    """A list that grows with every healing: the bytes that stood there, and those of the token put in their place."""
    seen: list[tuple[bytes, bytes]] = []
    healed = Vocabulary.healed

    def recording(self: Vocabulary, logits: object, written: bytes, token: int, rank: int = 0) -> int | None:
        found = healed(self, logits, written, token, rank)  # type: ignore[arg-type]
        if found is not None:
            seen.append((written, self.piece(found)))
        return found

    monkeypatch.setattr(Vocabulary, "healed", recording)
    return seen
