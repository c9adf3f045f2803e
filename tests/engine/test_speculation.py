"""Drafts: where they come from, when they pay, and that they change nothing but the number of steps."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lsp_server.backends.base import StepCosts
from lsp_server.backends.scripted import ScriptedBackend
from lsp_server.engine.request import Finished, FinishReason, Generate, Priority
from lsp_server.engine.speculate import MODEL, Drafter, DraftRates, ExpectedText, draft_length
from tests.engine.harness import BLOCK, CHEAP_BATCHES, DEAR_ROWS, LINE, EngineHarness, Recurrent, ask, cold, make_prompt

FLAT = StepCosts((0, 512), (1, 8), ((10.0, 10.0), (10.0, 10.0)))
STEEP = StepCosts((0, 512), (1, 8), ((10.0, 80.0), (10.0, 80.0)))


@pytest.mark.parametrize(
    ("tokens", "sources", "expected"),
    [
        ([1, 2, 3, 4, 9, 2, 3], [], (2, [4, 9, 2, 3])),
        ([1, 2, 3, 4, 9, 1, 2, 3], [], (3, [4, 9, 1, 2, 3])),
        ([5, 1, 2], [[7, 1, 2, 8], [9, 1, 2, 6]], (2, [8])),
        ([5, 1, 2], [[1, 2], [9, 1, 2, 6]], (2, [6])),
        ([5, 1, 2], [[1, 3, 2]], (0, [])),
        ([4, 5, 6], [[4, 5, 7], [4, 5, 6, 8]], (2, [8])),
        ([2], [[2, 3]], (0, [])),
        ([], [], (0, [])),
        ([0x01000000, 0x00000001], [[0, 0x00010100, 0x00000001, 5]], (0, [])),
    ],
)
def test_a_draft_is_what_followed_elsewhere(
    tokens: list[int], sources: list[list[int]], expected: tuple[int, list[int]]
) -> None:
    assert Drafter(sources).propose(tokens) == expected


def test_a_draft_is_found_on_the_border_of_a_token_only() -> None:
    """The bytes of two tokens can stand across the border of two others."""
    first, second = 0x02010000, 0x04030000
    across = [0x00000000, 0x00000201, 0x00000403, 5]
    assert Drafter([across]).propose([first, second]) == (0, [])


def shares(rate: float) -> list[float]:
    """Of drafts of which each token holds with probability `rate` behind one that did."""
    return [rate**size for size in range(1, 16)]


@pytest.mark.parametrize(
    ("costs", "rate", "limit", "expected"),
    [
        (FLAT, 0.5, 7, 7),
        (FLAT, 0.5, 3, 3),
        (FLAT, 0.0, 7, 0),
        (STEEP, 0.9, 7, 0),
        (STEEP, 0.9, 0, 0),
        (CHEAP_BATCHES, 0.9, 12, 8),
        (CHEAP_BATCHES, 0.02, 12, 0),
        (DEAR_ROWS, 0.9, 12, 0),
    ],
)
def test_as_many_tokens_are_drafted_as_pay(costs: StepCosts, rate: float, limit: int, expected: int) -> None:
    size, gain = draft_length(costs, 256, shares(rate), limit)
    assert size == expected
    assert (gain > 1) == (size > 0)


@pytest.mark.parametrize(
    ("rate", "token_ms", "expected"),
    [(0.9, 0.0, 8), (0.9, 1.0, 7), (0.9, 9.0, 0), (0.9, 12.0, 0), (0.1, 1.0, 0), (0.5, 1.0, 2)],
)
def test_what_drafting_costs_counts(rate: float, token_ms: float, expected: int) -> None:
    """With a small model, a drafted token costs a step of it."""
    assert draft_length(CHEAP_BATCHES, 256, shares(rate), 12, token_ms)[0] == expected


def test_shares_follow_what_held() -> None:
    rates = DraftRates()
    began = list(rates[2])
    for _ in range(30):
        rates.learn(2, drafted=4, accepted=0)
    assert max(rates[2]) < 0.1 < began[0]
    assert rates[3] == began
    for _ in range(30):
        rates.learn(2, drafted=4, accepted=4)
    assert min(rates[2][:4]) > 0.9
    assert max(rates[2][4:]) < 0.1, "nothing was seen of these"


def test_a_draft_is_wrong_at_once_or_not_at_all() -> None:
    """Half of the drafts fail at their first token, half hold: a long draft is as likely to hold as a short one."""
    rates = DraftRates()
    for _ in range(50):
        rates.learn(8, drafted=12, accepted=0)
        rates.learn(8, drafted=12, accepted=12)
    assert all(share == pytest.approx(0.5, abs=0.06) for share in rates[8][:12])


def test_a_small_model_that_was_worthless_is_tried_again_after_a_while() -> None:
    rates = DraftRates()
    for _ in range(20):
        rates.learn(MODEL, drafted=4, accepted=0)
    dear = StepCosts((0, 512), (1, 8), ((10.0, 40.0), (10.0, 40.0)))
    tries = 0
    while not draft_length(dear, 256, rates[MODEL])[0]:
        rates.turned_down()
        tries += 1
    assert 50 < tries < 500


class Steps(ScriptedBackend):
    """Counts its evaluations, and notes the most logits that one of them gave."""

    evaluations = most_logits = 0

    def evaluate(self, sequence: int, position: int, tokens, *, logits: int):  # type: ignore[no-untyped-def]
        self.evaluations += 1
        self.most_logits = max(self.most_logits, logits)
        return super().evaluate(sequence, position, tokens, logits=logits)


TEXT = "".join(f"values.append(transform(item_{name}))\n" for name in ("a", "a", "a", "a", "a", "a"))
PROMPT = make_prompt("", TEXT[:90])


def written(costs: StepCosts | None) -> tuple[Finished, int]:
    harness = EngineHarness(lambda spec, progress: Steps(spec, progress, texts=[TEXT.encode()], costs=costs))
    harness.load()
    finished = harness.run(ask(1, PROMPT, stop=BLOCK, max_tokens=60))
    assert "".join(delta.text for delta in harness.deltas(1)) == finished.text
    assert isinstance(harness.backend, Steps)
    return finished, harness.backend.evaluations


def test_repetitive_text_is_written_in_fewer_steps_and_is_the_same() -> None:
    plain, steps = written(None)
    drafted, fewer = written(CHEAP_BATCHES)
    assert (drafted.text, drafted.reason, drafted.logprob) == (plain.text, plain.reason, plain.logprob)
    assert drafted.usage.decoded_tokens == plain.usage.decoded_tokens == 60
    assert drafted.usage.accepted_tokens > 40
    assert fewer < steps / 3
    assert plain.usage.drafted_tokens == 0


def test_drafts_that_do_not_seem_to_pay_are_watched_until_they_do() -> None:
    """Only a draft that is all but sure pays here; that it is, is learned without verifying one."""
    costs = replace(CHEAP_BATCHES, rows_ms=(0.0, 20.0, 30.0, 40.0, 40.0))
    assert draft_length(costs, 100, DraftRates()[16])[0] == 0
    plain, steps = written(None)
    drafted, fewer = written(costs)
    assert drafted.text == plain.text
    assert drafted.usage.accepted_tokens == drafted.usage.drafted_tokens > 0
    assert fewer < steps


def test_no_draft_where_batches_are_dear() -> None:
    assert written(STEEP)[0].usage.drafted_tokens == 0


@pytest.mark.parametrize(("costs", "most"), [(None, 5), (DEAR_ROWS, 1)])
def test_logits_are_asked_for_one_by_one_where_that_costs_less(costs: StepCosts | None, most: int) -> None:
    """Behind what was typed they are wanted at several places, in case it has to be healed."""
    prompt = make_prompt("x = 1\n" * 8, "value = alpha + ")
    harness = EngineHarness(lambda spec, progress: Steps(spec, progress, costs=costs))
    harness.load()
    assert harness.run(ask(1, prompt, max_tokens=4)).text == cold(prompt, LINE, 4).text
    assert isinstance(harness.backend, Steps)
    assert harness.backend.most_logits == most


def test_what_was_typed_over_is_a_draft() -> None:
    """The end of a suggestion is proposed again when only its beginning was typed over."""
    text = b"first = one(alpha)\nsecond = two(alpha, beta, gamma, delta)\n"
    harness = EngineHarness(lambda spec, progress: Steps(spec, progress, texts=[text], costs=CHEAP_BATCHES))
    harness.load()
    known = text.decode()
    harness.run(ask(1, make_prompt("", known[:20]), max_tokens=40))
    other = make_prompt("", known[:20].replace("s", "S") + "econd = two(")
    assert harness.run(ask(2, other, max_tokens=3)).usage.drafted_tokens > 0


def test_a_recurrent_model_does_not_draft() -> None:
    """It could not drop what was wrong."""
    harness = EngineHarness(lambda spec, progress: Recurrent(spec, progress, texts=[TEXT.encode()], costs=FLAT))
    harness.load()
    finished = harness.run(ask(1, PROMPT, stop=BLOCK, max_tokens=30))
    assert finished.usage.drafted_tokens == 0
    assert finished.text == cold(PROMPT, BLOCK, 30, texts=(TEXT.encode(),)).text


def test_a_recurrent_model_evaluates_what_was_typed_and_no_more() -> None:
    harness = EngineHarness(Recurrent)
    harness.load(form="qwen")
    before = "x = 1\n" * 60
    first = harness.run(ask(1, make_prompt(before, "y")))
    assert first.usage.evaluated_tokens > len(before)
    for id, typed in enumerate(("y ", "y =", "y = ", "y =", "y = f"), 2):
        finished = harness.run(ask(id, make_prompt(before, typed)))
        assert finished.usage.evaluated_tokens <= len(typed)
        assert finished.text == cold(make_prompt(before, typed), ask(0, "").stop, 12).text


@pytest.mark.parametrize("length", range(56, 72))
def test_a_draft_fits_into_the_batch_with_the_chunk_before_it(length: int) -> None:
    """The scripted backend refuses a batch of more than a chunk, as a real one would overrun its memory."""
    harness = EngineHarness(lambda spec, progress: Steps(spec, progress, texts=[TEXT.encode()], costs=CHEAP_BATCHES))
    harness.load(form="prefix-only")
    prompt = make_prompt("", TEXT[:length], "", "prefix-only")
    assert harness.run(ask(1, prompt, stop=BLOCK, max_tokens=20)).reason is FinishReason.LENGTH


def test_warming_the_same_prompt_neither_forks_nor_stops_drafts() -> None:
    harness = EngineHarness(lambda spec, progress: Steps(spec, progress, texts=[TEXT.encode()], costs=CHEAP_BATCHES))
    harness.load(sequences=3)
    harness.send(ask(1, PROMPT, max_tokens=0, priority=Priority.WARMING))
    harness.step()
    harness.send(ask(2, PROMPT, stop=BLOCK, max_tokens=40))
    harness.drain()
    assert harness.finished(2).usage.accepted_tokens > 20
    assert harness.engine.cache().forks == 0
    assert isinstance(harness.backend, Steps)
    usages = [harness.finished(id).usage for id in (1, 2)]
    assert sum(usage.evaluated_tokens for usage in usages) == usages[1].prompt_tokens


def drafted(text: str, answer: str, most: int = 15) -> tuple[int, int]:
    """In how many steps `answer` is written with drafts from `text`, a token for each character, and how many drafted
    tokens were wrong."""
    expected = ExpectedText([ord(each) for each in text])
    at = steps = wrong = 0
    while at < len(answer):
        steps += 1
        for token in [*expected.next(most), None]:
            expected.write(ord(answer[at]))
            at += 1
            if at == len(answer):
                break
            if ord(answer[at - 1]) != token:
                wrong += token is not None
                break
    return steps, wrong


# In any twelve characters of it there is a line's number, by which the scripted model knows where it is.
WINDOW = "".join(f"  at_{line:02} = use({line:02}, a{line:02}, b{line:02})\n" for line in range(40))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("", ""),
        ("a20, ", "other, "),
        ("  at_20 = use(20, a20, b20)\n", ""),
        ("  at_20 =", "  # a comment\n  at_20 ="),
        ("at_20 = use(20", "at_0x14 = compute(use(21)"),
    ],
)
def test_an_expected_text_is_followed_again_behind_what_departs_from_it(old: str, new: str) -> None:
    answer = WINDOW.replace(old, new, 1) if old else WINDOW
    steps, wrong = drafted(WINDOW, answer)
    assert steps <= len(answer) / 16 + len(new) + 12
    assert wrong <= 8


def test_an_answer_that_is_nothing_like_the_expected_text_costs_no_more_steps() -> None:
    assert drafted("abc" * 9, "xyzuvw" * 9)[0] <= 54
    assert drafted("", "xyz") == (3, 0)


WHOLE = "# The window:\n" + WINDOW.replace("a20, ", "other20, ")


def test_unchanged_lines_cost_five_times_fewer_steps_and_the_text_is_the_same() -> None:
    """A window of forty lines of which one changes."""

    def answered(draft: str, costs: StepCosts | None) -> tuple[Finished, int]:
        harness = EngineHarness(lambda spec, progress: Steps(spec, progress, texts=[WHOLE.encode()], costs=costs))
        harness.load(context_tokens=2048)
        prompt = make_prompt("", "# The window:\n")
        finished = harness.run(Generate(1, prompt, None, 1900, Priority.EDIT, draft=draft))
        assert isinstance(harness.backend, Steps)
        return finished, harness.backend.evaluations

    plain, steps = answered("", None)
    assert plain.text == WHOLE.removeprefix("# The window:\n")
    for costs in (None, CHEAP_BATCHES, FLAT):
        drafted, fewer = answered(WINDOW, costs)
        assert (drafted.text, drafted.usage.decoded_tokens) == (plain.text, plain.usage.decoded_tokens)
        assert drafted.logprob == pytest.approx(plain.logprob)
        assert 5 * fewer <= steps, (fewer, steps)


@pytest.mark.parametrize("costs", [None, CHEAP_BATCHES])
def test_an_expected_text_that_has_nothing_to_do_with_the_answer_changes_nothing(costs: StepCosts | None) -> None:
    for draft in ("", "nothing of this comes\n" * 9, "x"):
        harness = EngineHarness(lambda spec, progress: Steps(spec, progress, costs=costs))
        harness.load()
        request = replace(ask(1, "x = 1\n" * 9, stop=BLOCK, max_tokens=60), draft=draft)
        assert harness.run(request).text == cold(request.prompt, BLOCK, 60).text


def test_a_recurrent_model_follows_no_expected_text() -> None:
    harness = EngineHarness(lambda spec, progress: Recurrent(spec, progress, texts=[WHOLE.encode()]))
    harness.load(context_tokens=2048)
    request = Generate(1, make_prompt("", "# The window:\n"), None, 60, Priority.EDIT, draft=WINDOW)
    finished = harness.run(request)
    assert finished.usage.drafted_tokens == 0
    assert finished.text == WHOLE.removeprefix("# The window:\n")[:60]


def test_a_next_edit_waits_for_completions_and_goes_before_actions() -> None:
    harness = EngineHarness()
    harness.load(sequences=3)
    for id, priority in ((1, Priority.ACTION), (2, Priority.EDIT), (3, Priority.INLINE)):
        harness.send(ask(id, f"{id} = 1\n" * 9, priority=priority))
    harness.drain()
    assert harness.answered() == [3, 2, 1]
