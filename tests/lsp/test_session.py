"""Ordinary sessions through pytest-lsp: typing, both kinds of completion, and a clean end."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from lsprotocol import types
from pytest_lsp import ClientServerConfig, LanguageClient, client_capabilities

from tests.conftest import environment
from tests.support.stdio import SECONDS, SERVE

URI = "file:///w/a.py"
KNOWN = "def rectangle_area(width, height):\n    return width * height\n"


@pytest.fixture
async def client(home: Path) -> AsyncIterator[LanguageClient]:
    """A client of a server that knows the text KNOWN, initialised as Neovim, with the model loaded."""
    known = home / "known.py"
    known.write_text(KNOWN)
    command = [sys.executable, "-m", "lsp_server", *SERVE, "--model", str(known)]
    client: LanguageClient = await ClientServerConfig(command, server_env=environment(home)).start()  # type: ignore[assignment]
    capabilities = client_capabilities("neovim@0.11.0")
    whole = {"answer_ms": 20_000}  # so that a slow machine answers with the whole text, too
    await client.initialize_session(
        types.InitializeParams(capabilities, root_uri=home.as_uri(), initialization_options=whole)
    )
    try:
        await asyncio.wait_for(_model_ready(client), SECONDS)
        yield client
        await asyncio.wait_for(client.shutdown_session(), SECONDS)
    finally:
        await asyncio.wait_for(client.stop(), SECONDS)


async def _model_ready(client: LanguageClient) -> None:
    while not any("is ready" in message.message for message in client.log_messages):
        await client.wait_for_notification(types.WINDOW_LOG_MESSAGE)


def opened(text: str) -> types.DidOpenTextDocumentParams:
    return types.DidOpenTextDocumentParams(types.TextDocumentItem(URI, "python", 1, text))


async def test_inline_completion_while_typing(client: LanguageClient) -> None:
    client.text_document_did_open(opened("def rectangle_"))
    for version, typed in enumerate("area(wi", start=2):
        column = 12 + version
        point = types.Position(0, column)
        change = types.TextDocumentContentChangePartial(range=types.Range(point, point), text=typed)
        document = types.VersionedTextDocumentIdentifier(version, URI)
        client.text_document_did_change(types.DidChangeTextDocumentParams(document, [change]))
        answer = await client.text_document_inline_completion_async(
            types.InlineCompletionParams(
                types.InlineCompletionContext(types.InlineCompletionTriggerKind.Automatic),
                types.TextDocumentIdentifier(URI),
                types.Position(0, column + 1),
            )
        )
        assert isinstance(answer, types.InlineCompletionList)
        if typed not in "(":  # behind a bracket a block is wanted
            assert answer.items[0].insert_text == KNOWN.splitlines()[0][column + 1 :]


async def test_completion_menu(client: LanguageClient) -> None:
    client.text_document_did_open(opened("def rectangle_area(wi"))
    params = types.CompletionParams(types.TextDocumentIdentifier(URI), types.Position(0, 21))
    answer = await client.text_document_completion_async(params)
    assert isinstance(answer, types.CompletionList)
    (item,) = answer.items
    assert (item.label, item.filter_text) == ("width, height):", "width, height):")
    assert item.kind == types.CompletionItemKind.Text
    assert item.text_edit == types.TextEdit(
        types.Range(types.Position(0, 19), types.Position(0, 21)), "width, height):"
    )
    assert not client.messages
