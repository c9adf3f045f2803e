"""The engine, step by step: what each message does, in which order, and what is said about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from lsp_server.backends.base import Backend, ModelError, ModelSpec
from lsp_server.backends.scripted import ScriptedBackend
from lsp_server.engine.core import QUEUE_LIMIT
from lsp_server.engine.healing import MOST_HEALED_TOKENS
from lsp_server.engine.request import (
    Cancel,
    FinishReason,
    Priority,
    PromptRead,
)
from tests.engine.harness import (
    BLOCK,
    EngineHarness,
    Forgetful,
    PartlyFailing,
    Progress,
    Recurrent,
    ask,
    cold,
    make_prompt,
)

LONG = "x = 1\n" * 60  # 360 tokens: several chunks


def ready(backend: Callable[[ModelSpec, Progress], Backend] = ScriptedBackend, **options: int) -> EngineHarness:
    harness = EngineHarness(backend)
    harness.load(**options)
    return harness


def test_a_request_without_a_model_is_answered() -> None:
    harness = EngineHarness()
    finished = harness.run(ask(1, "a"))
    assert (finished.reason, finished.message) == (FinishReason.REJECTED, "no model is loaded")


def test_a_key_costs_one_token() -> None:
    harness = ready()
    typed = "return value"
    for count in range(1, len(typed) + 1):
        finished = harness.run(ask(count, make_prompt(LONG, typed[:count], "\nfoo()\n")))
        usage = finished.usage
        assert usage.prompt_tokens == usage.reused_tokens + usage.evaluated_tokens
        assert usage.evaluated_tokens == (usage.prompt_tokens if count == 1 else 1)


def test_how_much_of_a_long_prompt_is_done_is_told_after_each_step_but_the_last() -> None:
    harness = ready()
    prompt = harness.run(ask(1, LONG)).usage.prompt_tokens
    told = [event for event in harness.events if isinstance(event, PromptRead)]
    assert [event.tokens for event in told] == list(range(64, prompt, 64))
    assert {(event.id, event.prompt_tokens) for event in told} == {(1, prompt)}


def test_the_deltas_are_the_text() -> None:
    harness = ready()
    finished = harness.run(ask(1, LONG, stop=BLOCK, max_tokens=40))
    deltas = harness.deltas(1)
    assert finished.text == "".join(delta.text for delta in deltas)
    assert finished.usage.decoded_tokens == len(deltas) == 40
    assert finished.logprob == pytest.approx(sum(delta.logprob for delta in deltas) / 40)


@pytest.mark.parametrize("typed", ["", "x = "])
def test_what_is_written_already_is_gone_on_with(typed: str) -> None:
    harness = ready()
    request = ask(1, make_prompt(LONG, typed), stop=BLOCK, max_tokens=40)
    whole = harness.run(request)
    again = harness.run(replace(request, id=2, written=whole.text[:15], max_tokens=25))
    assert (again.text, again.reason) == (whole.text, whole.reason)
    assert "".join(delta.text for delta in harness.deltas(2)) == whole.text[15:]
    assert again.usage.evaluated_tokens <= MOST_HEALED_TOKENS + 1


def test_warming_computes_and_writes_nothing() -> None:
    harness = ready()
    warm = harness.run(ask(1, LONG, max_tokens=0, priority=Priority.WARMING))
    assert (warm.text, warm.reason, warm.usage.decoded_tokens) == ("", FinishReason.LENGTH, 0)
    again = harness.run(ask(2, LONG, max_tokens=0, priority=Priority.WARMING)).usage
    assert again.evaluated_tokens == 0
    assert again.prompt_tokens == again.reused_tokens
    assert isinstance(harness.backend, ScriptedBackend)
    evaluated = harness.backend.evaluated_tokens
    assert evaluated == warm.usage.evaluated_tokens
    written = harness.run(ask(3, LONG))
    assert (written.usage.evaluated_tokens, written.usage.reused_tokens) == (0, warm.usage.prompt_tokens)
    # Each token but the last is evaluated once, to have the next.
    assert harness.backend.evaluated_tokens - evaluated == written.usage.decoded_tokens - 1
    assert written.text == cold(make_prompt(LONG, ""), ask(0, "").stop, 12).text


@pytest.mark.parametrize("steps", [0, 1, 3, 8])
def test_cancelling_keeps_what_was_computed(steps: int) -> None:
    harness = ready()
    harness.send(ask(1, LONG, stop=BLOCK, max_tokens=50))
    for _ in range(steps):
        assert harness.step()
    harness.engine.send(Cancel(1))
    harness.receive()
    assert harness.finished(1).reason is FinishReason.CANCELLED
    assert not harness.step(), "the cancelled request is still worked on"
    again = harness.run(ask(2, LONG))
    assert again.usage.reused_tokens == min(64 * steps, again.usage.prompt_tokens)
    assert again.usage.evaluated_tokens == again.usage.prompt_tokens - again.usage.reused_tokens


def test_cancelling_what_has_ended_or_never_was_does_nothing() -> None:
    harness = ready()
    harness.run(ask(1, "a"))
    before = len(harness.events)
    for id in (1, 99):
        harness.engine.send(Cancel(id))
    harness.receive()
    assert len(harness.events) == before


@pytest.mark.parametrize("begun", [0, 2, 9])
def test_the_more_urgent_goes_first_and_the_other_goes_on(begun: int) -> None:
    harness = ready(sequences=2)
    slow = ask(1, LONG, stop=BLOCK, max_tokens=20, priority=Priority.ACTION)
    harness.send(slow)
    for _ in range(begun):
        harness.step()
    harness.send(ask(2, "urgent"))
    harness.drain()
    assert harness.answered() == [2, 1]
    first, second = harness.finished(1), harness.finished(2)
    assert first.text == cold(slow.prompt, slow.stop, 20).text
    assert second.text == cold(make_prompt("urgent", ""), ask(0, "").stop, 12).text
    # Nothing of what the first had computed was computed again.
    assert first.usage.evaluated_tokens == first.usage.prompt_tokens
    assert isinstance(harness.backend, ScriptedBackend)
    assert harness.backend.evaluated_tokens <= sum(
        f.usage.evaluated_tokens + f.usage.decoded_tokens for f in (first, second)
    )


def test_the_least_urgent_gives_its_sequence_up() -> None:
    harness = ready(sequences=2)
    for id, priority in enumerate([Priority.ACTION, Priority.WARMING, Priority.INLINE]):
        harness.send(ask(id, f"{id}{LONG}", stop=BLOCK, max_tokens=20, priority=priority))
        for _ in range(3):
            harness.step()
    harness.drain()
    assert harness.answered() == [2, 1, 0]
    action, warming = harness.finished(0).usage, harness.finished(1).usage
    assert warming.evaluated_tokens == warming.prompt_tokens
    assert action.evaluated_tokens > action.prompt_tokens
    for id in range(3):
        assert harness.finished(id).text == cold(make_prompt(f"{id}{LONG}", ""), BLOCK, 20).text


def test_with_one_sequence_the_preempted_request_starts_over_and_is_right() -> None:
    harness = ready(sequences=1)
    slow = ask(1, LONG, stop=BLOCK, max_tokens=20, priority=Priority.ACTION)
    harness.send(slow)
    for _ in range(9):
        harness.step()
    harness.send(ask(2, "urgent"))
    harness.drain()
    assert harness.answered() == [2, 1]
    assert harness.finished(1).text == cold(slow.prompt, slow.stop, 20).text


def test_the_queue_is_bounded_and_says_so() -> None:
    harness = ready()
    requests = [ask(id, f"request {id}", priority=Priority.ACTION) for id in range(QUEUE_LIMIT + 1)]
    harness.send(*requests)
    assert harness.finished(QUEUE_LIMIT).reason is FinishReason.REJECTED
    assert "waiting" in harness.finished(QUEUE_LIMIT).message
    harness.send(ask(1000, "urgent"))
    assert harness.finished(QUEUE_LIMIT - 1).reason is FinishReason.REJECTED
    harness.drain()
    assert sorted(harness.answered()) == [*range(QUEUE_LIMIT + 1), 1000]


def test_a_deadline_ends_with_the_text_there_is() -> None:
    harness = ready()
    harness.send(ask(1, "abc", stop=BLOCK, max_tokens=200, deadline=0.2), ask(2, "later", deadline=0.1))
    harness.drain()
    late, waiting = harness.finished(1), harness.finished(2)
    assert (late.reason, waiting.reason) == (FinishReason.DEADLINE, FinishReason.DEADLINE)
    assert late.text == cold(make_prompt("abc", ""), BLOCK, 200).text[: len(late.text)] != ""
    assert waiting.text == ""
    assert late.usage.total_ms == pytest.approx(200, abs=11)


def test_the_window_cuts_the_prompt_and_counts_it() -> None:
    harness = ready(context_tokens=64)  # 256 tokens of the scripted backend
    usage = harness.run(ask(1, make_prompt(LONG, "typed", LONG), max_tokens=16)).usage
    assert usage.cut_tokens > 0
    assert usage.prompt_tokens == usage.reused_tokens + usage.evaluated_tokens <= 256 - 16
    assert usage.prompt_tokens + usage.cut_tokens == 1 + 4 + len(LONG) * 2 + len("typed")


def test_a_window_without_room_fails_with_words() -> None:
    finished = ready(context_tokens=64).run(ask(1, "a", max_tokens=256))
    assert finished.reason is FinishReason.FAILED
    assert "context_tokens" in finished.message


@pytest.mark.parametrize("steps", [0, 2, 8])
def test_a_failing_backend_fails_one_request_only(steps: int) -> None:
    harness = ready(PartlyFailing)
    harness.send(ask(1, LONG, stop=BLOCK, max_tokens=50))
    for _ in range(steps):
        harness.step()
    assert isinstance(harness.backend, PartlyFailing)
    harness.backend.fail_next = True
    harness.step()
    assert harness.finished(1).reason is FinishReason.FAILED
    assert harness.finished(1).message == "the device is gone"
    request = ask(2, LONG + "y", stop=BLOCK, max_tokens=20)
    assert harness.run(request).text == cold(request.prompt, BLOCK, 20).text


@pytest.mark.parametrize("backend", [Recurrent, Forgetful])
def test_a_backend_that_cannot_truncate_is_still_right(backend: type[ScriptedBackend]) -> None:
    harness = ready(backend, sequences=2)
    for id, typed in enumerate(["a", "ab", "abc", "ab", "x", "abcd"]):
        request = ask(id, make_prompt(LONG, typed), stop=BLOCK, max_tokens=10)
        finished = harness.run(request)
        assert finished.text == cold(request.prompt, BLOCK, 10).text
        assert finished.usage.reused_tokens + finished.usage.evaluated_tokens == finished.usage.prompt_tokens


class FailingOnce(ScriptedBackend):
    """Raises what is in `errors`, once, from the method named there."""

    def __init__(self, spec: ModelSpec, progress: Progress) -> None:
        super().__init__(spec, progress)
        self.errors: dict[str, Exception] = {}

    def _fail(self, method: str) -> None:
        if method in self.errors:
            raise self.errors.pop(method)

    def tokenize(self, text: bytes) -> list[int]:
        self._fail("tokenize")
        return super().tokenize(text)

    def copy(self, source: int, target: int) -> None:
        self._fail("copy")
        super().copy(source, target)

    def truncate(self, sequence: int, length: int) -> int:
        self._fail("truncate")
        return super().truncate(sequence, length)


@pytest.mark.parametrize("error", [ModelError("broken"), RuntimeError("broken")])
@pytest.mark.parametrize("method", ["tokenize", "copy", "truncate"])
def test_any_failing_call_fails_one_request_and_costs_no_sequence(method: str, error: Exception) -> None:
    harness = ready(FailingOnce, sequences=2)
    harness.run(ask(1, LONG + LONG))
    assert isinstance(harness.backend, FailingOnce)
    harness.backend.errors[method] = error
    finished = harness.run(ask(2, LONG + "y" * 40))  # far from the first: a copy
    assert (finished.reason, finished.message) == (FinishReason.FAILED, "broken")
    assert not [sequence.id for sequence in harness.engine.cache() if sequence.busy]
    for id in range(3, 8):
        request = ask(id, LONG + "z" * id, stop=BLOCK)
        assert harness.run(request).text == cold(request.prompt, BLOCK, 12).text
