"""Loading a model: errors, aborting, and what happens to the requests of the model before."""

from __future__ import annotations

import pytest

from lsp_server.backends.base import Backend, ModelError, ModelSpec
from lsp_server.backends.scripted import ScriptedBackend
from lsp_server.engine.request import FinishReason, Load, ModelFailed, ModelLoading, ModelReady, Shutdown
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
    assert harness.events[1] == ModelFailed(message)
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


@pytest.mark.parametrize("message", [Load(ModelSpec("", sequences=3)), Shutdown()])
def test_a_newer_message_aborts_loading(message: Load | Shutdown) -> None:
    asked: list[bool] = []

    def factory(spec: ModelSpec, progress: Progress) -> Backend:
        if spec.sequences == 3:
            return ScriptedBackend(spec, progress)
        asked.append(progress(0.5))
        harness.engine.send(ask(7, "a"))
        asked.append(progress(0.6))
        harness.engine.send(message)
        asked.append(progress(0.7))
        raise ModelError("aborted")

    harness = EngineHarness(factory)
    harness.engine.send(Load(ModelSpec("")))
    harness.engine.receive()
    assert asked == [True, True, False]
    assert not [event for event in harness.events if isinstance(event, ModelFailed)]
    assert ModelLoading(0.7) in harness.events
    assert [e.info.sequences for e in harness.events if isinstance(e, ModelReady)] == (
        [3] if isinstance(message, Load) else []
    )
    assert harness.answered() == [7]


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
