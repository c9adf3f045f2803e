"""An engine over llama.cpp, driven step by step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from lsp_server.backends import llama
from lsp_server.backends.base import ModelSpec, StepCosts
from lsp_server.engine.core import EngineCore
from lsp_server.engine.request import Cancel, Event, Finished, Generate, Load, ModelReady
from lsp_server.engine.spawn import at_once
from tests.engine.harness import QUICK


class Session:
    """An engine driven step by step, and the events it has posted."""

    def __init__(self, spec: ModelSpec, costs: StepCosts | None = None) -> None:
        """costs: what steps are said to cost, so that drafts pay; those of a model that drafts cost little."""

        def load(spec: ModelSpec, progress: Callable[[float], bool]) -> llama.LlamaBackend:
            backend = llama.load(spec, progress)
            backend.info = replace(backend.info, costs=QUICK if drafts and spec.path == drafts else costs)
            return backend

        drafts = spec.draft

        self.events: list[Event] = []
        self.engine = EngineCore(load, self.events.append, spawn=at_once)
        self.engine.send(Load(spec))
        self.engine.receive()
        ready = self.events[-1]
        assert isinstance(ready, ModelReady), ready
        self.info = ready.info

    def run(self, request: Generate, cancel_after: int | None = None) -> Finished:
        """The request's end; with cancel_after, it is cancelled after that many steps, unless it ends first."""
        self.engine.send(request)
        self.engine.receive()
        steps = 0
        while self.engine.step():
            steps += 1
            if steps == cancel_after:
                self.engine.send(Cancel(request.id))
                self.engine.receive()
        finished = next(event for event in reversed(self.events) if isinstance(event, Finished))
        assert finished.id == request.id
        return finished
