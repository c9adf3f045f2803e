"""The arms of `bench cold`: the real server, the engine, bare `llama_decode`."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing, contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import anyio
from platformdirs import user_cache_path

from bench.arms.busy import half_a_core
from bench.arms.engine_arm import EngineArm
from bench.arms.floor import Floor
from bench.sessions.editor import Editor, editor
from bench.sessions.recordings import Change
from lsp_server.backends.base import Backend, ModelError
from lsp_server.backends.llama_library import default_threads
from lsp_server.core.hole import find_hole, refined
from lsp_server.core.languages import find_language
from lsp_server.core.prompt_book import PromptBook
from lsp_server.engine.encode import Encoder
from lsp_server.engine.request import Finished, FinishReason, Priority, TextDelta
from lsp_server.features.budget import budget_for, quick_budget
from lsp_server.features.options import InlineOptions

# Evaluated prompts are saved, as by default, so a second server in the same folder finds them.
_SAVED_MB = 1024

_POLL_SECONDS = 0.1
# The measurements of the machine and the facts about model files, copied so that they need not be made again.
_KNOWLEDGE = ("calibration", "model-files.json")
_RESERVE_TOKENS = 64
_CHUNKS = (32, 128, 512)
# The prompt size with which settings are tried, and that with which the best are tried again, in tokens.
_TRIED_TOKENS, _RATED_TOKENS, _TRIED_AGAIN = 256, 512, 3


# The server ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Served:
    """The results of a server at a place. start_ms: from the start of its process until the model was ready. first_ms:
    from the request (right after the file was opened) to an answer with text to show; None if there was none. reason:
    why there was none. prompt_tokens, evaluated_tokens: of the prompt that gave the answer. full_ms: until everything
    was evaluated, including the full prompt."""

    start_ms: float
    first_ms: float | None
    text: str
    reason: str
    quick: bool
    prompt_tokens: int
    evaluated_tokens: int
    full_ms: float

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@contextmanager
def user_folders() -> Iterator[dict[str, str]]:
    """The environment of servers whose cache is empty at first, except for measurements of the machine. The text after
    a suggestion is not prepared, because it would be evaluated before the full prompt."""
    with TemporaryDirectory(prefix="fimble-cold-") as name:
        cache, config = Path(name, "cache", "fimble"), Path(name, "config", "fimble")
        cache.mkdir(parents=True)
        config.mkdir(parents=True)
        (config / "fimble.toml").write_text("prepare_next = false\n", "utf-8")
        for known in (user_cache_path("fimble") / part for part in _KNOWLEDGE):
            if known.is_dir():
                shutil.copytree(known, cache / known.name)
            elif known.is_file():
                shutil.copy2(known, cache / known.name)
        yield {**os.environ, "XDG_CACHE_HOME": str(cache.parent), "XDG_CONFIG_HOME": str(config.parent)}


async def served(
    change: Change, arguments: Sequence[str], environment: Mapping[str, str], *, halved: bool = False
) -> Served:
    """Starts a server. When its model is ready, opens the file and requests a suggestion at once. halved: whether the
    server gets half a core from its start on."""
    began = time.perf_counter()
    async with (
        editor(arguments, environment=environment, saved_prompts_mb=_SAVED_MB) as buffer,
        _slowed(buffer, halved),
    ):
        await buffer.ready()
        start_ms = 1000 * (time.perf_counter() - began)
        asked = time.perf_counter()
        _open(buffer, change)
        shown = await buffer.suggestion()
        while (await buffer.status())["queue"]["running"]:
            await anyio.sleep(_POLL_SECONDS)
        full_ms = 1000 * (time.perf_counter() - asked)
        return Served(
            start_ms=round(start_ms, 1),
            first_ms=round(1000 * shown.seconds, 1) if shown.text else None,
            text=shown.text,
            reason=shown.cost["reason"],
            quick=shown.cost["quick"],
            prompt_tokens=shown.cost["promptTokens"],
            evaluated_tokens=shown.cost["evaluatedTokens"],
            full_ms=round(full_ms, 1),
        )


@asynccontextmanager
async def _slowed(buffer: Editor, halved: bool) -> AsyncIterator[None]:
    with half_a_core(buffer.server_pid) if halved else nullcontext():
        yield


async def opened_at_once(
    change: Change, arguments: Sequence[str], environment: Mapping[str, str], *, halved: bool = False
) -> float | None:
    """The time in ms from the opening of the file, right after `initialize`, to the first suggestion; None if there is
    nothing to show. The editor repeats the request while the model is loading. halved: as for `served`."""
    async with (
        editor(arguments, environment=environment, saved_prompts_mb=_SAVED_MB) as buffer,
        _slowed(buffer, halved),
    ):
        began = time.perf_counter()
        _open(buffer, change)
        while True:
            ready = (await buffer.status())["model"]["state"] == "ready"
            shown = await buffer.suggestion()
            if shown.text:
                return round(1000 * (time.perf_counter() - began), 1)
            if ready:
                return None
            await anyio.sleep(_POLL_SECONDS)


def _open(buffer: Editor, change: Change) -> None:
    document = change.document
    language = find_language("", document.path)
    cursor = len(document.source[: change.cursor].decode("utf-8", "replace"))
    text = document.source.decode("utf-8", "replace")
    buffer.open(document.uri, language.ids[0] if language.ids else "plaintext", text, cursor)


# The engine and its floor -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EngineAnswer:
    """The results of the engine with an empty cache: the tokens of the full prompt and of the quick one (0 without
    one), and the times in ms to the first text, to the whole answer, and to the end of the full prompt.
    expected_full_ms: the time of bare calls for the same work: the quick prompt, the decoded tokens, then the full
    prompt. bare_ms: the time of bare calls for the answer from the full prompt."""

    prompt_tokens: int
    quick_tokens: int
    decoded_tokens: int
    first_ms: float
    whole_ms: float
    full_ms: float
    prefill_per_second: float
    bare_prefill_per_second: float
    bare_ms: float
    expected_full_ms: float

    def as_dict(self) -> dict[str, Any]:
        return {name: round(value, 2) for name, value in asdict(self).items()}


@dataclass(frozen=True, slots=True)
class BestSettings:
    """The settings with which bare calls are fastest."""

    flash_attention: bool
    threads: int
    chunk_tokens: int
    tokens_per_second: float = 0.0

    def floor(self, arm: EngineArm) -> Floor:
        """An empty floor with these settings."""
        opened = self.flash_attention, self.threads, self.threads
        return Floor(arm.backend.inner, arm.spec, self.chunk_tokens, opened)


def best_settings(arm: EngineArm) -> BestSettings:
    """The choice of flash attention, threads and chunk size with which bare `llama_decode` evaluates a prompt fastest.
    All are tried, and the fastest ones again with a longer prompt."""
    usual = default_threads()
    tried = [
        _rated(arm, BestSettings(flash, threads, chunk), _TRIED_TOKENS)
        for threads in sorted({usual, max(1, usual - 1), os.cpu_count() or 1})
        for flash in (False, True)
        for chunk in _CHUNKS
    ]
    tried.sort(key=lambda settings: settings.tokens_per_second)
    longer = [_rated(arm, settings, _RATED_TOKENS) for settings in tried[-_TRIED_AGAIN:]]
    return max(longer, key=lambda settings: settings.tokens_per_second)


def _rated(arm: EngineArm, settings: BestSettings, tokens: int) -> BestSettings:
    """The settings with their measured speed. The time does not depend on which tokens are evaluated."""
    count = min(tokens, arm.info.context_tokens // 2)
    with closing(settings.floor(arm)) as floor:
        prompt_ms, _ = floor.run([50 + index % 200 for index in range(count)], 1)
    return replace(settings, tokens_per_second=round(1000 * count / prompt_ms, 1))


async def asked_of_engine(arm: EngineArm, change: Change, tokens: int, best: BestSettings) -> EngineAnswer:
    """Sends the prompts of a place, as the server makes them, to an engine with an empty cache: decodes `tokens`
    tokens, then evaluates the full prompt. Then does the same with bare calls."""
    info, options = arm.info, InlineOptions()
    hole = refined(change.document, find_hole(change.document, change.cursor))
    quick = quick_budget(arm.client.token_ms())
    choice = PromptBook().choose(change.document, hole, info.format, budget_for(info, options), (), quick)
    ended: dict[bool, tuple[Finished, float]] = {}
    first: list[float] = []
    done = anyio.Event()
    began = time.perf_counter()

    def listener(*, answers: bool) -> Callable[[TextDelta | Finished], None]:
        def listen(event: TextDelta | Finished) -> None:
            if isinstance(event, TextDelta):
                first.append(time.perf_counter())
                return
            ended[answers] = event, time.perf_counter()
            if len(ended) == 1 + (choice.quick is not None):
                done.set()

        return listen

    arm.client.submit(choice.full, None, tokens, listener(answers=True), reserve=_RESERVE_TOKENS, quick=choice.quick)
    if choice.quick is not None:
        waits = listener(answers=False)
        arm.client.submit(choice.full, None, 0, waits, priority=Priority.WARMING, reserve=_RESERVE_TOKENS)
    await done.wait()
    for finished, _ in ended.values():
        if finished.reason in (FinishReason.FAILED, FinishReason.REJECTED):
            raise ModelError(finished.message)
    answer, answered = ended[True]
    first_text = first[0] if first else answered
    whole, full_done = ended[False] if answer.usage.quick else (answer, first_text)
    encoder = Encoder(cast(Backend, arm.backend.inner))
    prompt = encoder.encode(choice.full, info.context_tokens - _RESERVE_TOKENS).tokens
    with closing(best.floor(arm)) as floor:
        bare_prompt_ms, bare_ms = floor.run(prompt, tokens)
    before = answer.usage.prefill_ms + answer.usage.decode_ms if answer.usage.quick else 0.0
    return EngineAnswer(
        prompt_tokens=len(prompt),
        quick_tokens=answer.usage.prompt_tokens if answer.usage.quick else 0,
        decoded_tokens=answer.usage.decoded_tokens,
        first_ms=1000 * (first_text - began),
        whole_ms=1000 * (answered - began),
        full_ms=1000 * (full_done - began),
        prefill_per_second=1000 * whole.usage.evaluated_tokens / max(whole.usage.prefill_ms, 1e-3),
        bare_prefill_per_second=1000 * len(prompt) / max(bare_prompt_ms, 1e-3),
        bare_ms=bare_ms,
        expected_full_ms=bare_prompt_ms + before,
    )
