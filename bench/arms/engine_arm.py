"""fimble's engine without the editor protocol: the model answers every key, with a fixed number of tokens."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import anyio

import lsp_server
from bench.arms.arm import Answer
from bench.sessions.counting import Anchored, Rules
from bench.sessions.recordings import Change
from lsp_server.backends import llama
from lsp_server.backends.base import Backend, ModelError, ModelInfo, ModelSpec
from lsp_server.backends.llama_library import load_library
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.fim_formats import FimFormat
from lsp_server.core.hole import find_hole
from lsp_server.core.prompt import FimPrompt, PromptBudget, lay_out, new_anchor
from lsp_server.engine.client import EngineClient, loaded
from lsp_server.engine.encode import Encoder
from lsp_server.engine.request import Finished, FinishReason, Priority, TextDelta
from lsp_server.models import starter
from lsp_server.models.gguf_parts import read_model

REST_MS = 500.0
# The tokens that stay free after every prompt: the same for all, or each prompt would be cut at another place.
_RESERVE_TOKENS = 64
# The size of the prompts that fill sequences.
_FILLED_TOKENS = 192
_NEVER = -1e9
# A pretended cost for logits after more than one token, so high that no draft is made.
_NO_ROWS = (0.0, 1e6)


class OpenedBackend(llama.LlamaBackend):
    """A llama backend that records the flash attention and the threads of its context, which calibration may have
    chosen."""

    opened: tuple[bool, int, int]

    def _open_context(self, spec: ModelSpec, flash: bool, threads: int, batch_threads: int) -> None:
        self.opened = flash, threads, batch_threads
        super()._open_context(spec, flash, threads, batch_threads)


class EndlessBackend:
    """A llama backend whose texts do not end by themselves, and that counts its calls.

    Everything else is passed to the backend. inner: the backend. calls: the number of tokens of each evaluation.
    """

    def __init__(self, inner: OpenedBackend) -> None:
        self.inner = inner
        self.calls: list[int] = []
        form = inner.info.format
        ids = (inner.marker(spelling) for spelling in (*form.markers, *form.stops))
        self._never = [token for token in ids if token is not None]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def ends(self, token: int) -> bool:
        return False

    def evaluate(self, sequence: int, position: int, tokens: list[int], **options: Any) -> list[Any]:
        rows = self.inner.evaluate(sequence, position, tokens, **options)
        self.calls.append(len(tokens))
        for row in rows:
            row[self._never] = _NEVER
        return rows


class EngineArm:
    """Answers keys through `EngineClient`, with the server's anchors and layout; an `Arm`.

    last_tokens: the tokens of the whole prompt of the latest key. last_calls: how many tokens each call evaluated for
    it, decoded tokens included.
    """

    name = "fimble"

    def __init__(self, client: EngineClient, backend: EndlessBackend, spec: ModelSpec, info: ModelInfo) -> None:
        self.client, self.backend, self.spec, self.info = client, backend, spec, info
        self.last_tokens: list[int] = []
        self.last_calls: list[int] = []
        self.rest_tokens = 0
        self._rules = Rules(info.context_tokens, info.sequences)
        self._policy = Anchored(info.format, self._rules)
        self._encoder = Encoder(cast(Backend, backend.inner))

    @property
    def format(self) -> FimFormat:
        return self.info.format

    async def answer(self, change: Change, tokens: int | None) -> Answer:
        wanted = min(tokens or 1, _RESERVE_TOKENS)
        began = time.perf_counter()
        prompt = self._policy.key(change)
        del self.backend.calls[:]
        finished, ended = await self._finish(prompt, wanted)
        self.last_calls = list(self.backend.calls)
        self.last_tokens = self._encoder.encode(prompt, self.info.context_tokens - _RESERVE_TOKENS).tokens
        usage = finished.usage
        evaluated, decoded = usage.evaluated_tokens, usage.decoded_tokens
        anew = sum(self.last_calls) >= evaluated + decoded - 1
        ms = 1000 * (ended - began)
        return Answer(usage.prompt_tokens, evaluated, decoded, usage.prefill_ms, ms, anew=anew)

    async def rest(self, change: Change, pause_ms: float) -> None:
        if pause_ms <= REST_MS:
            return
        prompt = self._policy.rest(change)
        if prompt is None:
            return
        deadline = time.monotonic() + (pause_ms - REST_MS) / 1000
        finished, _ = await self._finish(prompt, 0, Priority.WARMING, deadline)
        self.rest_tokens += finished.usage.evaluated_tokens
        if finished.reason is FinishReason.LENGTH:
            self._policy.rested()

    async def fill(self) -> list[int]:
        """Puts a short prompt into every resident sequence, each from another of fimble's own modules. The content of
        other sequences does not slow down a step, because each sequence is a separate stream. Returns the number of
        tokens in each sequence.
        """
        root = Path(lsp_server.__file__).parent
        modules = sorted(root.rglob("*.py"), key=lambda path: (-path.stat().st_size, path.name))
        budget = PromptBudget.of_tokens(_FILLED_TOKENS)
        for path in modules[: self.info.sequences]:
            document = DocumentSnapshot.of(path.as_uri(), path.read_bytes(), path=path.name)
            hole = find_hole(document, document.line_start(2 * document.line_count // 3))
            anchor = new_anchor(document, hole, self.format, budget)
            await self._finish(lay_out(document, anchor, hole.cursor, self.format), 0, Priority.WARMING)
        return list(self.client.cache.resident)

    async def _finish(
        self, prompt: FimPrompt, tokens: int, priority: Priority = Priority.INLINE, deadline: float | None = None
    ) -> tuple[Finished, float]:
        """Runs a request to its end. Returns its last event, and the time of that event."""
        done = anyio.Event()
        last: list[tuple[Finished, float]] = []

        def listener(event: TextDelta | Finished) -> None:
            if isinstance(event, Finished):
                last.append((event, time.perf_counter()))
                done.set()

        self.client.submit(
            prompt, None, tokens, listener, priority=priority, deadline=deadline, reserve=_RESERVE_TOKENS
        )
        await done.wait()
        if last[0][0].reason in (FinishReason.FAILED, FinishReason.REJECTED):
            raise ModelError(last[0][0].message)
        return last[0]


@asynccontextmanager
async def engine_arm(spec: ModelSpec, *, drafts: bool = True) -> AsyncIterator[EngineArm]:
    """The arm with its model loaded; the engine is stopped at the end. drafts: whether it may use drafts if calibration
    shows that they pay."""
    made: list[EndlessBackend] = []

    def factory(wanted: ModelSpec, report: Callable[[float], bool]) -> Backend:
        path = Path(wanted.path) if wanted.path else starter.model_file()
        read_model(path)
        backend = OpenedBackend(load_library(), wanted, path, "", report)
        if not drafts and backend.info.costs is not None:
            backend.info = replace(backend.info, costs=replace(backend.info.costs, rows_ms=_NO_ROWS))
        made.append(EndlessBackend(backend))
        return cast(Backend, made[-1])

    async with loaded(factory, spec) as (client, info):
        if spec.draft and not info.draft:
            raise ModelError(client.model.message)
        yield EngineArm(client, made[0], spec, info)  # a draft model is loaded second
