"""A small model that drafts for a large one: fewer steps, the same text, and what happens when things go wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from lsp_server.backends.base import Adapter, ModelSpec, NoRoomError, StepCosts
from lsp_server.backends.scripted import ScriptedBackend
from lsp_server.core.prompt import FimPrompt
from lsp_server.engine.draft_model import DraftModel
from lsp_server.engine.request import Cancel, Finished, FinishReason, Load, ModelLoading, ModelReady, Priority
from tests.engine.harness import (
    BLOCK,
    CHEAP_BATCHES,
    DEAR_ROWS,
    LINE,
    QUICK,
    EngineHarness,
    PartlyFailing,
    Progress,
    Recurrent,
    ask,
    cold,
    make_prompt,
)

LETTERS = b"abcdefghijklmnopqrstu"


def text_without_repeats() -> bytes:
    """Each pair of letters at most once (a walk over all of them), so that nothing of it can be looked up."""
    text, seen = bytearray(b"a"), set()
    while following := [letter for letter in reversed(LETTERS) if (text[-1], letter) not in seen]:
        seen.add((text[-1], following[0]))
        text.append(following[0])
    return bytes(text)


TEXT = text_without_repeats()
TEXT = TEXT[:120] + b"\n" + TEXT[120:]
WRONG = bytes(letter if index % 20 else ord("z") for index, letter in enumerate(TEXT))
AS_DEAR = CHEAP_BATCHES


class Small(PartlyFailing):
    """The model that drafts. Says how many tokens it evaluated in each of its steps."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.info = replace(self.info, name="small")
        self.sizes: list[int] = []
        self.closed = False

    def evaluate(self, sequence: int, position: int, tokens: Sequence[int], *, logits: int):  # type: ignore[no-untyped-def]
        assert max(tokens) < self.info.vocabulary
        self.sizes.append(len(tokens))
        return super().evaluate(sequence, position, tokens, logits=logits)

    def close(self) -> None:
        self.closed = True
        super().close()


class Pair(EngineHarness):
    """A model that knows TEXT, and a small one that drafts for it. known: what that one knows."""

    def __init__(
        self,
        known: bytes = TEXT,
        *,
        costs: StepCosts | None = QUICK,
        main_costs: StepCosts | None = CHEAP_BATCHES,
        words: Sequence[bytes] = (),
        sequences: int = 1,
        form: str = "qwen",
        main: type[ScriptedBackend] = ScriptedBackend,
        small: type[ScriptedBackend] = Small,
    ) -> None:
        def load(spec: ModelSpec, progress: Progress) -> ScriptedBackend:
            if spec.path == "draft":
                return small(replace(spec, path=""), progress, texts=[known], costs=costs, words=words)
            return main(spec, progress, texts=[TEXT], costs=main_costs)

        super().__init__(load)
        self.ready = self.load(sequences=sequences, form=form, draft="draft")

    @property
    def draft(self) -> DraftModel:
        draft = self.engine.models["completion"].draft
        assert draft is not None
        return draft

    @property
    def small(self) -> Small:
        backend = self.draft.backend
        assert isinstance(backend, Small)
        return backend

    def taken(self) -> list[int]:
        """The sizes of the small model's steps since this was asked the last time."""
        sizes, self.small.sizes = self.small.sizes, []
        return sizes


def typed(length: int) -> FimPrompt:
    return make_prompt("", TEXT[:length].decode())


def check_cold(harness: EngineHarness, id: int, prompt: FimPrompt, *, stop: Any = BLOCK, tokens: int = 60) -> Finished:
    """The answer is that of an engine without any drafts."""
    finished, truth = harness.finished(id), cold(prompt, stop, tokens, texts=(TEXT,))
    assert (finished.text, finished.reason, finished.logprob) == (truth.text, truth.reason, truth.logprob)
    return finished


def test_a_text_is_written_in_fewer_steps_and_is_the_same() -> None:
    pair = Pair()
    assert pair.ready.info.draft == "small"
    pair.run(ask(1, typed(90), stop=BLOCK, max_tokens=60))
    usage = check_cold(pair, 1, typed(90)).usage
    assert usage.decoded_tokens == 60
    assert usage.accepted_tokens > 40
    main = pair.engine.models["completion"].backend
    assert isinstance(main, ScriptedBackend)
    assert main.evaluated_tokens < usage.prompt_tokens + 60 + 12


def test_wrong_drafts_change_nothing() -> None:
    pair = Pair(WRONG)
    pair.run(ask(1, typed(90), stop=BLOCK, max_tokens=60))
    usage = check_cold(pair, 1, typed(90)).usage
    assert 0 < usage.accepted_tokens < usage.drafted_tokens


def test_no_draft_behind_a_short_text_where_it_pays_behind_a_long_one() -> None:
    """At the end of the window a token of the large model takes long enough."""
    steady = StepCosts((0, 1024), (1, 16), ((10.0, 10.0), (10.0, 10.0)))
    pair = Pair(costs=steady, main_costs=StepCosts((0, 1024), (1, 16), ((10.0, 11.0), (12.0, 13.0))))
    pair.run(ask(1, typed(90), max_tokens=60))
    assert check_cold(pair, 1, typed(90), stop=LINE).usage.drafted_tokens == 0
    assert pair.ready.info.draft == "small"
    assert pair.taken() == []


def test_a_draft_ends_where_the_text_does() -> None:
    pair = Pair()
    length = TEXT.index(b"\n") - 6
    pair.run(ask(2, typed(length), max_tokens=0))
    pair.run(ask(1, typed(length), max_tokens=60))
    usage = check_cold(pair, 1, typed(length), stop=LINE).usage
    assert usage.drafted_tokens == usage.accepted_tokens > 3


def test_a_key_costs_the_small_model_what_is_new() -> None:
    pair = Pair(sequences=2)
    pair.run(ask(1, typed(100), max_tokens=8))
    pair.taken()
    for id, length in enumerate(range(101, 120), 2):
        pair.run(ask(id, typed(length), stop=BLOCK, max_tokens=8))
        check_cold(pair, id, typed(length), tokens=8)
        assert sum(pair.taken()) <= 12


def test_warming_warms_the_small_model_too() -> None:
    pair = Pair(sequences=2)
    pair.run(ask(1, typed(200), max_tokens=0, priority=Priority.WARMING))
    assert sum(pair.taken()) == pair.finished(1).usage.prompt_tokens
    pair.run(ask(2, typed(200), max_tokens=0, priority=Priority.WARMING))
    assert pair.taken() == []
    pair.run(ask(3, typed(200), stop=BLOCK, max_tokens=4))
    assert sum(pair.taken()) <= 4


def test_warming_goes_on_where_only_the_small_model_is_behind() -> None:
    pair = Pair(sequences=2)
    pair.run(ask(1, typed(200), max_tokens=0, priority=Priority.WARMING))
    pair.taken()
    for sequence in pair.draft.cache:
        pair.draft.cache.truncate(sequence.id, pair.small.truncate(sequence.id, 0))
    pair.run(ask(2, typed(200), max_tokens=0, priority=Priority.WARMING))
    assert sum(pair.taken()) == pair.finished(1).usage.prompt_tokens
    assert pair.finished(2).usage.evaluated_tokens == 0


def test_a_small_model_far_behind_takes_turns_with_the_text() -> None:
    """Two chunks of it cost more than a token of the large one, and one does not; before the first there are none."""
    pair = Pair(costs=StepCosts((0, 512), (1, 16), ((1.0, 8.0), (1.0, 8.0))))
    pair.send(ask(1, typed(250), stop=BLOCK, max_tokens=24))
    chunks: Counter[int] = Counter()
    while pair.step():
        written = len(pair.deltas(1))
        chunks[written] += sum(size == 16 for size in pair.taken())
    assert chunks[0] == 0
    assert sum(chunks.values()) == 256 // 16
    assert [chunks[token] for token in range(1, 9)] == [2] * 8
    assert check_cold(pair, 1, typed(250), tokens=24).usage.accepted_tokens > 10


@pytest.mark.parametrize("steps", range(6, 22))
def test_a_draft_that_is_left_half_done_leaves_both_caches_right(steps: int) -> None:
    """A request is cancelled, or another one takes its sequence, at every point of a draft."""
    for urgent in (False, True):
        pair = Pair(WRONG, sequences=1)
        pair.send(ask(1, typed(200), stop=BLOCK, max_tokens=30, priority=Priority.PREPARED))
        for _ in range(steps):
            pair.step()
        if urgent:
            pair.send(ask(2, typed(150), stop=BLOCK, max_tokens=30))
        else:
            pair.engine.send(Cancel(1))
        pair.drain()
        pair.run(ask(3, typed(205), stop=BLOCK, max_tokens=30))
        check_cold(pair, 3, typed(205), tokens=30)
        if urgent:
            check_cold(pair, 2, typed(150), tokens=30)
            check_cold(pair, 1, typed(200), tokens=30)


def test_what_is_looked_up_and_right_needs_no_small_model() -> None:
    line = b"values.append(transform(item))\n"
    pair = Pair()
    pair.swap(lambda spec, progress: (Small if spec.path else ScriptedBackend)(
        replace(spec, path=""), progress, texts=[line * 12], costs=QUICK if spec.path else CHEAP_BATCHES
    ))  # fmt: skip
    pair.load(draft="draft", sequences=1)
    pair.run(ask(1, make_prompt("", (line * 4).decode()), stop=BLOCK, max_tokens=100))
    usage = pair.finished(1).usage
    assert usage.accepted_tokens > 70
    assert len(pair.taken()) < 10


@pytest.mark.parametrize("rank", [0, 1])
def test_candidates_are_not_drafted_for_but_what_comes_alone_is(rank: int) -> None:
    pair = Pair(sequences=3)
    pair.send(*(ask(each + 1, typed(90), stop=BLOCK, max_tokens=20, rank=each) for each in (0, 1)))
    pair.drain()
    truth = cold(typed(90), BLOCK, 20, texts=(TEXT,), rank=rank)
    assert pair.finished(rank + 1).text == truth.text


# Pairs that do not fit ----------------------------------------------------------------------------------


class SmallAndRecurrent(Recurrent):
    pass


class Crowded(ScriptedBackend):
    def __init__(self, *args: Any, **options: Any) -> None:
        raise NoRoomError("draft needs 900 MB of memory and 800 MB are free")


class OtherMarkers(Small):
    def marker(self, spelling: str) -> int | None:
        return super().marker("<|fim_prefix|>")


class OtherPieces(Small):
    def piece(self, token: int) -> bytes:
        return b"ab" if token == 97 else super().piece(token)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"small": OtherPieces}, ("vocabulary", "token 97 is 'ab' in it, and 'a' there", "scripted")),
        ({"small": OtherMarkers}, ("vocabulary", "is not the same token")),
        ({"small": SmallAndRecurrent}, ("recurrent", "cannot be taken back")),
        ({"main": Recurrent}, ("recurrent", "cannot take a draft back")),
        ({"small": Crowded}, ("900 MB", "800 MB are free")),
        ({"costs": None}, ("how fast small is here was not measured", "`calibrate`")),
        ({"main_costs": None}, ("how fast scripted is here was not measured", "`calibrate`")),
        ({"costs": AS_DEAR}, ("cannot make scripted faster", "it takes 10.0 ms", "alone 10.0 ms")),
        ({"main_costs": DEAR_ROWS}, ("cannot make scripted faster", "it takes 0.5 ms", "alone 10.0 ms")),
    ],
)
def test_a_pair_that_does_not_fit_is_told_and_the_model_goes_on_alone(
    options: dict[str, Any], words: tuple[str, ...]
) -> None:
    pair = Pair(**options)
    assert pair.ready.info.draft == ""
    assert "\n" not in pair.ready.notice
    for word in ("`draft_model` draft is not used", *words):
        assert word in pair.ready.notice
    assert pair.engine.models["completion"].draft is None
    assert all(backend.closed for backend in pair.backends if isinstance(backend, Small))
    pair.run(ask(1, typed(90), stop=BLOCK, max_tokens=60))
    assert check_cold(pair, 1, typed(90)).usage.drafted_tokens == 0


def test_padding_at_a_vocabularys_end_makes_no_difference() -> None:
    """Models of one family pad their vocabularies to different lengths."""
    pair = Pair(words=[b"padding"])
    assert pair.ready.notice == ""
    assert pair.draft.shared == pair.ready.info.vocabulary < pair.small.info.vocabulary
    pair.run(ask(1, typed(90), stop=BLOCK, max_tokens=60))
    assert check_cold(pair, 1, typed(90)).usage.accepted_tokens > 40


def test_a_small_model_that_fails_is_left_alone() -> None:
    pair = Pair(sequences=2)
    pair.send(ask(1, typed(200), stop=BLOCK, max_tokens=60))
    for _ in range(8):
        pair.step()
    pair.small.fail_next = True
    pair.drain()
    assert pair.draft.failure
    told = [event for event in pair.events if isinstance(event, ModelReady)][-1]
    assert told.info.draft == ""
    assert "small failed, and drafts no more: the device is gone" in told.notice
    assert check_cold(pair, 1, typed(200)).reason is FinishReason.LENGTH
    pair.taken()
    pair.run(ask(2, typed(90), stop=BLOCK, max_tokens=60))
    check_cold(pair, 2, typed(90))
    assert pair.taken() == []


def test_both_go_together() -> None:
    pair = Pair()
    small = pair.small
    assert pair.load(sequences=2).info.draft == ""
    assert small.closed
    assert pair.engine.models["completion"].draft is None


def test_a_change_of_adapters_keeps_the_small_model() -> None:
    pair = Pair()
    before = pair.draft
    spec = ModelSpec("", 1024, 1, fim_format="qwen", draft="draft", adapters=(Adapter("style.gguf"),))
    pair.engine.send(Load(spec, 2))
    pair.receive()
    assert pair.draft is before
    assert pair.engine.models["completion"].info.adapters == spec.adapters
    pair.run(ask(1, typed(90), stop=BLOCK, max_tokens=20))
    assert pair.finished(1).reason is FinishReason.LENGTH


def test_a_change_of_adapters_does_not_hide_why_there_is_no_small_model() -> None:
    pair = Pair(costs=None)
    spec = ModelSpec("", 1024, 1, fim_format="qwen", draft="draft", adapters=(Adapter("style.gguf"),))
    pair.engine.send(Load(spec, 2))
    pair.receive()
    ready = pair.events[-1]
    assert isinstance(ready, ModelReady)
    assert (ready.load, ready.info.adapters) == (2, spec.adapters)
    assert ready.notice == pair.ready.notice != ""


def test_a_small_model_is_not_loaded_for_one_that_was_not_measured() -> None:
    assert [type(backend) for backend in Pair(main_costs=None).backends] == [ScriptedBackend]


def test_the_progress_of_both_loads_is_one() -> None:
    pair = Pair()
    shown = [event.progress for event in pair.events if isinstance(event, ModelLoading)]
    assert shown == sorted(shown) == [0.0, 0.5, 1.0]
