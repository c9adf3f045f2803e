"""A completer with a server of the tests as its first place, and a local model behind it."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio

from lsp_server.backends.base import ModelSpec
from lsp_server.backends.scripted import ScriptedBackend
from lsp_server.endpoints.home import RemoteHome
from lsp_server.endpoints.money import Spending
from lsp_server.endpoints.sent_log import SentLog
from lsp_server.engine.client import EngineClient
from lsp_server.engine.endpoint import LOCAL, Endpoint
from lsp_server.engine.home import ThreadHome
from lsp_server.engine.switch import Switch
from lsp_server.features.inline import InlineCompleter
from lsp_server.features.options import InlineOptions
from tests.endpoints.server import Server

SECONDS = 20
SOURCE = "def area(width):\n    return ar$0\n\n\nprint(area(2))\n"
PATIENT = InlineOptions(answer_ms=1000 * SECONDS, deadline_ms=1000 * SECONDS, debounce=False, prepare_next=False)
KNOWN = b"def area(width):\n    return area(width)\n"


@asynccontextmanager
async def switched(
    server: Server, spending: Spending | None = None, **more: Any
) -> AsyncIterator[tuple[Switch, InlineCompleter]]:
    """A completer whose first place is the server, and whose second is a local model. spending: notes the costs."""
    ids = itertools.count(1)
    local = EngineClient(
        {"in-process": lambda: ThreadHome(lambda spec, progress: ScriptedBackend(spec, progress, texts=[KNOWN]))},
        ids=ids,
    )

    def make(name: str, endpoint: Endpoint) -> EngineClient:
        log = SentLog(spending=spending) if spending is not None else None
        return EngineClient({"in-process": lambda: RemoteHome(name, endpoint, environ={}, log=log)}, ids=ids)

    switch = Switch(local, make)
    completer = InlineCompleter(switch, lambda: PATIENT)
    switch.start()
    switch.load(ModelSpec("", sequences=2))
    switch.route({"team": server.endpoint(**more)}, {"completion": ["team", LOCAL], "chat": [LOCAL]})
    try:
        with anyio.fail_after(SECONDS):
            yield switch, completer
    finally:
        await switch.stop()
        completer.close()
