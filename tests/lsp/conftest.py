"""The fixture that starts a server in process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from lsp_server.core import imports, outline, parsing, pieces, syntax
from lsp_server.core.next_edits import trees
from tests.conftest import NAMES_UNCHECKED
from tests.lsp.played import Played
from tests.support.inprocess import ServerThread


@pytest.fixture
def played(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Played]:
    """A server whose parses are counted. Its parameter: settings."""
    threads: list[ServerThread] = []
    parse = syntax.parse

    def counted(*arguments: Any) -> Any:
        for thread in threads:
            thread.loop.parsed()
        return parse(*arguments)

    for module in (syntax, imports, pieces, outline):
        monkeypatch.setattr(module, "parse", counted)
    parse_whole = parsing.parse_whole

    def counted_whole(*arguments: Any) -> Any:
        for thread in threads:
            thread.loop.parsed()
        return parse_whole(*arguments)

    monkeypatch.setattr(trees, "parse_whole", counted_whole)
    found = Played(**getattr(request, "param", {}))
    threads.append(found.thread)
    yield found
    found.client.kill()


@pytest.fixture(autouse=True)
def names_unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the servers in process, as for others."""
    for name, value in NAMES_UNCHECKED.items():
        monkeypatch.setattr(name, value)
