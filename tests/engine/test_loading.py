"""Loading a model: errors, aborting, and what happens to the requests of the model before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import ClassVar

import pytest

from lsp_server.backends.base import Adapter, Backend, ModelError, ModelSpec
from lsp_server.backends.scripted import ScriptedBackend
from lsp_server.core.prompt import FimPrompt, Segment
from lsp_server.engine.request import (
    FinishReason,
    Keep,
    Load,
    ModelFailed,
    ModelIdle,
    ModelLoading,
    ModelReady,
    Shutdown,
)
from tests.engine.harness import LINE, EngineHarness, Progress, ask, cold, make_prompt

LONG = "x = 1\n" * 60


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ModelError("no such file: x.gguf"), "no such file: x.gguf"),
        (ValueError("odd"), "loading x.gguf failed: ValueError: odd"),
    ],
)
def test_a_loading_error_is_told_and_the_engine_lives(error: Exception, message: str) -> None:
    errors = [error]

    def factory(spec: ModelSpec, progress: Progress) -> Backend:
        if errors:
            raise errors.pop()
        return ScriptedBackend(spec, progress)

    harness = EngineHarness(factory)
    harness.engine.send(Load(ModelSpec("x.gguf")))
    harness.send(ask(1, "a"))
    assert ModelFailed(message) in harness.events
    assert harness.finished(1).reason is FinishReason.REJECTED
    harness.load()
    assert harness.run(ask(2, "a")).text == cold(make_prompt("a", ""), LINE, 12).text


class BrokenVocabulary(ScriptedBackend):
    """A model whose tokens cannot be read, found out once it is loaded."""

    closed = False

    def piece(self, token: int) -> bytes:
        raise RuntimeError("no such token")

    def close(self) -> None:
        self.closed = True


def test_a_model_that_fails_once_it_is_loaded_is_closed_and_told() -> None:
    backends: list[BrokenVocabulary] = []

    def factory(spec: ModelSpec, progress: Progress) -> Backend:
        if backends:
            return ScriptedBackend(spec, progress)
        backends.append(BrokenVocabulary(spec, progress))
        return backends[0]

    harness = EngineHarness(factory)
    harness.engine.send(Load(ModelSpec(""), number=5))
    harness.send(ask(1, "a"))
    (failed,) = [event for event in harness.events if isinstance(event, ModelFailed)]
    assert "no such token" in failed.message
    assert failed.load == 5
    assert backends[0].closed
    assert harness.finished(1).reason is FinishReason.REJECTED
    harness.load()
    assert harness.run(ask(2, "a")).text == cold(make_prompt("a", ""), LINE, 12).text


@pytest.mark.parametrize("message", [Load(ModelSpec("", sequences=3), number=2), Shutdown()])
def test_a_newer_message_aborts_loading(message: Load | Shutdown) -> None:
    asked: list[bool] = []

    def factory(spec: ModelSpec, progress: Progress) -> Backend:
        if spec.sequences == 3:
            return ScriptedBackend(spec, progress)
        asked.append(progress(0.5))
        harness.engine.send(ask(7, "a"))
        harness.engine.receive()
        asked.append(progress(0.6))
        harness.engine.send(message)
        harness.engine.receive()
        asked.append(progress(0.7))
        raise ModelError("aborted")

    harness = EngineHarness(factory)
    harness.engine.send(Load(ModelSpec("")))
    harness.receive()
    assert asked == [True, True, isinstance(message, Shutdown)]
    assert ModelLoading(0.6) in harness.events
    assert (ModelLoading(0.7) in harness.events) is isinstance(message, Shutdown)
    ready = [event for event in harness.events if isinstance(event, ModelReady)]
    assert [event.load for event in ready] == ([2] if isinstance(message, Load) else [])
    assert harness.answered() == [7]


def test_a_load_that_outlives_the_engine_is_closed() -> None:
    made: list[Closing] = []

    class Closing(ScriptedBackend):
        closed = False

        def close(self) -> None:
            self.closed = True

    def factory(spec: ModelSpec, progress: Progress) -> Backend:
        made.append(Closing(spec, progress))
        harness.engine.send(Shutdown())
        harness.engine.run()
        return made[0]

    harness = EngineHarness(factory)
    harness.engine.send(Load(ModelSpec("")))
    harness.receive()
    assert made[0].closed
    assert not [event for event in harness.events if isinstance(event, ModelReady | ModelFailed)]


def test_a_second_model_loads_beside_the_work_of_the_first() -> None:
    harness = EngineHarness()
    harness.load()
    during: list[str] = []

    def factory(spec: ModelSpec, progress: Progress) -> Backend:
        backend = ScriptedBackend(spec, progress)
        if spec.path:
            during.append(harness.run(ask(1, "a")).text)
        return backend

    harness.swap(factory)
    harness.engine.send(Load(ModelSpec(__file__), role="chat"))
    harness.receive()
    harness.check()
    assert during == [cold(make_prompt("a", ""), LINE, 12).text]
    prompt = make_prompt("", "def test_a_second_model_")
    assert harness.run(replace(ask(2, prompt), role="chat")).text == "loads_beside"
    assert harness.run(ask(3, prompt)).text == cold(prompt, LINE, 12).text != "loads_beside"


def test_one_model_is_replaced_and_the_other_goes_on() -> None:
    harness = EngineHarness()
    harness.load()
    harness.engine.send(Load(ModelSpec(""), role="chat"))
    harness.receive()
    harness.send(replace(ask(1, LONG), role="chat"), ask(2, LONG))
    harness.step()
    harness.engine.send(Load(ModelSpec("", sequences=2), role="chat"))
    harness.receive()
    harness.drain()
    assert harness.finished(1).reason is FinishReason.CANCELLED
    assert harness.finished(2).text == cold(make_prompt(LONG, ""), LINE, 12).text
    assert harness.run(replace(ask(3, "a"), role="chat")).text == cold(make_prompt("a", ""), LINE, 12).text


def test_special_tokens_count_in_a_template_and_nowhere_else() -> None:
    harness = EngineHarness()
    harness.load()
    text = b"<|fim_prefix|>a"

    def tokens(kind: str) -> int:
        harness.run(replace(ask(len(harness.events), "a"), prompt=FimPrompt("chat", (Segment(kind, text),)), stop=None))
        return harness.answered_usage().prompt_tokens

    assert tokens("template") == 1 + 2
    assert tokens("user") == 1 + len(text)


def test_the_scripted_backend_can_be_aborted_while_loading() -> None:
    with pytest.raises(ModelError):
        ScriptedBackend(ModelSpec(""), lambda _: False)


def test_a_new_model_cancels_what_ran_for_the_old_one() -> None:
    harness = EngineHarness()
    harness.load(sequences=2)
    harness.send(ask(1, LONG), ask(2, "b"))
    harness.step()
    harness.load(sequences=1)
    assert [harness.finished(id).reason for id in (1, 2)] == [FinishReason.CANCELLED] * 2
    assert not harness.step()
    assert harness.run(ask(3, LONG)).usage.reused_tokens == 0


def test_shutdown_answers_everything_that_came_before() -> None:
    harness = EngineHarness()
    harness.load()
    harness.engine.send(ask(1, LONG))
    harness.engine.send(Shutdown())
    harness.engine.run()
    assert harness.finished(1).reason is FinishReason.CANCELLED


def adapted(*names: str, sequences: int = 2) -> ModelSpec:
    return ModelSpec("", 1024, sequences, fim_format="qwen", adapters=tuple(map(Adapter, names)))


def test_adapters_are_exchanged_in_place_and_never_mix() -> None:
    """What an adapted model writes depends on which adapters each of its cells was computed with."""
    truth = {}
    for names in ((), ("a",), ("a", "b")):
        cold_one = EngineHarness()
        cold_one.engine.send(Load(adapted(*names)))
        cold_one.receive()
        truth[names] = cold_one.run(ask(1, LONG)).text
    assert len(set(truth.values())) == 3
    harness = EngineHarness()
    for number, names in enumerate([(), ("a",), ("a", "b"), ("a",), ()]):
        harness.engine.send(Load(adapted(*names), number))
        harness.receive()
        ready = harness.events[-1]
        assert isinstance(ready, ModelReady)
        assert (ready.load, ready.info.adapters) == (number, adapted(*names).adapters)
        assert harness.run(ask(2 * number, LONG)).text == truth[names]
        again = harness.run(ask(2 * number + 1, LONG))
        assert (again.text, again.usage.evaluated_tokens) == (truth[names], 0)
    assert len(harness.backends) == 1
    harness.engine.send(Load(adapted("a", sequences=1), 9))
    harness.receive()
    assert len(harness.backends) == 2


def test_adapters_that_cannot_be_used_are_told_and_the_model_comes_back_without() -> None:
    class Picky(ScriptedBackend):
        def adapt(self, adapters: Sequence[Adapter]) -> None:
            raise ModelError("the adapter is for another model")

    harness = EngineHarness(Picky)
    harness.engine.send(Load(adapted()))
    harness.receive()
    harness.send(ask(1, LONG))
    harness.engine.send(Load(adapted("a"), 4))
    harness.receive()
    assert ModelFailed("the adapter is for another model", 4) in harness.events
    assert harness.finished(1).reason is FinishReason.CANCELLED
    harness.engine.send(Load(adapted(), 5))
    harness.receive()
    assert harness.run(ask(2, LONG)).text == cold(make_prompt(LONG, ""), LINE, 12).text


class Slow(ScriptedBackend):
    """Whether its adapters can be used takes long to find out. asked: those that were looked at."""

    asked: ClassVar[list[str]] = []
    during: ClassVar[Callable[[], None]] = staticmethod(lambda: None)

    def admit(self, adapters: Sequence[Adapter], progress: Progress) -> None:
        self.asked.append("".join(adapter.path for adapter in adapters))
        during, Slow.during = Slow.during, lambda: None
        during()
        if not progress(0.0):
            raise ModelError("given up")
        if adapters and adapters[0].path == "bad":
            raise ModelError("the adapter crashes")


def slow(monkeypatch: pytest.MonkeyPatch) -> EngineHarness:
    monkeypatch.setattr(Slow, "asked", [])
    harness = EngineHarness(Slow)
    harness.engine.send(Load(adapted()))
    harness.receive()
    return harness


def test_completions_go_on_while_adapters_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    harness = slow(monkeypatch)
    monkeypatch.setattr(Slow, "during", lambda: harness.run(ask(1, LONG)))
    harness.engine.send(Load(adapted("a"), 1))
    harness.receive()
    assert harness.finished(1).text == cold(make_prompt(LONG, ""), LINE, 12).text
    assert isinstance(harness.events[-1], ModelReady)
    assert harness.events[-1].info.adapters == (Adapter("a"),)
    assert len(harness.backends) == 1


@pytest.mark.parametrize("then", ["", "b"])
def test_a_corrected_setting_does_not_wait_for_adapters_that_nobody_wants(
    monkeypatch: pytest.MonkeyPatch, then: str
) -> None:
    harness = slow(monkeypatch)

    def correct() -> None:
        harness.engine.send(Load(adapted(*then), 2))
        harness.engine.receive()

    monkeypatch.setattr(Slow, "during", correct)
    harness.engine.send(Load(adapted("bad"), 1))
    harness.receive()
    ready = harness.events[-1]
    assert isinstance(ready, ModelReady)
    assert (ready.load, ready.info.adapters) == (2, tuple(map(Adapter, then)))
    assert Slow.asked == ["bad", then]
    assert len(harness.backends) == 1
    assert not [event for event in harness.events if isinstance(event, ModelFailed)]


def test_a_model_that_was_unloaded_meanwhile_is_loaded_with_its_adapters(monkeypatch: pytest.MonkeyPatch) -> None:
    harness = slow(monkeypatch)
    harness.engine.send(Keep({"completion": 1.0}))

    def idle() -> None:
        harness.clock.now += 10
        harness.engine.receive()
        harness.engine.step()

    monkeypatch.setattr(Slow, "during", idle)
    harness.engine.send(Load(adapted("a"), 1))
    harness.receive()
    assert [event for event in harness.events if isinstance(event, ModelIdle)]
    assert isinstance(harness.events[-1], ModelReady)
    assert len(harness.backends) == 2
