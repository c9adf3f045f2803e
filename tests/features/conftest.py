"""The fixture that opens a completer around a scripted model."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from lsp_server.core.index_offer import Index, no_index
from lsp_server.engine.core import EngineCore
from tests.features.harness import SECONDS, Bench, Factory, Opener


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Opener:
    """Opens a bench around a factory; without one, the model knows the text `KNOWN`."""
    sent: list[Any] = []
    send = EngineCore.send
    monkeypatch.setattr(EngineCore, "send", lambda engine, message: (sent.append(message), send(engine, message))[1])

    @asynccontextmanager
    async def opened(factory: Factory | None = None, index: Index = no_index) -> AsyncIterator[Bench]:
        found = Bench(factory, sent, index)
        found.client.start()
        try:
            with anyio.fail_after(SECONDS):
                yield found
        finally:
            await found.client.stop()

    return opened
