"""An engine that keeps its answers in a file, so that a long run can continue where it stopped."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lsp_server.backends.base import BackendFactory
from lsp_server.core.prompt import FimPrompt
from lsp_server.core.stopping import StopRule
from lsp_server.engine.api import ModelState
from lsp_server.engine.client import EngineClient
from lsp_server.engine.home import ThreadHome
from lsp_server.engine.request import Finished, FinishReason, Priority, Role, TextDelta, Usage

_KEPT = (FinishReason.STOP, FinishReason.END, FinishReason.LENGTH, FinishReason.CANCELLED)


class RememberingEngine(EngineClient):
    """Searches an answer in the file before it asks the model, and adds the model's answers to the file. So changed
    rules are tested with the same answers, and only new questions cost time. file: one line of JSON per answer; None:
    no file. most_tokens: the limit of an answer. asked: how many answers came from the model.
    """

    def __init__(
        self,
        factory: BackendFactory,
        on_model: Callable[[Role, ModelState], None],
        file: Path | None,
        most_tokens: int,
    ) -> None:
        super().__init__({"in-process": lambda: ThreadHome(factory)}, on_model)
        self.asked = 0
        self._file = file
        self._most_tokens = most_tokens
        self._known: dict[str, dict[str, Any]] = {}
        if file is not None and file.is_file():
            entries = (json.loads(line) for line in file.read_text("utf-8").splitlines())
            self._known = {entry["key"]: entry for entry in entries}

    def submit(
        self,
        prompt: FimPrompt,
        stop: StopRule | None,
        max_tokens: int,
        listener: Callable[[TextDelta | Finished], None],
        *,
        role: Role = "completion",
        rank: int = 0,
        **options: Any,
    ) -> int:
        wanted = min(max_tokens, self._most_tokens)
        info = self.models[role].info
        key = _key(f"{info.path if info else ''} {rank}", prompt, wanted)
        found = self._known.get(key)
        if found is not None:
            usage = Usage(decoded_tokens=found["tokens"])
            answer = Finished(0, found["text"], FinishReason(found["reason"]), usage)
            asyncio.get_running_loop().call_soon(listener, answer)
            return 0

        def remember(event: TextDelta | Finished) -> None:
            if isinstance(event, Finished):
                self.asked += 1
                if event.reason in _KEPT and not event.message:
                    self._add(key, event)
            listener(event)

        # Nobody types during a bench, so the steps may be long.
        return super().submit(
            prompt, stop, wanted, remember, role=role, rank=rank, **options | {"priority": Priority.INLINE}
        )

    def _add(self, key: str, event: Finished) -> None:
        entry = {"key": key, "reason": event.reason.value, "tokens": event.usage.decoded_tokens, "text": event.text}
        self._known[key] = entry
        if self._file is not None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._file.open("a", encoding="utf-8") as out:
                out.write(json.dumps(entry) + "\n")


def _key(model: str, prompt: FimPrompt, tokens: int) -> str:
    digest = hashlib.sha256(f"{Path(model).name} {tokens}".encode())
    for segment in prompt.segments:
        digest.update(b"\0" + segment.kind.encode() + b"\0" + segment.text)
    return digest.hexdigest()[:24]
