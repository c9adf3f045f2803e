"""The engine under random messages on a virtual clock: every request ends once, and nothing is lost."""

from __future__ import annotations

import random

import pytest

from lsp_server.backends.base import Backend, ModelError, ModelSpec
from lsp_server.backends.scripted import ScriptedBackend
from lsp_server.engine.core import QUEUE_LIMIT
from lsp_server.engine.request import Cancel, Finished, FinishReason, Generate, Load, Priority, TextDelta
from tests.engine.harness import BLOCK, LINE, EngineHarness, Progress, cold, make_prompt

TEXTS = [f"def f{i}():\n" + "    value = value * 2\n" * 8 for i in range(3)]


def loading(spec: ModelSpec, progress: Progress) -> Backend:
    """A path of `missing` is a model that cannot be had."""
    if spec.path == "missing":
        raise ModelError("missing")
    return ScriptedBackend(spec, progress)


def random_request(rng: random.Random, id: int, now: float) -> Generate:
    text = rng.choice(TEXTS)
    before = text[: rng.randrange(len(text))] if rng.random() < 0.4 else text
    prompt = make_prompt(before, "retu"[: rng.randrange(5)], rng.choice(["\n", "\nfoo()\n"]))
    return Generate(
        id,
        prompt,
        rng.choice([LINE, BLOCK]),
        rng.choice([0, 1, 8, 24]),
        rng.choice(list(Priority)),
        now + rng.uniform(-0.1, 3) if rng.random() < 0.3 else None,
    )


def check_answers(harness: EngineHarness, requests: dict[int, Generate]) -> None:
    """Exactly one end for each request, nothing of it afterwards, and the text is what its deltas say."""
    texts = dict.fromkeys(requests, "")
    ended: dict[int, Finished] = {}
    for event in harness.events:
        if isinstance(event, TextDelta):
            assert event.id not in ended, "text after the end"
            assert event.text
            texts[event.id] += event.text
        elif isinstance(event, Finished):
            assert event.id not in ended, "a second end"
            ended[event.id] = event
    assert ended.keys() == requests.keys()
    for id, finished in ended.items():
        request = requests[id]
        assert finished.text == texts[id]
        assert finished.usage.decoded_tokens <= request.max_tokens
        if finished.reason is FinishReason.REJECTED:
            assert finished.message
            assert not finished.text or "waiting" in finished.message
            continue
        truth = cold(request.prompt, request.stop, request.max_tokens)
        if finished.reason in (FinishReason.CANCELLED, FinishReason.DEADLINE):
            assert truth.text.startswith(finished.text)
            assert finished.reason is FinishReason.CANCELLED or request.deadline is not None
        else:
            assert (finished.text, finished.reason, finished.logprob) == (truth.text, truth.reason, truth.logprob)


@pytest.mark.parametrize("sequences", [1, 2, 4])
@pytest.mark.parametrize("seed", range(2))
def test_every_request_ends_exactly_once(seed: int, sequences: int) -> None:
    rng = random.Random(f"{seed} {sequences}")
    harness = EngineHarness(loading)
    harness.load(sequences=sequences)
    requests: dict[int, Generate] = {}
    for _ in range(1200):
        event = rng.random()
        if event < 0.25:
            count = QUEUE_LIMIT + 5 if rng.random() < 0.02 else rng.choice([1, 1, 1, 3])
            for _ in range(count):
                request = random_request(rng, len(requests), harness.clock.now)
                requests[request.id] = request
                harness.engine.send(request)
        elif event < 0.35 and requests:
            recent = max(0, len(requests) - 5)
            harness.engine.send(Cancel(rng.randrange(recent, len(requests) + 1)))
        elif event < 0.36:
            path = "missing" if rng.random() < 0.3 else ""
            harness.engine.send(Load(ModelSpec(path, 1024, rng.choice([1, sequences]), fim_format="qwen")))
        elif event < 0.5:
            harness.clock.now += rng.uniform(0, 0.5)
        if rng.random() < 0.8:
            harness.receive()
        harness.step()
        busy = [sequence.id for sequence in harness.engine.cache() if sequence.busy]
        assert len(busy) <= len(requests) - len(harness.answered()), "a sequence is busy for nobody"
    harness.receive()
    harness.drain()
    assert not [sequence for sequence in harness.engine.cache() if sequence.busy]
    check_answers(harness, requests)
    reasons = {event.reason for event in harness.events if isinstance(event, Finished)}
    assert reasons >= set(FinishReason) - {FinishReason.FAILED, FinishReason.END}, "the events left something out"
