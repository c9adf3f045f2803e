"""A completer on a real event loop and the engine's thread, which tests wait for by events, never by time."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import anyio
import anyio.lowlevel

from lsp_server.backends.base import Backend, ModelSpec
from lsp_server.backends.scripted import ScriptedBackend
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.index_offer import Index, no_index
from lsp_server.engine.api import ModelState
from lsp_server.engine.client import in_this_process
from lsp_server.engine.request import Generate, Role
from lsp_server.features.inline import InlineCompleter
from lsp_server.features.options import InlineOptions
from lsp_server.features.outcome import Outcome, Trigger
from tests.support.cursor import parse_cursor

KNOWN = b"def area(width, height):\n    return width * height\n\nprint(area(2, 3))\n"
SECONDS = 20  # a wait this long has failed; no passing test comes near it
SOURCE = KNOWN.decode().replace("width * height", "width$0")
Opener = Callable[..., Any]
Factory = Callable[[ModelSpec, Callable[[float], bool]], Backend]

# An automatic request takes what there is after `answer_ms` of real time; here it waits for all of it. What goes
# on in the background besides is switched on by the tests of it.
PATIENT = InlineOptions(
    answer_ms=1000 * SECONDS,
    deadline_ms=1000 * SECONDS,
    candidates=1,
    debounce=False,
    prepare_next=False,
    check_names=False,
)


class Gate:
    """Holds the engine's thread at a point until the test has seen it there and opens the gate."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._open = threading.Event()
        self.reached = asyncio.Event()

    def hold(self) -> None:
        self._loop.call_soon_threadsafe(self.reached.set)
        assert self._open.wait(SECONDS)

    def open(self) -> None:
        self._open.set()


class Bench:
    """A completer, the client under it, and what was sent to the engine."""

    def __init__(self, factory: Factory | None, sent: list[Any], index: Index = no_index) -> None:
        self.options = PATIENT
        self.changed = anyio.Event()
        self.backends: list[ScriptedBackend] = []
        self.sent = sent
        self.client = in_this_process(factory or self._known, self._on_model)
        self.buffers: list[DocumentSnapshot] = []
        self.clock = time.monotonic
        self.completer = InlineCompleter(self.client, lambda: self.options, self._now, lambda: self.buffers, index)

    def _now(self) -> float:
        return self.clock()  # which a test may exchange

    def _known(self, spec: ModelSpec, progress: Callable[[float], bool]) -> Backend:
        self.backends.append(ScriptedBackend(spec, progress, texts=[KNOWN]))
        return self.backends[-1]

    def _on_model(self, role: Role, state: ModelState) -> None:
        self.changed.set()
        self.changed = anyio.Event()

    async def model(self, kind: str) -> None:
        """Waits until the model's state is of this kind."""
        while self.client.model.kind != kind:
            await self.changed.wait()

    async def ready(self) -> None:
        self.client.load(ModelSpec("", sequences=2))
        await self.model("ready")

    async def complete(self, source: str, trigger: Trigger = Trigger.AUTOMATIC, *, path: str = "main.py") -> Outcome:
        return await self.completer.complete(*parse_cursor(source, path=path), trigger)

    async def complete_into(self, outcomes: list[Outcome], source: str) -> None:
        """The same in a task, whose outcome is put to the others."""
        outcomes.append(await self.complete(source))

    async def idle(self) -> None:
        """Waits until the engine has ended all requests, those included that an answer brings about."""
        while self.client.running or self.completer._background.running:
            await anyio.lowlevel.checkpoint()

    def generates(self) -> int:
        return sum(isinstance(message, Generate) for message in self.sent)


def knowing(*texts: bytes) -> Factory:
    """A model that knows texts. Where they go on differently, the first is the likeliest."""
    return lambda spec, progress: ScriptedBackend(spec, progress, texts=texts)


def holding(gate: Gate, there: Callable[[bytes], bool] = lambda _: True, text: bytes = KNOWN) -> Factory:
    """A model that knows a text, and stops until the gate opens. there: whether it does so before a step that makes
    this of a sequence's bytes; if not given, at the first."""

    class Holding(ScriptedBackend):
        def evaluate(self, sequence: int, position: int, tokens: Sequence[int], *, logits: int) -> Any:
            if there(bytes(token for token in [*self._cells[sequence][:position], *tokens] if token < 256)):
                gate.hold()
            return super().evaluate(sequence, position, tokens, logits=logits)

    return lambda spec, progress: Holding(spec, progress, texts=[text])
