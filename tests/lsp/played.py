"""A client that types into the real server, which runs in process and whose model writes what a test says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from lsp_server.backends.base import Backend, ModelSpec
from lsp_server.backends.scripted import ScriptedBackend
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.text import encode
from tests.support.inprocess import served
from tests.support.stdio import inline_params

INLINE, MENU = "textDocument/inlineCompletion", "textDocument/completion"


class Writer(ScriptedBackend):
    """Writes `text` behind what ends in `before`, and nothing elsewhere."""

    before = text = b""

    def _continuations(self, cells: list[int]) -> list[int]:
        marker = next((index for index in range(len(cells) - 1, -1, -1) if cells[index] > 255), -1)
        said = bytes(cells[marker + 1 :])[-100:]
        whole = self.before + self.text
        # Token healing takes back some of what stands there.
        ends = range(max(0, len(self.before) - 4 * bool(said)), len(whole))
        return [next((whole[end] for end in ends if whole.endswith(said, 0, end)), 257)]


class Played:
    """A client, the server on its thread, and the documents as the client has them."""

    def __init__(self, **settings: Any) -> None:
        self.backends: list[Writer] = []
        self.client, self.thread = served(self._load, **{"context_tokens": 600, **settings})
        self.client.initialize(rootUri="file:///w", workspaceFolders=[{"uri": "file:///w", "name": "w"}])
        self.documents: dict[str, DocumentSnapshot] = {}
        self.thread.loop.forget()

    def _load(self, spec: ModelSpec, progress: Callable[[float], bool]) -> Backend:
        if spec.chat:
            return ScriptedBackend(spec, progress)
        self.backends.append(Writer(spec, progress))
        return self.backends[-1]

    def open(self, name: str, language: str, text: str) -> str:
        uri = f"file:///w/{name}"
        self.documents[uri] = DocumentSnapshot.of(uri, encode(text), version=1)
        self.client.open(uri, text, language)
        return uri

    def type(self, uri: str, start: int, end: int, text: str) -> int:
        """Replaces bytes of a document; returns the offset behind them."""
        document = self.documents[uri]
        first, last = document.position(start, "utf-16"), document.position(end, "utf-16")
        version = (document.version or 0) + 1
        edited = replace(document.edited(start, end, encode(text)), version=version)
        self.documents[uri] = edited
        where = {"start": point(*first), "end": point(*last)}
        self.client.change(uri, version, {"range": where, "text": text})
        return edited.edit_end

    def ask(self, uri: str, offset: int, text: str, method: str = INLINE, trigger: int = 2) -> Any:
        """The answer to a request at an offset, where the model writes `text`."""
        document = self.documents[uri]
        for backend in self.backends:
            backend.before, backend.text = document.source[max(0, offset - 200) : offset], encode(text)
        line, column = document.position(offset, "utf-16")
        answer = self.client.call(method, inline_params(uri, line, column, trigger))
        assert "error" not in answer, answer
        return answer["result"]

    def offer(self, uri: str, offset: int) -> None:
        where = point(*self.documents[uri].position(offset, "utf-16"))
        params = {"textDocument": {"uri": uri}, "range": {"start": where, "end": where}, "context": {"diagnostics": []}}
        self.client.call("textDocument/codeAction", params)
        self.client.call("textDocument/hover", {"textDocument": {"uri": uri}, "position": where})

    def rest(self, uri: str) -> None:
        """Half a second without a key, at once."""
        self.client.status()
        server = self.thread.server
        rest = server.document_service.rest(server.documents.get(uri))
        asyncio.run_coroutine_threadsafe(rest, self.thread.loop).result(self.client.seconds)
        self.client.status()

    def close(self, uri: str) -> None:
        del self.documents[uri]
        self.client.notify("textDocument/didClose", {"textDocument": {"uri": uri}})


def point(line: int, character: int) -> dict[str, int]:
    return {"line": line, "character": character}
