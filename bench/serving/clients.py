"""Who asks the server for a developer: fimble's own completer, or a plain client with one prompt or another."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import anyio
import httpx2

from bench.serving.developers import Developer
from bench.sessions.counting import Anchored, Policy, Rules, Usual
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.fim_formats import format_by_name
from lsp_server.core.insertion import Insertion
from lsp_server.core.reuse import Place, Remembered, SuggestionMemory
from lsp_server.endpoints.dialects import DIALECTS, piece_of
from lsp_server.endpoints.home import RemoteHome
from lsp_server.engine.api import Usage
from lsp_server.engine.client import EngineClient
from lsp_server.engine.endpoint import LOCAL, Endpoint
from lsp_server.engine.home import Post
from lsp_server.engine.request import Message
from lsp_server.engine.switch import Switch
from lsp_server.features.background import Background
from lsp_server.features.inline import InlineCompleter
from lsp_server.features.options import InlineOptions
from lsp_server.features.reasons import kind_of
from lsp_server.features.rhythm import Rhythm

T = TypeVar("T")

_OPTIONS = InlineOptions()
# The setting `answer_ms`: from then on every client shows what there is.
_ANSWER_SECONDS = _OPTIONS.answer_ms / 1000
# After so long without a key the server looks for a better anchor (lsp/documents.py).
_REST_SECONDS = 0.5
_LOADING_SECONDS = 0.05
_ANSWERED = ("", "nothing", "withheld", "unsure")

MakeClient = Callable[[Endpoint, Any], httpx2.AsyncClient]


@dataclass(slots=True)
class Key:
    """One key at which a completion is wanted. began: in seconds of the loop. gap_ms: until the next change. ms: until
    the answer; None if there was none before the next change. source: memory or model. shown: whether the answer is a
    suggestion."""

    developer: int
    began: float
    gap_ms: float
    ms: float | None = None
    source: str = ""
    shown: bool = False


class Client(Protocol):
    """What is installed in one developer's editor."""

    async def start(self) -> None: ...

    def changed(self, document: DocumentSnapshot) -> None: ...

    async def complete(self, index: int, key: Key) -> None:
        """Answers the key of change `index`, and notes that in `key`. Cancelled at the next change."""
        ...

    async def rest(self, document: DocumentSnapshot) -> None: ...

    async def stop(self) -> None: ...


class _AtOnce(Background):
    """Parses on the loop, in no time: on virtual time nothing may wait for another thread."""

    async def parse(self, function: Callable[..., T], *arguments: Any) -> T:
        await anyio.lowlevel.checkpoint()
        return function(*arguments)


class _NoHome:
    """The local model's place, which has none."""

    def start(self, post: Post) -> None:
        pass

    def send(self, message: Message) -> None:
        pass

    async def stop(self) -> None:
        pass


class Fimble:
    """fimble's completer with its memory, its running generations and its client for endpoints, without the protocol to
    the editor. The endpoint is its only place."""

    def __init__(self, developer: Developer, endpoint: Endpoint, make: MakeClient, *, threads: bool = False) -> None:
        self._developer = developer
        loop = asyncio.get_running_loop()
        ids = itertools.count(1)

        def remote(name: str, endpoint: Endpoint) -> EngineClient:
            home = RemoteHome(name, endpoint, make, {}, clock=loop.time)
            return EngineClient({"in-process": lambda: home}, clock=loop.time, ids=ids)

        self._switch = Switch(EngineClient({"in-process": _NoHome}, clock=loop.time, ids=ids), remote)
        self._endpoint = endpoint
        self._background = Background() if threads else _AtOnce()
        self._completer = InlineCompleter(self._switch, lambda: _OPTIONS, loop.time, background=self._background)

    async def start(self) -> None:
        self._switch.start()
        self._switch.route({"team": self._endpoint}, {"completion": ["team"], "chat": [LOCAL], "edit": [LOCAL]})
        while self._switch.model.kind != "ready":
            if self._switch.model.kind == "failed":
                raise ValueError(self._switch.model.message)
            await anyio.sleep(_LOADING_SECONDS)

    def changed(self, document: DocumentSnapshot) -> None:
        self._completer.document_changed(document)
        if DIALECTS[self._endpoint.kind].warms:
            self._background.start(self._completer.warm, document, document.edit_end)

    async def complete(self, index: int, key: Key) -> None:
        change = self._developer.changes[index]
        outcome = await self._completer.complete(change.document, change.cursor)
        if outcome.source != "none" and kind_of(outcome) in _ANSWERED:
            key.ms = 1000 * (asyncio.get_running_loop().time() - key.began)
            key.source, key.shown = outcome.source, outcome.suggestion is not None

    async def rest(self, document: DocumentSnapshot) -> None:
        await self._completer.rest(document, document.edit_end)

    async def stop(self) -> None:
        await self._switch.stop()
        self._completer.close()


class Plain:
    """A client that makes a prompt for each key, asks, and hangs up at the next key. It waits as long as fimble does
    before it asks, and shows what there is as soon as fimble does. remembers: whether it answers from a suggestion that
    is being typed, as fimble does."""

    def __init__(
        self, developer: Developer, endpoint: Endpoint, make: MakeClient, policy: Policy, *, remembers: bool
    ) -> None:
        self._developer = developer
        self._endpoint = endpoint
        self._policy = policy
        self._remembers = remembers
        self._memory, self._rhythm = SuggestionMemory(), Rhythm()
        self._client = make(endpoint, {})
        self._clock = asyncio.get_running_loop().time

    async def start(self) -> None:
        pass

    def changed(self, document: DocumentSnapshot) -> None:
        self._rhythm.key(self._clock())

    async def complete(self, index: int, key: Key) -> None:
        change = self._developer.changes[index]
        if self._remembers and (known := self._memory.find(change.document, change.cursor)) is not None:
            key.ms, key.source, key.shown = 0.0, "memory", bool(known[1].text.strip())
            return
        prompt = self._policy.key(change)
        await anyio.sleep(self._rhythm.delay_ms(change.document, self._developer.hole(index)) / 1000)
        dialect = DIALECTS[self._endpoint.kind]
        body = dialect.body(self._endpoint, prompt, _OPTIONS.max_tokens, "")
        url = self._endpoint.url + dialect.path
        text, first, tokens, reason = "", math.inf, 0, ""
        try:
            async with self._client.stream("POST", url, json=body) as response:
                if response.status_code != 200:
                    return
                async for line in response.aiter_lines():
                    if (piece := piece_of(dialect, line)) is None:
                        continue
                    text, tokens, reason = text + piece.text, tokens + bool(piece.text), piece.reason
                    if text.strip():
                        first = min(first, self._clock())
                    if reason:
                        break
        except httpx2.HTTPError:
            return
        finally:
            # What was written by `answer_ms` is shown then, and what comes first afterwards at once.
            now = self._clock()
            shown = max(first, key.began + _ANSWER_SECONDS)
            if reason or shown <= now:
                key.ms, key.source, key.shown = 1000 * (min(shown, now) - key.began), "model", bool(text.strip())
        if reason:
            decode_ms = 1000 * (self._clock() - first)
            self._rhythm.decoded(Usage(decoded_tokens=tokens, decode_ms=decode_ms))
            self._memory.remember(Remembered(Place.of(change.document, change.cursor), Insertion(text)))

    async def rest(self, document: DocumentSnapshot) -> None:
        pass

    async def stop(self) -> None:
        await self._client.aclose()


# The arms of the bench: who is asked for a developer's completions, and what that is in words.
ARMS = {
    "fimble": "fimble",
    "anchored": "anchored prompt, plain client",
    "remembering": "usual prompt, client that remembers",
    "usual": "usual prompt, plain client",
}
OURS = "fimble"
_FORMAT = "qwen2.5-coder"


def client_of(arm: str, developer: Developer, endpoint: Endpoint, make: MakeClient, *, threads: bool = False) -> Client:
    if arm == OURS:
        return Fimble(developer, endpoint, make, threads=threads)
    rules = Rules(context_tokens=endpoint.window)
    form = format_by_name(_FORMAT)
    assert form is not None, "it stands in the table of formats"
    policy = Anchored(form, rules) if arm == "anchored" else Usual(rules)
    return Plain(developer, endpoint, make, policy, remembers=arm == "remembering")


async def play(developer: Developer, client: Client, at: Callable[[int], None] = lambda _: None) -> list[Key]:
    """A developer types, and each change cancels what the one before it has asked for. Returns the keys at which a
    completion is wanted. at: told the index of each change."""
    loop = asyncio.get_running_loop()
    keys: list[Key] = []
    task: asyncio.Task[None] | None = None
    rest: asyncio.Task[None] | None = None
    try:
        for index, (change, gap_ms) in enumerate(zip(developer.changes, developer.gaps_ms, strict=True)):
            ends = loop.time() + gap_ms / 1000
            at(index)
            client.changed(change.document)
            for old in (task, rest):
                if old is not None:
                    old.cancel()
            if change.types and developer.wanted(index):
                keys.append(Key(developer.number, loop.time(), gap_ms))
                task = loop.create_task(client.complete(index, keys[-1]))
            rest = loop.create_task(_rest(client, change.document))
            await anyio.sleep(max(0.0, ends - loop.time()))
            if keys and keys[-1].ms is not None and keys[-1].ms > keys[-1].gap_ms:
                keys[-1].ms = None
    finally:
        left: Sequence[asyncio.Task[None]] = [each for each in (task, rest) if each is not None]
        for each in left:
            each.cancel()
        await asyncio.gather(*left, return_exceptions=True)
    return keys


async def _rest(client: Client, document: DocumentSnapshot) -> None:
    await anyio.sleep(_REST_SECONDS)
    await client.rest(document)
